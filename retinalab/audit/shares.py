"""Shares of a whole number of units: is there a k with k / n as printed (GRIM), and stated ratios and counts."""

from __future__ import annotations

from fractions import Fraction
from math import ceil, floor

from retinalab.audit.finding import Answer
from retinalab.audit.rounding import Printed, decimal, printed
from retinalab.audit.table import Check
from retinalab.errors import RetinalabError

__all__ = ["count", "possible_counts", "ratio", "share"]

_FARTHEST = 1000


def possible_counts(value: Printed, n: int) -> range:
    """Every k of n whose share prints as the value.

    Example:
        >>> list(possible_counts(printed("63.1", "%"), 103)), list(possible_counts(printed("65.1", "%"), 103))
        ([65], [])
    """
    low, high = max(0, ceil(value.low * n)), min(n, floor(value.high * n))
    while low <= high and not value.rounded_from(Fraction(low, n)):
        low += 1
    while high >= low and not value.rounded_from(Fraction(high, n)):
        high -= 1
    return range(low, high + 1)


def share(check: Check) -> Answer:
    """Accuracy, sensitivity, specificity, precision or any other share of n units.

    The mean of several folds or runs of equally many units is a share of all their units. With a step of the last
    digit of at least 1/n every value is possible, which says nothing.

    Reference: Brown and Heathers, Social Psychological and Personality Science 2017 (the GRIM test).
    """
    value, sizes = check.printed, check.sizes
    if check.averaged > 1 and len(sizes) > 1:
        return Answer("untestable", "a mean over folds or runs whose sizes are not known", telling=False)
    totals = [n * check.averaged for n in sizes]
    if not 0 <= value.value <= 1:
        return Answer("impossible", "no share: it is not between 0 and 1 (100 %)")
    found = [(ks, n) for n in totals if (ks := possible_counts(value, n))]
    if found:
        ks, n = found[0]
        many = ks[0] != ks[-1]
        counted = f"{ks[0]:,} to {ks[-1]:,} of {n:,}" if many else f"{ks[0]:,} of {n:,}"
        if value.step * min(totals) >= 1:
            return Answer("possible", f"{counted}; with so many units every value is", telling=False)
        return Answer("possible", counted)
    return Answer("impossible", _nearest(value, totals, check.unit))


def _nearest(value: Printed, totals: list[int], unit: str) -> str:
    """The shares next to the value on both sides, and the nearest number of units at which it is possible."""
    below = max((Fraction(floor(value.value * n), n), n) for n in totals)
    above = min((Fraction(ceil(value.value * n), n), n) for n in totals if value.value * n <= n)
    texts = []
    for quotient, n in (below, above):
        slip = value.slip(quotient)
        percent = f" {unit}" if unit == "%" else ""
        shown = f"{int(quotient * n):,}/{n:,} = {decimal(quotient, value, unit)}{percent}"
        texts.append(f"{shown} ({slip}?)" if slip else shown)
    near = next((n for n in _outwards(totals) if possible_counts(value, n)), None)
    hint = f"; it is possible with n = {near:,}" if near else ""
    return f"no whole number of {_sizes(totals)}: nearest are {texts[0]} and {texts[1]}{hint}"


def _sizes(totals: list[int]) -> str:
    return f"{totals[0]:,}" if len(totals) == 1 else f"{totals[0]:,} to {totals[-1]:,}"


def _outwards(totals: list[int]) -> list[int]:
    low, high = totals[0], totals[-1]
    return [n for step in range(1, _FARTHEST) for n in (low - step, high + step) if n > 0]


def ratio(check: Check) -> Answer:
    """A printed quotient of two printed counts."""
    parts = [printed(part, "").value for part in check.parts]
    if len(parts) != 2 or parts[1] == 0:
        raise RetinalabError(f"'from' of a ratio is two numbers, such as 116; 516, got {check.given!r}.")
    return _rounded(check, parts[0] / parts[1], f"{decimal(parts[0])}/{decimal(parts[1])} = ")


def count(check: Check) -> Answer:
    """A printed, rounded number of something that was counted."""
    parts = [printed(part, "").value for part in check.parts]
    if len(parts) != 1:
        raise RetinalabError(f"'from' of a count is the number counted, got {check.given!r}.")
    return _rounded(check, parts[0], f"{decimal(parts[0])} = ")


def _rounded(check: Check, value: Fraction, head: str) -> Answer:
    stated = check.printed
    why = f"{head}{decimal(value, stated, check.unit)}{f' {check.unit}' if check.unit else ''}"
    fits, slip = stated.rounded_from(value), stated.slip(value)
    return Answer.of(fits, why if fits or not slip else f"{why}: {slip}")
