"""Finding what a Kaggle list names: folders, suffixes, wrong roots."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from retinalab.data.sets.kaggle import bare_names, locate, need_labels
from retinalab.errors import RetinalabError

FOLDERS = ("train", "train/train", "")


def touch(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def test_bare_names() -> None:
    cells = pd.Series(["10_left", "10_left.jpeg", r"train\10_left.JPG", "a/b/x.y.png", "v1.2"])
    assert bare_names(cells).tolist() == ["10_left", "10_left", "10_left", "x.y", "v1.2"]


def test_first_folder_and_official_suffix_go_first(tmp_path: Path) -> None:
    root = touch(tmp_path, "train/a.png", "train/a.jpeg", "train/train/a.jpeg", "train/train/b.jpg", "c.jpeg")
    touch(root, "train/d.txt", "train/train/e.jpeg")
    found = locate(root, pd.Series(["a", "b", "c", "d"]), FOLDERS, ".jpeg", root / "list.csv")
    assert found.tolist() == ["train/a.jpeg", "train/train/b.jpg", "c.jpeg", "train/d.jpeg"]


def test_absent_photographs_are_expected_where_the_others_lie(tmp_path: Path) -> None:
    root = touch(tmp_path, "train/train/a.jpeg", "train/train/b.jpeg", "c.jpeg")
    found = locate(root, pd.Series(["a", "b", "c", "z"]), FOLDERS, ".jpeg", root / "list.csv")
    assert found.tolist()[-1] == "train/train/z.jpeg"
    flat = touch(tmp_path / "flat", "a.jpeg")
    assert locate(flat, pd.Series(["a", "z"]), FOLDERS, ".jpeg", root / "x").tolist() == ["a.jpeg", "z.jpeg"]


def test_nothing_anywhere_says_where_was_looked(tmp_path: Path) -> None:
    root = touch(tmp_path, "list.csv", "pictures/a.jpeg")
    with pytest.raises(RetinalabError) as caught:
        locate(root, pd.Series(["a", "b"]), FOLDERS, ".jpeg", root / "list.csv", "Or do without.")
    line = str(caught.value)
    assert "holds none of the 2 photographs that list.csv lists, such as 'a.jpeg'" in line
    assert "looked in 'train' and 'train/train' and the folder itself" in line
    assert "found there: 'list.csv', 'pictures/'" in line
    assert line.endswith("Or do without.")


def test_wrong_root_and_packed_labels(tmp_path: Path) -> None:
    root = touch(tmp_path / "set", "labels.csv", "train/a.jpeg")
    assert need_labels(root, "labels.csv", "train", "Set") == root / "labels.csv"
    for wrong in (root / "train", tmp_path):
        with pytest.raises(
            RetinalabError, match=r"no folder 'train' of Set; found there: .*give that folder"
        ) as e:
            need_labels(wrong, "labels.csv", "train", "Set")
        assert f"It lies in {root}" in str(e.value)
    (root / "labels.csv").rename(root / "labels.csv.zip")
    with pytest.raises(RetinalabError, match=r"holds 'labels.csv' only as 'labels.csv.zip'. Unpack it"):
        need_labels(root, "labels.csv", "train", "Set")
    (root / "labels.csv.zip").rename(root / "label.csv")
    with pytest.raises(RetinalabError, match=r"Unknown file 'labels.csv'. Did you mean 'label.csv'"):
        need_labels(root, "labels.csv", "train", "Set")
