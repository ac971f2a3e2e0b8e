"""The photographs that a user names: files, folders, globs and lists, gone through one by one and never held."""

from __future__ import annotations

import glob
import os
from array import array
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np

from retinalab.data.sets.files import IMAGE_SUFFIXES
from retinalab.errors import RetinalabError, unknown
from retinalab.predict.listing import LIST_SUFFIXES, ListFile
from retinalab.predict.photograph import Photograph

__all__ = ["Inputs", "Survey"]

_SHOWN = 5


class _Source(Protocol):
    passed: int

    def __iter__(self) -> Iterator[Photograph]: ...


@dataclass(frozen=True)
class Survey:
    """What a first pass over the inputs found, before anything is graded.

    Attributes:
        count: of photographs.
        passed: of other files in the given folders.
        folders: that hold photographs.
        data: the given folders themselves.
    """

    count: int
    passed: int
    folders: frozenset[Path]
    data: tuple[Path, ...]


class Inputs:
    """Photographs by the words of a command line.

    Folders are gone through with everything below them, each in the order of its names; what begins with a dot or has
    no suffix of an image is passed over. A file that ends in ``.csv``, ``.txt`` or ``.lst`` is a list
    (:class:`~retinalab.predict.listing.ListFile`).

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

    def survey(self) -> Survey:
        """Count the photographs, and refuse any that is named twice.

        Raises:
            RetinalabError: a photograph named twice, or a word that matches no photograph.
        """
        seen = array("q")
        folders: set[Path] = set()
        for source in self._sources:
            before = len(seen)
            for photograph in source:
                path = os.path.abspath(photograph.path)
                seen.append(hash(path))
                folders.add(Path(path).parent)
            if len(seen) == before:
                raise RetinalabError(
                    f"{source} holds no photograph ({', '.join(IMAGE_SUFFIXES)}). Name another."
                )
        hashes, counts = np.unique(np.frombuffer(seen, np.int64), return_counts=True)
        if (counts > 1).any():
            self._refuse_repeated(set(hashes[counts > 1].tolist()))
        data = [Path(os.path.abspath(source.path)) for source in self._sources if isinstance(source, _Folder)]
        return Survey(
            len(seen), sum(source.passed for source in self._sources), frozenset(folders), tuple(data)
        )

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


@dataclass
class _Files:
    word: str
    paths: Sequence[str]
    passed: int = 0

    def __iter__(self) -> Iterator[Photograph]:
        return (Photograph(path, Path(path)) for path in self.paths)

    def __str__(self) -> str:
        return repr(self.word)


@dataclass
class _Folder:
    path: Path
    passed: int = field(default=0)

    def __iter__(self) -> Iterator[Photograph]:
        self.passed = 0
        yield from self._below(str(self.path), ())

    def _below(self, folder: str, above: tuple[str, ...]) -> Iterator[Photograph]:
        here = os.path.realpath(folder)
        if here in above:
            return
        try:
            with os.scandir(folder) as entries:
                names = sorted((e.name, e.is_dir()) for e in entries if not e.name.startswith("."))
        except OSError as error:
            raise RetinalabError(
                f"{folder} cannot be read ({error.strerror}). Check its permissions."
            ) from None
        for name, is_folder in names:
            path = os.path.join(folder, name)
            if is_folder:
                yield from self._below(path, (*above, here))
            elif name.lower().endswith(IMAGE_SUFFIXES):
                yield Photograph(path, Path(path))
            else:
                self.passed += 1

    def __str__(self) -> str:
        return f"Folder {self.path}"


def _source(word: str) -> _Source:
    path = Path(word)
    if path.is_dir():
        return _Folder(path)
    if path.is_file():
        return ListFile(path) if path.suffix.lower() in LIST_SUFFIXES else _Files(word, [word])
    if glob.has_magic(word):
        matched = sorted(name for name in glob.iglob(word, recursive=True) if not os.path.isdir(name))
        chosen = [name for name in matched if name.lower().endswith(IMAGE_SUFFIXES)]
        if not chosen:
            raise RetinalabError(
                f"{word!r} matches no photograph ({len(matched)} other files). Name a folder, a file, a glob or a "
                "list of photographs."
            )
        return _Files(word, chosen, len(matched) - len(chosen))
    if not path.parent.is_dir():
        raise RetinalabError(f"No file or folder {word}: there is no folder {path.parent}. Check the path.")
    beside = sorted(os.listdir(path.parent))[:20]
    raise unknown("file or folder", path.name, beside, f"Looked for {word}.", label="There")
