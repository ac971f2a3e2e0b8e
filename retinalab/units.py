"""What counts as independent in a table: patients, or photographs where patients are unknown."""

from __future__ import annotations

from collections.abc import Iterable

from retinalab.counted import counted

__all__ = ["FEWEST", "PATIENTS", "PHOTOGRAPHS", "counted_units", "few_units", "told_units", "unit_of"]

PATIENTS, PHOTOGRAPHS = "patients", "photographs"
_BOTH = "patients and photographs of unknown patients"
FEWEST = 20


def unit_of(patients: Iterable[object]) -> str:
    """What the rows of a table are grouped by, in words.

    Args:
        patients: column ``patient``, at least one row; "" or nothing where a patient is unknown.

    Example:
        >>> unit_of(["a", "a"]), unit_of(["", None]), unit_of(["a", ""])
        ('patients', 'photographs', 'patients and photographs of unknown patients')
    """
    known = [isinstance(one, str) and one != "" for one in patients]
    if all(known):
        return PATIENTS
    return _BOTH if any(known) else PHOTOGRAPHS


def counted_units(number: int, unit: str) -> str:
    """So many of them; ``unit`` is from :func:`unit_of`.

    Example:
        >>> counted_units(1, "patients"), counted_units(9, "photographs")
        ('1 patient', '9 photographs')
        >>> counted_units(3, "patients and photographs of unknown patients")
        '3 patients and photographs of unknown patients'
    """
    return f"{number} {unit}" if unit == _BOTH else counted(number, unit.removesuffix("s"))


def told_units(number: int, unit: str) -> str:
    """The same beside a number of photographs: those that are independent alone need not be counted twice.

    Example:
        >>> told_units(2, "patients"), told_units(9, "photographs")
        ('2 patients', 'patients unknown')
    """
    return "patients unknown" if unit == PHOTOGRAPHS else counted_units(number, unit)


def few_units(number: int, unit: str) -> str:
    """Why intervals that resample so few of them say little; empty from 20 on.

    Two patients, drawn again and again, come in three mixtures only: an interval may then leave out the figure itself.

    Example:
        >>> few_units(2, "patients")
        'of 2 patients, fewer than 20: too narrow, and may leave out the figure itself'
        >>> few_units(20, "patients")
        ''
    """
    if number >= FEWEST:
        return ""
    return f"of {counted_units(number, unit)}, fewer than {FEWEST}: too narrow, and may leave out the figure itself"
