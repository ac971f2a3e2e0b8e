"""Adapters: each reads one data set's official layout into records, and never writes into it."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from retinalab.data.sets.base import PhotographSet
from retinalab.errors import unknown

__all__ = ["PhotographSet", "open_set", "set_class", "set_names"]

_SETS: Mapping[str, str] = {
    "aptos": "Aptos",
    "ddr": "Ddr",
    "deepdrid": "DeepDrid",
    "dr600": "Dr600",
    "e_ophtha": "EOphtha",
    "eyepacs": "EyePacs",
    "fgadr": "Fgadr",
    "folders": "Folders",
    "hei_med": "HeiMed",
    "idrid": "Idrid",
    "liq_eyepacs": "LiqEyePacs",
    "messidor": "Messidor",
    "messidor2": "Messidor2",
    "retinal_lesions": "RetinalLesions",
    "synthetic": "Synthetic",
    "table": "Table",
}


def set_names() -> list[str]:
    """The names that :func:`open_set` knows."""
    return sorted(_SETS)


def set_class(name: str) -> type[PhotographSet]:
    """The adapter of a data set, imported only now.

    Raises:
        RetinalabError: no adapter has that name.
    """
    module = name.replace("-", "_")
    if module not in _SETS:
        raise unknown("data set", name, _SETS, "Any CSV can be read with the set 'table'.")
    adapter: type[PhotographSet] = getattr(import_module(f"retinalab.data.sets.{module}"), _SETS[module])
    return adapter


def open_set(
    name: str, root: Path | str | None, options: Mapping[str, Any] | None = None, strict: bool = False
) -> PhotographSet:
    """Open a data set.

    Args:
        name: with ``-`` or ``_``.
        root: the folder that holds the official layout; None for a set without files.
        options: the adapter's own options, validated by its ``Options``.
        strict: make a difference from the published counts an error instead of a warning.

    Raises:
        RetinalabError: unknown name or option, or no such folder.
    """
    return set_class(name)(root, options, strict)
