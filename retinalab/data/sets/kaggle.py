"""Layouts of Kaggle's competitions: a label file of bare names beside folders of photographs."""

from __future__ import annotations

import posixpath
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from retinalab.data.sets.files import IMAGE_SUFFIXES, list_files, need, need_folder
from retinalab.errors import RetinalabError

__all__ = ["bare_names", "locate", "need_labels"]

_SUFFIX = "|".join(suffix[1:] for suffix in IMAGE_SUFFIXES)


def bare_names(cells: pd.Series) -> pd.Series:
    """Names of photographs without folder and image suffix, whether a list gives these or not.

    Example:
        >>> bare_names(pd.Series(["10_left", "train/10_right.jpeg"])).tolist()
        ['10_left', '10_right']
    """
    names = cells.str.replace("\\", "/", regex=False).str.rsplit("/", n=1).str[-1]
    return names.str.replace(rf"\.(?:{_SUFFIX})$", "", case=False, regex=True)


def need_labels(root: Path, name: str, folder: str, title: str) -> Path:
    """Find a label file that lies in the root of the set.

    Args:
        root: the folder that the user gave.
        name: of the label file.
        folder: of photographs that the official layout has beside it, by which a wrong root is known.
        title: of the set, for the error.

    Raises:
        RetinalabError: it is absent or still packed; says where the set's root is if it lies one level above or below.
    """
    path = root / name
    if path.is_file():
        return path
    if (root / f"{name}.zip").is_file():
        raise RetinalabError(f"{root} holds {name!r} only as {name + '.zip'!r}. Unpack it there.")
    need_folder(root, folder, title)
    need(path)
    return path


def locate(
    root: Path, names: pd.Series, folders: Sequence[str], suffix: str, source: Path, remedy: str = ""
) -> pd.Series:
    """Paths, relative to the root, of photographs that a list names without folder and suffix.

    Each folder is read once. A name that several folders hold is taken from the first, and one that stands
    there with several suffixes with the official one. A name that none holds gets the path where it should
    lie, for it to be reported as absent.

    Args:
        root: the folder of the set.
        names: as :func:`bare_names` gives them.
        folders: where to look, the official one first; "" is the root itself.
        suffix: of the official layout, such as ``.jpeg``.
        source: the list, named in the error.
        remedy: what else can be done where all are absent.

    Raises:
        RetinalabError: no folder holds any of them; says where was looked and what is there.
    """
    found: dict[str, str] = {}
    for folder in reversed(folders):
        files = [file for file in list_files(root / folder) if file.lower().endswith(IMAGE_SUFFIXES)]
        for file in sorted(files, key=lambda file: file.endswith(suffix)):
            found[file.rsplit(".", 1)[0]] = posixpath.join(folder, file)
    places = names.map(found)
    held = Counter(posixpath.dirname(place) for place in places.dropna())
    if not held and len(names):
        raise _nowhere(root, f"{names.iloc[0]}{suffix}", len(names), folders, source, remedy)
    home = max(held, key=lambda folder: held[folder], default=folders[0])
    return places.fillna((home and f"{home}/") + names + suffix)


def _nowhere(
    root: Path, first: str, count: int, folders: Sequence[str], source: Path, remedy: str
) -> RetinalabError:
    looked = " and ".join(repr(folder) if folder else "the folder itself" for folder in folders)
    there = sorted(f"{entry.name}/" if entry.is_dir() else entry.name for entry in root.iterdir())
    shown = ", ".join(repr(name) for name in there[:5]) + " …" * (len(there) > 5)
    return RetinalabError(
        f"{root} holds none of the {count} photographs that {source.name} lists, such as {first!r}: looked in "
        f"{looked}; found there: {shown or 'nothing'}. Unpack the photographs into {folders[0]!r}. {remedy}"
    )
