"""Whether a figure would come out the same today: what has changed since its run."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from retinalab.code import changed_code, code_digests
from retinalab.config import DataConfig, Experiment
from retinalab.errors import RetinalabError
from retinalab.protocol import Protocol
from retinalab.reproduction.settings import differences, needed_stages

__all__ = ["changed_since", "stale_label"]


def changed_since(
    experiment: Experiment,
    facts: Mapping[str, Any],
    roots: Mapping[str, Path] | None = None,
    today: Experiment | None = None,
) -> tuple[str, ...]:
    """What has changed since a run: code, experiment file, photographs or labels; nothing where none is known to have.

    Args:
        experiment: as it was run.
        facts: its provenance, or as much as was kept of it.
        roots: data set -> its folder, where photographs and labels are looked up again.
        today: what its command runs now.
    """
    found = []
    if facts.get("code") and (rooms := changed_code(facts["code"], code_digests(experiment))):
        found.append(f"code ({', '.join(rooms)})")
    if today is not None and (apart := differences(experiment, today)):
        more = f" and {len(apart) - 1} more" if len(apart) > 1 else ""
        found.append(f"what its command runs ({apart[0]}{more})")
    if others := _other_data(experiment, facts.get("data") or {}, roots or {}):
        found.append(f"photographs or labels ({', '.join(others)})")
    return tuple(found)


def stale_label(changed: tuple[str, ...]) -> str:
    """What is said beside a figure.

    Example:
        >>> stale_label(("code (data, tasks)",))
        'stale: changed since it was run: code (data, tasks)'
    """
    return f"stale: changed since it was run: {'; '.join(changed)}"


def _other_data(
    experiment: Experiment, told: Mapping[str, Any], roots: Mapping[str, Path]
) -> tuple[str, ...]:
    """Data sets that the stages read, whose folder holds other photographs or labels than the run had."""
    found: dict[str, None] = {}
    for name in needed_stages(experiment):
        data = experiment.stages[name].data
        then = told.get(name, {}).get(data.set, {}).get("fingerprint")
        if then and data.set in roots:
            section = data.model_copy(update={"root": roots[data.set]})
            now = _fingerprint(section.model_dump_json(), experiment.protocol.model_dump_json())
            if now is not None and now != then:
                found[data.set] = None
    return tuple(found)


@lru_cache(maxsize=64)
def _fingerprint(data: str, protocol: str) -> str | None:
    """Of photographs and labels; None where they cannot be read, which running the row would say."""
    from retinalab.data.parts import read_records  # imports torch, which a table needs for nothing else

    section = DataConfig.model_validate_json(data)
    try:
        source, records, _ = read_records(section, Protocol.model_validate_json(protocol), {})
    except RetinalabError:
        return None
    return source.digest(records)
