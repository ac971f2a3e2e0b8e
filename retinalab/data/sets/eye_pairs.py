"""Messidor-2's pairs of photographs: the two eyes of one examination, and who is one person through them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from retinalab.errors import RetinalabError, unknown
from retinalab.records import photograph_name

__all__ = ["EyePairs", "same_person", "twins"]

_EYES = ("left", "right")


@dataclass(frozen=True)
class EyePairs:
    """The rows of a pairs file.

    Attributes:
        source: the file.
        rows: names of the left and the right photograph, without suffix and in lower case; "" where one is absent.
    """

    source: Path
    rows: tuple[tuple[str, str], ...]

    @classmethod
    def read(cls, path: Path) -> EyePairs:
        """Read ``messidor-2.csv``: a header ``left;right``, then one examination a line.

        Raises:
            RetinalabError: the file is absent, has other columns, or a line that is no pair.
        """
        try:
            lines = path.read_text(encoding="utf-8-sig").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "not text"
            raise RetinalabError(f"The pairs file {path} cannot be read ({reason}). {_REMEDY}") from None
        header = lines[0] if lines else ""
        mark = next((mark for mark in ";,\t" if mark in header), ";")
        columns = [cell.strip().strip('"').lower() for cell in header.split(mark)]
        for eye in _EYES:
            if eye not in columns:
                raise unknown("column", eye, columns, f"{path}: {_REMEDY}", label=f"Columns of {path.name}")
        places = [columns.index(eye) for eye in _EYES]
        rows = []
        for number, line in enumerate(lines[1:], start=2):
            cells = [cell.strip().strip('"') for cell in line.split(mark)]
            if not any(cells):
                continue
            if len(cells) <= max(places):
                raise RetinalabError(f"{path}, row {number}: {line!r} names no pair. {_REMEDY}")
            left, right = (photograph_name(cells[place]) for place in places)
            rows.append((left, right))
        return cls(path, tuple(rows))

    def among(self, names: Iterable[str], title: str) -> list[tuple[str, str]]:
        """The pairs of which both photographs are among the given names.

        Raises:
            RetinalabError: the file names none of them.
        """
        known = set(names)
        if not any(name in known for row in self.rows for name in row):
            first = next((name for row in self.rows for name in row if name), "nothing")
            raise RetinalabError(
                f"{self.source} names none of the {len(known)} photographs of {title} (it begins with {first!r}). "
                f"{_REMEDY}"
            )
        return [row for row in self.rows if row[0] in known and row[1] in known]

    def eyes(self) -> dict[str, str]:
        """Photograph -> left or right, where all its lines agree."""
        sides: dict[str, set[str]] = {}
        for row in self.rows:
            for eye, name in zip(_EYES, row, strict=True):
                sides.setdefault(name, set()).add(eye)
        return {name: next(iter(eyes)) for name, eyes in sides.items() if name and len(eyes) == 1}


_REMEDY = "Give Messidor-2's pairs file as its owners send it (messidor-2.csv, columns left;right)."


def twins(duplicates: Sequence[tuple[str, str]], names: Iterable[str]) -> dict[str, str]:
    """Photograph -> the name that stands for the picture, for copies of which both are among the names."""
    known = set(names)
    pairs = [tuple(photograph_name(name) for name in pair) for pair in duplicates]
    return {name: pair[0] for pair in pairs if known.issuperset(pair) for name in pair}


def same_person(links: Iterable[tuple[str, str]]) -> Mapping[str, str]:
    """Photograph -> one name for all photographs that links join, directly or through others.

    Example:
        >>> same_person([("b", "a"), ("c", "b"), ("e", "d")])
        {'b': 'a', 'a': 'a', 'c': 'a', 'e': 'd', 'd': 'd'}
    """
    groups: dict[str, set[str]] = {}
    for first, second in links:
        joined = groups.get(first, {first}) | groups.get(second, {second})
        for name in joined:
            groups[name] = joined
    return {name: min(joined) for name, joined in groups.items()}
