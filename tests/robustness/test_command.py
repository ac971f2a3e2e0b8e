"""``retinalab robustness``: what it prints and writes, and one clear line for each fault with nothing left behind."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from retinalab.cli import main
from retinalab.metrics import read_table
from retinalab.robustness.conditions import DONORS, NAMES
from retinalab.robustness.corruptions import CORRUPTIONS

Said = pytest.CaptureFixture[str]
FILES = ["robustness.html", "robustness.json", "robustness.parquet"]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def robustness(*words: str | Path) -> int:
    return main(["robustness", *map(str, words)])


def refused(capsys: Said, *words: str | Path) -> str:
    capsys.readouterr()
    before = sorted(os.listdir())
    assert robustness(*words) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("retinalab: ")]
    assert sorted(os.listdir()) == before
    return line


def test_everything_is_written_and_said(home: Path, capsys: Said) -> None:
    assert robustness(home, "--severities", "2,5", "--limit", "8", "--out", "out") == 0
    said = capsys.readouterr()
    assert all(len(line) <= 80 for line in said.out.splitlines())
    assert said.out.rstrip().endswith("Research use only: not for diagnosis.")
    for text in (
        "dr with itself",
        "dr with reference",
        "dr kappa by severity",
        "dme with itself",
        "views of one eye",
        "Intervals: of 2 patients, fewer than 20: too narrow",
    ):
        assert text in said.out
    assert sorted(os.listdir("out")) == FILES
    table = read_table("out/robustness.parquet", "robustness")
    assert len(table) == 8 * (1 + 1 + DONORS + 2 * len(CORRUPTIONS))
    content = json.loads(Path("out/robustness.json").read_text())
    assert content["settings"] == {"seed": 0, "limit": 8, "donors": 3, "severities": [0, 2, 5]}
    assert content["faults"].keys() == CORRUPTIONS.keys()
    assert content["run"]["networks"] == [""]
    assert {"command", "commit", "versions", "device"} <= content["provenance"].keys()
    haze = table[(table["condition"] == "haze") & (table["severity"] == 5)]
    accuracy = (haze["dr"] == haze["dr_grade"])[haze["dr"] >= 0].mean()
    assert content["metrics"]["dr/haze/5/accuracy"]["value"] == pytest.approx(accuracy)
    assert content["metrics"]["dme/views/0/unchanged"]["n"] == 4
    page = Path("out/robustness.html").read_text()
    assert page.count("<img") == 6 * len(CORRUPTIONS)
    assert "http" not in page.replace("http-equiv", "")
    assert "<script" not in page


def test_photographs_of_one_patient_have_no_other_colours(home: Path, capsys: Said) -> None:
    """Left out with a note where everything is tested, refused where it was asked for; what is missing says why."""
    assert robustness(home, "--severities", "2", "--limit", "4", "--out", "out") == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "all photographs are of one patient: none can lend another its colours" in said
    assert "! kappa with itself" in said
    assert "no interval: a single group" in said
    assert "4 test photographs of synthetic, 1 patient " in said
    table = read_table("out/robustness.parquet", "robustness")
    assert "colours" not in set(table["condition"])
    assert len(table) == 4 * (1 + 1 + len(CORRUPTIONS))
    assert "No interval: a single group" not in Path("out/robustness.html").read_text()
    assert "no interval: a single group." in Path("out/robustness.html").read_text()
    assert "of one patient" in refused(capsys, home, "--only", "colours", "--limit", "4", "--out", "other")


def test_an_interrupted_test_writes_nothing(
    home: Path, capsys: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    from retinalab.robustness.answers import Trial

    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Trial, "rows", stopped)
    assert robustness(home, "--only", "flip", "--limit", "4", "--out", "out") == 130
    assert capsys.readouterr().err.endswith("retinalab: interrupted; nothing was written\n")
    assert not Path("out").exists()


def test_into_the_runs_own_folder_again_and_again(home: Path, capsys: Said) -> None:
    for severity in ("1", "3"):
        assert robustness(home, "--only", "jpeg", "--severities", severity, "--limit", "4") == 0
    content = json.loads((home / "robustness.json").read_text())
    assert content["settings"]["severities"] == [0, 3]
    assert not [key for key in content["metrics"] if key.split("/")[1] not in ("original", "jpeg")]
    assert not [path for path in home.iterdir() if path.name.startswith(".robustness")]
    assert "jpeg" in capsys.readouterr().out


def test_nothing_is_left_half_written(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> Path:
        raise OSError("no space left on device")

    monkeypatch.setattr("retinalab.robustness.page.write_page", full)
    with pytest.raises(OSError, match="no space"):
        robustness(home, "--only", "flip", "--limit", "4", "--out", "out")
    assert os.listdir("out") == []


def test_no_eye_photographed_twice(home: Path, capsys: Said, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("retinalab.robustness.answers.Trial.repeated", False)
    said = "no eye was photographed twice, as far as patients and eyes are known"
    assert said in refused(capsys, home, "--only", "views", "--limit", "4", "--out", "out")
    assert robustness(home, "--only", "views,flip", "--limit", "4", "--out", "out") == 0
    assert said in " ".join(capsys.readouterr().out.split())
    content = json.loads(Path("out/robustness.json").read_text())
    assert said in content["about"]["Notes"]


def test_faults_of_the_user(home: Path, capsys: Said) -> None:
    known = ", ".join(sorted(NAMES))
    said = refused(capsys, home, "--only", "flip,defocuss")
    assert f"Unknown corruption or change 'defocuss'. Did you mean 'defocus'? Choices: {known}." in said
    assert "Nothing to test" in refused(capsys, home, "--only", ",")
    assert "Severities 0 are not all of 1 to 5" in refused(capsys, home, "--severities", "0")
    assert "'heavy' is no list of numbers" in refused(capsys, home, "--severities", "heavy")
    assert "leaves no photograph" in refused(capsys, home, "--limit", "0")
    assert "--seed -1 is below 0" in refused(capsys, home, "--seed", "-1")
    assert "Name it with --set" in refused(capsys, home, "--root", ".")
    assert "not of the form KEY=VALUE" in refused(capsys, home, "--set", "idrid", "--option", "task")
    assert "No run folder absent" in refused(capsys, "absent")
    assert "there is no folder" in refused(capsys, home, "--out", "absent/out")
    assert "Unknown stage 'trian'. Did you mean 'train'" in refused(
        capsys, home, "--stage", "trian", "--out", "out"
    )
    Path("file").touch()
    assert "is a file" in refused(capsys, home, "--out", "file")
