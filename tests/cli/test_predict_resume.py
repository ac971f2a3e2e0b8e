"""``retinalab predict`` goes on where a kill left it, and nowhere else; Parquet, gallery, single checkpoints, DICOM."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from retinalab.cli import main
from retinalab.data.sets.fake import fake_photograph

Said = pytest.CaptureFixture[str]

PROGRAM = """
import json, os, random, signal, sys
import retinalab.predict.predictor
from retinalab.cli import main
from retinalab.predict import table

words, rows = sys.argv[1:-1], int(sys.argv[-1])


def attempt(last, share):
    "Predict in a child, which is killed when it has written a share of the last row, or at its last renaming."
    child = os.fork()
    if child:
        return os.waitpid(child, 0)[1]
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    add, replace, done = table.Table._add, os.replace, 0
    def counted(self, line):
        nonlocal done
        done += 1
        if done == last:
            self._file.write(line[:int(share * len(line))])
            self._file.flush()
            os.kill(os.getpid(), signal.SIGKILL)
        add(self, line)
    def renamed(source, target):
        if last == -1 and str(target).endswith("predictions.csv"):
            os.kill(os.getpid(), signal.SIGKILL)
        replace(source, target)
    table.Table._add, os.replace = counted, renamed
    os._exit(main(["predict", *words]))


