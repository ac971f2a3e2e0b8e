"""Masks against photographs: sizes, what is empty and whether it may be, and what lies outside the field."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from retinalab.data.check.findings import Finding
from retinalab.data.check.masks import masks, share_outside
from retinalab.data.check.photographs import look_at_all
from retinalab.data.fov import Fov
from retinalab.data.outline import Ellipse
from retinalab.data.sets import open_set
from retinalab.data.sets.base import PhotographSet
from retinalab.data.sets.fake import fake_mask, fake_photograph, write_csv

FIELD = Fov(100, 200, 50.0, 0.0, 100.0, Ellipse(100.0, 50.0, 50.0, 50.0), "black")


def test_share_outside_of_a_half_plane() -> None:
    mask = np.zeros((100, 200), dtype=bool)
    mask[48:52, :] = (
        True  # a band through the middle: 200 long, of which the field's diameter of 102 lies inside
    )
    assert share_outside(mask, FIELD) == pytest.approx(1 - 102 / 200, abs=0.01)
    assert share_outside(np.repeat(np.repeat(mask, 3, 0), 3, 1), FIELD) == pytest.approx(0.49, abs=0.01)
    shadow = Ellipse(-60.0, 50.0, 200.0, 200.0)
    for ellipse in (None, shadow):
        assert share_outside(mask, Fov(100, 200, 50.0, 0.0, 100.0, ellipse, "black")) is None


def looked_at(source: PhotographSet, absent: tuple[str, ...] = ()) -> list[Finding]:
    records = source.records(check=False)
    found, _ = masks(source, records, look_at_all(records), set(absent))
    return found


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Four photographs; masks of MA on three of them, of other bright things on one."""
    rows = [
        {"image": f"{n}.png", "mask_MA": f"ma/{n}.png" if n < 3 else "", "mask_other": ""} for n in range(4)
    ]
    for number, row in enumerate(rows):
        fake_photograph(tmp_path / row["image"], number)
        if row["mask_MA"]:
            fake_mask(tmp_path / row["mask_MA"], (48, 36))
    rows[3]["mask_other"] = "other/3.png"
    fake_mask(tmp_path / "other/3.png", (48, 36))
    write_csv(tmp_path / "records.csv", rows)
    return tmp_path


def blank(path: Path) -> None:
    Image.fromarray(np.zeros((72, 96), np.uint8)).save(path)


def test_masks_that_are_right_are_no_finding(folder: Path) -> None:
    assert looked_at(open_set("table", folder)) == []


def test_each_fault_of_a_mask(folder: Path) -> None:
    fake_mask(folder / "ma/0.png", (48, 36), shape=(96, 72))
    (folder / "ma/1.png").write_bytes(b"not a mask")
    blank(folder / "ma/2.png")
    fake_mask(folder / "other/3.png", (4, 4), radius=2)
    found = {one.images[0]: (one.kind, one.message) for one in looked_at(open_set("table", folder))}
    assert found["0.png"][0] == "mask-size"
    assert "72x96, the photograph 96x72" in found["0.png"][1]
    assert found["1.png"][0] == "unreadable"
    assert found["2.png"] == ("mask-empty", "ma/2.png")
    assert found["3.png"][0] == "mask-outside"
    assert "100%" in found["3.png"][1]
    assert len(looked_at(open_set("table", folder), absent=("ma/1.png",))) == 3


def test_an_empty_mask_is_right_where_the_labels_or_the_layout_say_so(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blank(folder / "ma/2.png")
    source = open_set("table", folder)
    assert [found.kind for found in looked_at(source)] == ["mask-empty"]
    with monkeypatch.context() as patched:
        patched.setattr(type(source), "writes_empty_masks", True)
        assert looked_at(source) == []
    rows = [{"image": f"{n}.png", "mask_MA": f"ma/{n}.png", "present_MA": int(n < 2)} for n in range(3)]
    write_csv(folder / "records.csv", rows)
    assert looked_at(open_set("table", folder)) == []


def test_a_mask_of_an_unreadable_photograph_is_still_opened(folder: Path) -> None:
    (folder / "0.png").write_bytes(b"")
    blank(folder / "ma/0.png")
    assert [(found.kind, found.images) for found in looked_at(open_set("table", folder))] == [
        ("mask-empty", ("0.png",))
    ]
