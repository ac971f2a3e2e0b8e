"""Valid DICOM files of one photograph, in the ways that it is compressed, and with another size in the header."""

from __future__ import annotations

import io
import struct
from functools import cache

import numpy as np
from PIL import Image

__all__ = ["dicom_files", "odd_dicom_files", "resized"]

_OPHTHALMIC = "1.2.840.10008.5.1.4.1.1.77.1.5.1"
_NATIVE, _DEFLATED = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.1.99"
_JPEG, _JPEG_2000, _RLE = "1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.5"
_ROWS, _COLUMNS = b"\x28\x00\x10\x00US\x02\x00", b"\x28\x00\x11\x00US\x02\x00"


@cache
def dicom_files(picture: bytes, height: int, width: int) -> tuple[bytes, ...]:
    """A photograph without compression, in JPEG, in JPEG 2000 and run by run.

    Args:
        picture: RGB, 8 bit, row by row.
        height, width: in pixels.
    """
    pixels = np.frombuffer(picture, np.uint8).reshape(height, width, 3)
    return (
        _file(pixels, picture, "RGB", _NATIVE),
        _file(pixels, _frame(pixels, "JPEG", quality=90), "YBR_FULL_422", _JPEG),
        _file(pixels, _frame(pixels, "JPEG2000", irreversible=False, mct=1), "YBR_RCT", _JPEG_2000),
        _file(pixels, _runs(pixels), "RGB", _RLE),
    )


@cache
def odd_dicom_files(picture: bytes, height: int, width: int) -> tuple[bytes, ...]:
    """The same in grey, of 8 and 12 bit, inverted, and deflated as a whole."""
    pixels = np.frombuffer(picture, np.uint8).reshape(height, width, 3)
    grey = np.ascontiguousarray(pixels[..., 1])
    twelve = (grey.astype(np.uint16) * 16).astype("<u2")
    return (
        _file(grey, grey.tobytes(), "MONOCHROME2", _NATIVE),
        _file(grey, grey.tobytes(), "MONOCHROME1", _NATIVE),
        _file(twelve, twelve.tobytes(), "MONOCHROME2", _NATIVE, 12),
        _file(pixels, picture, "RGB", _DEFLATED),
    )


def resized(data: bytes, height: int, width: int) -> bytes:
    """The same file whose header tells another size."""
    changed = bytearray(data)
    for tag, value in ((_ROWS, height), (_COLUMNS, width)):
        struct.pack_into("<H", changed, data.index(tag) + len(tag), min(value, 65535))
    return bytes(changed)


def _file(pixels: np.ndarray, content: bytes, colours: str, syntax: str, bits: int = 8) -> bytes:
    from pydicom.dataset import Dataset, FileDataset, FileMetaDataset

    meta = FileMetaDataset()
    meta.TransferSyntaxUID = syntax
    meta.MediaStorageSOPClassUID = _OPHTHALMIC
    meta.MediaStorageSOPInstanceUID = "1.2.3"
    dataset = FileDataset(None, Dataset(), file_meta=meta, preamble=bytes(128))
    dataset.SOPClassUID, dataset.SOPInstanceUID = _OPHTHALMIC, "1.2.3"
    dataset.Rows, dataset.Columns = pixels.shape[:2]
    dataset.SamplesPerPixel = 3 if pixels.ndim == 3 else 1
    if pixels.ndim == 3:
        dataset.PlanarConfiguration = 0
    dataset.PhotometricInterpretation = colours
    dataset.BitsAllocated = 8 * pixels.dtype.itemsize
    dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = bits, bits - 1, 0
    dataset.PixelData = content
    dataset["PixelData"].VR = "OB" if pixels.dtype.itemsize == 1 else "OW"
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def _frame(pixels: np.ndarray, format_: str, **options: object) -> bytes:
    from pydicom.encaps import encapsulate

    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format_, **options)
    return bytes(encapsulate([buffer.getvalue()]))


def _runs(pixels: np.ndarray) -> bytes:
    from pydicom.encaps import encapsulate
    from pydicom.pixels.encoders import RLELosslessEncoder

    height, width = pixels.shape[:2]
    coded = RLELosslessEncoder.encode(
        pixels, rows=height, columns=width, samples_per_pixel=3, bits_allocated=8, bits_stored=8, number_of_frames=1,
        pixel_representation=0, planar_configuration=0, photometric_interpretation="RGB",
    )  # fmt: skip
    return bytes(encapsulate([coded]))
