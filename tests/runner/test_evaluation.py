"""Several test sets: each predicted on its own, by one command or by several, into what one command makes of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from filelock import FileLock

from retinalab.errors import RetinalabError
from retinalab.metrics import read_table
from retinalab.runner import Result, run
from retinalab.runner.evaluation import EvaluatedParts
from retinalab.runner.modules import stage_modules
from retinalab.runner.trained import load_task
from retinalab.testing import write_fake_set

Make = Callable[..., Any]
SETS = ("table", "other", "dr600")
THREE = (
    "test.sets=[other, dr600]",
    "test.options.other.set=table",
    "protocol.diseases.dme=binary",
    "train.trainer.max_epochs=1",
)
FOLDS = (*THREE, "folds=2", "protocol.split=folds")


@pytest.fixture(scope="session")
def other(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A third set, of 6 photographs."""
    return f"roots.other={write_fake_set('table', tmp_path_factory.mktemp('other') / 'table', 6, seed=1234)}"


@pytest.fixture
def done(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is trained (``train``) and tested (the set's name), in order."""
    room = import_module("retinalab.runner.work")
    seen: list[str] = []
    for name in ("run_stage", "predict_set"):
        original = getattr(room, name)

        def noted(*words: Any, original: Callable[..., None] = original, name: str = name) -> None:
            original(*words)
            seen.append("train" if name == "run_stage" else words[-1])

        monkeypatch.setattr(room, name, noted)
    return seen


def equal(one: Result, other: Result) -> None:
    """Every table and figure, byte for byte."""
    for name in ("predictions.parquet", "baselines.parquet", "metrics.json"):
        assert (one.folder / name).read_bytes() == (other.folder / name).read_bytes(), name


def test_tests_done_apart_are_gathered_into_what_one_command_makes(
    make: Make, other: str, tmp_path: Path, done: list[str]
) -> None:
    whole = run(make("one", other, *THREE, output=tmp_path / "whole"))
    assert done == ["train", *SETS]
    done.clear()
    apart = make("one", other, *THREE, output=tmp_path / "apart")
    assert run(apart, only=["train"]).left == tuple(f"test@{name}" for name in SETS)
    assert run(apart, only=["test@dr600"]).left == ("test@table", "test@other")
    assert run(apart, only=["test@dr600", "train"]).left == ("test@table", "test@other")
    with pytest.raises(
        RetinalabError, match=r"gathered yet: test@table, test@other are not done\. Do each with"
    ):
        run(apart, gather=True)
    last = run(apart, only=["test@other", "test@table"])
    assert (last.left, done) == ((), ["train", "dr600", "table", "other"])
    assert not (last.folder / "metrics.json").exists()
    done.clear()
    gathered = run(apart, gather=True)
    assert (gathered.folder, done) == (last.folder, [])
    equal(gathered, whole)
    assert json.loads((gathered.folder / "state.json").read_text())["finished"]
    assert run(apart, gather=True).folder == gathered.folder
    equal(gathered, whole)
    shares = json.loads((gathered.folder / "provenance.json").read_text())["trained"]
    assert set(shares) == {"all", "test@table", "test@other", "test@dr600"}


def test_each_row_is_what_the_best_checkpoint_answers(make: Make, other: str) -> None:
    experiment = make("one", other, *THREE)
    result = run(experiment)
    task = load_task(result.folder / "checkpoints/train/best.ckpt", "madeup-severity")
    module = stage_modules(experiment, None, 0)["train"]
    alone = EvaluatedParts(module, "dr600")
    assert [len(part) for part in alone.evaluation_parts()] == [12]
    assert alone.parts is module.parts
    found = []
    for part in (module.parts.val, *(module.parts.tests[name] for name in SETS)):
        batch: Any = module.dataset(part).__getitems__([(0, k, k) for k in range(len(part))])
        with torch.no_grad():
            given = task.outputs(module.on_after_batch_transfer(batch, 0))
        rows = part.records.table[["set", "image"]].reset_index(drop=True)
        found.append(rows.assign(part=part.name, dr_score=given.severity["dr"].numpy()))
    expected = pd.concat(found, ignore_index=True)
    table = result.predictions
    pd.testing.assert_frame_equal(table[["set", "image", "part"]], expected[["set", "image", "part"]])
    assert table["dr_score"].tolist() == pytest.approx(expected["dr_score"].tolist(), abs=1e-5)
    assert table.groupby(["set", "part"]).size().to_dict() == {
        ("table", "val"): 4,
        ("table", "test"): 8,
        ("other", "test"): 6,
        ("dr600", "test"): 12,
    }


def test_a_run_killed_between_two_sets_tests_none_of_them_again(
    make: Make, other: str, tmp_path: Path, done: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = run(make("one", other, *THREE, output=tmp_path / "whole"))
    experiment = make("one", other, *THREE, output=tmp_path / "killed")
    room = import_module("retinalab.runner.work")
    original = room.predict_set

    def killed(*words: Any) -> None:
        if words[-1] == "other":
            raise ConnectionAbortedError
        original(*words)

    done.clear()
    with monkeypatch.context() as patch:
        patch.setattr(room, "predict_set", killed)
        with pytest.raises(ConnectionAbortedError):
            run(experiment)
    assert done == ["train", "table"]
    done.clear()
    result = run(experiment)
    assert done == ["other", "dr600"]
    equal(result, whole)


def test_folds_share_tests(make: Make, other: str, tmp_path: Path, done: list[str]) -> None:
    whole = run(make("one", other, *FOLDS, output=tmp_path / "whole"))
    apart = make("one", other, *FOLDS, output=tmp_path / "apart")
    first = run(apart, only=["fold-1"])
    assert first.left == ("fold-0",)
    with pytest.raises(
        RetinalabError,
        match=r"^fold-0_test@dr600 cannot be tested yet: fold-0 is not trained in .*-1\. Train first: "
        r"--only fold-0_train\.$",
    ):
        run(apart, only=["test@dr600"])
    run(apart, only=["fold-0_train"])
    done.clear()
    assert run(apart, only=["test@dr600"]).left == ("fold-0_test@table", "fold-0_test@other")
    assert done == ["dr600"]
    with FileLock(first.folder / ".lock-fold-0_test@other"):
        with pytest.raises(
            RetinalabError, match=r"^Another process works on .*, on fold-0_test@other\. Wait"
        ):
            run(apart, only=["test@other"])
        with pytest.raises(RetinalabError, match=r"lacks fold-0_test@other, on which another process works"):
            run(apart)
    result = run(apart)
    assert done == ["dr600", "table", "other"]
    equal(result, whole)
    tested = result.predictions[result.predictions["part"] == "test"]
    assert tested.groupby(["set", "fold"]).size().loc["dr600"].tolist() == [12, 12]


def test_a_test_of_what_is_not_trained_is_refused_and_leaves_nothing(
    make: Make, other: str, tmp_path: Path
) -> None:
    experiment = make("one", other, *THREE)
    with pytest.raises(
        RetinalabError,
        match=r"^Nothing to test: .* holds no unfinished run of this experiment that is trained\. Train it first "
        r"with --only train, or leave out --only to train and test it\.$",
    ):
        run(experiment, only=["test@dr600"])
    parent = tmp_path / "runs/madeup/one"
    assert not [path for path in parent.iterdir() if path.is_dir()]
    folds = make("one", other, *FOLDS)
    with pytest.raises(
        RetinalabError, match=r"^fold-1_test@other cannot be tested yet: fold-1 is not trained"
    ):
        run(folds, only=["fold-0_train", "fold-1_test@other"])
    assert not [path for path in parent.iterdir() if path.is_dir()]
    folder = run(experiment).folder
    with pytest.raises(RetinalabError, match=r"^Nothing to test: "):
        run(experiment, only=["test@dr600"])
    (folder / "checkpoints/train/best.ckpt").unlink()
    state = json.loads((folder / "state.json").read_text())
    state |= {"finished": False, "stages": ["train"]}
    (folder / "state.json").write_text(json.dumps(state))
    with pytest.raises(RetinalabError, match=r"best\.ckpt is not there, which is tested\. Restore it"):
        run(experiment, only=["test@dr600"])


def test_a_training_in_other_hands_is_not_tested_meanwhile(make: Make, other: str, done: list[str]) -> None:
    experiment = make("one", other, *FOLDS)
    folder = run(experiment, only=["fold-0_train"]).folder
    with (
        FileLock(folder / ".lock-fold-1_train"),
        pytest.raises(RetinalabError, match=r"lacks fold-1, on which another process works"),
    ):
        run(experiment)
    assert done == ["train", *SETS]


def test_two_networks_judged_together_are_each_tested_on_every_set(
    make: Make, other: str, tmp_path: Path, done: list[str]
) -> None:
    sets = ("test.sets=[other]", "test.options.other.set=table")
    short = ("dr.trainer.max_epochs=1", "dme.trainer.max_epochs=1")
    whole = run(make("apart", other, *sets, *short, output=tmp_path / "whole"))
    apart = make("apart", other, *sets, *short, output=tmp_path / "apart")
    run(apart, only=["train"])
    done.clear()
    folder = run(apart, only=["test@other"]).folder
    assert done == ["other", "other"]
    equal(run(apart), whole)
    alone = read_table(folder / "tables/dme/test@other/predictions.parquet", "predictions")
    assert len(alone) == 6
    assert read_table(folder / "tables/dme/predictions.parquet", "predictions")["set"].nunique() == 2


def test_lesions_and_maps_of_sets_tested_apart_are_those_of_one_pass(make: Make, tmp_path: Path) -> None:
    """Where one set is tested they are written in one pass; a set without annotations adds nothing to them."""
    marks = ("stages.severity=null", "stages.patches=null", "marks.trainer.max_epochs=1")
    one = run(make("whole", *marks, "test={sets: []}", output=tmp_path / "one"))
    several = make("whole", *marks, "test={sets: [dr600]}", output=tmp_path / "several")
    run(several, only=["train"])
    run(several, only=["test@dr600"])
    two = run(several)
    for kind in ("lesions", "predictions"):
        first, whole = (read_table(each.folder / f"{kind}.parquet", kind) for each in (one, two))  # type: ignore[arg-type]
        mine = whole[whole["set"] == "idrid"].reset_index(drop=True)
        pd.testing.assert_frame_equal(first, mine, check_exact=True)
        assert ("dr600" in set(whole["set"])) == (kind == "predictions")
