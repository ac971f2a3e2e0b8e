"""Copies by bytes, with labels and parts by hand; copies and eyes by picture on drawn photographs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from retinalab.data.check.duplicates import duplicates
from retinalab.data.check.overlaps import Other, overlaps
from retinalab.data.check.photographs import Seen, look_at_all
from retinalab.data.check.same_eye import common_marks, marks_of, same_eye
from retinalab.records import Records, SetInfo, make_records
from retinalab.synthetic import World, WorldOptions

INFO = SetInfo("made", "Made", "here", "none", {"dr": "icdr5", "dme": "risk3"})


def records_of(rows: Sequence[Mapping[str, Any]], root: Path = Path(), info: SetInfo = INFO) -> Records:
    return make_records(rows, info, root, "the test")


def same_bytes(rows: Sequence[Mapping[str, Any]], digests: str) -> list[tuple[str, tuple[str, ...]]]:
    """Findings on rows whose files have those digests, a letter each."""
    rows = [{"image": f"{number}.png", **row} for number, row in enumerate(rows)]
    seen = [Seen(str(row["image"]), sha256=digest, size=1) for row, digest in zip(rows, digests, strict=True)]
    return [(found.kind, found.images) for found in duplicates(records_of(rows), seen)]


def test_equal_bytes_are_one_group() -> None:
    assert same_bytes([{}] * 5, "abaca") == [("duplicate", ("0.png", "2.png", "4.png"))]
    assert same_bytes([{}] * 4, "abab") == [
        ("duplicate", ("0.png", "2.png")),
        ("duplicate", ("1.png", "3.png")),
    ]
    assert same_bytes([{}] * 3, "abc") == []


def test_what_is_graver_is_said_instead() -> None:
    pair = ("0.png", "1.png")
    assert same_bytes([{"dr": 0}, {"dr": 2}], "aa") == [("label-conflict", pair)]
    assert same_bytes([{"dme": 0}, {"dme": 1}], "aa") == [("label-conflict", pair)]
    assert same_bytes([{"dr": 1}, {"dr": -1}], "aa") == [("duplicate", pair)]
    assert same_bytes([{"part": "train"}, {"part": "test"}], "aa") == [("split-duplicate", pair)]
    assert same_bytes([{"part": "train"}, {"part": ""}], "aa") == [("duplicate", pair)]
    both = same_bytes([{"part": "train", "dr": 0}, {"part": "test", "dr": 1}], "aa")
    assert both == [("label-conflict", pair), ("split-duplicate", pair)]


def test_empty_files_are_no_copies_of_each_other() -> None:
    seen = [Seen("0.png", "unreadable"), Seen("1.png", "unreadable")]
    assert duplicates(records_of([{"image": "0.png"}, {"image": "1.png"}]), seen) == []


WORLD = World(WorldOptions(photographs=24, seed=11, faults=0.0))


def write(folder: Path, name: str, image: np.ndarray) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(folder / name), image[..., ::-1])
    return name


def pictures(tmp_path: Path) -> list[np.ndarray]:
    return [WORLD.render(index, 320).image for index in (0, 4, 8, 12)]


def test_a_copy_saved_again_is_found_and_other_eyes_are_not(tmp_path: Path) -> None:
    images = pictures(tmp_path)
    copy = cv2.resize(images[1], None, fx=0.7, fy=0.7, interpolation=cv2.INTER_AREA)
    rows = [
        {"image": write(tmp_path, f"{number}.png", image), "patient": str(number), "eye": "left"}
        for number, image in enumerate(images)
    ]
    rows.append({"image": write(tmp_path, "copy.jpg", copy), "patient": "9", "eye": "left"})
    records = records_of(rows, tmp_path)
    (found,) = duplicates(records, look_at_all(records))
    assert (found.kind, found.images) == ("near-duplicate", ("1.png", "copy.jpg"))
    assert "patients 1 and 9" in found.message


def another_light(image: np.ndarray, turn: float = 3.0) -> np.ndarray:
    """The same eye again: turned by so many degrees and shifted, in another light and with a reflection."""
    height, width = image.shape[:2]
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), turn, 1.0)
    matrix[:, 2] += (3 * turn, -2 * turn)
    turned = cv2.warpAffine(image, matrix, (width, height)).astype(np.float64)
    turned *= np.linspace(0.7, 1.1, width)[None, :, None]
    cv2.circle(turned, (width // 2, height // 2), 14, (230, 220, 230), cv2.FILLED)
    return np.where(image.max(axis=2, keepdims=True) > 12, np.clip(turned, 0, 255), 0).astype(np.uint8)


def test_marks_tell_one_eye_from_two() -> None:
    images = [WORLD.render(index, 256).image for index in (0, 4, 8, 12)]
    marks = [marks_of(square(image)) for image in images]
    again = [marks_of(square(another_light(image))) for image in images]
    for row in range(4):
        for column in range(4):
            assert same_eye(marks[row], again[column]) == (row == column), common_marks(
                marks[row], again[column]
            )
    nothing = marks_of(np.zeros((256, 256, 3), np.uint8))
    assert common_marks(nothing, marks[0]) == (0, 0)


def square(image: np.ndarray) -> np.ndarray:
    return np.asarray(cv2.resize(image, (256, 256), interpolation=cv2.INTER_AREA))


def test_one_eye_under_two_patients(tmp_path: Path) -> None:
    first = WORLD.render(0, 320).image
    rows = [
        {"image": write(tmp_path, "0.png", first), "patient": "1", "eye": "left", "dr": 0},
        {
            "image": write(tmp_path, "1.png", another_light(first, 1.5)),
            "patient": "2",
            "eye": "left",
            "dr": 2,
        },
    ]
    records = records_of(rows, tmp_path)
    (found,) = duplicates(records, look_at_all(records))
    assert (found.kind, found.images) == ("same-eye", ("0.png", "1.png"))
    assert "under patients 1 and 2, dr 0 and 2" in found.message
    named = records_of([{**row, "patient": "1"} for row in rows], tmp_path)
    assert duplicates(named, look_at_all(named)) == []


def test_overlaps_by_name_by_bytes_and_by_picture(tmp_path: Path) -> None:
    images = pictures(tmp_path)
    mine = [{"image": write(tmp_path / "a", f"{n}.png", image)} for n, image in enumerate(images[:3])]
    small = cv2.resize(images[2], None, fx=0.8, fy=0.8, interpolation=cv2.INTER_AREA)
    theirs = [
        {"image": write(tmp_path / "b", "other.png", images[0])},
        {"image": write(tmp_path / "b", "2.jpg", small)},
        {"image": write(tmp_path / "b", "1.JPG", images[3])},
        {"image": write(tmp_path / "b", "9.png", images[3])},
    ]
    first = records_of(mine, tmp_path / "a")
    second = records_of(theirs, tmp_path / "b", SetInfo("b", "B", "", "", shares=("made",)))
    seen, other_seen = look_at_all(first), look_at_all(second)
    found = {one.images: one.message for one in overlaps(first, seen, Other("b", second, other_seen))}
    assert found == {
        ("0.png", "b:other.png"): "the same bytes",
        ("1.png", "b:1.JPG"): "the same name; the pictures were not found to be the same",
        ("2.png", "b:2.jpg"): "the same name and the same picture",
    }
    named = {one.images: one.message for one in overlaps(first, [], Other("b", second))}
    assert named == {("1.png", "b:1.JPG"): "the same name", ("2.png", "b:2.jpg"): "the same name"}
    apart = records_of(theirs, tmp_path / "b", SetInfo("b", "B", "", ""))
    assert overlaps(first, [], Other("b", apart)) == []
