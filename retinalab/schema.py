"""Versions of what a run leaves beside its tables: a later one is refused in a line, an earlier one is read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from retinalab.errors import RetinalabError

__all__ = ["SCHEMAS", "check_run_schemas", "check_schema", "figures_of", "with_schema"]

SCHEMAS: Mapping[str, int] = {"provenance": 1, "metrics": 2, "checkpoint": 1}
"""The latest version of ``provenance.json``, ``metrics.json`` and retinalab's part of a checkpoint that is read here.

They stand in the run's provenance too. ``metrics.json`` of version 1 is a mapping of figures alone, without a version.
"""
_OWN = ("schema", "retinalab")
"""Keys of ``metrics.json`` beside its figures; theirs have a slash."""


def check_schema(kind: str, found: object, path: object, written_by: object, here: str) -> None:
    """Refuse what a later retinalab wrote in a form that this one cannot know.

    Args:
        kind: one of :data:`SCHEMAS`.
        found: the version; what is not a whole number counts as the first.
        path: of the file.
        written_by: version of the retinalab that wrote it, where known.
        here: version of this one.

    Raises:
        RetinalabError: it is later than the latest known here, with both versions and the remedy.
    """
    latest = SCHEMAS[kind]
    if isinstance(found, int) and found > latest:
        writer = f"retinalab {written_by}" if written_by else "a later retinalab"
        raise RetinalabError(
            f"'{path}' has {kind} schema {found}, written by {writer}; this retinalab {here} reads up to {latest}. "
            "Upgrade retinalab to read it: pip install --upgrade retinalab."
        )


def check_run_schemas(provenance: Mapping[str, Any], path: object, here: str) -> None:
    """Check all that a run's provenance says of its files; one without a version is an early one, and is read.

    Args:
        provenance: as ``provenance.json`` has it.
        path: of that file.
        here: version of this retinalab.

    Raises:
        RetinalabError: as :func:`check_schema`.
    """
    writer = provenance.get("retinalab")
    check_schema("provenance", provenance.get("schema"), path, writer, here)
    schemas = provenance.get("schemas")
    for kind, found in schemas.items() if isinstance(schemas, Mapping) else ():
        if kind in SCHEMAS:
            check_schema(kind, found, path, writer, here)


def with_schema(figures: Mapping[str, Any], here: str) -> dict[str, Any]:
    """The content of ``metrics.json``: its version, that of this retinalab, and the figures.

    Example:
        >>> with_schema({"test/dr/kappa": {"value": 0.5}}, "0.1")
        {'schema': 2, 'retinalab': '0.1', 'test/dr/kappa': {'value': 0.5}}
    """
    return {"schema": SCHEMAS["metrics"], "retinalab": here, **figures}


def figures_of(content: object, path: object, here: str) -> dict[str, Any]:
    """The figures that ``metrics.json`` holds, without what it says of itself.

    Args:
        content: of the file, of any version up to the latest known; what is no mapping holds no figures.
        path: of the file.
        here: version of this retinalab.

    Raises:
        RetinalabError: as :func:`check_schema`.
    """
    if not isinstance(content, Mapping):
        return {}
    check_schema("metrics", content.get("schema"), path, content.get("retinalab"), here)
    return {key: value for key, value in content.items() if key not in _OWN}
