"""``retinalab predict``: what it prints and writes, its exit status, and one clear line for each fault."""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.metrics import cohen_kappa_score, roc_auc_score

from retinalab.cli import main
from retinalab.metrics import read_table

Said = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def home(fake_sets: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with photographs in ``set``, their labels, and two finished runs of the plain baseline and of joint
    attention."""
    folder = tmp_path_factory.mktemp("home")
    shutil.copytree(fake_sets / "table", folder / "set")
    shared = [
        f"data.root={folder / 'set'}", f"data.cache={folder / 'cache'}", f"output={folder / 'runs'}", "data.set=table",
        "data.size=64", "data.crop=64", "data.batch_size=8", "data.overlap=exclude", "folds=1",
        "protocol.split=held-out", "protocol.diseases={dr: icdr5, dme: risk3}",
        "stages.train.trainer={max_epochs: 1, precision: 32-true, accelerator: cpu, monitor: val/loss, mode: min}",
    ]  # fmt: skip
    assert main(["exp", "baseline", "dr600", *shared, "stages.train.task.backbone=test_resnet"]) == 0
    assert main(["exp", "canet", "dr600", *shared, "stages.train.task.backbone=test_resnet"]) == 0
    return folder


@pytest.fixture
def run(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Said) -> Path:
    """The baseline's run; the working folder is the test's own, with a link to the photographs."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "set").symlink_to(home / "set")
    capsys.readouterr()
    return home / "runs/baseline/dr600/latest"


def predict(*words: str | Path) -> int:
    return main(["predict", *map(str, words)])


def visible(folder: str) -> list[str]:
    return sorted(name for name in os.listdir(folder) if not name.startswith("."))


def refused(capsys: Said, *words: str | Path) -> str:
    assert predict(*words) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("retinalab: ")]
    assert len(lines) == 1
    return lines[0]


def test_a_folder_of_photographs_becomes_a_table(run: Path, capsys: Said) -> None:
    assert predict(run, "set/images", "--out", "out") == 0
    out = capsys.readouterr().out
    assert all(len(line) <= 80 for line in out.splitlines())
    assert "32 photographs" in out
    assert re.search(r"bear the name of one that the run was trained", " ".join(out.split()))
    assert out.rstrip().endswith("Research use only: not for diagnosis.")
    table = pd.read_csv("out/predictions.csv", keep_default_na=False)
    assert list(table) == [
        "image", "dr_grade", *(f"dr_p{k}" for k in range(5)), "dr_confidence", "dr_entropy", "dr_mutual_information",
        "dme_grade", *(f"dme_p{k}" for k in range(3)), "dme_confidence", "dme_entropy", "dme_mutual_information",
        "enlarged", "quality", "reason", "use",
    ]  # fmt: skip
    assert table["image"].tolist() == sorted(f"set/images/{k:03d}.jpg" for k in range(32))
    assert set(table["reason"]) == {""}
    assert set(table["use"]) == {"research use only: not for diagnosis"}
    for grade in range(5):
        line = next(line for line in out.splitlines() if line.startswith(f"  {grade} "))
        assert int(line.split()[-2]) == (table["dr_grade"] == grade).sum()
    assert visible("out") == ["predictions.csv", "predictions.json", "predictions.parquet"]
    own = read_table(run / "predictions.parquet", "predictions").set_index("image")
    mine = table.assign(image=table["image"].str.removeprefix("set/")).set_index("image").loc[own.index]
    for column in [c for c in own if re.fullmatch(r"(dr|dme)_(p\d|grade)", str(c))]:
        assert mine[column].to_numpy() == pytest.approx(own[column].to_numpy(), abs=1e-5)


def test_few_photographs_are_printed_one_by_one(run: Path, capsys: Said) -> None:
    assert predict(run, "set/images/00[0-2].jpg") == 0
    out = capsys.readouterr().out
    assert all(len(line) <= 80 for line in out.splitlines())
    lines = [line for line in out.splitlines() if line.startswith("set/images/")]
    assert [line.split()[0] for line in lines] == [f"set/images/00{k}.jpg" for k in range(3)]
    head = next(line for line in out.splitlines() if line.startswith("image "))
    assert head.split() == ["image", "dr", "dme"]
    assert not Path("predictions.csv").exists()
    assert predict(run, "set/images/000.jpg", "--out", "one") == 0
    row = pd.read_csv("one/predictions.csv").iloc[0]
    shown = lines[0][head.index(" dr ") + 1 :].split()
    assert int(shown[0]) == row["dr_grade"]
    assert f"{row['dr_confidence']:.2f}" in shown


