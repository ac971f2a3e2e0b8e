"""What ``retinalab robustness`` says: which photographs, agreement with itself, figures by severity."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from retinalab.counted import counted
from retinalab.units import few_units, told_units

if TYPE_CHECKING:
    import pandas as pd

    from retinalab.metrics.measure import Metric
    from retinalab.robustness.answers import Trial

__all__ = ["WIDTH", "about_lines", "print_robustness"]

WIDTH = 80
_FIRST = 8
_COLUMN = 12
_PAIR = 20


def about_lines(trial: Trial, table: pd.DataFrame) -> list[tuple[str, str]]:
    """Which networks and photographs, and what was left out: term and text of each line."""
    run = trial.run
    photographs = table.drop_duplicates(["set", "image"])
    units = photographs["group"].nunique()
    faults = dict.fromkeys(one.name for one in trial.settings.conditions if one.severity)
    shown = len(trial.settings.conditions)
    about = [
        ("Run", f"{run.name}, stage {run.stage}: {run.run.path.resolve().name}"),
        ("Networks", ", ".join(member.child for member in run.members if member.child) or "one"),
        ("Photographs",
         f"{counted(len(photographs), 'test photograph')} of {', '.join(photographs['set'].unique())}, "
         f"{told_units(units, trial.unit)}"),
        ("Shown", f"in {counted(shown, 'way')} each, drawn with seed {trial.settings.seed}"
         + (f"; faults: {', '.join(faults)}" if faults else "")),
    ]  # fmt: skip
    if few := few_units(units, trial.unit):
        about.append(("Intervals", few))
    if trial.notes:
        about.append(("Notes", "; ".join(note.rstrip(".") for note in trial.notes)))
    return about


def print_robustness(about: Sequence[tuple[str, str]], metrics: Mapping[str, Metric], trial: Trial) -> None:
    """Print the lines, then for each disease its tables and why figures are missing, in 80 columns."""
    from retinalab.robustness.page import lacking

    for term, text in about:
        print("\n".join(textwrap.wrap(f"{term}: {text}", WIDTH, subsequent_indent="  ")))
    print("\n".join(textwrap.wrap(f"Intervals, 95 %, resample {trial.unit}; -: undefined.", WIDTH)))
    for disease in trial.scales:
        for line in _lines(metrics, disease, disease in trial.regressed):
            print(line)
        for why in lacking(metrics, disease):
            print("\n".join(textwrap.wrap(f"! {why}", WIDTH, subsequent_indent="  ")))


def _lines(metrics: Mapping[str, Metric], disease: str, regressed: bool) -> Iterator[str]:
    from retinalab.robustness.conditions import COLOURS, FLIP, ORIGINAL, VIEWS
    from retinalab.robustness.page import severities_of

    score = "severity change" if regressed else "P(referable) ch."
    named = {VIEWS: "views of one eye", FLIP: "mirrored", COLOURS: "other colours"}
    yield from _pairs(
        f"{disease} with itself", metrics, [(f"{disease}/{name}/0", words) for name, words in named.items()],
        {"self_kappa": "kappa", "unchanged": "grades unchanged", "score_change": score},
    )  # fmt: skip
    named = {ORIGINAL: "as it is", FLIP: "mirrored", COLOURS: "other colours"}
    yield from _pairs(
        f"{disease} with reference", metrics, [(f"{disease}/{name}/0", words) for name, words in named.items()],
        {"kappa": "kappa", "accuracy": "accuracy", "auc_referable": "AUC, referable"},
    )  # fmt: skip
    faults = severities_of(metrics, disease)
    for name, title in (("kappa", "kappa"), ("auc_referable", "AUC, referable")):
        if faults and f"{disease}/{ORIGINAL}/0/{name}" in metrics:
            yield from _severities(
                f"{disease} {title} by severity; 0: as it is", metrics, disease, name, faults
            )


def _pairs(
    title: str, metrics: Mapping[str, Metric], rows: Sequence[tuple[str, str]], names: Mapping[str, str]
) -> Iterator[str]:
    kept = [(place, words) for place, words in rows if f"{place}/{next(iter(names))}" in metrics]
    if not kept:
        return
    yield ""
    yield (f"{title:{_PAIR}s}" + "".join(f"{name:{_PAIR}s}" for name in names.values())).rstrip()
    for place, words in kept:
        cells = [metrics.get(f"{place}/{name}") for name in names]
        texts = [f"{_value(one)} {_interval(one)}" for one in cells]
        yield (f"  {words:{_PAIR - 2}s}" + "".join(f"{text:{_PAIR}s}" for text in texts)).rstrip()


def _severities(
    title: str, metrics: Mapping[str, Metric], disease: str, name: str, faults: Mapping[str, Sequence[int]]
) -> Iterator[str]:
    levels = sorted({level for several in faults.values() for level in several})
    yield from ("", title)
    yield " " * _FIRST + "".join(f"{level!s:{_COLUMN}s}" for level in (0, *levels)).rstrip()
    for fault in faults:
        places = [f"{disease}/original/0", *(f"{disease}/{fault}/{level}" for level in levels)]
        cells = [metrics.get(f"{place}/{name}") for place in places]
        yield (f"{fault:{_FIRST}s}" + "".join(f"{_value(one):{_COLUMN}s}" for one in cells)).rstrip()
        if any(_interval(one) for one in cells):
            yield (" " * _FIRST + "".join(f"{_interval(one):{_COLUMN}s}" for one in cells)).rstrip()


def _value(metric: Metric | None) -> str:
    return "-" if metric is None or metric["value"] is None else f"{metric['value']:z.3f}"


def _interval(metric: Metric | None) -> str:
    """At most eleven characters.

    Example:
        >>> _interval({"value": 0.5, "low": -0.25, "high": 0.75, "n": 9, "n_groups": 9})
        '[-.25,0.75]'
    """
    if metric is None or metric["low"] is None or metric["high"] is None:
        return ""
    return f"[{_short(metric['low'])},{_short(metric['high'])}]"


def _short(value: float) -> str:
    text = f"{value:.2f}"
    return text.replace("-0.", "-.") if float(text) else "0.00"
