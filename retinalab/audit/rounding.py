"""A number as it is printed, and what may have been rounded to it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import ROUND_DOWN, ROUND_HALF_UP, Decimal, localcontext
from fractions import Fraction

from retinalab.errors import RetinalabError, unknown

__all__ = ["UNITS", "Printed", "decimal", "printed"]

UNITS = {
    "": Fraction(1),
    "1": Fraction(1),
    "%": Fraction(1, 100),
    "k": Fraction(1000),
    "M": Fraction(10**6),
}
"""What a printed value is multiplied by: shares and counts, percent, thousands, millions."""

_NUMBER = re.compile(r"[-−]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.(\d+))?|[-−]?\.(\d+)")


@dataclass(frozen=True)
class Printed:
    """A printed number with the step of its last digit; both in the units that it counts in.

    Attributes:
        text: as printed.
        value: exact, ``65.1`` in percent is 651/1000.
        step: one unit of the last printed digit.
    """

    text: str
    value: Fraction
    step: Fraction

    @property
    def low(self) -> Fraction:
        """The least value that rounds to it."""
        return self.value - self.step / 2

    @property
    def high(self) -> Fraction:
        """The greatest value that rounds to it, where the last digit is even; else the least that does not."""
        return self.value + self.step / 2

    def rounded_from(self, value: Fraction) -> bool:
        """Whether a value prints as this, ties rounded up (away from zero) or to the even digit.

        Example:
            >>> printed("0.12", "").rounded_from(Fraction("0.125")), printed("0.13", "").rounded_from(Fraction("0.125"))
            (True, True)
            >>> printed("0.11", "").rounded_from(Fraction("0.115"))
            False
        """
        away = abs(value) - abs(self.value) if value * self.value >= 0 else abs(value) + abs(self.value)
        if abs(away) * 2 != self.step:
            return abs(value - self.value) * 2 < self.step
        return away < 0 or (self.value / self.step) % 2 == 0

    def slip(self, value: Fraction) -> str:
        """How a value that does not round to this may have become it: cut off, or rounded twice; "" if neither.

        Example:
            >>> printed("65.1", "%").slip(Fraction(67, 103)), printed("22.4", "%").slip(Fraction(116, 516))
            ('rounded twice', 'cut off, not rounded')
        """
        with localcontext(prec=40):
            shown = Decimal(value.numerator) / Decimal(value.denominator)
            step = Decimal(self.step.numerator) / Decimal(self.step.denominator)
            if _steps(shown / step, ROUND_DOWN) * self.step == self.value:
                return "cut off, not rounded"
            twice = _steps(Decimal(_steps(shown / step * 10, ROUND_HALF_UP)) / 10, ROUND_HALF_UP)
            return "rounded twice" if twice * self.step == self.value else ""


def _steps(value: Decimal, rounding: str) -> int:
    return int(value.to_integral_value(rounding=rounding))


def printed(text: str, unit: str) -> Printed:
    """Read a printed number; a percent sign, a k or an M behind it must be the unit's.

    Raises:
        RetinalabError: no number, or another unit than the one given.

    Example:
        >>> one = printed("23.52 M", "M")
        >>> int(one.value), int(one.step)
        (23520000, 10000)
    """
    if unit not in UNITS:
        raise unknown("unit", unit, [name for name in UNITS if name], "Leave it empty for shares and counts.")
    bare = text.strip()
    for sign in ("%", "k", "K", "M"):
        if bare.endswith(sign):
            if sign.replace("K", "k") != unit:
                raise RetinalabError(
                    f"{text!r} ends in {sign!r}, but the unit is {unit or 'none'!r}. Correct one of them."
                )
            bare = bare.removesuffix(sign).strip()
    found = _NUMBER.fullmatch(bare)
    if found is None:
        raise RetinalabError(f"{text!r} is no printed number. Write one as printed, such as 65.1 or 36,270.")
    digits = len(found[1] or found[2] or "")
    number = Fraction(bare.replace(",", "").replace("−", "-"))
    factor = UNITS[unit]
    return Printed(text.strip(), number * factor, factor / 10**digits)


def decimal(value: Fraction, like: Printed | None = None, unit: str = "", more: int = 2) -> str:
    """A value with some digits more than the printed one has, in its unit.

    Example:
        >>> decimal(Fraction(67, 103), printed("65.1", "%"), "%")
        '65.049'
        >>> decimal(Fraction(103)), decimal(Fraction(1, 3))
        ('103', '0.33')
    """
    shown = value / UNITS[unit]
    step = like.step / UNITS[unit] if like is not None else Fraction(1)
    if shown.denominator == 1 and step >= 1:
        return f"{shown.numerator:,}"
    digits = max(0, len(str(step.denominator)) - 1) + more
    with localcontext(prec=40):
        return str(
            (Decimal(shown.numerator) / Decimal(shown.denominator)).quantize(Decimal(1).scaleb(-digits))
        )
