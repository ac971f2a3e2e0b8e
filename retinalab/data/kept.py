"""What lies in a folder of prepared photographs, when it was last read, and what of it can go."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from filelock import FileLock, Timeout

from retinalab.data.cache import SHARD
from retinalab.documents import read_json
from retinalab.errors import RetinalabError

__all__ = ["Kept", "kept_below", "notes_reading", "remove_kept"]

_NAME = re.compile(r"(?P<set>.+)-(?P<size>\d+)-(?P<digest>[0-9a-f]{16})(?:-(?P<codec>delta|jpeg\d+|zstd))?")
_REMOVED = ".removed-"


@dataclass(frozen=True)
class Kept:
    """Photographs of one data set, prepared in one way.

    Attributes:
        path: of their folder.
        name: of the data set.
        digest: in the folder's name, which tells ways of preparing apart.
        side: of the photographs, pixels.
        codec: that they are written in.
        photographs: how many.
        size: bytes of all files.
        read: when they were last read or written, in local time; a disk may note reading once a day only.
    """

    path: Path
    name: str
    digest: str
    side: int
    codec: str
    photographs: int
    size: int
    read: datetime


def kept_below(folder: Path) -> list[Kept]:
    """Everything prepared in a folder, what was read last at the end; a folder that does not exist holds nothing."""
    if not folder.is_dir():
        return []
    found = []
    with os.scandir(folder) as entries:
        for entry in entries:
            name = _NAME.fullmatch(entry.name)
            if name is not None and entry.is_dir(follow_symlinks=False):
                with suppress(FileNotFoundError):  # removed meanwhile
                    found.append(_described(entry, name))
    return sorted(found, key=lambda one: (one.read, one.path.name))


def notes_reading(folder: Path) -> bool:
    """Whether the disk notes when files are read; else only writing is known."""
    return not os.statvfs(folder).f_flag & os.ST_NOATIME


def remove_kept(kept: Kept) -> int:
    """Remove prepared photographs; bytes that became free, 0 where a process prepares them.

    Raises:
        RetinalabError: the folder cannot be written.
    """
    folder = kept.path
    try:
        with ExitStack() as stack:
            for lock in sorted(folder.glob("*.json.lock")):
                stack.enter_context(FileLock(lock, timeout=0))
            gone = folder.with_name(f"{_REMOVED}{folder.name}")  # half of them must not be taken for all
            os.replace(folder, gone)
    except Timeout:
        return 0
    except OSError as error:
        raise _refused(folder, error) from error
    try:
        shutil.rmtree(gone)
    except OSError as error:
        raise _refused(folder, error) from error
    return kept.size


def _refused(folder: Path, error: OSError) -> RetinalabError:
    return RetinalabError(
        f"Cannot remove {folder}: {error.strerror or error}. Check its permissions, or name another with --cache."
    )


def _described(place: os.DirEntry[str], name: re.Match[str]) -> Kept:
    """What the names, sizes and dates of the files tell, each looked at once; of all, one description is read."""
    size, read = 0, place.stat(follow_symlinks=False).st_mtime
    shards = []
    with os.scandir(place) as entries:
        for file in entries:
            stem, _, suffix = file.name.rpartition(".")
            if suffix == "lock":  # empty
                continue
            if suffix == "json" and stem.isdecimal():
                shards.append(stem)
            try:
                found = file.stat(follow_symlinks=False)
            except OSError:
                continue
            size += found.st_size
            if suffix in ("images", "planes"):  # looking at descriptions is no reading of photographs
                read = max(read, found.st_atime, found.st_mtime)
    path, codec, when = Path(place), name["codec"] or "raw", datetime.fromtimestamp(read)
    photographs = _photographs(path, shards)
    return Kept(path, name["set"], name["digest"], int(name["size"]), codec, photographs, size, when)


def _photographs(place: Path, shards: Sequence[str]) -> int:
    """From the last description; all before it are full."""
    if not shards:
        return 0
    try:
        described = read_json(place / f"{max(shards)}.json")
        last = len(described["photographs"])
    except (OSError, ValueError, KeyError, TypeError):
        last = 0
    return (len(shards) - 1) * SHARD + last
