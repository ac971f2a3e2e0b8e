"""Weights of grades against scikit-learn and NumPy, in every task that grades."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from pydantic import ValidationError
from sklearn.utils.class_weight import compute_class_weight

from retinalab.registry import task_class, task_config
from retinalab.tasks.base import Task
from retinalab.tasks.class_weights import balanced, effective
from retinalab.tasks.config import BaselineConfig

SIDE = 64
GRADED = {
    "baseline": {"backbone": "resnet18"},
    "canet": {"backbone": "resnet18", "features": 16},
    "clpi": {"backbone": "resnet18", "widths": "small"},
    "sian": {"backbone": "resnet18"},
    "ellg": {"side": SIDE, "width": 4, "hidden": 8, "blocks": 3, "output": "classes"},
}
TABLE = pd.DataFrame({"dr": [0, 0, 0, 0, 1, 2, 2, 3, -1, 4], "dme": [0, 1, 2, 0, 0, 0, -1, 0, 0, 0]})


def test_balanced_weights_are_scikit_learns() -> None:
    grades = np.repeat([0, 1, 2, 4], [50, 7, 20, 3])
    counts = np.bincount(grades, minlength=5)
    expected = compute_class_weight("balanced", classes=np.array([0, 1, 2, 4]), y=grades)
    np.testing.assert_allclose(balanced(counts.tolist()).numpy()[[0, 1, 2, 4]], expected, rtol=1e-6)
    assert balanced(counts.tolist())[3] == 0


@pytest.mark.parametrize("beta", [0.9, 0.999, 0.9999])
def test_effective_weights_are_the_papers(beta: float) -> None:
    counts = np.array([500, 70, 200, 3])
    raw = (1.0 - beta) / (1.0 - np.power(beta, counts))
    np.testing.assert_allclose(effective(counts.tolist(), beta).numpy(), raw / raw.sum() * 4, rtol=1e-5)
    with_none = effective([500, 0, 3], beta)
    assert with_none[1] == 0
    assert float(with_none.sum()) == pytest.approx(2)


def made(name: str, weights: Any, monkeypatch: pytest.MonkeyPatch, **options: Any) -> Task:
    torch.manual_seed(0)
    config = task_config(name).model_validate(
        {"name": name, **GRADED[name], **options, "class_weights": weights}
    )
    task: Task = task_class(name)(config, {"dr": "icdr5", "dme": "risk3"})
    records = SimpleNamespace(records=SimpleNamespace(table=TABLE))
    datamodule = SimpleNamespace(parts=SimpleNamespace(train=records))
    monkeypatch.setattr(Task, "trainer", SimpleNamespace(datamodule=datamodule))
    task.setup("fit")
    return task.eval()


def batch() -> Any:
    torch.manual_seed(1)
    grades = {"dr": torch.tensor([0, 1, 2, -1, 4, 0]), "dme": torch.tensor([2, 0, -1, 1, 0, 0])}
    return {"image": torch.rand(6, 3, SIDE, SIDE), "grades": grades, "index": torch.arange(6)}


def cross_entropy(logits: torch.Tensor, grades: torch.Tensor, weights: np.ndarray) -> float:
    x, g = logits.detach().double().numpy(), grades.numpy()
    log = x - np.log(np.exp(x - x.max(1, keepdims=True)).sum(1, keepdims=True)) - x.max(1, keepdims=True)
    known = g >= 0
    w = weights[g[known]]
    return float(-(w * log[known, g[known]]).sum() / w.sum())


@pytest.mark.parametrize("name", GRADED)
def test_the_loss_is_numpys(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    task = made(name, {"dr": "balanced", "dme": [1.0, 2.0, 5.0]}, monkeypatch)
    given = batch()
    with torch.no_grad():
        loss = float(task.outputs(given).loss)
        answer = task(given["image"])
        refined, specific = task.logits(answer), getattr(answer, "specific", {})
    counts = np.array([4, 1, 2, 1, 1])
    weights = {"dr": 9 / (5 * counts), "dme": np.array([1.0, 2.0, 5.0])}
    expected = sum(cross_entropy(refined[d], given["grades"][d], weights[d]) for d in refined)
    expected += 0.25 * sum(cross_entropy(specific[d], given["grades"][d], weights[d]) for d in specific)
    assert loss == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("name", ["ellg", "baseline"])
def test_squared_errors_are_weighed_by_the_grade(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    task = made(name, {"dr": [1, 2, 3, 4, 5]}, monkeypatch, output="severity")
    given = batch()
    with torch.no_grad():
        loss = float(task.outputs(given).loss)
        answer = {d: one[:, 0].double().numpy() for d, one in task(given["image"]).items()}
    dr, dme = given["grades"]["dr"].numpy(), given["grades"]["dme"].numpy()
    w = np.arange(1.0, 6)[dr[dr >= 0]]
    expected = (w * (answer["dr"][dr >= 0] - dr[dr >= 0]) ** 2).sum() / w.sum()
    expected += ((answer["dme"][dme >= 0] - dme[dme >= 0]) ** 2).mean()
    assert loss == pytest.approx(expected, rel=1e-4)


def test_words_of_all_diseases_reach_each(monkeypatch: pytest.MonkeyPatch) -> None:
    task = made("baseline", "effective", monkeypatch)
    for disease, counts in (("dr", [4, 1, 2, 1, 1]), ("dme", [7, 1, 1])):
        weight = task.class_weight(disease)
        assert weight is not None
        assert torch.equal(weight, effective(counts, 0.999))
    plain = made("baseline", None, monkeypatch)
    assert plain.class_weight("dr") is None
    assert plain.config.unused() == {"freeze", "freeze_epochs", "layer_decay", "class_weights"}


@pytest.mark.parametrize(
    "given",
    ["even", {"effective": 1.0}, [], {}, [1, "x"], {"dr": "even"}, [0, 0, 0], [-1, 1], [float("nan"), 1]],
)
def test_other_words_are_refused(given: Any) -> None:
    with pytest.raises(ValidationError):
        BaselineConfig.model_validate({"class_weights": given})


@pytest.mark.parametrize(
    "given",
    ["balanced", "effective", {"effective": "0.9"}, [1, 2], {"dr": ["1", 2], "dme": "balanced"}, None],
)
def test_what_is_written_down_is_read_back_alike(given: Any) -> None:
    config = BaselineConfig.model_validate({"class_weights": given})
    dumped = config.model_dump(mode="json")
    assert BaselineConfig.model_validate(dumped).class_weights == config.class_weights
