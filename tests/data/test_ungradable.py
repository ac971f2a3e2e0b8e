"""Ungradable photographs: those of tested patients are kept aside, with what is known of them."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from retinalab.config import DataConfig, TestConfig
from retinalab.data.parts import Parts, identity, load_parts
from retinalab.protocol import Protocol


@pytest.fixture
def root(fake_sets: Path, tmp_path: Path) -> Path:
    """The drawn table with three ungradable photographs, one of them alone of its patient."""
    folder = tmp_path / "table"
    folder.mkdir()
    source = fake_sets / "table"
    records = pd.read_csv(source / "records.csv")
    (folder / "images").symlink_to(source / "images")
    records["gradable"] = 1
    records.loc[[4, 9, 30], "gradable"] = 0
    records.loc[30, "patient"] = 999
    records = records.drop(columns=["part", "split"], errors="ignore")
    records.to_csv(folder / "records.csv", index=False)
    return folder


def loaded(root: Path, cache: Path, **protocol: object) -> Parts:
    data = DataConfig(set="table", root=root, size=32, cache=cache)
    given = Protocol.model_validate({"diseases": {"dr": "icdr5"}, **protocol})
    return load_parts(data, given, {}, fold=0 if "split" in protocol else None, folds=3)


def test_by_patient_they_follow_their_other_photographs(root: Path, tmp_path: Path) -> None:
    records = pd.read_csv(root / "records.csv")
    poor = records[records["gradable"] == 0]
    parts = loaded(root, tmp_path / "cache", split="folds")
    (part,) = parts.tests.values()
    tested = set(part.records.table["patient"].astype(int))
    expected = set(poor.loc[poor["patient"].isin(tested), "image"])
    assert set(parts.ungradable["image"] if len(parts.ungradable) else []) == expected
    assert not set(part.records.table["image"]) & set(poor["image"])
    assert any(
        "ungradable photographs of table whose patient is in no part, counted nowhere: 1" in note
        for note in parts.notes
    )


def test_over_the_folds_each_is_tested_once(root: Path, tmp_path: Path) -> None:
    data = DataConfig(set="table", root=root, size=32, cache=tmp_path / "cache")
    protocol = Protocol(diseases={"dr": "icdr5"}, split="folds")
    records = pd.read_csv(root / "records.csv")
    every = [load_parts(data, protocol, {}, fold=fold, folds=3).ungradable for fold in range(3)]
    whole = pd.concat(every)
    assert sorted(whole["image"]) == sorted(records["image"][[4, 9]])
    assert whole["dr"].tolist() == [
        records["dr"][records["image"] == image].item() for image in whole["image"]
    ]
    assert not whole["gradable"].any()
    assert (whole["part"] == "test").all()


def test_a_further_set_is_tested_whole(root: Path, tmp_path: Path, fake_sets: Path) -> None:
    data = DataConfig(set="dr600", root=fake_sets / "dr600", size=32, cache=tmp_path / "cache")
    parts = load_parts(data, Protocol(diseases={"dr": "icdr5"}), {"table": root}, TestConfig(sets=("table",)))
    assert sorted(parts.ungradable["image"]) == sorted(pd.read_csv(root / "records.csv")["image"][[4, 9, 30]])
    assert (parts.ungradable["set"] == "table").all()


def test_where_the_protocol_includes_them_they_are_marked(root: Path, tmp_path: Path) -> None:
    parts = loaded(root, tmp_path / "cache", split="folds", ungradable="include")
    assert not len(parts.ungradable)
    frames = [identity(part) for part in (parts.train, parts.val, *parts.tests.values())]
    marked = [frame.loc[~frame["gradable"], "image"] for frame in frames if "gradable" in frame]
    assert sorted(pd.concat(marked)) == sorted(pd.read_csv(root / "records.csv")["image"][[4, 9, 30]])
