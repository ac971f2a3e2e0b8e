"""Reading a run's folder: what it must hold, and what is missing from one that has not finished."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from retinalab.errors import RetinalabError
from retinalab.predict.finished import FinishedRun, read_finished
from retinalab.records import photograph_name


def test_the_members_of_a_run(graded: FinishedRun, folded: FinishedRun) -> None:
    assert [(m.child, m.stage) for m in graded.members] == [("", "train")]
    assert [m.child for m in folded.members] == list(folded.children)
    assert all(m.checkpoint.name == "best.ckpt" for m in folded.members)
    last = read_finished(graded.path.parent / "latest", "last")
    assert last.members[0].checkpoint.resolve() == graded.path / "checkpoints/train/last.ckpt"
    assert graded.precision == {"train": "32-true"}


def test_names_that_it_learned_from(graded: FinishedRun, folded: FinishedRun) -> None:
    import pandas as pd

    split = pd.read_csv(graded.path / "split-train.csv")
    expected = {photograph_name(image) for image in split.loc[split["part"] != "test", "image"]}
    assert graded.learned_from() == expected
    assert len(expected) < len(split)
    assert len(folded.learned_from()) >= len(split) - 3  # every fold trains on the others' test photographs


def stop_early(folder: Path) -> None:
    state = json.loads((folder / "state.json").read_text())
    state |= {"stages": state["stages"][:1], "finished": False}
    (folder / "state.json").write_text(json.dumps(state))


def without_figures(folder: Path) -> None:
    state = json.loads((folder / "state.json").read_text())
    (folder / "state.json").write_text(json.dumps({**state, "finished": False}))


def windows(folder: Path) -> None:
    text = (folder / "experiment.yaml").read_text()
    assert "windows: null" in text
    (folder / "experiment.yaml").write_text(
        text.replace("windows: null", "windows: {size: 16, kind: lesions}")
    )


HARMS: dict[str, tuple[Callable[[Path], object], list[str]]] = {
    "half done": (
        stop_early,
        ["has not finished: 3 of 4 stages are missing (fold-0_seed-1/train,", "same command"],
    ),
    "no figures": (without_figures, ["has not finished: its figures (metrics.json) are missing"]),
    "no state": (lambda f: (f / "state.json").unlink(), ["4 of 4 stages are missing"]),
    "no experiment": (lambda f: (f / "experiment.yaml").unlink(), ["is no run: it has no experiment.yaml"]),
    "no checkpoint": (
        lambda f: (f / "fold-1_seed-0/checkpoints/train/best.ckpt").unlink(),
        ["lacks fold-1_seed-0/checkpoints/train/best.ckpt (1 of 4 checkpoints are absent)"],
    ),
    "experiment is no YAML": (
        lambda f: (f / "experiment.yaml").write_text("{a: ["),
        ["experiment.yaml cannot be read"],
    ),
    "experiment is a list": (lambda f: (f / "experiment.yaml").write_text("[1]"), ["holds no mapping"]),
    "state is no JSON": (lambda f: (f / "state.json").write_text("{"), ["state.json cannot be read"]),
    "windows": (windows, ["classifies windows of photographs"]),
}


@pytest.mark.parametrize("harm", HARMS)
def test_a_run_that_cannot_be_used(folded: FinishedRun, tmp_path: Path, harm: str) -> None:
    folder = tmp_path / "run"
    shutil.copytree(folded.path, folder)
    damage, expected = HARMS[harm]
    damage(folder)
    with pytest.raises(RetinalabError) as error:
        read_finished(folder)
    assert "\n" not in str(error.value)
    for part in (str(folder), *expected):
        assert part in str(error.value)


def test_a_folder_of_runs_names_one_of_them(graded: FinishedRun, tmp_path: Path) -> None:
    with pytest.raises(RetinalabError, match=r"It holds runs: give .*/graded/latest, say"):
        read_finished(graded.path.parent)
    with pytest.raises(RetinalabError, match="No run folder"):
        read_finished(tmp_path / "nowhere")
