"""The photographs that a user names: files, folders, globs and lists, gone through one by one and never held."""

from __future__ import annotations

import fnmatch
import glob
import hashlib
import os
import re
from array import array
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np

from retinalab.data.sets.files import IMAGE_SUFFIXES
from retinalab.errors import RetinalabError, unknown
from retinalab.predict.dicom import DICOM_SUFFIXES
from retinalab.predict.listing import LIST_SUFFIXES, ListFile
from retinalab.predict.photograph import Photograph
from retinalab.predict.sorting import sorted_names

__all__ = ["PHOTOGRAPH_SUFFIXES", "Inputs", "Survey"]

PHOTOGRAPH_SUFFIXES = (*IMAGE_SUFFIXES, *DICOM_SUFFIXES)
"""Of files that are taken from folders and globs; a file that is named is read whatever it is called."""

_SHOWN = 5
_FOLDER = "\0/"


class _Source(Protocol):
    passed: int

    def __iter__(self) -> Iterator[Photograph]: ...


@dataclass(frozen=True)
class Survey:
    """What a first pass over the inputs found, before anything is graded.

    Attributes:
        count: of photographs.
        passed: of other files in the given folders.
        data: the given folders themselves.
        digest: of all photographs' names, sizes and times of change, in order; hexadecimal.
        around: whether the folder for results, where one was given, holds photographs itself.
    """

    count: int
    passed: int
    data: tuple[Path, ...]
    digest: str
    around: bool = False


class Inputs:
    """Photographs by the words of a command line, as a stream: eight bytes are kept of each while they are counted.

    Folders are gone through with everything below them, each in the order of its names; what begins with a dot or has
    no suffix of an image is passed over. Links are followed, those to one folder once, and none to a folder around it.
    A file that ends in ``.csv``, ``.txt`` or ``.lst`` is a list (:class:`~retinalab.predict.listing.ListFile`).

    Args:
        words: paths and patterns.

    Raises:
        RetinalabError: a word that names nothing, or a list with a fault.
    """

    def __init__(self, words: Sequence[str]) -> None:
        self._sources: list[_Source] = [_source(word) for word in words]

    def __iter__(self) -> Iterator[Photograph]:
        for source in self._sources:
            yield from source

    def survey(self, out: Path | None = None) -> Survey:
        """Count the photographs, and refuse any that is named twice.

        Args:
            out: the folder for results, which must not be one of theirs.

        Raises:
            RetinalabError: a photograph named twice, or a word that matches no photograph.
        """
        seen = array("q")
        digest = hashlib.blake2b(digest_size=16)
        place = os.path.realpath(out) if out is not None else None
        here, around = "", False
        for source in self._sources:
            before = len(seen)
            for photograph in source:
                path = os.path.abspath(photograph.path)
                seen.append(hash(path))
                digest.update(_trace(photograph.image, path))
                if place is not None and (folder := os.path.dirname(path)) != here:
                    here, around = folder, around or os.path.realpath(folder) == place
            if len(seen) == before:
                raise RetinalabError(
                    f"{source} holds no photograph ({', '.join(PHOTOGRAPH_SUFFIXES)}). Name another."
                )
        hashes, counts = np.unique(np.frombuffer(seen, np.int64), return_counts=True)
        if (counts > 1).any():
            self._refuse_repeated(set(hashes[counts > 1].tolist()))
        data = tuple(
            Path(os.path.abspath(source.path)) for source in self._sources if isinstance(source, _Folder)
        )
        passed = sum(source.passed for source in self._sources)
        return Survey(len(seen), passed, data, digest.hexdigest(), around)

    def _refuse_repeated(self, hashes: set[int]) -> None:
        places: dict[str, list[str]] = defaultdict(list)
        for photograph in self:
            path = os.path.abspath(photograph.path)
            if hash(path) in hashes:
                places[path].append(
                    f"{photograph.image!r}" + f" ({photograph.place})" * bool(photograph.place)
                )
        named = ["; ".join(found) for found in places.values() if len(found) > 1]
        raise RetinalabError(
            f"Photographs are named more than once: {' | '.join(named[:_SHOWN])}"
            f"{' | …' * (len(named) > _SHOWN)} ({len(named)} in all). Keep one of each."
        )


