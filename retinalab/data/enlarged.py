"""Photographs that are smaller than what a network takes, and are enlarged to it: said, since nothing is gained."""

from __future__ import annotations

import numpy as np

__all__ = ["ENLARGED", "enlarged"]

ENLARGED = "enlarged"
"""How the note begins."""


def enlarged(sides: np.ndarray, size: int, name: str) -> str:
    """How many photographs are enlarged and by how much, in a line; "" where none is.

    An enlarged photograph shows no more than it did: a microaneurysm that its camera did not resolve stays unseen, and
    figures by set compare cameras with it.

    Args:
        sides: of the squares that were cut to the fields of view, pixels of the files; nan where none was cut.
        size: of the working image, pixels.
        name: of the data set.

    Shape:
        - ``sides``: ``(n,)``, float.

    Example:
        >>> enlarged(np.array([300.0, 512.0, 400.0, np.nan]), 512, "idrid")
        'enlarged: 2 of 4 photographs of idrid to data.size=512 from 300-400 pixels (median 350), up to 1.71 times'
        >>> enlarged(np.array([512.0, 2000.0]), 512, "idrid")
        ''
    """
    small = sides[sides < size]
    if not len(small):
        return ""
    least, most = round(float(small.min())), round(float(small.max()))
    sizes = (
        f"{least}-{most} pixels (median {float(np.median(small)):.0f})" if most > least else f"{least} pixels"
    )
    return (
        f"{ENLARGED}: {len(small)} of {len(sides)} photographs of {name} to data.size={size} from {sizes}, "
        f"up to {size / float(small.min()):.2f} times"
    )
