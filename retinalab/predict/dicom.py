"""Fundus photographs in DICOM files: their pixels, and nothing of whom they show.

Only the tags that describe pixels are read, so that a patient's name never reaches memory, an error or a table.

What is read: one frame of Ophthalmic Photography (8 or 16 bit, also wide field), VL Photographic or Secondary Capture;
RGB, YBR_FULL, YBR_FULL_422, YBR_ICT, YBR_RCT, MONOCHROME1 or MONOCHROME2; uncompressed, deflated, RLE, JPEG (baseline,
and extended with 8 bit) or JPEG 2000. JPEG Lossless and JPEG-LS are refused: one decoder is under the GPL, the others
are large compiled packages. Windows (VOI LUT) are not applied: 16 bit are scaled by the bits stored.
"""

from __future__ import annotations

import re
import struct
import threading
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from retinalab.data.decode import decode_bytes
from retinalab.data.refusal import absent, check_size, damaged
from retinalab.errors import RetinalabError

if TYPE_CHECKING:
    from pydicom.dataset import FileDataset
    from pydicom.uid import UID

__all__ = ["DICOM_SUFFIXES", "dicom_size", "is_dicom", "read_dicom"]

DICOM_SUFFIXES = (".dcm", ".dicom")

_PREAMBLE, _MAGIC = 128, b"DICM"
_TAGS = (
    "SOPClassUID", "Rows", "Columns", "SamplesPerPixel", "PhotometricInterpretation", "PlanarConfiguration",
    "NumberOfFrames", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation",
)  # fmt: skip
_OPHTHALMIC = "1.2.840.10008.5.1.4.1.1.77.1.5"
_PHOTOGRAPHS = (
    *(f"{_OPHTHALMIC}.{k}" for k in (1, 2, 5, 6)), "1.2.840.10008.5.1.4.1.1.77.1.4",
    "1.2.840.10008.5.1.4.1.1.7", "1.2.840.10008.5.1.4.1.1.7.2", "1.2.840.10008.5.1.4.1.1.7.3",
    "1.2.840.10008.5.1.4.1.1.7.4",
)  # fmt: skip
_COLOURS = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT")
_GREYS = ("MONOCHROME1", "MONOCHROME2")
_JPEG = ("1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51")
_RLE = "1.2.840.10008.1.2.5"
_READ = (
    "1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.1.99",
    _RLE, *_JPEG, "1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.91",
)  # fmt: skip
_ONE = threading.Lock()
_NATIVE = _READ[:3]


def is_dicom(path: Path) -> bool:
    """Whether a file begins as a DICOM file does, whatever it is called; False where it cannot be opened."""
    try:
        with path.open("rb") as file:
            return file.read(_PREAMBLE + len(_MAGIC))[_PREAMBLE:] == _MAGIC
    except OSError:
        return False


def dicom_size(path: Path) -> tuple[int, int]:
    """Height and width in pixels.

    Raises:
        RetinalabError: as for :func:`read_dicom`, as far as the header shows it.
    """
    with _guarded(path):
        header = _header(path)
        return int(header.Rows), int(header.Columns)


def read_dicom(path: Path, shortest: int | None = None) -> np.ndarray:
    """Decode the photograph in a DICOM file to RGB, 8 bit.

    Args:
        path: the file.
        shortest: as for :func:`retinalab.data.decode.decode`; JPEG alone is decoded smaller.

    Shape:
        - Returns: ``(H, W, 3)``, uint8, RGB; grey is three equal channels.

    Raises:
        RetinalabError: no photograph of the eye, a kind of pixels or of compression that is not read, several frames,
            too large, or damaged.
    """
    with _guarded(path):
        header = _header(path)
        dataset = _dataset(path, [*_TAGS, "PixelData"])
        if "PixelData" not in dataset:
            raise damaged(path, "it holds no pixels")
        syntax, colours = str(dataset.file_meta.TransferSyntaxUID), str(header.PhotometricInterpretation)
        jpeg = None
        if syntax in _JPEG and colours != "RGB":
            jpeg = _frame(dataset)
        else:
            if syntax in _NATIVE:
                _check_length(path, dataset)
            elif syntax == _RLE:
                _check_runs(path, dataset)
            image = _eight_bit(dataset, _decoded(dataset))
    if jpeg is not None:
        image = decode_bytes(jpeg, path, shortest)  # strictly, and no larger than its header may claim
    return 255 - image if colours == "MONOCHROME1" else image


@contextmanager
def _guarded(path: Path) -> Iterator[None]:
    """Faults as one line without values of the file, and none of pydicom's warnings, which quote them.

    One thread at a time, since filters of warnings are the process's.
    """
    from pydicom.errors import BytesLengthException, InvalidDicomError

    try:
        with _ONE, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except FileNotFoundError:
        raise absent(path) from None
    except (  # a damaged file reaches any of the elements and decoders, which raise what they meet
        BytesLengthException, InvalidDicomError, OSError, EOFError, ValueError, TypeError, KeyError, IndexError,
        AttributeError, NotImplementedError, RuntimeError, struct.error, zlib.error,
    ) as error:  # fmt: skip
        raise damaged(path, type(error).__name__) from None


