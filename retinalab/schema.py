"""Versions of what a run leaves beside its tables: a later one is refused in a line, an earlier one is read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from retinalab.errors import RetinalabError

__all__ = ["SCHEMAS", "check_run_schemas", "check_schema"]

SCHEMAS: Mapping[str, int] = {"provenance": 1, "metrics": 1, "checkpoint": 1}
"""The latest version of ``provenance.json``, ``metrics.json`` and retinalab's part of a checkpoint that is read here.

``metrics.json`` is a plain mapping of figures; its version stands with the others in the run's provenance.
"""


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
