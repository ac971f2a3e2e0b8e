"""Label files as other programs write them, and folders of the layout that are not where they should be."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from retinalab.data.sets.files import need
from retinalab.data.sets.label_files import integers, read_csv
from retinalab.errors import RetinalabError


def refusal(path: Path, text: str) -> str:
    path.write_text(text)
    with pytest.raises(RetinalabError) as error:
        read_csv(path, ("image", "dr"))
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("mark", [";", "\t", "|"])
def test_another_separator_is_named(tmp_path: Path, mark: str) -> None:
    told = refusal(tmp_path / "labels.csv", f"image{mark}dr\na.jpg{mark}1\n")
    assert f"separates its columns with {mark!r}" in told
    assert "with commas" in told


@pytest.mark.parametrize("header", ["image,dr,dr", "image,dr,dr ", '"image", dr,"dr"', "\n\nimage,dr,dr"])
def test_two_columns_of_one_name_are_refused(tmp_path: Path, header: str) -> None:
    told = refusal(tmp_path / "labels.csv", f"{header}\na.jpg,1,2\n")
    assert "has 2 columns 'dr'" in told


def test_blank_columns_are_no_columns_of_one_name(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_text("image,,dr,\na.jpg,,1,\n", encoding="utf-8-sig")
    assert read_csv(path).to_dict("list") == {"image": ["a.jpg"], "dr": ["1"]}


def test_a_file_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pandas.read_csv", refuse)
    told = refusal(tmp_path / "labels.csv", "image,dr\n")
    assert "labels.csv cannot be read (Permission denied). Check its permissions." in told


def test_a_label_file_one_level_off_is_found(tmp_path: Path) -> None:
    (tmp_path / "set" / "images").mkdir(parents=True)
    (tmp_path / "set" / "records.csv").write_text("image\n")
    for given in (tmp_path, tmp_path / "set" / "images"):
        with pytest.raises(RetinalabError, match=rf"one of that name lies in {tmp_path / 'set'}\."):
            need(given / "records.csv")
    with pytest.raises(RetinalabError, match="complete the copy"):
        need(tmp_path / "set" / "labels.csv")


@pytest.mark.parametrize("cell", ["9" * 30, "-" + "9" * 30, "9" * 19, "1.5", "inf", "9" * 400])
def test_a_cell_beyond_any_whole_number_is_refused(cell: str) -> None:
    table = pd.DataFrame({"dr": ["1", cell]})
    with pytest.raises(RetinalabError, match=r"labels\.csv, row 3: dr is '.*', not a whole number"):
        integers(table, "dr", Path("labels.csv"))
    assert integers(table[:1], "dr", Path("labels.csv")).tolist() == [1]
