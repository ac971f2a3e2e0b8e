"""Names and reasons on one line, whatever they hold."""

from __future__ import annotations

__all__ = ["one_line"]

_BREAKS = {ord("\r"): "\\r", ord("\n"): "\\n", 0: "\\0"}


def one_line(text: str) -> str:
    """Text without what would break a line; bytes that are not UTF-8 are written as escapes."""
    return text.translate(_BREAKS).encode("utf-8", "backslashreplace").decode()
