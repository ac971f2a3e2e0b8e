"""Templates to pages: one file each, escaped, written in one step."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2

from retinalab.report.numbers import plain

__all__ = ["write_page", "write_text"]


def write_page(template: str, context: Mapping[str, Any], target: Path) -> Path:
    """Fill a template of this room and write the page, whole or not at all; every value is escaped.

    A file name that is no text (bytes that are not UTF-8) shows question marks for what cannot be read.
    """
    page = _environment().get_template(template).render(context)
    return write_text(page, target)


def write_text(text: str, target: Path) -> Path:
    """Write text, whole or not at all; what is no UTF-8 becomes question marks."""
    handle, temporary = tempfile.mkstemp(".tmp", f".{target.stem}.", target.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8", errors="replace") as file:
            file.write(text)
        os.chmod(temporary, 0o644)
        os.replace(temporary, target)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    return target


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("retinalab.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["plain"] = plain
    return environment
