"""How much room prepared photographs take, and how much there is."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from retinalab.data.codec import CODECS, Codec
from retinalab.errors import RetinalabError

__all__ = ["Needed", "as_text", "available_memory", "free_disk", "lossless_codec", "reserve"]

_SHARES: dict[Codec, tuple[float, float]] = {
    "raw": (1.0, 0.0),
    "delta": (0.28, 17.0),
    "jpeg": (0.065, 12.0),
    "zstd": (0.01, 0.0),
}
"""Of the raw bytes: a share and, divided by the side in pixels, what comes to it at small sizes, where neighbours
differ more. Fitted to photographs of IDRiD, HEI-MED, DeepDRiD and dr600 at 96 to 1024 px, all within 5 points."""

_MEMORY_SHARE = 0.5
_DISK_SHARE = 0.9


@dataclass(frozen=True)
class Needed:
    """What photographs will take.

    Attributes:
        photographs: how many.
        size: side of the working image, pixels.
        masks: whether lesion planes lie beside them.
    """

    photographs: int
    size: int
    masks: bool

    def bytes_in(self, codec: Codec) -> int:
        """An estimate; for ``raw`` without masks the number itself."""
        shares = {one: share + more / self.size for one, (share, more) in _SHARES.items()}
        return round(self.photographs * self.size**2 * (3 * shares[codec] + 2 * shares["zstd"] * self.masks))

    def told(self, codec: Codec) -> str:
        """In words.

        Example:
            >>> Needed(88_702, 1024, masks=False).told("raw")
            '279 GB raw'
            >>> Needed(88_702, 1024, masks=False).told("delta")
            'about 83 GB delta (279 GB raw)'
        """
        size = as_text(self.bytes_in(codec))
        if codec == "raw":
            return f"{size} raw"
        return f"about {size} {codec} ({as_text(self.bytes_in('raw'))} raw)"


def as_text(count: int) -> str:
    """Bytes with a unit.

    Example:
        >>> as_text(279_029_219_328), as_text(6_291_456), as_text(1_400_000_000)
        ('279 GB', '6.3 MB', '1.4 GB')
    """
    for unit, size in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6)):
        if count >= size:
            return f"{count / size:.1f} {unit}" if count < 10 * size else f"{count / size:.0f} {unit}"
    return f"{count / 1e3:.0f} kB" if count >= 1000 else f"{count} bytes"


def lossless_codec(needed: Needed, folder: Path) -> Codec:
    """``raw`` where it fits half of the memory that is available and nine tenths of the free disk, else ``delta``.

    The system keeps in memory what was read, so that later epochs read no disk. What does not fit there is read from
    the disk in every epoch, a third of the bytes then.
    """
    raw = needed.bytes_in("raw")
    fits = raw <= _MEMORY_SHARE * available_memory() and raw <= _DISK_SHARE * free_disk(folder)
    return "raw" if fits else "delta"


def reserve(needed: Needed, codec: Codec, folder: Path) -> None:
    """Refuse what cannot fit before anything is written.

    Raises:
        RetinalabError: the disk has less than that free.
    """
    free = free_disk(folder)
    if free < needed.bytes_in(codec):
        others = [one for one in CODECS if needed.bytes_in(one) <= free and one != "raw"]
        lossy = {"jpeg": " (lossy)"}
        choice = "".join(f", set data.codec={one}{lossy.get(one, '')}" for one in others[:1])
        raise RetinalabError(
            f"Prepared photographs need {needed.told(codec)} in {folder}, {as_text(free)} are free. "
            f"Free space{choice}, or name another folder with data.cache=PATH."
        )


def free_disk(folder: Path) -> int:
    """Bytes that may still be written there; the folder need not exist yet."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return shutil.disk_usage(folder).free


def available_memory() -> int:
    """Bytes of memory that can be had, files that the system keeps there included: of the machine, or of this job."""
    return min(_of_machine(), *_of_control_groups())


def _of_machine() -> int:
    try:
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _of_control_groups() -> Iterator[int]:
    """Limits of the job that this process belongs to and of all that enclose it; one that is no limit at least."""
    yield 1 << 62
    try:
        lines = Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers not in ("", "memory"):
            continue
        root = Path("/sys/fs/cgroup") / controllers
        name = "memory.limit_in_bytes" if controllers else "memory.max"
        place = root / path.lstrip("/")
        for folder in (place, *place.parents):
            limit = folder / name
            if limit.is_file() and (text := limit.read_text(encoding="ascii").strip()).isdigit():
                yield int(text)
            if folder == root:
                break
