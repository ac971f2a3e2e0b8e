"""The photographs of a table on pages that hold their pictures: no script, no request to any network."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from retinalab.data.decode import decode
from retinalab.errors import RetinalabError
from retinalab.predict.maps import said_of
from retinalab.predict.masks import PRESENT
from retinalab.predict.photograph import Photograph
from retinalab.predict.pixels import pixels_of
from retinalab.predict.predictor import Answer, Prediction
from retinalab.predict.rows import USE, Rows
from retinalab.report.gallery import data_uri
from retinalab.report.render import write_page

__all__ = ["MOST", "unsure_of", "write_gallery"]

MOST = 1000
"""Photographs that a gallery shows; a table of more is longer than anybody scrolls."""

_PAGE = 100
_SIDE, _SHEET = 256, 512


@dataclass(frozen=True)
class _Tile:
    row: int
    name: str
    flag: str
    reason: str
    source: str
    grades: Sequence[tuple[str, float | None, str]]
    lesions: str
    sheets: Sequence[tuple[str, str]]


def write_gallery(
    folder: Path,
    rows: Rows,
    photographs: Iterable[Photograph],
    counts: Mapping[str, int],
    head: Sequence[str],
    most: int = MOST,
) -> list[Path]:
    """Write ``gallery.html``, and ``gallery-2.html`` and so on where a hundred photographs do not suffice.

    Args:
        folder: of the finished ``predictions.csv`` and of the pictures that it names.
        rows: its columns.
        photographs: in the order of its rows.
        counts: quality flag -> photographs of the whole table.
        head: what was applied to what, in lines.
        most: photographs to show, from the first on.

    Raises:
        RetinalabError: a page cannot be written.
    """
    total = sum(counts.values())
    last = max(1, -(-min(most, total) // _PAGE))
    names = ["gallery.html", *(f"gallery-{k}.html" for k in range(2, last + 1))]
    tiles = _tiles(folder, rows, photographs, most)
    written = []
    for number, name in enumerate(names):
        context = {
            "use": USE,
            "head": head,
            "counts": counts,
            "total": total,
            "shown": min(most, total),
            "number": number,
            "pages": names,
            "tiles": list(islice(tiles, _PAGE)),
        }
        try:
            written.append(write_page("predicted.html", context, folder / name))
        except OSError as error:
            raise RetinalabError(
                f"Cannot write {folder / name}: {error.strerror or error}. Free space, or name another folder with "
                "--out."
            ) from error
    return written


def _tiles(folder: Path, rows: Rows, photographs: Iterable[Photograph], most: int) -> Iterator[_Tile]:
    with (folder / "predictions.csv").open(encoding="utf-8", newline="") as file:
        lines = csv.reader(file)
        next(lines)
        for row, (cells, photograph) in enumerate(zip(islice(lines, most), photographs, strict=False), 1):
            yield _tile(folder, rows, row, cells, photograph)


def _tile(folder: Path, rows: Rows, row: int, cells: Sequence[str], photograph: Photograph) -> _Tile:
    prediction = rows.prediction(cells, photograph)
    named = dict(zip(rows.header, cells, strict=True))
    sheets = [(f"{d} activation map", named.get(f"{d}_map", "")) for d in rows.scales]
    sheets.append(("lesions", named.get("overlay", "")))
    return _Tile(
        row,
        cells[0],
        prediction.quality,
        prediction.reason,
        _picture(photograph),
        [(said_of(d, a, rows.scales[d]), a.confidence, unsure_of(a)) for d, a in prediction.answers.items()],
        _lesions(prediction),
        [(what, _sheet(folder / name)) for what, name in sheets if name],
    )


def unsure_of(answer: Answer) -> str:
    """How unsure several members are of a grade, and what of it they disagree about; "" for one network in one view.

    Example:
        >>> unsure_of(Answer(1, (0.5, 0.5), mutual_information=0.25))
        "entropy 0.69 of at most 0.69 nats, 0.25 by the members' disagreement"
        >>> unsure_of(Answer(2, score=2.1, sd=0.5)), unsure_of(Answer(1, (0.5, 0.5)))
        ('standard deviation 0.50 between the members', '')
    """
    if answer.sd is not None:
        return f"standard deviation {answer.sd:.2f} between the members"
    if answer.entropy is None or answer.mutual_information is None:
        return ""
    most = math.log(len(answer.probabilities))
    return (
        f"entropy {answer.entropy:.2f} of at most {most:.2f} nats, "
        f"{max(0.0, answer.mutual_information):.2f} by the members' disagreement"
    )


def _lesions(prediction: Prediction) -> str:
    if not prediction.lesions:
        return ""
    found = [f"{x} {chance:.2f}" for x, chance in prediction.lesions.items() if chance >= PRESENT]
    return "lesions: " + (", ".join(found) or f"none with a probability of {PRESENT:g} or more")


def _picture(photograph: Photograph) -> str:
    """Data URI of the photograph, "" where it cannot be read."""
    try:
        image = pixels_of(photograph.path, _SIDE)
    except RetinalabError:
        return ""
    return data_uri(_within(image, _SIDE))


def _sheet(path: Path) -> str:
    try:
        return data_uri(_within(decode(path), _SHEET), sharp_colours=True)
    except RetinalabError:
        return ""


def _within(image: npt.NDArray[np.uint8], side: int) -> npt.NDArray[np.uint8]:
    height, width = image.shape[:2]
    factor = side / max(height, width)
    if factor >= 1:
        return image
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
