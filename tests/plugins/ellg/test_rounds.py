"""A round through the command, on photographs and a network that are made by hand: who feeds it, and what is said."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import torch
from retinalab_ellg.task import EllgTask
from torch import Tensor, nn

from retinalab.cli import main

SIDE = 128
PARTS = {"train": [0, 0, 0, 0, 0, 0, 1, 2, 2, 4], "val": [0, 1, 2, 3, 4], "test": [0, 1, 2, 3, 4]}
CORNERS = ((40, 40), (40, 72), (72, 40), (72, 72))
"""Of the lesions, 16 pixels a side; as many as the grade says."""

EXPERIMENT = """
protocol: {diseases: {dr: icdr5}}
data: {set: table, size: 64, batch_size: 8, normalise: unit, sampler: decaying}
stages:
  baseline:
    task: &network {name: ellg, side: 64, learning_rate: 1.0e-12}
    trainer: &short {max_epochs: 1, accelerator: cpu, devices: 1, precision: 32-true}
  round:
    rounds: 1
    generate:
      kind: make_data
      task: {name: ellg-lesions, layers: [seen], gate: 0.01, number: 12}
      start_from: {stage: before}
      trainer: *short
    train: {task: *network, start_from: {stage: before}, adds: [generate], trainer: *short}
"""


class Reader(nn.Module):
    """Counts the green squares of a photograph: what stands above 0.6, summed up."""

    def __init__(self, squares: float = 1.0) -> None:
        super().__init__()
        self.seen = nn.Sequential(nn.Conv2d(3, 1, 1), nn.ReLU())
        self.count = nn.Conv2d(1, 1, 1, bias=False)
        with torch.no_grad():
            self.seen[0].weight.copy_(torch.tensor([0.0, 1.0, 0.0]).reshape(1, 3, 1, 1))
            self.seen[0].bias.fill_(-0.6)
            self.count.weight.fill_(squares / 22)  # 8 x 8 pixels once resized, less their rim, at 0.35

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        return {"dr": self.count(self.seen(images)).sum((2, 3))}


@pytest.fixture
def by_hand(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    def put(squares: float) -> None:
        monkeypatch.setattr(EllgTask, "build_network", lambda self: Reader(squares))
        monkeypatch.setattr(EllgTask, "feature_maps", lambda self: {"seen": self.network.seen})

    put(1.0)
    return put


def photograph(grade: int, rng: np.random.Generator, even: bool = False) -> np.ndarray:
    """A reddish disc with a green square for each grade; BGR."""
    image = rng.uniform((30, 60, 150), (50, 90, 180), (SIDE, SIDE, 3))
    image[:] = (40, 75, 165) if even else image
    for y, x in CORNERS[:grade]:
        image[y : y + 16, x : x + 16] = (60, 242, 120)
    field = cv2.circle(np.zeros((SIDE, SIDE), np.uint8), (64, 64), 60, 1, cv2.FILLED)
    return (image * field[..., None]).astype(np.uint8)


def write(folder: Path, even: bool = False) -> Path:
    """Photographs with their list; normal ones may be of one colour."""
    rng, rows = np.random.default_rng(0), []
    folder.mkdir()
    for part, grades in PARTS.items():
        for k, grade in enumerate(grades):
            name = f"{part}-{k}.png"
            cv2.imwrite(str(folder / name), photograph(grade, rng, even and not grade))
            rows.append({"image": name, "patient": name, "part": part, "dr": grade})
    pd.DataFrame(rows).to_csv(folder / "records.csv", index=False)
    return folder


def command(folder: Path, *overrides: str, even: bool = False) -> list[str]:
    """The words of the command on photographs written for it."""
    root, file = write(folder / "set", even), folder / "hand.yaml"
    file.write_text(EXPERIMENT)
    places = [f"data.root={root}", f"data.cache={folder / 'cache'}", f"output={folder / 'runs'}"]
    return ["exp", "ellg", str(file), *places, *overrides]


def ran(folder: Path, *overrides: str) -> Path:
    """Run the experiment by the command; the folder of the round."""
    assert main(command(folder, *overrides)) == 0
    (made,) = folder.glob("runs/*/*/latest/made/round-1.generate")
    return made


def test_only_training_photographs_of_right_grade_feed_a_round(
    tmp_path: Path, by_hand: Callable[[float], None]
) -> None:
    made = ran(tmp_path)
    table = pd.read_parquet(made / "made.parquet")
    split = pd.read_csv(made.parents[1] / "split-round-1.generate.csv").set_index("image")
    used = [*table["source_image"], *table["target_image"]]
    assert set(split.loc[used, "part"]) == {"train"}
    seen = pd.read_parquet(made / "seen.parquet")
    assert seen["part"].tolist() == ["train"] * 10
    assert seen["dr_grade"].tolist() == seen["dr"].tolist() == PARTS["train"]
    assert set(table["source"]) <= {6, 7, 8, 9}
    assert set(table["target"]) <= {0, 1, 2, 3, 4, 5}
    assert table["patches"].tolist() == table["source_severity"].tolist()  # as many squares as the grade says
    assert table["dr"].tolist() == np.floor(table["ratio"] * table["source_severity"] + 0.5).tolist()
    planned = pd.read_parquet(made / "plan.parquet")
    for column in ("number", "attempt", "source", "target", "ratio"):
        assert planned[column].tolist() == table[column].tolist()


def test_what_cannot_be_made_is_noted_and_the_run_goes_on(
    tmp_path: Path, by_hand: Callable[[float], None]
) -> None:
    """No photograph of grade 3 to train on, and a gate that no map passes."""
    made = ran(tmp_path, "round.generate.task.gate=1000")
    first, second = (made / "notes.txt").read_text().splitlines()
    assert first == "Grade 3 has no training photograph: none is generated."
    assert second.startswith("12 of 12 photographs show nothing that was made and are not trained on.")
    assert second.endswith("lower the maker's gate or train its network longer.")
    assert (made.parents[1] / "metrics.json").is_file()


def test_a_network_that_grades_nothing_right_is_noted_and_the_run_goes_on(
    tmp_path: Path, by_hand: Callable[[float], None]
) -> None:
    by_hand(0.1)
    made = ran(tmp_path)
    (note,) = (made / "notes.txt").read_text().splitlines()
    assert note == (
        "No photograph to cut lesions from: 6 of 10 training photographs are correctly classified, none of them with "
        "lesions. Train the network longer. Trained on the originals alone."
    )
    assert (made.parents[1] / "metrics.json").is_file()


def test_a_photograph_of_one_colour_is_named(
    tmp_path: Path, by_hand: Callable[[float], None], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(command(tmp_path, even=True)) == 2
    (said,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("retinalab: ")]
    assert said.startswith("retinalab: train-")
    assert "is of one colour throughout its field of view" in said
