"""Printed values that follow from other printed values, each known within its rounding only (interval arithmetic)."""

from __future__ import annotations

from fractions import Fraction

from retinalab.audit.finding import Answer
from retinalab.audit.rounding import Printed, decimal, printed
from retinalab.audit.table import CHECKS, Check
from retinalab.errors import RetinalabError

__all__ = ["Span", "change", "f1_bounds", "joint", "linear", "within"]

Span = tuple[Fraction, Fraction]
"""Least and greatest value, both included."""


def linear(check: Check) -> Answer:
    """Sum, mean, difference or weighted sum of printed values; weights are taken as exact."""
    parts = [part.split("*") if check.check == "weighted" else ["1", part] for part in check.parts]
    if not parts or any(len(part) != 2 for part in parts):
        raise RetinalabError(_needs(check))
    weights = [printed(weight, "").value for weight, _ in parts]
    values = [printed(value, check.unit) for _, value in parts]
    if check.check == "mean":
        weights = [Fraction(1, len(parts))] * len(parts)
    elif check.check == "difference":
        if len(parts) != 2:
            raise RetinalabError(_needs(check))
        weights = [Fraction(1), Fraction(-1)]
    terms = [sorted((w * v.low, w * v.high)) for w, v in zip(weights, values, strict=True)]
    if check.check == "sum" and all(v.step == 1 for v in values):
        terms = [[v.value, v.value] for v in values]
    span = (sum((low for low, _ in terms), Fraction(0)), sum((high for _, high in terms), Fraction(0)))
    return within(check, span, f"{check.check} of the printed values")


def change(check: Check) -> Answer:
    """A relative difference of two printed values, (a - b) / b."""
    if len(check.parts) != 2:
        raise RetinalabError(_needs(check))
    a, b = (printed(part, check.unit) for part in check.parts)
    if b.low <= 0:
        return Answer("untestable", "the second value may be 0", telling=False)
    return within(
        check, (a.low / b.high - 1, a.high / b.low - 1), "relative difference of the printed values"
    )


def joint(check: Check) -> Answer:
    """Share of units that are right in both of two tasks, between p + q - 1 and the lesser of p and q.

    The bounds hold for means over folds and runs too.

    Reference: Fréchet's inequalities.
    """
    if len(check.parts) != 2:
        raise RetinalabError(_needs(check))
    p, q = (printed(part, check.unit) for part in check.parts)
    span = (max(Fraction(0), p.low + q.low - 1), min(p.high, q.high))
    return within(check, span, "share right in both, from the shares right in each")


def f1_bounds(precision: Printed, recall: Printed, averaged: bool) -> Span:
    """What F1 can be, given precision and recall.

    One run and class: the harmonic mean, which grows with both. Means over folds, runs or classes: F1 is concave in
    both, so its mean is at most that of the means; each F1 is at least precision + recall - 1, and so is the mean.

    Example:
        >>> [round(float(x), 4) for x in f1_bounds(printed("0.5", ""), printed("1.0", ""), True)]
        [0.4, 0.7097]
    """
    lows = [max(Fraction(0), one.low) for one in (precision, recall)]
    highs = [min(Fraction(1), one.high) for one in (precision, recall)]
    low = max(Fraction(0), sum(lows, Fraction(-1))) if averaged else _harmonic(*lows)
    return low, _harmonic(*highs)


def _harmonic(p: Fraction, r: Fraction) -> Fraction:
    return 2 * p * r / (p + r) if p + r > 0 else Fraction(0)


def within(check: Check, span: Span, what: str) -> Answer:
    """Whether the printed value, within its own rounding, meets an interval."""
    stated = check.printed
    shown = [decimal(end, stated, check.unit) for end in span]
    text = shown[0] if shown[0] == shown[1] else f"{shown[0]} to {shown[1]}"
    why = f"{what}: {text}{f' {check.unit}' if check.unit else ''}"
    if span[0] == span[1]:
        return Answer.of(stated.rounded_from(span[0]), why)
    return Answer.of(span[0] <= stated.high and stated.low <= span[1], why)


def _needs(check: Check) -> str:
    return f"'from' does not fit {check.check!r}, got {check.given!r}. It needs: {CHECKS[check.check]}."