def test_the_released_demo(run: Path, tmp_path: Path, capsys: Said) -> None:
    """A list of relative paths from the working folder, then kappa against a label file."""
    names = [f"demo/images/2005121{k}_6264{k}_0100_PP.png" for k in range(10)]
    Path("demo/images").mkdir(parents=True)
    for k, name in enumerate(names):
        Image.open(f"set/images/00{k}.jpg").save(name)
    Path("demo/infer_file_demo.csv").write_text("\n".join(names) + "\n")
    truth = [0, 1, 2, 3, 4, 0, 1, 2, 3, 4]
    labels = pd.DataFrame(
        {"image_id": [Path(n).name.upper().replace("PNG", "JPG") for n in names], "level": truth}
    )
    labels.to_csv("labels.csv", index=False)
    assert predict(run, "demo/infer_file_demo.csv", "--out", "out", "--labels", "labels.csv") == 0
    out = capsys.readouterr().out
    table = pd.read_csv("out/predictions.csv")
    assert table["image"].tolist() == names
    assert all(len(line) <= 80 for line in out.splitlines())
    kappa = cohen_kappa_score(truth, table["dr_grade"], weights="quadratic")
    auc = roc_auc_score(np.array(truth) >= 2, table[["dr_p2", "dr_p3", "dr_p4"]].sum(axis=1))
    for key, value in (("dr/kappa", kappa), ("dr/auc_referable", auc)):
        line = next(line for line in out.splitlines() if line.startswith(f"{key} "))
        assert float(line.split()[1]) == pytest.approx(value, abs=6e-4)
        assert re.search(r"\[-?\d\.\d{3}, -?\d\.\d{3}\] +10$", line)
    assert "10 of 10" in " ".join(out.split())
    about = json.loads(Path("out/predictions.json").read_text())
    assert about["figures"]["test/dr/kappa"]["value"] == pytest.approx(kappa)
    assert about["use"] == "research use only: not for diagnosis"


def test_what_cannot_be_graded_has_a_row_and_the_status_says_so(run: Path, capsys: Said) -> None:
    Path("mixed").mkdir()
    shutil.copy("set/images/000.jpg", "mixed/a.jpg")
    Path("mixed/b.jpg").write_text("hello")
    cv2.imwrite("mixed/c.png", np.zeros((100, 100, 3), np.uint8))
    Path("mixed/d.txt").touch()
    assert predict(run, "mixed", "--out", "out", "--cam") == 1
    out = capsys.readouterr().out
    assert "3 photographs; 1 other file passed over" in out
    assert "not graded: 2 of 3" in out
    table = pd.read_csv("out/predictions.csv", keep_default_na=False)
    assert table["image"].tolist() == ["mixed/a.jpg", "mixed/b.jpg", "mixed/c.png"]
    assert table["reason"].str.contains("is text, not an image").tolist() == [False, True, False]
    assert table["reason"].str.contains("shows no field of view").tolist() == [False, False, True]
    assert table["quality"].tolist() == ["good", "unreadable", "no fundus"]
    assert table.loc[1:, ["dr_grade", "dr_p0", "dr_confidence", "dr_map", "dme_grade"]].eq("").all(axis=None)
    assert len(list(Path("out/maps").iterdir())) == 2


def test_class_activation_maps_are_pictures_of_the_photograph(run: Path, capsys: Said) -> None:
    assert predict(run, "set/images/000.jpg", "set/images/001.jpg", "--out", "out", "--cam") == 0
    table = pd.read_csv("out/predictions.csv")
    for _, row in table.iterrows():
        photograph = np.asarray(Image.open(row["image"])).astype(int)
        for disease in ("dr", "dme"):
            picture = Image.open(Path("out") / row[f"{disease}_map"])
            assert picture.info["Comment"] == "research use only: not for diagnosis"
            height, width = photograph.shape[:2]
            left = np.asarray(picture)[:height, :width].astype(int)
            assert np.abs(left - photograph).mean() < 1
            right = np.asarray(picture)[:height, -width:].astype(int)
            assert np.abs(right - photograph).mean() > 5
    assert len(set(table["dr_map"])) == 2


