"""One reading of every photograph: checksum, strict decoding, field of view, likeness, features for a probe."""

from __future__ import annotations

import hashlib
import io
import os
import warnings
from collections.abc import Callable, Container, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import numpy as np
from PIL import Image
from tqdm import tqdm

from retinalab.data.decode import FORMATS, decode_bytes
from retinalab.data.fov import Fov, crop_to_square, field_of_view
from retinalab.data.jpeg import jpeg_orientation, jpeg_size
from retinalab.data.likeness import likeness_hash
from retinalab.data.refusal import FAULTS, MAX_PIXELS, MIN_SIDE
from retinalab.errors import RetinalabError
from retinalab.records import Records

__all__ = ["WORKING", "Describe", "Glance", "Seen", "look_at", "look_at_all", "threaded", "working_image"]

_Job = TypeVar("_Job")
_Result = TypeVar("_Result")

WORKING = 256
"""Side in pixels of the working image that hashes, features and thumbnails are taken from."""

_FLAT = 2.0
"""Standard deviation in grey levels under which a field holds one colour and no retina; the darkest and most
blurred photographs of DeepDRiD, dr600 and HEI-MED have more than 7."""

_MAGIC: Mapping[bytes, str] = {
    b"\xff\xd8\xff": "JPEG", b"\x89PNG": "PNG", b"II*\x00": "TIFF", b"MM\x00*": "TIFF", b"BM": "BMP",
    b"RIFF": "WebP", b"GIF8": "GIF", b"P5": "PPM", b"P6": "PPM", b"P7": "PAM", b"\0\0\0\x0cjP  ": "JPEG 2000",
    b"\xff\x4f\xff\x51": "JPEG 2000", b"\x59\xa6\x6a\x95": "Sun raster",
}  # fmt: skip


@dataclass(frozen=True)
class Glance:
    """One photograph while it is open.

    Attributes:
        working: ``(256, 256, 3)``, uint8, RGB: the field of view, black outside.
        decoded: ``(H, W, 3)``, uint8, RGB: the photograph, decoded at the scale that suits the working image.
        field: its field of view, in pixels of ``decoded``.
        path: the file. height, width: as the file has them, in pixels.
    """

    working: np.ndarray
    decoded: np.ndarray
    field: Fov
    path: Path
    height: int
    width: int


Describe = Callable[[Glance], np.ndarray]
"""``(F,)`` float: what is kept of an open photograph for a probe of the labels."""


@dataclass(frozen=True)
class Seen:
    """What is kept of a photograph once it is closed; nothing here grows with its size.

    Attributes:
        image: as the records name it.
        kind: kind of the finding: missing, unreadable, damaged, empty-field; "" where all is well.
        reason: why, in a line.
        sha256: of the file's bytes, hexadecimal; "" where it was not read.
        size: bytes. format: by the first bytes; "" unknown. height, width: pixels; 0 unknown.
        field: the field of view; None unless all is well.
        likeness: ``(4,)`` uint64, perceptual hash of the working image; None unless all is well.
        features: as ``Describe`` gave them; None where there are none.
    """

    image: str
    kind: str = ""
    reason: str = ""
    sha256: str = ""
    size: int = 0
    format: str = ""
    height: int = 0
    width: int = 0
    field: Fov | None = None
    likeness: np.ndarray | None = None
    features: np.ndarray | None = None


def look_at_all(
    records: Records,
    absent: Container[str] = (),
    describe: Describe | None = None,
    label: str = "photographs",
) -> list[Seen]:
    """Look at every photograph in threads, with a progress bar; one entry per record, in their order.

    Args:
        records: of one set.
        absent: images that are known to be missing: nothing is seen of them.
        describe: what the features are taken from.
        label: of the progress bar.
    """
    images = records.table["image"].astype(str).tolist()
    jobs = [(records.path(row), image) for row, image in enumerate(images) if image not in absent]
    found = iter(threaded(lambda job: look_at(*job, describe), jobs, label))
    return [Seen(image) if image in absent else next(found) for image in images]


def look_at(path: Path, image: str, describe: Describe | None = None) -> Seen:
    """Read a file once and say what it holds.

    Args:
        path: the file.
        image: its name in the records.
        describe: what the features are taken from.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return Seen(image, "missing", "there is no such file")
    except OSError as error:
        return Seen(image, "unreadable", f"the system refuses to read it ({error.strerror or error})")
    seen = Seen(image, sha256=hashlib.sha256(data).hexdigest(), size=len(data), format=_format(data))
    try:
        decoded = decode_bytes(data, path, WORKING)
    except RetinalabError as error:
        return replace(seen, kind=_shown_by_others(data), reason=_without(path, error))
    height, width = _whole(data, decoded)
    seen = replace(seen, height=height, width=width)
    try:
        fov = field_of_view(decoded, "it")
    except RetinalabError as error:
        return replace(seen, kind="empty-field", reason=str(error).split(". ")[0])
    working = crop_to_square(decoded, fov, WORKING)
    if (spread := _spread(working)) < _FLAT:
        reason = f"the field is of one colour (standard deviation {spread:.1f} grey levels)"
        return replace(seen, kind="empty-field", reason=reason)
    features = describe(Glance(working, decoded, fov, path, height, width)) if describe else None
    return replace(seen, field=fov, likeness=likeness_hash(working, fov), features=features)


def working_image(path: Path) -> np.ndarray:
    """The working image of a photograph that was seen to be well.

    Shape:
        - Returns: ``(256, 256, 3)``, uint8, RGB.
    """
    decoded = decode_bytes(path.read_bytes(), path, WORKING)
    return crop_to_square(decoded, field_of_view(decoded, str(path)), WORKING)


def threaded(look: Callable[[_Job], _Result], jobs: Sequence[_Job], label: str) -> list[_Result]:
    """Results in the order of the jobs; decoding and hashing release the interpreter's lock."""
    if not jobs:
        return []
    pool = ThreadPoolExecutor(len(os.sched_getaffinity(0)))
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"PIL\.")  # what it warns of is found and reported here
            done = pool.map(look, jobs)
            return list(tqdm(done, label, len(jobs), unit="file", ncols=80, mininterval=0.5, leave=False))
    finally:
        pool.shutdown(cancel_futures=True)


def _format(data: bytes) -> str:
    return next((name for magic, name in _MAGIC.items() if data.startswith(magic)), "")


def _whole(data: bytes, decoded: np.ndarray) -> tuple[int, int]:
    """Height and width of the file: only a JPEG is decoded at a smaller scale."""
    if _format(data) != "JPEG":
        return decoded.shape[0], decoded.shape[1]
    height, width = jpeg_size(data)
    return (width, height) if jpeg_orientation(data) >= 5 else (height, width)


def _shown_by_others(data: bytes) -> str:
    """What a file is that the strict decoder refuses: others open it without a word, or nobody does."""
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as opened:
            if opened.width * opened.height > MAX_PIXELS:
                return "unreadable"
            if min(opened.size) < MIN_SIDE:
                return "empty-field"
            opened.load()
            return "unreadable" if opened.mode.startswith(("I", "F")) else "damaged"
    except (*FAULTS, Image.DecompressionBombError, Image.DecompressionBombWarning):
        return "unreadable"


def _without(path: Path, error: RetinalabError) -> str:
    """The reason alone: the photograph and the remedy are said elsewhere."""
    return str(error).removeprefix(f"{path} ").split(". ")[0]


def _spread(working: np.ndarray) -> float:
    inside = working[working.any(axis=2)]
    return float(inside.std(axis=0).max()) if len(inside) else 0.0