def _dataset(path: Path, tags: list[str]) -> FileDataset:
    from pydicom import dcmread

    return dcmread(path, specific_tags=list(tags), stop_before_pixels="PixelData" not in tags)


def _header(path: Path) -> FileDataset:
    """What describes the pixels, checked before any of them is read."""
    header = _dataset(path, list(_TAGS))
    kind = getattr(header, "SOPClassUID", None)
    if kind is not None and kind not in _PHOTOGRAPHS:
        raise RetinalabError(
            f"{path} holds {_known(kind)}, not a fundus photograph. Give Ophthalmic Photography, or remove it from the "
            "list."
        )
    meta = getattr(header, "file_meta", None)
    syntax = getattr(meta, "TransferSyntaxUID", None)
    if syntax is None or any(tag not in header for tag in ("Rows", "Columns", "PhotometricInterpretation")):
        raise damaged(path, "its header does not describe any pixels")
    if str(syntax) not in _READ:
        raise RetinalabError(
            f"{path} is compressed with {_known(syntax)}, which is not read (read are: uncompressed, RLE, JPEG, "
            "JPEG 2000; no lossless JPEG, no JPEG-LS). Convert it, such as with gdcmconv --raw."
        )
    _check_pixels(path, header)
    return header


def _known(uid: UID) -> str:
    """Its name in the standard; a damaged one is not quoted, since it may hold anything of the file."""
    return uid.name if uid.name != str(uid) else "something unknown"


def _plain(code: object) -> str:
    return str(code) if re.fullmatch(r"[A-Z0-9_ ]{1,16}", str(code)) else "unknown"


def _check_pixels(path: Path, header: FileDataset) -> None:
    if header.PhotometricInterpretation not in (*_COLOURS, *_GREYS):
        raise RetinalabError(
            f"{path} has {_plain(header.PhotometricInterpretation)} pixels. Convert it to RGB or MONOCHROME2."
        )
    frames = int(header.get("NumberOfFrames", 1) or 1)
    if frames != 1:
        raise RetinalabError(
            f"{path} holds {frames} frames; one photograph is graded at a time. Split it into files of one frame."
        )
    if header.get("PixelRepresentation", 0) or header.get("BitsAllocated", 8) not in (8, 16):
        signed = "signed " * bool(header.get("PixelRepresentation", 0))
        raise RetinalabError(
            f"{path} has {signed}pixels of {header.get('BitsAllocated', 8)} bit. Convert it to 8 or 16 bit, unsigned."
        )
    check_size(path, int(header.Rows), int(header.Columns))


def _frame(dataset: FileDataset) -> bytes:
    from pydicom.encaps import get_frame

    return bytes(get_frame(dataset.PixelData, 0, number_of_frames=1))


def _check_length(path: Path, dataset: FileDataset) -> None:
    samples, bits = int(dataset.get("SamplesPerPixel", 1)), int(dataset.get("BitsAllocated", 8))
    share = 2 / 3 if dataset.PhotometricInterpretation == "YBR_FULL_422" else 1
    expected = round(dataset.Rows * dataset.Columns * samples * bits // 8 * share)
    found = len(dataset.PixelData)
    if not expected <= found <= expected + 1:
        raise damaged(path, f"{found} bytes of pixels, {expected} are needed")


def _check_runs(path: Path, dataset: FileDataset) -> None:
    """Refuse runs that fill more pixels than the header tells, of which the decoder drops the rest.

    Reference: DICOM PS3.5, Annex G: up to 15 segments of packed bytes behind a head of 64 bytes with their places.
    """
    frame = _frame(dataset)
    count, *places = struct.unpack_from("<16L", frame)
    expected = dataset.Rows * dataset.Columns
    for begin, end in zip(places[:count], [*places[1:count], len(frame)], strict=False):
        filled = _filled(frame[begin:end])
        if filled > expected:
            raise damaged(path, f"{filled} bytes in a segment of its pixels, {expected} are needed")


def _filled(packed: bytes) -> int:
    """Bytes that packed bytes stand for; a last one alone only makes their number even."""
    place = filled = 0
    while place + 1 < len(packed):
        head = packed[place]
        if head < 128:
            filled += head + 1
            place += head + 2
        else:
            filled += 257 - head if head > 128 else 0
            place += 1 + (head > 128)
    return filled


def _decoded(dataset: FileDataset) -> np.ndarray:
    from pydicom.pixels.utils import pixel_array

    return np.asarray(pixel_array(dataset, index=0))


def _eight_bit(dataset: FileDataset, pixels: np.ndarray) -> np.ndarray:
    stored: Any = dataset.get("BitsStored", dataset.get("BitsAllocated", 8))
    highest = (1 << int(stored)) - 1
    if highest != 255:
        scaled = np.minimum(pixels, highest).astype(np.uint32) * 255 + highest // 2
        pixels = scaled // highest
    image = pixels.astype(np.uint8)
    if image.ndim == 2:
        image = np.repeat(image[..., None], 3, axis=2)
    return np.ascontiguousarray(image)