def test_the_last_checkpoint_on_request(run: Path, capsys: Said) -> None:
    assert predict(run, "set/images/000.jpg", "--checkpoint", "last") == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "last checkpoint;" in out
    assert "not the one that the run's figures were measured with" in out


def test_an_interrupted_command_leaves_its_rows_under_another_name(
    run: Path, capsys: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    from retinalab.cli.predicted import Tally

    def stop(tally: Tally, prediction: object) -> None:
        tally.total += 1
        if tally.total == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(Tally, "add", stop)
    assert predict(run, "set/images", "--out", "out") == 130
    assert "interrupted after 3 of 32 photographs" in capsys.readouterr().err
    assert visible("out") == ["predictions.csv.partial", "predictions.json"]
    assert len(pd.read_csv("out/predictions.csv.partial")) == 3


def lay_out() -> None:
    for name in ("list.csv", "twice.csv", "labels.csv", "others.csv"):
        text = {"list.csv": "set/images/000.jpg\nset/images/x.jpg\n", "twice.csv": "set/images/000.jpg\n" * 2}
        text |= {"labels.csv": "image,dr\n000,9\n", "others.csv": "image,dr\nsomething,1\n"}
        Path(name).write_text(text[name])
    Path("empty").mkdir()
    Path("file").touch()


FAULTS: dict[str, tuple[list[str], list[str]]] = {
    "no run": (["nowhere", "set"], ["No run folder nowhere"]),
    "no such run": (["RUN/../..", "set"], ["is no run: it has no experiment.yaml"]),
    "nothing there": (["RUN", "sett"], ["Unknown file or folder 'sett'", "Did you mean 'set'"]),
    "glob without a match": (["RUN", "set/*.dcm"], ["'set/*.dcm' matches no photograph"]),
    "empty folder": (["RUN", "empty"], ["Folder empty holds no photograph"]),
    "twice": (["RUN", "set/images/000.jpg", "set"], ["named more than once", "'set/images/000.jpg'"]),
    "list with an absent line": (["RUN", "list.csv"], ["line 2 'set/images/x.jpg'", "absent", "looked in"]),
    "list with a repeated line": (["RUN", "twice.csv"], ["lines 1, 2 'set/images/000.jpg'"]),
    "out among the data": (
        ["RUN", "set", "--out", "set/out"],
        ["--out set/out lies inside the data folder '", "/set'. Name a folder outside"],
    ),
    "out is the folder": (
        ["RUN", "set/images/000.jpg", "--out", "HOME/set/images"],
        ["lies inside the data folder"],
    ),
    "out is a file": (["RUN", "set", "--out", "file"], ["Cannot write to file"]),
    "out below a file": (["RUN", "set", "--out", "file/out"], ["Cannot write to file/out: Not a directory"]),
    "maps without a folder": (["RUN", "set", "--cam"], ["--cam", "Give --out DIR"]),
    "no map": (["CANET", "set", "--cam", "--out", "out"], ["Task 'canet' has no plain class activation map"]),
    "no labels": (["RUN", "set", "--labels", "gone.csv"], ["No file gone.csv"]),
    "labels of another scale": (["RUN", "set", "--labels", "labels.csv"], ["row 2: dr is 9, outside icdr5"]),
    "labels of others": (["RUN", "set", "--labels", "others.csv"], ["names 'something', they '000'"]),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_are_one_line(run: Path, home: Path, capsys: Said, fault: str) -> None:
    lay_out()
    words, expected = FAULTS[fault]
    places = {"RUN": str(run), "CANET": str(home / "runs/canet/dr600/latest"), "HOME": str(home)}
    said = refused(capsys, *(re.sub("RUN|CANET|HOME", lambda m: places[m[0]], word) for word in words))
    for part in expected:
        assert part in said
    assert not list(Path("set").rglob("predictions*"))


@pytest.mark.skipif(os.geteuid() == 0, reason="whoever may write everywhere is refused nowhere")
def test_a_folder_that_may_not_be_written(run: Path, tmp_path: Path, capsys: Said) -> None:
    (tmp_path / "closed").mkdir(mode=0o500)
    assert "Cannot write to closed" in refused(capsys, run, "set", "--out", "closed")


def test_a_folder_in_which_nothing_can_be_made(run: Path, tmp_path: Path, capsys: Said) -> None:
    (tmp_path / "out/predictions.csv.partial").mkdir(parents=True)
    assert "out holds predictions.csv.partial, which was not begun" in refused(
        capsys, run, "set/images/000.jpg", "--out", "out"
    )
