"""The pixels of a photograph's file, of any kind that can be graded."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from retinalab.data.decode import decode, image_size
from retinalab.predict.dicom import dicom_size, is_dicom, read_dicom

__all__ = ["pixels_of", "size_of"]


def pixels_of(path: Path, shortest: int | None = None) -> np.ndarray:
    """Decode an image or a DICOM file, known by its first bytes, to RGB.

    Args:
        path: the file.
        shortest: the shorter side that is needed later; see :func:`retinalab.data.decode.decode`.

    Shape:
        - Returns: ``(H, W, 3)``, uint8, RGB.

    Raises:
        RetinalabError: as for :func:`~retinalab.data.decode.decode` and :func:`~retinalab.predict.dicom.read_dicom`.
    """
    return read_dicom(path, shortest) if is_dicom(path) else decode(path, shortest)


def size_of(path: Path) -> tuple[int, int]:
    """Height and width in pixels as the photograph is looked at, from the header alone.

    Raises:
        RetinalabError: as for :func:`pixels_of`, as far as the header shows it.
    """
    return dicom_size(path) if is_dicom(path) else image_size(path)
