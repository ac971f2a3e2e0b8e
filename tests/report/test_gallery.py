"""Which photographs the gallery shows, on a table worked by hand."""

from __future__ import annotations

import base64
import io

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from retinalab.protocol import SCALES
from retinalab.report.gallery import gallery, thumbnail

SCALE = SCALES["referable"]


def table() -> pd.DataFrame:
    rows = [("a", 0, 0.9), ("b", 0, 0.2), ("c", 1, 0.6), ("d", 1, 0.3), ("e", 1, 0.01), ("f", 0, 0.9)]
    out = pd.DataFrame(rows, columns=["image", "dr", "dr_p1"]).assign(set="s")
    return out.assign(dr_p0=1 - out["dr_p1"], dr_grade=(out["dr_p1"] >= 0.5).astype(int))


def test_most_certain_first() -> None:
    shown = gallery(table(), "dr", SCALE, None)
    assert [tile.image for tile in shown.wrong] == ["e", "a", "f", "d"]
    assert [tile.image for tile in shown.right] == ["b", "c"]
    assert [tile.certainty for tile in shown.right] == ["probability 0.80", "probability 0.60"]
    assert (shown.right_of, shown.wrong_of) == (2, 4)
    first = shown.wrong[0]
    assert (first.reference, first.predicted) == ("1 referable", "0 not referable")


def test_count_and_repeated_photographs() -> None:
    twice = pd.concat([table(), table()], ignore_index=True)
    shown = gallery(twice, "dr", SCALE, None, count=3)
    assert [tile.image for tile in shown.wrong] == ["e", "a", "f"]


def test_regression_is_ordered_by_distance() -> None:
    rows = pd.DataFrame({"image": list("abcd"), "set": "s", "dr": [2, 2, 0, 4], "dr_grade": [2, 2, 2, 1]})
    shown = gallery(rows.assign(dr_score=[2.4, 1.9, 1.6, 1.2]), "dr", SCALES["icdr5"], None)
    assert [tile.image for tile in shown.right] == ["b", "a"]
    assert [tile.image for tile in shown.wrong] == ["d", "c"]
    assert shown.wrong[0].certainty == "score 1.20"


def test_pictures_are_asked_for_by_set_and_image() -> None:
    asked = []

    def picture(name: str, image: str) -> np.ndarray | None:
        asked.append((name, image))
        return None if image == "b" else np.zeros((8, 8, 3), dtype=np.uint8)

    shown = gallery(table(), "dr", SCALE, picture)
    assert sorted(asked) == [("s", image) for image in "abcdef"]
    assert [bool(tile.source) for tile in shown.right] == [False, True]


@pytest.mark.parametrize(
    ("shape", "size"), [((320, 320), (160, 160)), ((640, 320), (80, 160)), ((50, 50), (50, 50))]
)
def test_thumbnails_keep_shape_and_colour(shape: tuple[int, int], size: tuple[int, int]) -> None:
    image = np.zeros((*shape, 3), dtype=np.uint8)
    image[..., 0] = 200
    source = thumbnail(image)
    head, _, body = source.partition(",")
    assert head == "data:image/jpeg;base64"
    back = Image.open(io.BytesIO(base64.b64decode(body)))
    assert back.size == size
    red, green, blue = np.asarray(back).reshape(-1, 3).mean(axis=0)
    assert abs(red - 200) < 4
    assert max(green, blue) < 4
