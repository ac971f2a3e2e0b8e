"""Numbers with their nouns."""

from __future__ import annotations

__all__ = ["counted"]


def counted(number: int, noun: str, several: str = "") -> str:
    """A number and its noun, one or several of them.

    Args:
        number: how many.
        noun: of one.
        several: of several; default: ``noun`` with an s.

    Example:
        >>> counted(1, "patient"), counted(0, "such row"), counted(12000, "photograph")
        ('1 patient', '0 such rows', '12000 photographs')
        >>> counted(2, "box", "boxes")
        '2 boxes'
    """
    return f"{number} {noun if number == 1 else several or noun + 's'}"
