"""Tables: written whole, read back equal, and refused with one line when they are not what they claim."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from retinalab.errors import RetinalabError
from retinalab.metrics import tables
from retinalab.metrics.tables import TableKind, complete_predictions, read_meta, read_table, write_table


def predictions() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "image": ["a.jpg", "b.jpg", "c.jpg"],
            "set": "made",
            "patient": ["7", "7", ""],
            "dr": [0, -1, 1],
            "dr_p0": [0.75, 0.5, 0.25],
            "dr_p1": [0.25, 0.5, 0.75],
            "dr_grade": [0, 0, 1],
            "dme": [1, 0, 2],
            "dme_score": [0.875, 0.125, 1.75],
            "dme_grade": [1, 0, 2],
            "lesion_MA": [1, 0, -1],
            "lesion_MA_p": [0.5, 0.25, np.nan],
            "lesion_MA_annotated": [True, True, False],
            "lesion_count": [2.5, 0.5, 0.0],
            "camera": ["x", "y", "x"],
            "age": [41.5, 60.0, np.nan],
        }
    )


def lesions() -> pd.DataFrame:
    numbers = {name: [1, 2] for name in ("tp", "fp", "fn", "hits", "misses", "false_components")}
    return pd.DataFrame(
        {"image": ["a", "a"], "set": "s", "part": "test", "group": "s/a", "lesion": ["MA", "HE"], **numbers}
        | {"hist_in": [np.arange(256)] * 2, "hist_out": [np.arange(256)[::-1]] * 2}
    )


def windows() -> pd.DataFrame:
    return pd.DataFrame(
        {"image": ["a"], "set": ["s"], "part": ["val"], "group": ["s/a"], "x": [0], "y": [64], "size": [68]}
        | {"label": [1], "p0": [0.25], "p1": [0.75], "grade": [1]}
    )


def test_predictions_come_back_as_they_were(tmp_path: Path) -> None:
    path = tmp_path / "predictions.parquet"
    write_table(predictions(), path, "predictions", {"protocol": {"diseases": {"dr": "binary"}}})
    back = read_table(path, "predictions")
    given = predictions()
    for column in given:
        np.testing.assert_array_equal(back[column].to_numpy(), given[column].to_numpy(), err_msg=column)
    assert back["group"].tolist() == ["made/7", "made/7", "made/c.jpg"]
    assert back["part"].tolist() == ["test"] * 3
    assert back["dr_p0"].dtype == np.float32
    assert back["dr"].dtype == np.int64
    assert back["lesion_MA_annotated"].dtype == bool
    assert read_meta(path) == {"protocol": {"diseases": {"dr": "binary"}}}
    assert [p.name for p in tmp_path.iterdir()] == ["predictions.parquet"]


def test_histograms_and_patches_come_back(tmp_path: Path) -> None:
    write_table(lesions(), tmp_path / "l", "lesions")
    write_table(windows(), tmp_path / "w", "windows")
    back = read_table(tmp_path / "l", "lesions")
    np.testing.assert_array_equal(np.stack(back["hist_out"].to_list()), np.tile(np.arange(256)[::-1], (2, 1)))
    assert back["fold"].tolist() == [-1, -1]
    assert read_table(tmp_path / "w", "windows")["p1"].tolist() == [0.75]


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "t.parquet"
    write_table(predictions(), path, "predictions")
    before = path.read_bytes()

    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(tables.pq, "write_table", fail)
    with pytest.raises(OSError, match="disk full"):
        write_table(predictions().head(1), path, "predictions")
    assert path.read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize(
    ("change", "kind", "message"),
    [
        (lambda t: t.drop(columns="image"), "predictions", "lacks column image, group"),
        (lambda t: t.drop(columns=["dr_p0"]), "predictions", "neither dr_p0"),
        (lambda t: t.assign(dr=[0.5, 1, 1]), "predictions", "column dr does not fit type int64"),
        (lambda t: t.assign(dr=[np.nan, 1, 1]), "predictions", "column dr does not fit type int64"),
        (lambda t: t, "lesions", "lacks column part"),
        (lambda t: t, "masks", "Unknown table 'masks'"),
    ],
)
def test_what_does_not_fit_is_not_written(tmp_path: Path, change, kind: TableKind, message: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(RetinalabError, match=message) as caught:
        write_table(change(predictions()), tmp_path / "t", kind)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    with pytest.raises(RetinalabError, match="No table at"):
        read_table(path, "predictions")
    path.write_text("image,dr\n")
    with pytest.raises(RetinalabError, match="not a Parquet file"):
        read_table(path, "predictions")
    path.write_bytes(b"")
    with pytest.raises(RetinalabError, match="not a Parquet file"):
        read_table(path, "predictions")
    write_table(lesions(), path, "lesions")
    with pytest.raises(RetinalabError, match="table of lesions, not of predictions"):
        read_table(path, "predictions")
    later = pa.table({"image": ["a"]}).replace_schema_metadata(
        {b"retinalab": json.dumps({"schema": 99}).encode()}
    )
    pq.write_table(later, path)
    with pytest.raises(RetinalabError, match="table schema 99, this retinalab reads up to 1"):
        read_table(path, "predictions")


def test_predictions_made_elsewhere_need_image_reference_and_prediction_only(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    predictions()[["image", "dr", "dr_p0", "dr_p1", "dr_grade"]].to_parquet(path)
    assert read_table(path, "predictions")["group"].tolist() == ["/a.jpg", "/b.jpg", "/c.jpg"]
    assert read_meta(path) == {}
    pq.write_table(pa.table({"picture": ["a"]}), path)
    with pytest.raises(RetinalabError, match="lacks column image"):
        read_table(path, "predictions")


def test_completion_leaves_what_is_there() -> None:
    given = predictions().assign(group="g", part="val", seed=3)
    full = complete_predictions(given)
    assert full["group"].tolist() == ["g"] * 3
    assert full["seed"].tolist() == [3] * 3
    assert "quality" not in given
