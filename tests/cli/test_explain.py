"""``retinalab explain``: what it prints and writes, and one clear line for each fault with nothing left behind."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from retinalab.cli import main
from retinalab.metrics import read_table

Said = pytest.CaptureFixture[str]
METHODS = ["cam", "grad-cam", "grad-cam++", "gmsm"]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two finished smoke runs of the plain baseline on drawn photographs, and one without convolutions."""
    folder = tmp_path_factory.mktemp("home")
    shared = [
        "exp",
        "baseline",
        "synthetic",
        "--smoke",
        f"output={folder / 'runs'}",
        f"data.cache={folder / 'cache'}",
    ]
    shared += ["data.size=64", "stages.train.trainer.accelerator=cpu"]
    assert main([*shared, "train.task.backbone=test_resnet"]) == 0
    assert main([*shared, "train.task.backbone=test_resnet", "seed=1", "name=other"]) == 0
    assert main([*shared, "train.task.backbone=test_vit", "name=flat"]) == 0
    _second_stage(folder / "runs/baseline/synthetic-smoke/latest", folder / "runs/baseline/stages")
    return folder


def _second_stage(run: Path, target: Path) -> None:
    """The same run as one of two stages, whose first has another head: only its last stage is evaluated."""
    target.mkdir()
    made = target / "latest"
    shutil.copytree(run.resolve(), made)
    experiment = yaml.safe_load((made / "experiment.yaml").read_text())
    stage = experiment["stages"]["train"]
    later = {**stage, "start_from": {"stage": "train", "which": "last"}}
    experiment |= {"name": "stages", "stages": {"train": stage, "later": later}}
    (made / "experiment.yaml").write_text(yaml.safe_dump(experiment, sort_keys=False))
    state = json.loads((made / "state.json").read_text())
    (made / "state.json").write_text(json.dumps({**state, "stages": ["train", "later"]}))
    shutil.copytree(made / "checkpoints/train", made / "checkpoints/later")
    shutil.copy(made / "split-train.csv", made / "split-later.csv")
    checkpoint = made / "checkpoints/train/best.ckpt"
    stored = torch.load(checkpoint, weights_only=True)
    head = next(name for name in stored["state_dict"] if name.endswith("heads.dr.weight"))
    stored["state_dict"][head] = stored["state_dict"][head].flip(0)
    torch.save(stored, checkpoint)


@pytest.fixture
def runs(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Said) -> dict[str, Path]:
    """Name -> folder; the working folder is the test's own."""
    monkeypatch.chdir(tmp_path)
    capsys.readouterr()
    return {path.name.removesuffix("-smoke"): path / "latest" for path in (home / "runs/baseline").iterdir()}


def explain(*words: str | Path) -> int:
    return main(["explain", *map(str, words)])


def refused(capsys: Said, *words: str | Path) -> str:
    before = sorted(os.listdir())
    assert explain(*words) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("retinalab: ")]
    assert len(lines) == 1
    assert sorted(os.listdir()) == before
    return lines[0]


def test_a_run_against_another(runs: dict[str, Path], capsys: Said) -> None:
    assert explain(runs["synthetic"], "--against", runs["other"], "--limit", "6", "--out", "out") == 0
    out = capsys.readouterr().out
    assert all(len(line) <= 80 for line in out.splitlines())
    assert out.rstrip().endswith("Research use only: not for diagnosis.")
    assert sorted(os.listdir("out")) == ["saliency.parquet", "scorecard.html", "scorecard.json"]
    table = read_table("out/saliency.parquet", "saliency")
    tested = read_table(runs["synthetic"] / "predictions.parquet", "predictions")
    tested = tested[tested["part"] == "test"].set_index("image")
    assert table["image"].isin(tested.index).all()
    assert table.groupby(["model", "method"], sort=False).size().to_dict() == {
        (f"baseline {name}", method): 6 for name in ("synthetic-smoke", "other-smoke") for method in METHODS
    }
    mine = table[table["model"] == "baseline synthetic-smoke"]
    assert (mine["grade"].to_numpy() == tested.loc[mine["image"], "dr_grade"].to_numpy()).all()
    assert np.isfinite(table.select_dtypes("number").to_numpy()).all()
    content = json.loads(Path("out/scorecard.json").read_text())
    both = table[(table["method"] == "gmsm") & (table["lesions"] > 0)]
    means = both.groupby("model", sort=False)["mass"].mean()
    for model, value in means.items():
        assert content["metrics"][f"test/{model}/gmsm/mass"]["value"] == pytest.approx(value, abs=1e-6)
    pair = content["comparisons"]["baseline synthetic-smoke, gmsm against baseline other-smoke, gmsm"]
    assert pair["test/mass"]["difference"] == pytest.approx(means.iloc[0] - means.iloc[1], abs=1e-6)
    empty = table[(table["model"] == "baseline other-smoke") & (table["method"] == "gmsm")]["empty"]
    assert content["about"]["Intervals"].startswith(f"of {table['group'].nunique()} patients, fewer than 20")
    assert content["about"]["Empty maps: baseline other-smoke, gmsm"].startswith(f"{empty.sum()} of 6: ")
    page = Path("out/scorecard.html").read_text()
    assert page.count("<img") > 10
    assert ("With lesions, and an empty map" in page) == bool(
        ((table["empty"] == 1) & (table["lesions"] > 0)).any()
    )


