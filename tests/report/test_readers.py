"""Readers' operating points: what a file may hold, where they are drawn, and the numbers beside them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_curve

from retinalab.cli import main
from retinalab.errors import RetinalabError
from retinalab.metrics import read_table
from retinalab.protocol import SCALES
from retinalab.report import write_report
from retinalab.report.figures import roc
from retinalab.report.readers import Reading, read_readers, targets
from tests.report.test_page import Page

MakeRun = Callable[..., Path]
HEAD = "disease,reader,sensitivity,specificity"
SCALES_OF = {"dr": SCALES["icdr5"], "dme": SCALES["binary"]}


def read(tmp_path: Path, text: str) -> tuple[Reading, ...]:
    file = tmp_path / "given.csv"
    file.write_text(text, encoding="utf-8")
    return read_readers(file, SCALES_OF, ["clinic", "messidor2", "low_quality"])


def test_shares_and_percent_signs_and_several_points_of_one_reader(tmp_path: Path) -> None:
    text = "\ufeffDisease, reader ,sensitivity,specificity,set,target\n"
    text += 'dr,"Smith, A.",0.92,95 %,,\n\nDR,B,100%,0,low-quality,any\nDR,B,0.5,1,messidor2,referable\ndme,B,0.5,1,,\n'
    assert read(tmp_path, text) == (
        Reading("dr", "Smith, A.", 0.92, 0.95, "", "referable"),
        Reading("dr", "B", 1.0, 0.0, "low_quality", "any"),
        Reading("dr", "B", 0.5, 1.0, "messidor2", "referable"),
        Reading("dme", "B", 0.5, 1.0, "", "present"),
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            f"{HEAD}\ndr,A,92,0.9\n",
            r"given.csv, line 2: sensitivity is 92, not a share .*Write 92%, or 0.92\.$",
        ),
        (f"{HEAD}\ndr,A,0.9,1.01\n", r"line 2: specificity is 1.01, not a share between 0 and 1"),
        (f"{HEAD}\ndr,A,-0.1,0.9\n", r"sensitivity is -0.1, not a share"),
        (f"{HEAD}\ndr,A,0.9,120%\n", r"specificity is 120%, not a share"),
        (f"{HEAD}\ndr,A,nan,0.9\n", r"sensitivity is nan, not a share"),
        (f"{HEAD}\ndr,A,high,0.9\n", r"sensitivity is 'high', not a number"),
        (f"{HEAD}\ndr,A,,0.9\n", r"sensitivity is '', not a number"),
        (f"{HEAD}\ndr,,0.9,0.9\n", r"line 2: column reader is empty"),
        (f"{HEAD}\ndr,A,0.9\n", r"line 2: not the 4 cells of the header"),
        (f"{HEAD}\ndr,A,0,92,0.9\n", r"line 2: not the 4 cells of the header"),
        (f"{HEAD}\nrd,A,0.9,0.9\n", r"Unknown disease 'rd'\. Did you mean 'dr'\?.*line 2"),
        (f"{HEAD},set\ndr,A,0.9,0.9,mesidor2\n", r"Unknown data set 'mesidor2'\. Did you mean 'messidor2'"),
        (f"{HEAD},target\ndme,A,0.9,0.9,referable\n", r"Unknown target 'referable'.*dme is graded on binary"),
        (f"{HEAD},taget\ndr,A,0.9,0.9,any\n", r"Unknown column 'taget'\. Did you mean 'target'"),
        (f"{HEAD},reader\ndr,A,0.9,0.9,B\n", r"Unknown column 'reader'.*Remove the copy"),
        (
            "disease,reader,sensitivity\ndr,A,0.9\n",
            r"lacks column specificity; it has disease, reader, sensit",
        ),
        (f"{HEAD}\n", r"holds no reader"),
        ("", r"lacks column disease, reader, sensitivity, specificity; it has none"),
    ],
)
def test_what_is_no_operating_point_is_refused_in_one_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(RetinalabError, match=message) as caught:
        read(tmp_path, text)
    assert "\n" not in str(caught.value)


def test_no_file_and_no_text(tmp_path: Path) -> None:
    with pytest.raises(RetinalabError, match=r"No file .*absent\.csv of readers"):
        read_readers(tmp_path / "absent.csv", SCALES_OF, ["clinic"])
    (tmp_path / "given.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(RetinalabError, match="is no readable CSV"):
        read_readers(tmp_path / "given.csv", SCALES_OF, ["clinic"])


def test_targets_follow_from_the_scale() -> None:
    assert targets(SCALES["messidor4"]) == {"referable": 2, "any": 1}
    assert targets(SCALES["referable"]) == {"referable": 1}
    assert targets(SCALES["binary"]) == {"present": 1}


def test_a_mark_stands_at_the_readers_point(make_run: MakeRun) -> None:
    rows = read_table(make_run() / "predictions.parquet", "predictions")
    readings = [
        Reading("dr", name, s, c, "", "any") for name, s, c in (("A", 0.9, 0.8), ("B", 0, 1), ("A", 1, 0))
    ]
    drawn = roc(rows[rows["part"] == "test"], "dr", SCALES["icdr5"], None, readings, "any")
    assert drawn is not None
    assert drawn.title == "DR: any (grade ≥ 1)"
    assert drawn.mark_legend == [(0, "A"), (1, "B")]
    left, top, right, bottom = drawn.box
    places = [
        (kind, (x - left) / (right - left), (bottom - y) / (bottom - top)) for kind, x, y in drawn.marks
    ]
    np.testing.assert_allclose(places, [(0, 0.2, 0.9), (1, 0, 0), (0, 1, 1)], atol=1e-3)


def test_the_report_sets_the_networks_figures_beside_each_reader(make_run: MakeRun) -> None:
    folder = make_run(sets=("made", "messidor2"))
    (folder / "readers.csv").write_text(
        f"{HEAD},set,target\ndr,<b>A</b>,0.99,0.8,,\ndr,B,0.1,0.7,messidor2,any\ndme,B,0.9,0.7,,\n"
    )
    write_report(folder)
    page = Page(folder / "report.html")
    table = read_table(folder / "predictions.parquet", "predictions")
    rows = {row[0]: row for row in page.rows if len(row) == 5 and row[0] in ("<b>A</b>", "B")}
    test = table[(table["part"] == "test") & (table["set"] == "made")]
    false, true, _ = roc_curve(
        test["dr"] >= 2, test[["dr_p2", "dr_p3", "dr_p4"]].sum(axis=1), drop_intermediate=False
    )
    low = true[false <= 0.2 + 1e-9].max()
    at, after = false[false <= 0.2 + 1e-9].max(), false[false > 0.2 + 1e-9].min()
    expected = low + (0.2 - at) / (after - at) * (true[false == after].min() - low)
    assert rows["<b>A</b>"][1] == "0.990"
    assert rows["<b>A</b>"][2].startswith(f"{expected:.3f} [")
    assert rows["<b>A</b>"][3] == "0.800"
    assert page.text.count("Readers and the network:") == 3
    for title in ("DR, referable (grade ≥ 2)", "DR, any (grade ≥ 1)", "DME, referable (grade ≥ 2)"):
        assert f"Readers and the network: {title}" in page.text
    assert page.text.count("DR: any (grade ≥ 1)") == 1
    assert "<b>A</b>" not in page.source


def test_readers_cannot_be_compared_where_there_is_no_curve(make_run: MakeRun) -> None:
    folder = make_run(diseases={"dr": "icdr5"})
    table = read_table(folder / "predictions.parquet", "predictions")
    table.assign(dr=table["dr"].clip(lower=1)).to_parquet(folder / "predictions.parquet")
    (folder / "readers.csv").write_text(f"{HEAD},target\ndr,A,0.9,0.8,any\n")
    write_report(folder)
    page = Page(folder / "report.html")
    assert "DR: no ROC, since the references lie on one side of any." in page.text
    assert "Readers and the network" not in page.text


def test_the_command_keeps_a_copy_that_later_reports_are_drawn_from(
    make_run: MakeRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = make_run()
    file = tmp_path / "mine.csv"
    file.write_text(f"{HEAD}\ndr,A,0.9,0.8\n")
    assert main(["report", str(folder), "--readers", str(file)]) == 0
    file.unlink()
    assert main(["report", str(folder), "--readers", str(folder / "readers.csv")]) == 0
    assert main(["report", str(folder)]) == 0
    assert "Readers and the network" in (folder / "report.html").read_text(encoding="utf-8")
    capsys.readouterr()
    before = (folder / "readers.csv").read_text()
    file.write_text(f"{HEAD},set\ndr,A,0.9,0.8,aptos\n")
    assert main(["report", str(folder), "--readers", str(file)]) == 2
    assert capsys.readouterr().err == (
        "retinalab: Unknown data set 'aptos'. Choices: made. Correct mine.csv, line 2, or test on it: "
        "test.sets=[aptos].\n"
    )
    assert (folder / "readers.csv").read_text() == before
