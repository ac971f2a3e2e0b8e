"""Whatever is wrong with the input: exit status 2, one clear line that names it, nothing half-written."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from retinalab.cli import main
from retinalab.testing import write_fake_set

Break = Callable[[Path], None]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_fake_set("table", tmp_path / "set", 32)


def said(capsys: pytest.CaptureFixture[str], words: list[str]) -> list[str]:
    """Run a command that must fail; its lines on standard error."""
    assert main(words) == 2
    captured = capsys.readouterr()
    return [line for line in captured.err.splitlines() if line.startswith("retinalab: ")]


def command(tmp_path: Path, root: Path, *more: str) -> list[str]:
    folders = [f"output={tmp_path / 'runs'}", f"data.cache={tmp_path / 'cache'}", f"data.root={root}"]
    return ["exp", "madeup", "one", *folders, "data.size=32", *more]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["exp", "madup"], ["Unknown paper 'madup'", "Did you mean 'madeup'?", "Install one"]),
        (["exp", "madeup", "wole"], ["Unknown experiment 'wole'", "Did you mean 'whole'?"]),
        (["exp", "madeup"], ["Unknown experiment 'synthetic'", "apart, one, rounds, whole"]),
        (["exp", "madeup", "one", "train.task.widht=3"], ["widht", "did you mean", "width"]),
        (["exp", "madeup", "one", "train.task.width=0"], ["width='0'", "greater than or equal to 1"]),
        (["exp", "madeup", "one", "two"], ["Unexpected 'two'"]),
        (["exp", "madeup", "one", "--smok"], ["Unexpected '--smok'"]),
        (["exp", "madeup", "one", "data.set=tabel"], ["Unknown data set 'tabel'", "Did you mean 'table'?"]),
        (["exp", "madeup", "one"], ["'table' needs its folder", "data.root=PATH"]),
        (["exp", "madeup", "one", "data.root=/no/such"], ["No folder /no/such"]),
        (["exp", "madeup", "nowhere.yaml"], ["nowhere.yaml does not exist"]),
        (["show", "madup"], ["Unknown paper 'madup'"]),
        (["data", "index", "tabel"], ["Unknown data set 'tabel'"]),
        (["data", "index", "table"], ["needs its folder"]),
        (["evaluate", "nothing.csv"], ["No file nothing.csv"]),
        (["evaluate", "nothing.parquet"], ["nothing.parquet"]),
        (["report", "nowhere"], ["nowhere is no finished run"]),
        (["data", "synth"], ["--out FOLDER"]),
    ],
    ids=lambda value: (
        " ".join(value) if value and value[0] in ("exp", "show", "data", "evaluate", "report") else ""
    ),
)
def test_words_that_name_nothing(
    made_up: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    expected: list[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    lines = said(capsys, words)
    assert len(lines) == 1
    for word in expected:
        assert word in lines[0]
    assert list(tmp_path.iterdir()) == []


def rewrite(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def truncated(root: Path) -> None:
    path = root / "images/003.jpg"
    path.write_bytes(path.read_bytes()[:900])


def one_pixel(root: Path) -> None:
    cv2.imwrite(str(root / "images/003.jpg"), np.full((1, 1, 3), 200, np.uint8))


DAMAGES: dict[str, tuple[Break, list[str]]] = {
    "label file absent": (lambda root: (root / "records.csv").unlink(), ["records.csv", "complete the copy"]),
    "label file empty": (lambda root: (root / "records.csv").write_text(""), ["records.csv", "no readable CSV"]),
    "labels without rows": (
        lambda root: (root / "records.csv").write_text("image,dr,dme\n"),
        ["records.csv lists no photograph"],
    ),
    "column absent": (
        lambda root: rewrite(root / "records.csv", "image,", "picture,"),
        ["Unknown column 'image'", "records.csv", "columns.image=NAME"],
    ),
    "grade outside its scale": (
        lambda root: rewrite(root / "records.csv", "right,0,0", "right,7,0"),
        ["records.csv", "dr grade 7 of 'images/000.jpg'", "icdr5 has 0-4"],
    ),
    "grade that is no number": (
        lambda root: rewrite(root / "records.csv", "right,0,0", "right,mild,0"),
        ["records.csv, row 2", "'mild'"],
    ),
    "listed twice": (
        lambda root: rewrite(root / "records.csv", "images/001.jpg", "images/000.jpg"),
        ["lists 'images/000.jpg' twice"],
    ),
    "listed and absent": (
        lambda root: (root / "images/003.jpg").unlink(),
        ["'images/003.jpg', which is absent", "Complete the copy or remove the rows"],
    ),
    "part unknown": (lambda root: rewrite(root / "records.csv", ",train", ",trian"), ["'trian'", "train"]),
    "file empty": (lambda root: (root / "images/003.jpg").write_bytes(b""), ["003.jpg is empty (0 bytes)"]),
    "JPEG truncated": (truncated, ["003.jpg is truncated or damaged"]),
    "text named .jpg": (
        lambda root: (root / "images/003.jpg").write_text("hello"),
        ["003.jpg is text, not an image"],
    ),
    "one pixel": (one_pixel, ["003.jpg is 1x1 pixels", "at least 32"]),
    "black": (
        lambda root: cv2.imwrite(str(root / "images/003.jpg"), np.zeros((64, 64, 3), np.uint8)),
        ["003.jpg shows no field of view"],
    ),
    "no images": (lambda root: shutil.rmtree(root / "images"), ["images/000.jpg", "absent"]),
}  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_sets(
    made_up: None, root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], damage: str
) -> None:
    harm, expected = DAMAGES[damage]
    harm(root)
    lines = said(capsys, command(tmp_path, root))
    assert len(lines) == 1
    for word in expected:
        assert word in lines[0]
    assert not (tmp_path / "runs").exists()
    assert not list(tmp_path.rglob("*.tmp"))


def test_a_photograph_that_is_not_listed_is_a_note(
    made_up: None, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(root / "images/000.jpg", root / "images/extra.jpg")
    assert main(["data", "index", "table", "--root", str(root)]) == 0
    out = capsys.readouterr().out
    assert "1 photographs lie in" in out
    assert "extra.jpg" in out


def test_unreadable_photographs_may_be_left_out_counted_and_listed(
    made_up: None, root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    truncated(root)
    words = command(tmp_path, root, "data.unreadable=exclude", "train.trainer.max_epochs=1")
    assert main(words) == 0
    (known,) = (tmp_path / "runs").rglob("provenance.json")
    assert "1 unusable photographs of table left out: images/003.jpg; the first because:" in known.read_text()


def test_a_part_of_which_nothing_can_be_used_is_said(
    made_up: None, root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import pandas as pd

    table = pd.read_csv(root / "records.csv")
    for image in table.loc[table["split"] == "test", "image"]:
        (root / image).write_text("hello")
    lines = said(capsys, command(tmp_path, root, "data.unreadable=exclude"))
    assert "No photograph of part test of 'table' can be used" in lines[0]


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("protocol.diseases={amd: binary}", "Unknown disease 'amd'"),
        ("data.options={name: x, fil: y}", "Unknown option of data set 'table' 'fil'"),
        ("data.batch_size=64 data.drop_last=true", "make no training batch of 64"),
        ("protocol.diseases.dr=messidor4", "messidor4 cannot be had"),
        ("train.trainer.extra={max_epoch: 3}", "Did you mean 'max_epochs'"),
        ("protocol.split=as-published protocol.lists=/no/such", "/no/such"),
        ("folds=3", "protocol.split=folds"),
        ("test=[table]", "which is trained on"),
        ("name=../elsewhere", "names a folder of the results"),
        ("name=", "names a folder of the results"),
        ("train.trainer.devices=all", "Lightning refuses stages.train.trainer: `devices`"),
        ("train.trainer.precision=99", "Lightning refuses stages.train.trainer: Precision '99'"),
        ("train.trainer.strategy=dpp", "Lightning refuses stages.train.trainer: "),
        ("train.trainer.extra={max_time: soon}", "Lightning refuses stages.train.trainer: "),
        ("train.trainer.monitor=val/kapa", "has no metric 'val/kapa'"),
        ("train.task={name: baseline} protocol.diseases={}", "grades no disease"),
    ],
)
def test_options_that_do_not_fit_the_data(
    made_up: None,
    root: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    override: str,
    expected: str,
) -> None:
    parts = re.split(r" (?=[a-z._]+=)", override)
    lines = said(capsys, command(tmp_path, root, *parts))
    assert len(lines) == 1
    assert expected in lines[0]
    assert not [path for path in (tmp_path / "runs").rglob("*") if path.is_file() and "lock" not in path.name]


@pytest.mark.parametrize(
    ("content", "more", "expected"),
    [
        ("", [], "is empty"),
        ("a,b\n1\n1,2,3\n", [], "is no readable table"),
        ("image,dr\nx,1\n", [], "dr_grade"),
        ("image,dr,dr_grade,dr_p0\nx,1,1,0.5\n", [], "probability columns"),
        ("dr,dr_grade\n1,1\n", [], "Unknown column 'image'"),
        ("image,dr,dr_grade\nx,one,1\ny,0,0\n", [], "dr of 'x' is 'one', not a whole number"),
        ("image,dr,dr_grade\nx,1.5,1\ny,0,0\n", [], "dr of 'x' is '1.5', not a whole number"),
        (
            "image,dr,dr_grade,dr_p0,dr_p1\nx,1,1,?,0\n",
            ["--scale", "dr=any"],
            "dr_p0 of 'x' is '?', not a number",
        ),
        ("image,dr,mine\nx,1,1\n", ["--map", "dr_grade=their"], "Unknown column 'their'"),
        ("image,dr,mine\nx,1,1\n", ["--map", "dr_grade"], "OURS=THEIRS"),
        ("image,dr,dr_grade\nx,1,1\n", ["--scale", "dr=icdr"], "Did you mean 'icdr5'"),
    ],
)
def test_tables_made_elsewhere_that_cannot_be_judged(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str, more: list[str], expected: str
) -> None:
    path = tmp_path / "mine.csv"
    path.write_text(content)
    lines = said(capsys, ["evaluate", str(path), *more])
    assert len(lines) == 1
    assert expected in lines[0]


def test_two_sets_of_one_name_are_not_mixed(
    made_up: None, root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    graded = write_fake_set("folders", tmp_path / "elsewhere" / "set", 10)
    more = ["test=[folders]", f"roots.folders={graded}", "protocol.diseases={dr: icdr5}"]
    lines = said(capsys, command(tmp_path, root, *more))
    assert lines == [lines[0]]
    assert "'table' and 'folders' are both called 'set'" in lines[0]
    assert "test.options.folders.name=NAME" in lines[0]


@pytest.mark.parametrize("action", ["index", "split"])
def test_a_table_is_written_beside_a_data_set_never_over_it(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], action: str
) -> None:
    before = (root / "records.csv").read_bytes()
    words = ["data", action, "table", "--root", str(root), "--out"]
    for name in ("records.csv", "split.csv"):
        assert "never written to" in said(capsys, [*words, str(root / name)])[0]
    assert not (root / "split.csv").exists()
    assert "Cannot write" in said(capsys, [*words, str(tmp_path / "absent" / "x.csv")])[0]
    assert (root / "records.csv").read_bytes() == before
    assert main([*words, str(tmp_path / "x.csv")]) == 0


def test_unknown_patients_are_not_counted_as_one(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "index", "table", "--root", str(root)]) == 0
    assert "32 photographs of set, 16 patients" in capsys.readouterr().out
    assert main(["data", "index", "table", "--root", str(root), "options.columns.patient=eye"]) == 0
    assert "2 patients" in capsys.readouterr().out
    rewritten = "\n".join(
        line.split(",", 1)[0] + ",," + line.split(",", 2)[2]
        for line in (root / "records.csv").read_text().splitlines()[1:]
    )
    (root / "records.csv").write_text("image,patient,eye,dr,dme,split\n" + rewritten)
    assert main(["data", "index", "table", "--root", str(root)]) == 0
    assert "32 photographs of set, patients unknown" in capsys.readouterr().out


def test_rows_longer_than_the_header_shift_nothing(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = (root / "records.csv").read_text().splitlines()
    (root / "records.csv").write_text("\n".join([lines[0], *(f"{line},5" for line in lines[1:])]))
    assert (
        "every row as long as the header" in said(capsys, ["data", "index", "table", "--root", str(root)])[0]
    )
    (tmp_path / "mine.CSV").write_text("image,dr,dr_grade\nx,1,0,0\ny,0,0,0\n")
    assert "is no readable table" in said(capsys, ["evaluate", str(tmp_path / "mine.CSV")])[0]