def test_two_stages_of_one_run(runs: dict[str, Path], capsys: Said) -> None:
    run = runs["stages"]
    words = ["--methods", "grad-cam,gmsm", "--gate", "0.001", "--limit", "6"]
    assert explain(run, "--stage", "later", "--against-stage", "train", "--out", "out", *words) == 0
    out = capsys.readouterr().out
    table = read_table("out/saliency.parquet", "saliency")
    names = table["model"].unique().tolist()
    assert [name.rsplit(" ", 1)[1] for name in names] == ["later", "train"]
    sides = [table[table["model"] == name].reset_index(drop=True) for name in names]
    for method, left in sides[0].groupby("method"):
        right = sides[1][sides[1]["method"] == method]
        assert left["image"].tolist() == right["image"].tolist()
    content = json.loads(Path("out/scorecard.json").read_text())
    assert list(content["stages"].values()) == ["later", "train"]
    found = content["comparisons"][f"{names[0]}, grad-cam against {names[1]}, grad-cam"]["test/mass"]
    means = [
        side.loc[(side["method"] == "grad-cam") & (side["lesions"] > 0), "mass"].mean() for side in sides
    ]
    assert found["difference"] == pytest.approx(means[0] - means[1], abs=1e-6)
    assert found["low"] <= found["high"]
    assert found["n_groups"] == sides[0]["group"].nunique()
    assert f"{names[0]} minus {names[1]}, on the same photographs" in " ".join(out.split())
    tested = read_table(run / "predictions.parquet", "predictions").set_index("image")
    assert (sides[0]["reference"].to_numpy() == tested.loc[sides[0]["image"], "dr"].to_numpy()).all()
    one = table[(table["model"] == names[0]) & (table["method"] == "gmsm")]
    normal = one["reference"] == 0
    said = (
        f"{int(one['empty'].sum())} of 6: {int(one.loc[normal, 'empty'].sum())} of {int(normal.sum())} normal"
    )
    assert content["about"][f"Empty maps: {names[0]}, gmsm"].startswith(said) or not normal.any()
    assert "both stages are later" in refused(capsys, run, "--against-stage", "later", "--out", "new")
    assert "Choices: later, train" in refused(capsys, run, "--against-stage", "trian", "--out", "new")
    (run / "checkpoints/train/best.ckpt").rename("kept.ckpt")
    assert "lacks checkpoints/train/best.ckpt" in refused(
        capsys, run, "--against-stage", "train", "--out", "new"
    )


def test_another_set_and_chosen_methods(runs: dict[str, Path], fake_sets: Path, capsys: Said) -> None:
    words = [
        "--set",
        "idrid",
        "--option",
        "task=segmentation",
        "--root",
        fake_sets / "idrid",
        "--methods",
        "gmsm,cam",
    ]
    assert explain(runs["synthetic"], "--out", "out", *words) == 0
    table = read_table("out/saliency.parquet", "saliency")
    assert set(table["set"]) == {"idrid"}
    assert table["method"].unique().tolist() == ["gmsm", "cam"]
    assert "test photographs of idrid" in capsys.readouterr().out


def test_a_network_without_layers_is_refused(runs: dict[str, Path], capsys: Said) -> None:
    line = refused(capsys, runs["flat"], "--methods", "cam", "--out", "out", "--limit", "2")
    assert "No cam map of baseline flat-smoke" in line


