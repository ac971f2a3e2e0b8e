"""Metrics that add up: several processes give what one gives, and both what the tables give."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch
from sklearn import metrics as sk

from retinalab.metrics import DiseaseGrading, GradingMetrics, JointAccuracy, LesionPixelF1, LesionPresenceF1
from retinalab.protocol import SCALES


def grades(seed: int, n: int = 90, size: int = 5) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    reference = torch.randint(-1, size, (n,), generator=generator)
    predicted = (reference.clamp(min=0) + torch.randint(0, 2, (n,), generator=generator)).clamp(max=size - 1)
    return predicted, reference


def test_an_epoch_in_batches_agrees_with_scikit_learn() -> None:
    predicted, reference = grades(0)
    metric = DiseaseGrading(SCALES["icdr5"])
    for some, truth in zip(predicted.split(16), reference.split(16), strict=True):
        metric.update(torch.nn.functional.one_hot(some, 5).float(), truth)
    figures = {name: float(value) for name, value in metric.compute().items()}
    known = reference >= 0
    pair = reference[known].numpy(), predicted[known].numpy()
    assert figures["kappa"] == pytest.approx(sk.cohen_kappa_score(*pair, weights="quadratic"), abs=1e-6)
    assert figures["kappa_linear"] == pytest.approx(sk.cohen_kappa_score(*pair, weights="linear"), abs=1e-6)
    assert figures["kappa_unweighted"] == pytest.approx(sk.cohen_kappa_score(*pair), abs=1e-6)
    assert figures["f1"] == pytest.approx(sk.f1_score(*pair, average="macro", zero_division=0), abs=1e-6)
    assert set(figures) == {
        "accuracy", "kappa", "kappa_linear", "kappa_unweighted", "precision", "recall", "f1", "mae",
        "unacceptable",
        *(f"sensitivity_{k}" for k in range(5)),
    }  # fmt: skip
    metric.reset()
    metric.update(torch.tensor([0, 1]), torch.tensor([-1, -1]))
    assert np.isnan(float(metric.compute()["accuracy"]))


def test_two_processes_add_up_to_one() -> None:
    predicted, reference = grades(1)
    other = DiseaseGrading(SCALES["icdr5"])
    other.update(predicted[50:], reference[50:])
    shared = DiseaseGrading(
        SCALES["icdr5"],
        distributed_available_fn=lambda: True,
        dist_sync_fn=lambda state, group: [state, other.confusion],
    )
    shared.update(predicted[:50], reference[:50])
    alone = DiseaseGrading(SCALES["icdr5"])
    alone.update(predicted, reference)
    assert shared.compute() == alone.compute()
    shared.sync(shared.dist_sync_fn, distributed_available=lambda: True)
    assert torch.equal(shared.confusion, alone.confusion)


def test_joint_accuracy_counts_photographs_known_in_full() -> None:
    metric = JointAccuracy()
    dr, dme = torch.tensor([0, 1, 2, -1, 4]), torch.tensor([0, 1, -1, 0, 1])
    metric.update([torch.tensor([0, 1, 2, -1, 4]), torch.tensor([0, 0, 0, 0, 1])], [dr, dme])
    assert float(metric.compute()) == pytest.approx(2 / 3)
    metric.reset()
    metric.update([torch.tensor([0]), torch.tensor([0])], [torch.tensor([0]), torch.tensor([-1])])
    assert metric.compute().isnan()


def test_diseases_are_keyed_as_in_the_results() -> None:
    metrics = GradingMetrics({"dr": SCALES["icdr5"], "dme": SCALES["risk3"]})
    dr, dme = grades(2), grades(3, size=3)
    metrics.update({"dr": dr[0], "dme": dme[0]}, {"dr": dr[1], "dme": dme[1]})
    figures = metrics.compute()
    known = (dr[1] >= 0) & (dme[1] >= 0)
    right = (dr[0] == dr[1]) & (dme[0] == dme[1])
    assert float(figures["joint/accuracy"]) == pytest.approx(float(right[known].float().mean()))
    assert {"dr/kappa", "dme/kappa", "dme/sensitivity_2"} <= set(figures)
    assert not metrics.state_dict()
    metrics.reset()
    perfect = {"dr": torch.tensor([0, 4]), "dme": torch.tensor([2, 0])}
    metrics.update(perfect, perfect)
    assert metrics.compute()["dr/kappa"] == 1
    alone = GradingMetrics({"dr": SCALES["icdr5"]})
    alone.update(perfect, perfect)
    assert "joint/accuracy" not in alone.compute()


def test_lesion_pixels_leave_out_what_was_not_annotated() -> None:
    generator = np.random.default_rng(0)
    probability = generator.random((6, 2, 8, 8)).astype(np.float32)
    mask = generator.choice([0, 1, 255], (6, 2, 8, 8)).astype(np.uint8)
    metric = LesionPixelF1(("MA", "EX"))
    for k in (0, 3):
        metric.update(torch.from_numpy(probability[k : k + 3]), torch.from_numpy(mask[k : k + 3]))
    figures = metric.compute()
    each = []
    for k, lesion in enumerate(("MA", "EX")):
        known = mask[:, k] != 255
        each.append(sk.f1_score(mask[:, k][known], probability[:, k][known] >= 0.5))
        assert float(figures[f"{lesion}/f1"]) == pytest.approx(each[-1], abs=1e-6)
    assert float(figures["mean/f1"]) == pytest.approx(np.mean(each), abs=1e-6)


def test_presence_leaves_out_what_is_unknown() -> None:
    metric = LesionPresenceF1(("MA", "EX"))
    present = torch.tensor([[1.0, torch.nan], [0.0, torch.nan], [1.0, torch.nan], [torch.nan, torch.nan]])
    metric.update(torch.tensor([[0.5, 1.0], [0.9, 1.0], [0.1, 1.0], [0.9, 1.0]]), present)
    figures = metric.compute()
    assert float(figures["MA/image_f1"]) == pytest.approx(2 / (2 + 1 + 1))
    assert figures["EX/image_f1"].isnan()
    assert float(figures["mean/image_f1"]) == pytest.approx(0.5)


def test_evaluation_does_not_import_torch() -> None:
    code = "import sys, retinalab.metrics as m; m.evaluate; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
