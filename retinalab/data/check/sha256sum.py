"""The format of ``sha256sum``: one line per file, read and written."""

from __future__ import annotations

import os
import re
from pathlib import Path

from retinalab.errors import RetinalabError

__all__ = ["manifest_line", "read_manifest"]

_LINE = re.compile(r"(\\?)([0-9a-fA-F]{64}) [ *](.+)", re.DOTALL)
_ESCAPES = {"\\": "\\\\", "\n": "\\n", "\r": "\\r"}
_PLAIN = {escape: character for character, escape in _ESCAPES.items()}


def manifest_line(path: str, digest: str) -> bytes:
    r"""One line; a name with a backslash or a line break is escaped, and the line then begins with a backslash.

    Example:
        >>> manifest_line("a b.jpg", "0" * 4), manifest_line("a\\b", "0" * 4)
        (b'0000  a b.jpg\n', b'\\0000  a\\\\b\n')
    """
    escaped = re.sub(r"[\\\n\r]", lambda found: _ESCAPES[found[0]], path)
    mark = "\\" if escaped != path else ""
    return os.fsencode(f"{mark}{digest}  {escaped}\n")


def read_manifest(file: Path | str) -> dict[str, str]:
    """Path -> SHA-256 in lower-case hexadecimal, in the order of the file; comments (``#``) are passed over.

    Raises:
        RetinalabError: the file is absent, lists nothing, or has a line that is none of a manifest, leaves the
            folder or repeats a path; names the line.
    """
    file = Path(file)
    try:
        text = os.fsdecode(file.read_bytes())
    except OSError as error:
        raise RetinalabError(
            f"The manifest {file} cannot be read ({error.strerror or error}). Give a file that was written as one."
        ) from None
    listed: dict[str, str] = {}
    for number, line in enumerate(text.removesuffix("\n").split("\n"), 1):
        if line.startswith("#") or not text:
            continue
        path, digest = _parsed(line.removesuffix("\r"), f"{file}, line {number}")
        if path in listed:
            raise RetinalabError(
                f"{file}, line {number}: {path!r} is listed twice. Keep the line that is right."
            )
        listed[path] = digest
    if not listed:
        raise RetinalabError(f"The manifest {file} lists no file. Write it again.")
    return listed


def _parsed(line: str, place: str) -> tuple[str, str]:
    match = _LINE.fullmatch(line)
    path = _unescaped(match[3]) if match and match[1] else match[3] if match else None
    if match is None or path is None:
        raise RetinalabError(
            f"{place}: {line[:60]!r} is no line of a manifest (64 hexadecimal digits, two spaces, a path). "
            "Restore the file, or write it again from a copy that is known to be whole."
        )
    path = path.removeprefix("./")
    if path.startswith("/") or ".." in path.split("/"):
        raise RetinalabError(f"{place}: {path!r} leaves the data set's folder. Write paths relative to it.")
    return path, match[2].lower()


def _unescaped(name: str) -> str | None:
    """The name behind its escapes; None where a backslash begins none of them."""
    if re.fullmatch(r"(?:[^\\]|\\[\\nr])*", name, re.DOTALL) is None:
        return None
    return re.sub(r"\\[\\nr]", lambda found: _PLAIN[found[0]], name)
