"""The clinical reading on a run's page: the same figures as in the reading, and what could not be read."""

from __future__ import annotations

import re
from collections.abc import Callable
from html import unescape
from pathlib import Path

import pandas as pd
import pytest

from retinalab.metrics import read_table, write_table
from retinalab.metrics.clinical import Options, read_clinically
from retinalab.report import write_report
from retinalab.report.clinical import clinical_section
from retinalab.report.folder import read_run
from retinalab.report.numbers import interval

MakeRun = Callable[..., Path]
FEW = Options(resamples=30)


def text_of(page: str) -> str:
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", page)).split())


def test_the_page_shows_what_was_read(make_run: MakeRun) -> None:
    folder = make_run(diseases={"dr": "icdr5"})
    page = write_report(folder).read_text(encoding="utf-8")
    section = re.search(r'<section id="clinical">.*?</section>', page, re.S)
    assert section
    shown = text_of(section[0])
    run = read_run(folder)
    reading = read_clinically(run.predictions, run.scales).sets[0].diseases[0]
    for target in reading.targets:
        assert f"DR: {target.name} (grade ≥ {target.lowest})" in shown
        assert f"{target.positive} of {target.photographs} photographs; AUC {interval(target.auc)}" in shown
        for point in target.points:
            assert interval(point.figures["sensitivity"]) in shown
            assert interval(point.figures["npv_stated"]) in shown
        for figures in (target.calibration.before, target.calibration.after):
            assert interval(figures["slope"]) in shown
    assert "Worse eye of 30 patients" in shown
    assert "No tested photograph is marked ungradable." in shown
    assert "No lesion is annotated here or their masks were not loaded" in shown
    assert "By eye" in shown
    assert '<a href="#clinical">' in page


def test_the_reliability_diagram_has_a_dot_and_whisker_for_each_bin(make_run: MakeRun) -> None:
    run = read_run(make_run(diseases={"dr": "icdr5"}))
    section = clinical_section(run, FEW)
    assert section is not None
    drawn = section.sets[0][1][0].targets[0].chart
    assert drawn is not None
    reading = read_clinically(run.predictions, run.scales, FEW).sets[0].diseases[0].targets[0].calibration
    assert [len(reading.bins_before), len(reading.bins_after)] == [6, 6]
    assert len(drawn.dots) == 12
    left, top, right, bottom = drawn.box
    for (series, x, y, whisker), one in zip(drawn.dots, reading.bins_before, strict=False):
        assert series == 0
        assert (x - left) / (right - left) == pytest.approx(one.predicted, abs=1e-3)
        assert (bottom - y) / (bottom - top) == pytest.approx(one.observed["value"], abs=1e-3)
        assert whisker is not None
    assert [text for _, text in drawn.legend] == ["as predicted", "after temperature scaling"]


def test_a_regression_has_points_and_no_diagram(make_run: MakeRun) -> None:
    section = clinical_section(read_run(make_run(diseases={"dr": "icdr5"}, regression=True)), FEW)
    assert section is not None
    target = section.sets[0][1][0].targets[0]
    assert target.chart is None
    assert target.calibration is None
    assert "not applicable" in target.calibration_note
    assert len(target.points.rows) == 6


def test_lesions_that_contradict_a_grade_are_listed_for_review(make_run: MakeRun) -> None:
    folder = make_run(diseases={"dr": "icdr5"}, names={7: "<script>alert(1)</script>.jpg"})
    table = read_table(folder / "predictions.parquet", "predictions")
    lesions = {f"lesion_{x}": 0 for x in ("HE", "EX", "SE", "VH", "PH", "NV", "FP")} | {"lesion_MA": 1}
    scores = {f"{name}_p": 0.9 * value for name, value in lesions.items()}
    told = table.assign(**lesions, **scores, **{f"{name}_annotated": True for name in lesions})
    write_table(told, folder / "predictions.parquet", "predictions")
    section = clinical_section(read_run(folder), FEW)
    assert section is not None
    disease = section.sets[0][1][0]
    wrong = told[(told["part"] == "test") & (told["dr_grade"] != 1)]
    title, listed = disease.lists[0]
    assert title == f"{len(wrong)} photographs in which annotated lesions contradict the network’s grade"
    assert {name for name, _ in listed.rows} == set(wrong["image"])
    assert all(cells[1] == "1" and cells[3] == "MA" for _, cells in listed.rows)
    assert "<script>alert" not in write_report(folder).read_text(encoding="utf-8")


def test_ungradable_photographs_of_the_run_are_counted(make_run: MakeRun) -> None:
    folder = make_run(diseases={"dr": "icdr5"})
    dark = pd.DataFrame({"image": ["dark.jpg"], "set": "made", "part": "test", "dr": 3, "gradable": False})
    write_table(dark, folder / "ungradable.parquet", "predictions")
    section = clinical_section(read_run(folder), FEW)
    assert section is not None
    disease = section.sets[0][1][0]
    assert disease.ungradable_note.startswith("1 of 61 photographs is ungradable.")
    assert [name for name, _ in disease.ungradable[0][1].rows] == ["left out", "counted as referred"]


def test_a_run_that_grades_nothing_has_no_such_section(make_run: MakeRun) -> None:
    folder = make_run()
    (folder / "predictions.parquet").unlink()
    assert clinical_section(read_run(folder)) is None
