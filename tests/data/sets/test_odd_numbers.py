"""Cells that look like numbers and are none, or none that a grade can be: refused in a line that names the file."""

from __future__ import annotations

import gzip
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from retinalab.data.sets import open_set
from retinalab.data.sets.blobs import map_size
from retinalab.errors import RetinalabError
from retinalab.testing import write_fake_set

ODD = {
    "thousands of digits": "9" * 5000,
    "beyond 64 bit": "9" * 30,
    "superscript": "²",
    "another script": "٣",
}
odd = pytest.mark.parametrize("cell", ODD.values(), ids=ODD.keys())


def refused(name: str, root: Path, words: str) -> None:
    with pytest.raises(RetinalabError, match=words) as raised:
        open_set(name, root).records()
    assert "\n" not in str(raised.value)
    assert len(str(raised.value)) < 600


@odd
def test_a_grade_of_ddr(tmp_path: Path, cell: str) -> None:
    root = write_fake_set("ddr", tmp_path, 6)
    file = next(root.rglob("train.txt"))
    lines = file.read_text(encoding="utf-8").splitlines()
    file.write_text("\n".join([f"{lines[0].split()[0]} {cell}", *lines[1:]]), encoding="utf-8")
    refused("ddr", root, r"train\.txt, line 1: ")


@odd
def test_a_grade_of_fgadr(tmp_path: Path, cell: str) -> None:
    root = write_fake_set("fgadr", tmp_path, 6)
    file = next(root.rglob("*.csv"))
    lines = file.read_text(encoding="utf-8").splitlines()
    file.write_text("\n".join([*lines[:-1], f"{lines[-1].partition(',')[0]},{cell}"]), encoding="utf-8")
    refused("fgadr", root, r"\.csv, row \d+: the grade of ")


def test_a_folder_named_by_another_scripts_digit(tmp_path: Path) -> None:
    root = write_fake_set("folders", tmp_path, 6)
    grade = next(path for path in root.rglob("*") if path.is_dir() and path.name.isdigit())
    grade.rename(grade.with_name("²"))
    refused("folders", root, "Unknown grade folder '²'")


@odd
def test_a_number_of_blobs_of_hei_med(tmp_path: Path, cell: str) -> None:
    root = write_fake_set("hei_med", tmp_path, 6)
    for file in root.rglob("*.GND"):
        file.write_bytes(b"GNDVERSION1.0\r\n" + cell.encode("utf-8") + b"\r\n")
    with pytest.raises(RetinalabError, match=r"\.GND is no readable GND file"):
        open_set("hei_med", root).records()


def test_a_map_that_unpacks_to_more_than_it_may(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("retinalab.data.sets.blobs._MOST", 1 << 16)
    bomb = tmp_path / "eye.map.gz"
    head = np.array([1, 4000, 4000], "<i4").tobytes()
    bomb.write_bytes(gzip.compress(head + bytes(4 * 4000 * 4000)))
    assert bomb.stat().st_size < 1 << 17
    tracemalloc.start()
    try:
        with pytest.raises(RetinalabError, match=r"eye\.map\.gz holds more than"):
            map_size(bomb)
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()
