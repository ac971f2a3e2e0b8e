"""Figures of a positive-or-negative test: is there one 2 x 2 table of whole photographs that gives them all."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

from retinalab.audit.finding import Answer
from retinalab.audit.relations import f1_bounds, within
from retinalab.audit.rounding import Printed, decimal, printed
from retinalab.audit.shares import possible_counts
from retinalab.audit.table import CHECKS, Check
from retinalab.errors import RetinalabError, unknown

__all__ = ["binary", "figure_of"]

FIGURES = ("sensitivity", "specificity", "precision", "accuracy", "f1")
_ALIASES = {"recall": "sensitivity"}
_MOST = 200_000


def figure_of(name: str, tp: int, fn: int, fp: int, tn: int) -> Fraction | None:
    """A figure of one 2 x 2 table, exact; None where its denominator is 0.

    Example:
        >>> figure_of("f1", tp=3, fn=1, fp=2, tn=4)
        Fraction(2, 3)
    """
    over, under = {
        "sensitivity": (tp, tp + fn),
        "specificity": (tn, tn + fp),
        "precision": (tp, tp + fp),
        "accuracy": (tp + tn, tp + fn + fp + tn),
        "f1": (2 * tp, 2 * tp + fn + fp),
    }[name]
    return Fraction(over, under) if under else None


def binary(check: Check) -> Answer:
    """Sensitivity, specificity, precision, accuracy or F1 beside others of the same photographs.

    With ``positives`` and ``negatives`` every table of whole photographs that gives the other printed figures is tried.
    F1 without them is held against the bounds that precision and recall set.

    Raises:
        RetinalabError: names that are no figures, or counts that are missing.
    """
    given = {_ALIASES.get(name, name): text for name, text in check.named.items()}
    for name in given:
        if name not in (*FIGURES, "positives", "negatives"):
            raise unknown("name in 'from'", name, (*FIGURES, "positives", "negatives"))
    if "positives" not in given or "negatives" not in given:
        return _by_bounds(check, given)
    if check.averaged > 1:
        return Answer("untestable", "a mean over folds or runs has no one 2 x 2 table", telling=False)
    positives, negatives = (_whole(given.pop(name), name) for name in ("positives", "negatives"))
    others = {name: printed(text, check.unit) for name, text in given.items() if name != check.check}
    fixed = dict(others)
    if check.check in ("sensitivity", "specificity"):
        fixed[check.check] = check.printed
    tried, nearest = 0, None
    for tp, tn in _tables(fixed, positives, negatives):
        tried += 1
        if tried > _MOST:
            return Answer(
                "untestable", "too many 2 x 2 tables to try; give sensitivity or specificity", telling=False
            )
        cells = {"tp": tp, "fn": positives - tp, "fp": negatives - tn, "tn": tn}
        found = figure_of(check.check, **cells)
        if found is None or any(not _fits(other, figure_of(name, **cells)) for name, other in others.items()):
            continue
        if check.printed.rounded_from(found):
            text = f"{tp:,} of {positives:,} positives and {tn:,} of {negatives:,} negatives right"
            return Answer("possible", text)
        if nearest is None or abs(found - check.printed.value) < abs(nearest - check.printed.value):
            nearest = found
    why = "no 2 x 2 table of whole photographs gives it with the others"
    shown = "" if nearest is None else f"; nearest is {decimal(nearest, check.printed, check.unit)}"
    return Answer("impossible", f"{why}{shown}")


def _by_bounds(check: Check, given: dict[str, str]) -> Answer:
    if check.check != "f1" or set(given) != {"precision", "sensitivity"}:
        raise RetinalabError(
            f"'from' lacks positives= and negatives=, the numbers of each: {CHECKS[check.check]}."
        )
    precision, recall = (printed(given[name], check.unit) for name in ("precision", "sensitivity"))
    what = "F1 by precision and recall, of means" if check.averaged > 1 else "F1 by precision and recall"
    return within(check, f1_bounds(precision, recall, check.averaged > 1), what)


def _tables(figures: dict[str, Printed], positives: int, negatives: int) -> Iterator[tuple[int, int]]:
    """True positives and true negatives that give the printed sensitivity and specificity, where they are given."""
    sides = []
    for name, size in (("sensitivity", positives), ("specificity", negatives)):
        limited = name in figures and size > 0
        sides.append(possible_counts(figures[name], size) if limited else range(size + 1))
    return ((tp, tn) for tp in sides[0] for tn in sides[1])


def _fits(stated: Printed, value: Fraction | None) -> bool:
    return value is not None and stated.rounded_from(value)


def _whole(text: str, name: str) -> int:
    value = printed(text, "").value
    if value.denominator != 1 or value < 0:
        raise RetinalabError(f"{name} is a whole number of photographs, got {text!r}.")
    return value.numerator
