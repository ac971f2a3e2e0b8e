"""Settings and data sets of a run, stage by stage, for sentences about them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from retinalab.report.folder import RunFolder
from retinalab.report.numbers import plain

__all__ = ["by_stage", "described_sets", "learned", "option", "short", "stages_of"]


def stages_of(run: RunFolder) -> dict[str, Mapping[str, Any]]:
    """The stages of the experiment that train, with their settings."""
    stages = run.experiment.get("stages")
    found = {str(name): one for name, one in _mapping(stages).items() if isinstance(one, Mapping)}
    return {name: one for name, one in found.items() if one.get("kind", "train") == "train"}


def option(stage: Mapping[str, Any], *names: str) -> Any:
    """A setting of a stage by its path; None where it has none."""
    value: Any = stage
    for name in names:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def by_stage(run: RunFolder, describe: Callable[[Mapping[str, Any]], str]) -> str:
    """What a function says of each stage that trains; stages that it says the same of stand together."""
    texts: dict[str, list[str]] = {}
    for name, stage in stages_of(run).items():
        if text := describe(stage):
            texts.setdefault(text, []).append(name)
    if len(texts) == 1 and len(next(iter(texts.values()))) == len(stages_of(run)):
        return f"{next(iter(texts))}."
    return " ".join(f"{', '.join(names)}: {text}." for text, names in texts.items())


def described_sets(run: RunFolder) -> dict[str, list[tuple[str, Mapping[str, Any]]]]:
    """Data set -> the stages that use it and how the provenance describes it there."""
    found: dict[str, list[tuple[str, Mapping[str, Any]]]] = {}
    for stage, sets in _mapping(run.provenance.get("data")).items():
        for name, entry in _mapping(sets).items():
            if isinstance(entry, Mapping):
                found.setdefault(str(name), []).append((str(stage), entry))
    return found


def learned(run: RunFolder, name: str) -> bool | None:
    """Whether a stage trained on photographs of a data set; None where the provenance does not name it."""
    uses = described_sets(run).get(name)
    return None if uses is None else any(_mapping(one.get("photographs")).get("train") for _, one in uses)


def short(value: Any) -> str:
    """A setting on one line, numbers to four decimals.

    Example:
        >>> short({"aspect": [0.75, 4 / 3], "zoom": 1})
        'aspect: 0.75, 1.3333; zoom: 1'
    """
    return plain(_rounded(value))


def _rounded(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _rounded(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(one) for one in value]
    return float(f"{value:.4g}") if isinstance(value, float) else value


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
