"""YAML and JSON that others wrote, read as plain data in bounded memory and time: nothing in them can run code."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

import yaml

__all__ = [
    "MAX_DEPTH",
    "MAX_JSON",
    "MAX_NODES",
    "MAX_YAML",
    "PlainLoader",
    "parse_yaml",
    "read_json",
    "read_yaml",
]

MAX_YAML = 1 << 20
"""Bytes; the longest file of the house has under 100 thousand."""
MAX_JSON = 1 << 25
"""Bytes; figures of a run with every fold, seed and subgroup stay far below."""
MAX_DEPTH = 50
"""Mappings and lists within one another; an experiment has under 10."""
MAX_NODES = 200_000
"""Values, each alias counted as all that stands behind it: a few lines of aliases can else stand for billions."""


class PlainLoader(yaml.SafeLoader):
    """PyYAML's safe loader that also refuses what is too deep, holds itself, or grows without end by its aliases."""

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self._depth = 0
        self._counted = 0
        self._sizes: dict[int, int] = {}

    def compose_node(self, parent: Any, index: Any) -> Any:
        """One value with all in it; its size is known once it is whole."""
        parser: Any = self
        event: Any = parser.peek_event()
        alias = isinstance(event, yaml.AliasEvent)
        before = self._counted
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise _fault(
                f"more than {MAX_DEPTH} mappings and lists stand within one another", event.start_mark
            )
        node: Any = super().compose_node(parent, index)
        self._depth -= 1
        if alias and id(node) not in self._sizes:
            raise _fault(f"*{event.anchor} stands within what it names", event.start_mark)
        self._counted += self._sizes[id(node)] if alias else 1
        if self._counted > MAX_NODES:
            raise _fault(f"it holds more than {MAX_NODES} values, aliases counted", event.start_mark)
        if not alias:
            self._sizes[id(node)] = self._counted - before
        return node


def parse_yaml(text: str, loader: type[PlainLoader] = PlainLoader) -> Any:
    """The value of a YAML text.

    Raises:
        yaml.YAMLError: it is not valid, names a Python object, or is beyond ``MAX_YAML``, ``MAX_DEPTH`` or
            ``MAX_NODES``.
    """
    if len(text) > MAX_YAML:
        raise yaml.MarkedYAMLError(problem=f"it is longer than {MAX_YAML} characters")
    try:
        return yaml.load(text, Loader=loader)
    except (
        ValueError,
        KeyError,
        IndexError,
        AttributeError,
        TypeError,
        OverflowError,
        RecursionError,
    ) as error:
        if isinstance(error, UnicodeError):
            raise
        # PyYAML lets these through for a date such as 2001-13-45 or a number of 5,000 digits
        reason = " ".join(str(error).split()) or type(error).__name__
        raise yaml.MarkedYAMLError(problem=f"a value cannot be read ({reason})") from error


def read_yaml(path: Path, loader: type[PlainLoader] = PlainLoader) -> Any:
    """The value of a YAML file in UTF-8.

    Raises:
        yaml.YAMLError: as :func:`parse_yaml`.
        OSError, UnicodeDecodeError: it cannot be read.
    """
    if _size(path) > MAX_YAML:
        raise yaml.MarkedYAMLError(problem=f"it is longer than {MAX_YAML} bytes")
    return parse_yaml(path.read_text(encoding="utf-8"), loader)


def read_json(path: Path) -> Any:
    """The value of a JSON file in UTF-8.

    Raises:
        ValueError: it is not valid, beyond ``MAX_JSON``, or too deep.
        OSError: it cannot be read.
    """
    if _size(path) > MAX_JSON:
        raise ValueError(f"it is longer than {MAX_JSON} bytes")
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except RecursionError:
        raise ValueError("too many lists and mappings stand within one another") from None


def _size(path: Path) -> int:
    """Bytes of a regular file: a pipe or a device would be waited for, or read without end."""
    found = path.stat()
    if not stat.S_ISREG(found.st_mode):
        raise OSError(0, "it is no regular file")
    return found.st_size


def _fault(problem: str, mark: Any) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=problem, problem_mark=mark)
