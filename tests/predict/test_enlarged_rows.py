"""A photograph smaller than the networks take says so in its row, on a resumed table too, and in the sum."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pyarrow.parquet as pq
import pytest

from retinalab.cli.predicted import Tally
from retinalab.predict.columnar import write_parquet
from retinalab.predict.photograph import Photograph
from retinalab.predict.predictor import Answer, Prediction, Predictor
from retinalab.predict.prepare import read_judged
from retinalab.predict.quality import Quality
from retinalab.predict.rows import Pictures, Rows
from retinalab.protocol import SCALES

ROWS = Rows({"dr": SCALES["referable"]}, frozenset(), ())


def prediction(enlarged: float) -> Prediction:
    return Prediction(Photograph("a.png", Path("a.png")), {"dr": Answer(1, (0.25, 0.75))}, enlarged=enlarged)


@pytest.mark.parametrize(("enlarged", "cell"), [(1.6, "1.60"), (1.0, ""), (0.3, "")])
def test_a_row_says_it_and_is_read_back(enlarged: float, cell: str) -> None:
    (cells,) = csv.reader([ROWS.line(prediction(enlarged), Pictures({}, {}))])
    assert dict(zip(ROWS.header, cells, strict=True))["enlarged"] == cell
    assert ROWS.prediction(cells, Photograph("a.png", Path("a.png"))).enlarged == max(1.0, enlarged)


def test_parquet_holds_numbers(tmp_path: Path) -> None:
    rows = [ROWS.line(prediction(factor), Pictures({}, {})) for factor in (1.6, 1.0)]
    (tmp_path / "a.csv").write_text(",".join(ROWS.header) + "\n" + "".join(rows))
    write_parquet(tmp_path / "a.csv", tmp_path / "a.parquet", ROWS.header, {})
    assert pq.read_table(tmp_path / "a.parquet")["enlarged"].to_pylist() == [1.6, None]


def test_the_field_of_view_decides_and_not_the_frame(tmp_path: Path) -> None:
    """A disc of 81 pixels in a frame of 200, shown to networks of 64 and 162 pixels."""
    colours = np.random.default_rng(0).integers(90, 200, (200, 200, 3), np.uint8)
    disc = cv2.circle(np.zeros((200, 200), np.uint8), (100, 100), 40, 1, -1)
    cv2.imwrite(str(tmp_path / "disc.png"), colours * disc[..., None])
    predictor = object.__new__(Predictor)
    predictor.gated = True
    judged = replace(read_judged(tmp_path / "disc.png", [64, 162]), quality=Quality("no fundus", "a disc"))
    (found,) = predictor._graded([Photograph("disc.png", tmp_path / "disc.png")], [judged], False, False)
    assert found.enlarged == pytest.approx(2, rel=0.05)


def test_the_sum_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    tally = Tally({"dr": SCALES["referable"]})
    for factor in (1.0, 1.6, 1.25, 0.5):
        tally.add(prediction(factor))
    tally.show()
    said = " ".join(capsys.readouterr().out.split())
    assert "enlarged to the networks' size, of 4: 2, up to 1.60 times, which shows nothing more" in said
