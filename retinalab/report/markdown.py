"""Rows of Markdown tables."""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["escaped", "table_row"]


def escaped(text: str) -> str:
    """Text whose bars, stars, underscores and brackets are no Markdown, in one line.

    Example:
        >>> escaped("a|b *c*")
        'a\\\\|b \\\\*c\\\\*'
    """
    for sign in "\\|*_<":
        text = text.replace(sign, f"\\{sign}")
    return text.replace("\n", " ")


def table_row(cells: Iterable[str]) -> str:
    """Cells as a row.

    Example:
        >>> table_row(["kappa", "0.5"])
        '| kappa | 0.5 |'
    """
    return "| " + " | ".join(map(escaped, cells)) + " |"
