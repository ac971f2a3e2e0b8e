"""A comparison of any number of runs as text in 80 columns."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from string import ascii_lowercase

from retinalab.counted import counted
from retinalab.metrics.compare import interval_text, p_text, tests_note
from retinalab.metrics.comparison import Comparison
from retinalab.metrics.difference import Difference
from retinalab.metrics.measure import Metric

__all__ = ["comparison_lines", "letter"]

_COLUMNS = 7


def letter(position: int) -> str:
    """How a run is called in the table: a, b, ..., z, a2, b2, ...

    Example:
        >>> letter(0), letter(25), letter(26)
        ('a', 'z', 'a2')
    """
    turn, place = divmod(position, len(ascii_lowercase))
    return ascii_lowercase[place] + (str(turn + 1) if turn else "")


def comparison_lines(
    comparison: Comparison, below: Callable[[str], Iterable[str]] = lambda key: ()
) -> list[str]:
    """Tested figures with intervals, differences and p-values; the others as a table of values.

    Args:
        comparison: from :func:`retinalab.metrics.comparison.compare_runs`.
        below: lines to stand below a tested figure, such as what a baseline reaches there.
    """
    lines = [f"{'tested':25s}{'':9s}95 % interval{'':7s}{'p':>9s}{'Holm':>9s}{'least':>8s}"]
    tested = comparison["family"]["figures"]
    for key in tested:
        lines += ["", *_figure(key, comparison), *below(key)]
    lines += ["", *tests_note(comparison["family"]["tests"])]
    if any("/sensitivity_referable" in key for key in tested):
        lines.append("Sensitivity, specificity: at each network's threshold with the greatest Youden")
        lines.append("index on its validation photographs.")
    if any("folds" in one for pair in comparison["pairs"] for one in pair["differences"].values()):
        lines.append("over folds: mean, and Nadeau and Bengio's corrected t-test, not in Holm.")
    others = [key for key in comparison["figures"] if key not in tested]
    return [*lines, *_values(others, comparison)]


def _figure(key: str, comparison: Comparison) -> Iterator[str]:
    metrics = comparison["figures"][key]
    found = [
        (f"{letter(pair['a'])} - {letter(pair['b'])}", pair["differences"][key])
        for pair in comparison["pairs"]
        if "test" in pair["differences"].get(key, {})
    ]
    groups = f"{counted(metrics[0]['n_groups'], 'group')} of {counted(metrics[0]['n'], 'photograph')}"
    yield f"{key}: {found[0][1]['test']}, {groups}"
    for position, metric in enumerate(metrics):
        yield f"  {letter(position):23s}{_run(metric)}".rstrip()
    for name, one in found:
        yield f"  {name:23s}{_difference(one)}"
        if "folds" in one:
            folds = one["folds"]
            bounds = interval_text(folds["low"], folds["high"], "+")
            yield f"    {'over folds':21s}{_text(folds['mean'], '+'):>7s}  {bounds:18s}{p_text(folds['p']):>10s}"


def _run(metric: Metric) -> str:
    seeds = metric.get("seeds")
    spread = f"sd {_text(metric.get('sd_seeds'))} of {len(seeds)} seeds" if seeds else ""
    return f"{_text(metric['value']):>7s}  {interval_text(metric['low'], metric['high']):18s}  {spread}"


def _difference(one: Difference) -> str:
    bounds = interval_text(one["low"], one["high"], "+")
    tests = f"{p_text(one['p']):>10s}{p_text(one['p_holm']):>9s}{_text(one.get('smallest_difference')):>8s}"
    return f"{_text(one['difference'], '+'):>7s}  {bounds:18s}{tests}"


def _values(keys: Sequence[str], comparison: Comparison) -> Iterator[str]:
    runs = len(comparison["runs"])
    for start in range(0, runs if keys else 0, _COLUMNS):
        shown = range(start, min(start + _COLUMNS, runs))
        yield ""
        yield f"{'not tested':31s}" + "".join(f"{letter(k):>7s}" for k in shown)
        for key in keys:
            numbers = "".join(f"{_text(comparison['figures'][key][k]['value']):>7s}" for k in shown)
            yield from [f"{key:31s}{numbers}"] if len(key) < 31 else [key, f"{'':31s}{numbers}"]


def _text(value: float | None, sign: str = "") -> str:
    return "-" if value is None else f"{value:{sign}.3f}"