def test_refusals(runs: dict[str, Path], fake_sets: Path, tmp_path: Path, capsys: Said) -> None:
    run = runs["synthetic"]
    assert "No run folder" in refused(capsys, "nowhere", "--out", "out")
    assert "Did you mean 'gmsm'?" in refused(capsys, run, "--methods", "gsm", "--out", "out")
    assert "Unknown stage 'rain'. Did you mean 'train'?" in refused(
        capsys, run, "--stage", "rain", "--out", "out"
    )
    assert "Unknown disease 'amd'" in refused(capsys, run, "--disease", "amd", "--out", "out")
    assert "the same run" in refused(capsys, run, "--against", run, "--out", "out")
    assert "leaves no photograph" in refused(capsys, run, "--limit", "0", "--out", "out")
    assert "--gate -1.0 is no floor" in refused(capsys, run, "--gate", "-1", "--out", "out")
    for gate in ("nan", "inf"):
        assert f"--gate '{gate}' is no number" in refused(capsys, run, "--gate", gate, "--out", "out")
    assert "Name it with --set" in refused(capsys, run, "--root", "here", "--out", "out")
    idrid = ["--set", "idrid", "--root", fake_sets / "idrid"]
    assert "has no lesion masks" in refused(capsys, run, *idrid, "--out", "out")
    assert "not of the form KEY=VALUE" in refused(capsys, run, *idrid, "--option", "task", "--out", "out")
    Path("out").mkdir()
    assert "is there already" in refused(capsys, run, "--out", "out")
    assert "there is no folder" in refused(capsys, run, "--out", "a/b")
    shutil.copytree(run.resolve(), "open")
    state = json.loads(Path("open/state.json").read_text())
    Path("open/state.json").write_text(json.dumps({**state, "stages": [], "finished": False}))
    assert "has not finished" in refused(capsys, "open", "--out", "new")


def test_three_runs_in_rows_of_their_own(runs: dict[str, Path], capsys: Said) -> None:
    words = ["--against", runs["other"], "--against", runs["stages"], "--methods", "cam", "--limit", "2"]
    assert explain(runs["synthetic"], *words, "--out", "out") == 0
    said = " ".join(capsys.readouterr().out.split())
    content = json.loads(Path("out/scorecard.json").read_text())
    names = list(content["runs"])
    assert len(names) == 3
    assert list(content["comparisons"]) == [f"{names[0]}, cam against {name}, cam" for name in names[1:]]
    page = Path("out/scorecard.html").read_text()
    for name in names:
        assert page.count(f"<h4>{name}</h4>") == 2 + 1  # a row of each photograph, and its deletion curve
    assert page.count(" over synthetic: ") == 3 * 2
    assert all(f"{names[0]} minus {name}, on the same photographs" in said for name in names[1:])
    line = refused(
        capsys, runs["synthetic"], *words, "--against-stage", "a", *["--against-stage", "b"] * 2, "--out", "x"
    )
    assert "2 runs and --against-stage 3 stages" in line


def test_photographs_of_ones_own(runs: dict[str, Path], fake_sets: Path, capsys: Said) -> None:
    folder = fake_sets / "table/images"
    words = ["--against", runs["other"], "--methods", "cam,grad-cam", "--images", folder, "--limit", "3"]
    assert explain(runs["synthetic"], *words, "--out", "out") == 0
    out = capsys.readouterr().out
    assert all(len(line) <= 80 for line in out.splitlines())
    assert out.rstrip().endswith("Research use only: not for diagnosis.")
    assert os.listdir("out") == ["maps.html"]
    page = Path("out/maps.html").read_text()
    explained = int(out.split(" photograph")[0])
    assert page.count('alt="cam over ') == page.count('alt="grad-cam over ') == 2 * explained
    assert "Research use only" in page
    assert "truth" not in page
    assert 'id="figures"' not in page
    both = ["--set", "idrid", "--root", folder, "--images", folder, "--out", "new"]
    assert "both name photographs" in refused(capsys, runs["synthetic"], *both)
    assert "nowhere" in refused(capsys, runs["synthetic"], "--images", "nowhere", "--out", "new")
    assert "No attention map of" in refused(
        capsys, runs["synthetic"], "--images", folder, "--methods", "attention", "--out", "new"
    )
