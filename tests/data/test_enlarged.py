"""Photographs that are smaller than the working size are counted and said."""

from __future__ import annotations

import re
from pathlib import Path

import cv2
import numpy as np
import pytest

from retinalab.config import DataConfig
from retinalab.data.check import check_set
from retinalab.data.enlarged import enlarged
from retinalab.data.parts import load_parts
from retinalab.data.sets import open_set
from retinalab.protocol import Protocol


@pytest.fixture
def discs(tmp_path: Path) -> Path:
    """Twelve photographs whose fields are discs: of 80 pixels, but for three of 40."""
    root = tmp_path / "discs"
    root.mkdir()
    rows = ["image,patient,dr"]
    for number in range(12):
        radius = 20 if number < 3 else 40
        image = np.zeros((100, 120, 3), np.uint8)
        colours = np.random.default_rng(number).integers(90, 200, image.shape, np.uint8)
        disc = cv2.circle(np.zeros(image.shape[:2], np.uint8), (60, 50), radius, 1, -1).astype(bool)
        image[disc] = colours[disc]
        cv2.imwrite(str(root / f"{number}.png"), image)
        rows.append(f"{number}.png,p{number},{number % 5}")
    (root / "labels.csv").write_text("\n".join(rows) + "\n")
    return root


def test_nothing_is_said_where_nothing_is_enlarged() -> None:
    assert enlarged(np.array([64.0, 65.0, np.nan]), 64, "a") == ""
    assert enlarged(np.array([]), 64, "a") == ""


def test_the_smallest_tells_how_much() -> None:
    said = enlarged(np.array([32.0, 40.0, 64.0]), 64, "a")
    assert said == (
        "enlarged: 2 of 3 photographs of a to data.size=64 from 32-40 pixels (median 36), up to 2.00 times"
    )
    assert "from 32 pixels, up" in enlarged(np.array([32.0]), 64, "a")


def test_a_preparation_notes_it(discs: Path, tmp_path: Path) -> None:
    data = DataConfig(
        set="table", root=discs, size=64, cache=tmp_path / "cache", options={"file": "labels.csv"}
    )
    notes = [
        note for note in load_parts(data, Protocol(diseases={"dr": "icdr5"}), {}).notes if "enlarged" in note
    ]
    (note,) = notes
    assert re.match(
        r"enlarged: 3 of 12 photographs of table to data.size=64 from (39|40|41) pixels, up to 1\.", note
    )
    small = data.model_copy(update={"size": 32})
    assert not [n for n in load_parts(small, Protocol(diseases={"dr": "icdr5"}), {}).notes if "enlarged" in n]


def test_a_check_finds_them_where_a_size_is_asked_for(discs: Path) -> None:
    source = open_set("table", discs, {"file": "labels.csv"})
    found = [one for one in check_set(source, size=64).findings if one.kind == "enlarged"]
    assert [one.images for one in found] == [("0.png", "1.png", "2.png")]
    assert "3 of 12 photographs" in found[0].message
    assert not [one for one in check_set(source).findings if one.kind == "enlarged"]