def _trace(image: str, path: str) -> bytes:
    """What tells a photograph from another of the same name, without reading it."""
    try:
        found = os.stat(path)
        state = f"{found.st_size} {found.st_mtime_ns}"
    except OSError:
        state = "absent"
    return f"{image}\0{state}\n".encode("utf-8", "surrogateescape")


@dataclass
class _File:
    path: str
    passed: int = 0

    def __iter__(self) -> Iterator[Photograph]:
        yield Photograph(self.path, Path(self.path))

    def __str__(self) -> str:
        return repr(self.path)


@dataclass
class _Glob:
    word: str
    passed: int = 0

    def __iter__(self) -> Iterator[Photograph]:
        matched = self.passed = 0
        for name in sorted_names(_matches(self.word)):
            if name.lower().endswith(PHOTOGRAPH_SUFFIXES):
                matched += 1
                yield Photograph(name, Path(name))
            else:
                self.passed += 1
        if not matched:
            raise RetinalabError(
                f"{self.word!r} matches no photograph ({self.passed} other files). Name a folder, a file, a glob or a "
                "list of photographs."
            )

    def __str__(self) -> str:
        return repr(self.word)


def _matches(word: str) -> Iterator[str]:
    """Files that a pattern matches; those of a single folder without holding its names."""
    folder, pattern = os.path.split(word)
    if glob.has_magic(folder) or "**" in pattern:
        yield from (name for name in glob.iglob(word, recursive=True) if not os.path.isdir(name))
        return
    matches, hidden = re.compile(fnmatch.translate(pattern)).match, pattern.startswith(".")
    try:
        with os.scandir(folder or ".") as entries:
            for entry in entries:
                if matches(entry.name) and (hidden or not entry.name.startswith(".")) and not entry.is_dir():
                    yield os.path.join(folder, entry.name)
    except OSError:
        return


@dataclass
class _Folder:
    path: Path
    passed: int = field(default=0)
    linked: set[str] = field(default_factory=set)

    def __iter__(self) -> Iterator[Photograph]:
        self.passed = 0
        self.linked.clear()
        yield from self._below(str(self.path), ())

    def _below(self, folder: str, above: tuple[str, ...]) -> Iterator[Photograph]:
        here = os.path.realpath(folder)
        if here in above or (above and os.path.islink(folder) and here in self.linked):
            return
        if above and os.path.islink(folder):
            self.linked.add(here)
        for name in sorted_names(_entries(folder)):
            path = os.path.join(folder, name.removesuffix(_FOLDER))
            if name.endswith(_FOLDER):
                yield from self._below(path, (*above, here))
            elif name.lower().endswith(PHOTOGRAPH_SUFFIXES):
                yield Photograph(path, Path(path))
            else:
                self.passed += 1

    def __str__(self) -> str:
        return f"Folder {self.path}"


def _entries(folder: str) -> Iterator[str]:
    """Names in a folder that are not hidden; a zero byte, which no name has, marks those of folders."""
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if not entry.name.startswith("."):
                    yield entry.name + _FOLDER * entry.is_dir()
    except OSError as error:
        raise RetinalabError(f"{folder} cannot be read ({error.strerror}). Check its permissions.") from None


def _source(word: str) -> _Source:
    path = Path(word)
    if path.is_dir():
        return _Folder(path)
    if path.is_file():
        return ListFile(path) if path.suffix.lower() in LIST_SUFFIXES else _File(word)
    if glob.has_magic(word):
        return _Glob(word)
    if not path.parent.is_dir():
        raise RetinalabError(f"No file or folder {word}: there is no folder {path.parent}. Check the path.")
    beside = sorted(os.listdir(path.parent))[:20]
    raise unknown("file or folder", path.name, beside, f"Looked for {word}.", label="There")
