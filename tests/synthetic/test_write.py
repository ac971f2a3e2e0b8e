"""Files of the world read back as what was drawn, and the contact sheet."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from retinalab.errors import RetinalabError
from retinalab.records import LESIONS
from retinalab.synthetic import World, WorldOptions, contact_sheet, grade_record, write_world


def test_files_hold_what_was_drawn(tmp_path: Path) -> None:
    world = World(WorldOptions(photographs=6, seed=4))
    seen: list[tuple[int, int]] = []
    records = write_world(world, tmp_path, size=256, progress=lambda done, all_: seen.append((done, all_)))
    assert seen[-1] == (6, 6)
    table = pd.read_csv(tmp_path / "records.csv", keep_default_na=False)
    assert table["dr"].tolist() == [world.scene(index).dr for index in range(6)]
    for index in range(6):
        photograph = world.render(index, 256)
        image = cv2.imread(str(tmp_path / table.at[index, "image"]))
        assert image is not None
        np.testing.assert_array_equal(image[..., ::-1], photograph.image)
        for name, mask in zip(LESIONS, photograph.masks, strict=True):
            path = table.at[index, f"mask_{name}"]
            assert bool(path) == mask.any()
            if path:
                stored = cv2.imread(str(tmp_path / path), cv2.IMREAD_GRAYSCALE)
                np.testing.assert_array_equal(np.asarray(stored) > 0, mask)
        graded = grade_record(records, index, disc_diameter=photograph.disc_diameter)
        assert (graded.dr, graded.dme) == (table.at[index, "dr"], table.at[index, "dme"])
    with pytest.raises(RetinalabError, match=r"records\.csv exists already"):
        write_world(world, tmp_path)


def test_the_contact_sheet_has_a_row_for_everything() -> None:
    sheet = contact_sheet(size=48, columns=2)
    rows = 5 + 4 + 8 + 6
    assert sheet.shape[0] == rows * (48 + 22)
    assert sheet.dtype == np.uint8
    photographs = sheet.reshape(rows, 70, -1, 3)[:, 22:]
    assert (photographs.reshape(rows, -1).mean(axis=1) > 10).all()
