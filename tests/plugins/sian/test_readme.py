"""Every row of the README's table of rows is an experiment that loads, differs from the default, and computes."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import pytest
import torch

from retinalab.config import Experiment
from retinalab.data.batch import Batch
from retinalab.experiment import load_experiment
from retinalab.registry import task_class
from retinalab.smoke import smoke

README = (Path(__file__).parents[3] / "plugins/sian/README.md").read_text(encoding="utf-8")
SCALES = {"dr": "icdr5"}


def rows() -> list[tuple[str, tuple[str, ...]]]:
    """Experiment and overrides; a list of values in brackets after the override stands for as many rows."""
    found: list[tuple[str, tuple[str, ...]]] = []
    table = README.split("| table and row | override |")[1].split("\n\n")[0]
    for line in table.splitlines()[2:]:
        cell = line.strip("|").split("|")[1].strip()
        if cell == "none":
            continue
        first, *others = re.findall(r"`([^`]+)`", cell)
        words = first.split()
        name = words.pop(0).removeprefix("EXP=") if words[0].startswith("EXP=") else "retinal-lesions"
        for value in (None, *others):
            key, old = words[0].split("=")
            last = [w.replace(f"={old}", f"={value}") for w in words] if value is not None else words
            assert key
            found.append((name, tuple(last)))
    return found


ROWS = rows()
ON_SYNTHETIC = {"table3": "synthetic-lesions", "table6": "synthetic-grades", "retinal-lesions": "synthetic"}


def test_rows_are_there() -> None:
    text = " ".join(word for _, words in ROWS for word in words)
    for network in (
        "l-net-32s",
        "l-net-16s",
        "l-net-8s",
        "l-net-4s",
        "l-net-2s",
        "patch-fcn-32s",
        "danet",
        "abn",
    ):
        assert f"network={network}" in text or f"variant={network}" in text
    for loss in ("weighted-cross-entropy", "focal", "dice", "dual"):
        assert f"loss={loss}" in text
    for word in ("attention=max", "fusion=image", "train_side=true", "variant=concat"):
        assert word in text


@pytest.mark.parametrize(
    ("name", "words"), ROWS, ids=lambda value: value if isinstance(value, str) else " ".join(value)
)
def test_a_row_on_photographs_and_on_the_drawn_world(name: str, words: tuple[str, ...]) -> None:
    for which in (name, ON_SYNTHETIC[name]):
        plain, changed = load_experiment("sian", which), load_experiment("sian", which, list(words))
        for word in words:
            key, value = word.split("=")
            part = changed.model_dump(mode="json")
            steps = key.split(".")
            for step in steps if steps[0] == "data" else ("stages", *steps):
                part = part[step]
            assert str(part).lower() == value
        assert which == name or plain.name == which
    computes(smoke(load_experiment("sian", name, list(words))))


def computes(experiment: Experiment) -> None:
    """Every stage of it gives a finite loss with a gradient."""
    masks = (torch.rand(2, 8, 128, 128, generator=torch.Generator().manual_seed(0)) > 0.99).to(torch.uint8)
    batch: Batch = {
        "image": torch.randn(2, 3, 128, 128, generator=torch.Generator().manual_seed(1)),
        "mask": masks,
        "present": masks.amax((2, 3)).float(),
        "grades": {"dr": torch.tensor([0, 3])},
        "index": torch.arange(2),
    }
    last = list(experiment.stages.values())[-1]
    task = task_class(last.task.name)(
        last.task, SCALES if last.task.name == "sian" else {}, 0, True, 0
    ).train()
    loss = task.outputs(batch).loss
    loss.backward()
    assert loss.isfinite()
    assert any(p.grad is not None and p.grad.any() for p in task.parameters())


def test_three_seeds_are_one_word() -> None:
    given = list(itertools.chain(["seeds=3"], ROWS[0][1]))
    assert load_experiment("sian", "synthetic-lesions", given).seeds == 3
