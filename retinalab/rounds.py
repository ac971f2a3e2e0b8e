"""Rounds: a block of stages that is run several times, each time from what the time before came to."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import Any

__all__ = ["BEFORE", "ROUNDS", "STREAM", "each_stage", "expanded"]

ROUNDS = "rounds"
STREAM = "stream"
"""Of random numbers, as a stage names it."""
BEFORE = "before"
"""As the stage that one starts from: the stage trained last before it."""


def expanded(stages: Mapping[str, Any], faults: list[str]) -> dict[str, Any]:
    """Write a block's stages out, ``<block>-<n>.<stage>``.

    Within a block ``start_from.stage: before`` is the stage trained last before it, in this round, the one before or
    ahead of the block; a stage of the block named in ``start_from`` or ``adds`` is this round's. Stages that train are
    numbered from 1 over all blocks, and draw from the ``stream`` of that number; those outside from the seed's own.

    Args:
        stages: name -> stage, or -> block: a mapping with ``rounds``, how often, and its stages.
        faults: receives a line for each block that cannot be written out.

    Example:
        >>> block = {"rounds": 2, "make": {"kind": "make_data", "start_from": {"stage": "before"}}}
        >>> block["train"] = {"adds": ["make"]}
        >>> plain = expanded({"baseline": {}, "round": block}, [])
        >>> list(plain)
        ['baseline', 'round-1.make', 'round-1.train', 'round-2.make', 'round-2.train']
        >>> plain["round-2.make"]["start_from"]["stage"], plain["round-2.train"]["adds"]
        ('round-1.train', ['round-2.make'])
        >>> plain["round-1.train"]["stream"], plain["round-2.train"]["stream"]
        (1, 2)
    """
    plain: dict[str, Any] = {}
    trained: str | None = None
    streams = 0
    for name, stage in stages.items():
        if not _is_block(stage):
            plain[name] = stage
            trained = trained if _makes(stage) else name
            continue
        inner = {key: value for key, value in stage.items() if key != ROUNDS and value is not None}
        count = _count(name, stage[ROUNDS], inner, faults)
        for number in range(1, count + 1):
            own = {key: f"{name}-{number}.{key}" for key in inner}
            for key, value in inner.items():
                plain[own[key]] = _bound(own[key], value, own, trained, faults)
                if not _makes(value):
                    trained, streams = own[key], streams + 1
                    plain[own[key]][STREAM] = streams
    return plain


def each_stage(stages: Mapping[str, Any]) -> Iterator[Any]:
    """Every stage as it is written, those within blocks too."""
    for stage in stages.values():
        if _is_block(stage):
            yield from (value for key, value in stage.items() if key != ROUNDS)
        else:
            yield stage


def _is_block(stage: Any) -> bool:
    return isinstance(stage, Mapping) and ROUNDS in stage


def _makes(stage: Any) -> bool:
    return isinstance(stage, Mapping) and stage.get("kind") == "make_data"


def _count(name: str, given: Any, inner: Mapping[str, Any], faults: list[str]) -> int:
    whole = given if isinstance(given, int) and not isinstance(given, bool) else None
    if isinstance(given, str) and given.strip().isdecimal():
        whole = int(given)
    if whole is None or not 0 <= whole < 1000:
        faults.append(f"stages.{name}.{ROUNDS}={given!r}: how often the block is run, a number from 0 to 999")
        return 0
    for key, value in inner.items():
        if not isinstance(value, Mapping):
            faults.append(f"stages.{name}.{key}={value!r}: a block of rounds holds stages; each is a mapping")
            return 0
        if STREAM in value:
            faults.append(
                f"stages.{name}.{key}.{STREAM}={value[STREAM]!r}: each round has a stream of its own; leave it out"
            )
            return 0
    if not inner and whole:
        faults.append(f"stages.{name}: a block of rounds without a stage; name one beside {ROUNDS}")
    return whole


def _bound(
    name: str, stage: Mapping[str, Any], own: Mapping[str, str], trained: str | None, faults: list[str]
) -> dict[str, Any]:
    """A copy of a block's stage whose references are those of one round."""
    bound: dict[str, Any] = copy.deepcopy(dict(stage))
    start = bound.get("start_from")
    if isinstance(start, dict):
        wanted = start.get("stage")
        if wanted == BEFORE and trained is None:
            faults.append(f"stages.{name}.start_from.stage={BEFORE!r}: no stage is trained before it")
        elif wanted == BEFORE:
            start["stage"] = trained
        elif isinstance(wanted, str) and wanted in own:
            start["stage"] = own[wanted]
    if isinstance(bound.get("adds"), list):
        bound["adds"] = [own.get(one, one) for one in bound["adds"]]
    return bound
