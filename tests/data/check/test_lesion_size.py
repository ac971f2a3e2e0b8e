"""Sizes of microaneurysms: worked by hand, on discs of known size, and on a drawn world whose outlines are known."""

from __future__ import annotations

import csv
from pathlib import Path

import cv2
import numpy as np
import pytest
from scipy import ndimage

from retinalab.data.check.lesion_size import SIZES, diameters, field_mm, lesion_pixels, vanishing
from retinalab.data.sets import open_set
from retinalab.data.sets.base import PhotographSet
from retinalab.records import Records, SetInfo, make_records
from retinalab.synthetic import World, WorldOptions, write_world

FIELD = 400  # diameter of the drawn field in the file's pixels
SQUARE = 9  # side of a drawn microaneurysm: an area of 81


def write_set(folder: Path, masks: int = 3, unknown: int = 0, sides: tuple[int, ...] = (SQUARE,)) -> Path:
    """Fields of 400 pixels in files of 600 x 480, each with squares of the given sides for microaneurysms."""
    folder.mkdir()
    rows = []
    for index in range(masks + unknown):
        image = np.zeros((480, 600, 3), np.uint8)
        cv2.circle(image, (300, 240), FIELD // 2, (40, 90, 180), cv2.FILLED)
        cv2.imwrite(str(folder / f"{index}.png"), image)
        mask = np.zeros((480, 600), np.uint8)
        for k, side in enumerate(sides):
            mask[200 + 30 * (k // 8) :, 200 + 30 * (k % 8) :][:side, :side] = 255
        cv2.imwrite(str(folder / f"{index}_MA.png"), mask)
        rows.append({"image": f"{index}.png", "dr": 1, "mask_MA": f"{index}_MA.png" if index < masks else ""})
    with (folder / "records.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return folder


def opened(folder: Path) -> tuple[PhotographSet, Records]:
    source = open_set("table", folder)
    return source, source.records()


def anatomical(field: float | None, size: int | None = None) -> list[dict[str, object]]:
    info = SetInfo("made", "Made", "here", "none", scales={"dr": "icdr5"}, field=field)
    source = open_set("synthetic", None, {"photographs": 1})
    return lesion_pixels(source, make_records([{"image": "a.jpg", "dr": 0}], info, Path(), "a list"), size)


def test_anatomy_by_hand() -> None:
    # 45 degrees x 0.288 mm = 12.96 mm, of which 125 µm are 1/103.68
    rows = anatomical(45.0)
    assert [row["size"] for row in rows] == [128, 224, 256, 350, 512, 896, 1024]
    expected = [1.235, 2.160, 2.469, 3.376, 4.938, 8.642, 9.877]
    assert [row["pixels"] for row in rows] == pytest.approx(expected, abs=5e-4)
    assert "45°, 13.0 mm or 7.2 disc diameters wide" in str(rows[0]["source"])
    assert "assumed" not in str(rows[0]["source"])


def test_a_narrow_field_shows_more_and_an_unknown_one_is_said_so() -> None:
    assert field_mm(30) == pytest.approx(8.64)
    narrow, unknown = anatomical(30.0), anatomical(None)
    assert narrow[0]["pixels"] == pytest.approx(128 * 0.125 / 8.64, abs=5e-4)
    assert [row["pixels"] for row in unknown] == [row["pixels"] for row in anatomical(45.0)]
    assert "45° (assumed: the owners state none)" in str(unknown[0]["source"])


def test_the_chosen_size_is_listed_once_and_in_order() -> None:
    assert [row["size"] for row in anatomical(45.0, 300)] == sorted((*SIZES, 300))
    assert [row["size"] for row in anatomical(45.0, 512)] == sorted(SIZES)


def test_the_warning_under_two_pixels() -> None:
    (warning,) = vanishing(anatomical(45.0, 128), 128)
    # 2 pixels need 2 x 103.68 = 207.36
    assert warning.kind == "lesion-size"
    assert warning.message.startswith(
        "at 128 pixels a microaneurysm is 1.2 pixels wide; it has 2 from 208 on"
    )
    assert vanishing(anatomical(45.0, 207), 207)
    assert vanishing(anatomical(45.0, 208), 208) == []
    assert vanishing(anatomical(45.0), None) == []


def test_diameters_of_known_areas() -> None:
    mask = np.zeros((60, 80), bool)
    mask[2:12, 5:15] = True  # 100 pixels
    mask[30, 30] = mask[31, 31] = True  # joined by a corner: 2 pixels
    mask[50:53, 70:80] = True  # 30 pixels, at the border
    assert sorted(diameters(mask)) == pytest.approx(np.sqrt(4 * np.array([2, 30, 100]) / np.pi))
    assert diameters(np.zeros((5, 5), bool)).shape == (0,)
    y, x = np.mgrid[:101, :101] - 50
    assert diameters(x**2 + y**2 <= 30**2)[0] == pytest.approx(60, abs=0.5)


def test_masks_measured_against_the_cropped_square(tmp_path: Path) -> None:
    source, records = opened(write_set(tmp_path / "set", sides=(5, SQUARE, 20)))
    rows = lesion_pixels(source, records, 200)
    expected = 2 * np.sqrt(SQUARE**2 / np.pi) / FIELD  # the median of 5, 9 and 20
    for row in rows:
        assert row["pixels"] == pytest.approx(
            row["size"] * expected, rel=0.012
        )  # the outline is fitted at 256 px
        assert row["source"] == "median of 9 microaneurysms in 3 masks"
    (warning,) = vanishing(lesion_pixels(source, records, 70), 70)
    assert warning.message.endswith(" on (median of 9 microaneurysms in 3 masks)")


def test_a_part_of_many_masks_and_broken_ones_are_said_so(tmp_path: Path) -> None:
    folder = write_set(tmp_path / "set", masks=6, unknown=2)
    source, records = opened(folder)
    assert lesion_pixels(source, records, most=3)[0]["source"] == "median of 3 microaneurysms in 3 of 6 masks"
    assert "from anatomy" in lesion_pixels(source, records, most=0)[0]["source"]
    (folder / "2_MA.png").write_bytes(b"no picture")
    origin = lesion_pixels(source, records)[0]["source"]
    assert origin == "median of 5 microaneurysms in 5 of 6 masks; 1 could not be read"


def test_masks_without_a_lesion_leave_anatomy(tmp_path: Path) -> None:
    source, records = opened(write_set(tmp_path / "set", sides=()))
    assert "from anatomy" in lesion_pixels(source, records)[0]["source"]


def test_a_drawn_world_has_the_sizes_that_it_was_drawn_with(tmp_path: Path) -> None:
    world = World(WorldOptions(photographs=4, seed=3, faults=0.0))
    write_world(world, tmp_path / "world", 800)
    written, records = opened(tmp_path / "world")
    pieces = []
    for path in (tmp_path / "world/masks/MA").iterdir():
        labels, _ = ndimage.label(cv2.imread(str(path), cv2.IMREAD_GRAYSCALE), np.ones((3, 3)))
        pieces.append(np.bincount(labels.ravel())[1:])
    share = float(np.median(np.sqrt(4 / np.pi * np.concatenate(pieces)))) / 799  # the frame's field
    rows = lesion_pixels(written, records)
    assert [row["pixels"] for row in rows] == pytest.approx([row["size"] * share for row in rows], rel=0.01)
    unwritten = open_set("synthetic", None, world.options.model_dump())
    for found, size in ((rows, 800), (lesion_pixels(unwritten, world.records(Path(), 512)), 512)):
        expected = drawn_sizes(world, size)
        assert len(expected) > 30
        # drawing takes the outline's own sub-pixels, a mask every pixel covered by a sixth: 0.6 pixels on a side
        assert np.median(expected) < found[-1]["pixels"] / 1024 < np.median(expected) + 1.2 / size


def drawn_sizes(world: World, size: int) -> list[float]:
    """Diameters of the outlines that lie in the field, as shares of the field's diameter."""
    found = []
    for scene in map(world.scene, range(len(world))):
        frame = scene.frame(size)
        for outline in (line for one in scene.lesions if one.kind == "MA" for line in one.polygons):
            seen = outline @ frame.matrix[:, :2].T + frame.matrix[:, 2]
            if np.hypot(*(seen - frame.centre).T).max() < 0.97 * frame.radius:
                across = 2 * np.sqrt(cv2.contourArea(seen.astype(np.float32)) / np.pi)
                found.append(float(across / (2 * frame.radius)))
    return found