random.seed(1)
moments = [(random.randint(2, rows // 2), random.random()) for _ in range(3)] + [(-1, 0)]
print(json.dumps([attempt(*moment) for moment in moments]))
"""


@pytest.fixture
def run(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Said) -> Path:
    """The run's folder; the working folder is the test's own, with a copy of the photographs."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(home / "eyes", tmp_path / "eyes")
    capsys.readouterr()
    return home / "runs/baseline/dr600/latest"


def predict(*words: str | Path) -> int:
    return main(["predict", *map(str, words)])


def refused(capsys: Said, *words: str | Path) -> str:
    capsys.readouterr()
    assert predict(*words) == 2
    (line,) = (line for line in capsys.readouterr().err.splitlines() if line.startswith("retinalab: "))
    return line


def test_killed_four_times_and_no_row_lost_or_repeated(run: Path, capsys: Said) -> None:
    words = [str(run), "eyes", "--cam", "--out", "killed"]
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *words, "14"], capture_output=True, text=True, check=True, timeout=240
    )
    assert json.loads(done.stdout) == [9, 9, 9, 9], done.stderr
    assert Path("killed/predictions.csv.partial").exists()
    assert not Path("killed/predictions.csv").exists()
    assert predict(*words) == 1
    assert "14 rows in killed already; none to go" in " ".join(capsys.readouterr().out.split())
    assert predict(run, "eyes", "--cam", "--out", "undisturbed") == 1
    whole = Path("undisturbed/predictions.csv").read_bytes()
    assert Path("killed/predictions.csv").read_bytes() == whole
    assert len(whole.splitlines()) == 15
    for name in sorted(os.listdir("undisturbed/maps")):
        assert Path("killed/maps", name).read_bytes() == Path("undisturbed/maps", name).read_bytes()
    assert pq.read_table("killed/predictions.parquet").equals(
        pq.read_table("undisturbed/predictions.parquet")
    )


def test_a_torn_row_is_written_again_and_the_summary_counts_all(run: Path, capsys: Said) -> None:
    assert predict(run, "eyes", "--out", "out") == 1
    whole, said = Path("out/predictions.csv").read_bytes(), capsys.readouterr().out
    lines = whole.splitlines(keepends=True)
    for kept, torn in ((0, 9), (1, 0), (12, 30), (14, 5)):
        Path("out/predictions.csv").unlink(missing_ok=True)
        tail = lines[kept][:torn] if torn else b""
        Path("out/predictions.csv.partial").write_bytes(b"".join(lines[:kept]) + tail)
        assert predict(run, "eyes", "--out", "out") == 1
        assert Path("out/predictions.csv").read_bytes() == whole
        again = capsys.readouterr().out
        assert again.split("\n\n", 1)[1] == said.split("\n\n", 1)[1]


def test_the_same_command_on_a_finished_folder_grades_nothing(
    run: Path, capsys: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    from retinalab.predict.predictor import Predictor

    assert predict(run, "eyes", "--out", "out") == 1
    monkeypatch.setattr(Predictor, "_graded", None)
    assert predict(run, "eyes", "--out", "out") == 1
    assert "14 rows in out already; none to go" in " ".join(capsys.readouterr().out.split())


def test_other_commands_are_refused_in_the_folder(run: Path, capsys: Said) -> None:
    assert predict(run, "eyes", "--out", "out") == 1
    before = Path("out/predictions.csv").read_bytes()
    last = run / "checkpoints/train/last.ckpt"
    assert "out holds predictions of another run, checkpoint or ensemble" in refused(
        capsys, last, "eyes", "--out", "out"
    )
    other = refused(capsys, run, "eyes/01.jpg", "--out", "out")
    assert "out holds predictions of other photographs" in other
    assert "predictions of other options" in refused(capsys, run, "eyes", "--out", "out", "--cam")
    assert "predictions of other options" in refused(capsys, run, "eyes", "--out", "out", "--ungated")
    fake_photograph(Path("eyes/05.jpg"), 99, 4)
    assert "or ones that were changed since" in refused(capsys, run, "eyes", "--out", "out")
    assert Path("out/predictions.csv").read_bytes() == before


def test_rows_that_the_command_did_not_write(run: Path, capsys: Said) -> None:
    assert predict(run, "eyes", "--out", "out") == 1
    lines = Path("out/predictions.csv").read_bytes().splitlines(keepends=True)
    table = Path("out/predictions.csv")
    for changed in (
        lines[:5] + lines[6:],
        lines[:-1],
        [b"image\n", *lines[1:]],
        [*lines, b"x\n"],
        lines + lines[-1:],
    ):
        table.write_bytes(b"".join(changed))
        assert "not what this command has written" in refused(capsys, run, "eyes", "--out", "out")
        assert table.read_bytes() == b"".join(changed)
    table.write_bytes(b"".join([*lines[:3], re.sub(rb",\d,", b",none,", lines[3], count=1), *lines[4:]]))
    assert "was changed" in refused(capsys, run, "eyes", "--out", "out")
    Path("out/predictions.json").unlink()
    assert "which was not begun by this version" in refused(capsys, run, "eyes", "--out", "out")
    Path("out/predictions.json").write_text("{")
    assert "cannot be read" in refused(capsys, run, "eyes", "--out", "out")


def test_a_second_process_is_kept_out(run: Path, capsys: Said) -> None:
    from filelock import FileLock

    Path("out").mkdir()
    with FileLock("out/.predictions.lock"):
        assert "Another process writes predictions to out" in refused(capsys, run, "eyes", "--out", "out")


def test_parquet_says_the_same(run: Path, capsys: Said) -> None:
    assert predict(run, "eyes", "--out", "out") == 1
    csv = pd.read_csv("out/predictions.csv", keep_default_na=False, dtype=str)
    found = pq.read_table("out/predictions.parquet")
    assert found.schema.metadata[b"use"] == b"research use only: not for diagnosis"
    assert found.column_names == list(csv)
    assert str(found.schema.field("dr_grade").type) == "int8"
    rows = found.to_pylist()
    for row, (_, line) in zip(rows, csv.iterrows(), strict=True):
        assert (row["image"], row["reason"], row["quality"]) == (
            line["image"],
            line["reason"],
            line["quality"],
        )
        for name in ("dr_grade", "dr_p3", "dme_confidence"):
            assert row[name] == (None if line[name] == "" else float(line[name]))
    assert [row["quality"] for row in rows if row["reason"]] == ["no fundus", "unreadable"]


def test_names_that_would_break_a_table_or_a_page(run: Path, capsys: Said) -> None:
    for source, name in enumerate(
        ("<script>alert(1)</script>.jpg", 'a "b", c.jpg', "line\nbreak\r.jpg", "=1+1.jpg")
    ):
        target = Path("odd") / name.replace("</", "<_")
        target.parent.mkdir(exist_ok=True)
        shutil.copy(f"eyes/0{source}.jpg", target)
    os.rename(b"odd/=1+1.jpg", b"odd/\xff.jpg")
    assert predict(run, "odd", "--out", "out", "--gallery") == 0
    lines = Path("out/predictions.csv").read_bytes()
    assert predict(run, "odd", "--out", "out") == 0
    assert Path("out/predictions.csv").read_bytes() == lines
    table = pd.read_csv("out/predictions.csv")
    assert len(table) == len(pq.read_table("out/predictions.parquet")) == lines.count(b"\n") - 1 == 4
    page = Path("out/gallery.html").read_text(encoding="utf-8")
    assert "<script" not in page
    assert "&lt;script&gt;" in page


def test_a_gallery_of_several_pages(run: Path, capsys: Said, monkeypatch: pytest.MonkeyPatch) -> None:
    from retinalab.predict import gallery

    monkeypatch.setattr(gallery, "_PAGE", 5)
    assert predict(run, "eyes", "--out", "out", "--gallery", "--cam") == 1
    assert "gallery: out/gallery.html" in capsys.readouterr().out
    table = pd.read_csv("out/predictions.csv", keep_default_na=False)
    places = [Path("out", f"gallery{end}.html") for end in ("", "-2", "-3")]
    pages = [place.read_text(encoding="utf-8") for place in places]
    assert not Path("out/gallery-4.html").exists()
    names = [name for page in pages for name in re.findall(r'<span class="name">(.*?)</span>', page)]
    assert names == table["image"].tolist()
    for page in pages:
        assert "Research use only: not for diagnosis." in page
        assert not re.search(r"(src|href)=\"(https?:|//|/)", page)
        assert 'href="gallery-2.html"' in page or page is pages[1]
    assert [page.count("Not graded.") for page in pages] == [0, 1, 1]
    assert pages[0].count("dr activation map") == 5
    assert "no fundus 1, unreadable 1" in pages[2]
    row = table.iloc[0]
    assert f"dr: grade {row['dr_grade']} (" in pages[0]


def test_a_checkpoint_in_the_place_of_its_run(run: Path, home: Path, capsys: Said) -> None:
    best, last = (run / f"checkpoints/train/{which}.ckpt" for which in ("best", "last"))
    assert predict(best, "eyes/01.jpg", "--out", "best") == 0
    assert predict(run, "eyes/01.jpg", "--out", "run") == 0
    assert Path("best/predictions.csv").read_bytes() == Path("run/predictions.csv").read_bytes()
    capsys.readouterr()
    assert predict(last, "eyes/01.jpg") == 0
    assert "last checkpoint" in " ".join(capsys.readouterr().out.split())
    shutil.copy(best, "moved.ckpt")
    assert "moved.ckpt lies in no run's folder" in refused(capsys, "moved.ckpt", "eyes/01.jpg")


def test_ungated_grades_what_is_flagged(run: Path, capsys: Said) -> None:
    cv2.imwrite("noise.png", np.random.default_rng(0).integers(0, 256, (200, 300, 3), np.uint8))
    assert predict(run, "noise.png", "--out", "gated") == 1
    assert predict(run, "noise.png", "--out", "ungated", "--ungated") == 0
    gated, ungated = (pd.read_csv(f"{name}/predictions.csv").iloc[0] for name in ("gated", "ungated"))
    assert gated["quality"] == ungated["quality"] == "no fundus"
    assert np.isnan(gated["dr_grade"])
    assert ungated["dr_grade"] in range(5)
    assert "looks like no fundus photograph" in gated["reason"]


def test_a_dicom_file_is_graded_without_its_patients_name(run: Path, capsys: Said) -> None:
    pydicom = pytest.importorskip("pydicom")
    image = cv2.imread("eyes/03.jpg")[..., ::-1]
    meta = pydicom.dataset.FileMetaDataset()
    meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.77.1.5.1"
    meta.MediaStorageSOPInstanceUID = pydicom.uid.generate_uid()
    dataset = pydicom.dataset.FileDataset(None, pydicom.Dataset(), file_meta=meta, preamble=b"\0" * 128)
    dataset.PatientName, dataset.PatientID = "Testpatient^Jane", "Q4711"
    dataset.set_pixel_data(np.ascontiguousarray(image), "RGB", 8)
    dataset.SOPClassUID = meta.MediaStorageSOPClassUID
    Path("clinic").mkdir()
    dataset.save_as("clinic/eye.dcm", enforce_file_format=True)
    cv2.imwrite("clinic/eye.png", image[..., ::-1])
    assert predict(run, "clinic", "--out", "out", "--cam", "--gallery") == 0
    table = pd.read_csv("out/predictions.csv")
    assert table["image"].tolist() == ["clinic/eye.dcm", "clinic/eye.png"]
    columns = [name for name in table if re.search(r"_(grade|p\d)$", name)]
    assert table.loc[0, columns].tolist() == table.loc[1, columns].tolist()
    for path in Path("out").rglob("*"):
        if path.is_file():
            assert b"Testpatient" not in path.read_bytes()
            assert b"Q4711" not in re.sub(rb"base64,[A-Za-z0-9+/=]+", b"", path.read_bytes())
