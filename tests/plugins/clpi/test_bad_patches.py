"""Photographs that give no training patches: exit status 2 and one line that names what is wrong."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from retinalab.cli import main
from retinalab.data.sets.fake import fake_mask, fake_photograph
from retinalab.testing import write_fake_set

TRAIN = "a. Training Set"
MASKS = Path("A. Segmentation/2. All Segmentation Groundtruths")
IMAGES = Path("A. Segmentation/1. Original Images")


def without_haemorrhages(root: Path) -> None:
    for path in (root / MASKS).glob("*/2. Haemorrhages/*"):
        path.unlink()


def with_a_small_photograph(root: Path) -> None:
    fake_photograph(root / IMAGES / TRAIN / "IDRiD_03.jpg", 77, shape=(60, 80))
    for path in (root / MASKS / TRAIN).glob("*/IDRiD_03_*"):
        fake_mask(path, (40, 30), shape=(60, 80))


def with_a_mask_of_another_size(root: Path) -> None:
    fake_mask(root / MASKS / TRAIN / "3. Hard Exudates/IDRiD_02_EX.tif", (20, 20), shape=(50, 60))


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        (without_haemorrhages, ["no window of class HE: ", " EX, 0 HE, ", "Add photographs"]),
        (
            with_a_small_photograph,
            ["smaller than a window of 68 pixels", "IDRiD_03.jpg'", "field of view", "lower"],
        ),
        (
            with_a_mask_of_another_size,
            ["IDRiD_02.jpg: ", "IDRiD_02_EX.tif", "60x50", "144x108", "data.unreadable=exclude"],
        ),
    ],
)
def test_one_clear_line(
    broken: Callable[[Path], None], words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = write_fake_set("idrid", tmp_path / "set")
    broken(root)
    places = [f"data.root={root}", f"data.cache={tmp_path / 'cache'}", f"output={tmp_path / 'runs'}"]
    given = ["exp", "clpi", "idrid-patches", *places, "--smoke"]
    assert main(given) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("retinalab: ")]
    assert len(lines) == 1
    for word in words:
        assert word in lines[0]
    assert not (tmp_path / "runs").exists()
