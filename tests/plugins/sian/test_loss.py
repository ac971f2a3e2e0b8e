"""The losses against NumPy in float64, Table 2, what is left out, and two processes against one."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from retinalab_sian.loss import (
    dice,
    dual,
    focal,
    image_dice,
    presence,
    segmentation_dice,
    weighted_cross_entropy,
)
from torch import Tensor, distributed

Drawn = tuple[np.ndarray, np.ndarray]


@pytest.fixture
def drawn() -> Drawn:
    """Logits and masks of four photographs: one lesion annotated nowhere, one nowhere present."""
    rng = np.random.default_rng(3)
    logits = rng.normal(0, 2, (4, 8, 6, 5))
    mask = rng.choice([0, 1, 255], logits.shape, p=[0.7, 0.2, 0.1]).astype(np.uint8)
    mask[:, 6] = 255
    mask[:, 4] = np.where(mask[:, 4] == 1, 0, mask[:, 4])
    mask[1, 2] = 255
    return logits, mask


def probabilities(logits: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-logits))


def dice_by_hand(p: list[float], t: list[float]) -> float:
    overlap = sum(a * b for a, b in zip(p, t, strict=True))
    return float(1 - 2 * overlap / (sum(a * a for a in p) + sum(b * b for b in t)))


def test_segmentation_dice_is_equation_3(drawn: Drawn) -> None:
    logits, mask = drawn
    known = mask.ravel() != 255
    wanted = dice_by_hand(list(probabilities(logits).ravel()[known]), list((mask == 1).ravel()[known]))
    given = segmentation_dice(torch.from_numpy(logits), torch.from_numpy(mask))
    assert given.item() == pytest.approx(wanted, abs=1e-7)


def test_image_dice_is_that_of_the_maxima_over_annotated_pixels(drawn: Drawn) -> None:
    logits, mask = drawn
    p, t = [], []
    for b in range(4):
        for lesion in range(8):
            known = mask[b, lesion] != 255
            if known.any():
                p.append(probabilities(logits)[b, lesion][known].max())
                t.append(float((mask[b, lesion] == 1).any()))
    assert len(p) == 4 * 7 - 1
    given = image_dice(*presence(torch.from_numpy(logits), torch.from_numpy(mask)))
    assert given.item() == pytest.approx(dice_by_hand(p, t), abs=1e-6)


@pytest.mark.parametrize(
    ("segmentation", "classification", "both"), [(0.0736, 0.0, 0.0589), (0.0797, 0.3325, 0.1303)]
)
def test_dual_loss_gives_table_2(segmentation: float, classification: float, both: float) -> None:
    given = dual(torch.tensor(segmentation), torch.tensor(classification))
    assert round(given.item(), 4) == both


def test_extremes_of_dice() -> None:
    """All found: 0. Nothing of something: close to 1 (section 3.1). Nothing of nothing: 0."""
    everywhere = torch.ones(4, dtype=torch.bool)
    some, none = torch.tensor([1.0, 0.0, 1.0, 0.0]), torch.zeros(4)
    assert dice(some, some, everywhere).item() == pytest.approx(0, abs=1e-6)
    assert dice(none, some, everywhere).item() == pytest.approx(1, abs=1e-6)
    assert dice(none, none, everywhere).item() == pytest.approx(0, abs=1e-6)
    assert dice(torch.full((4,), 0.1), none, everywhere).item() == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("weight", [None, 7.0])
def test_weighted_cross_entropy(drawn: Drawn, weight: float | None) -> None:
    logits, mask = drawn
    known = mask.ravel() != 255
    p, t = probabilities(logits).ravel()[known], (mask == 1).ravel()[known]
    inside, outside = (1 - t.mean(), t.mean()) if weight is None else (weight, 1.0)
    wanted = -np.mean(np.where(t, inside * np.log(p), outside * np.log(1 - p)))
    given = weighted_cross_entropy(torch.from_numpy(logits), torch.from_numpy(mask), weight)
    assert given.item() == pytest.approx(wanted, rel=1e-9)


@pytest.mark.parametrize(("alpha", "gamma"), [(0.8, 2.0), (0.25, 0.5)])
def test_focal_loss(drawn: Drawn, alpha: float, gamma: float) -> None:
    logits, mask = drawn
    known = mask.ravel() != 255
    p, t = probabilities(logits).ravel()[known], (mask == 1).ravel()[known]
    here = np.where(t, p, 1 - p)
    wanted = -np.mean(np.where(t, alpha, 1 - alpha) * (1 - here) ** gamma * np.log(here))
    given = focal(torch.from_numpy(logits), torch.from_numpy(mask), alpha, gamma)
    assert given.item() == pytest.approx(wanted, rel=1e-6)


LOSSES: dict[str, Any] = {
    "dice": segmentation_dice,
    "image-dice": lambda logits, mask, across=False: image_dice(*presence(logits, mask), across),
    "weighted-cross-entropy": lambda logits, mask, across=False: weighted_cross_entropy(
        logits, mask, None, across
    ),
    "focal": lambda logits, mask, across=False: focal(logits, mask, 0.8, 2.0, across),
}


@pytest.mark.parametrize("name", LOSSES)
def test_what_was_not_annotated_has_no_influence(drawn: Drawn, name: str) -> None:
    """Neither on the value nor on any gradient, as when sets with different lesions are mixed."""
    logits, mask = (torch.from_numpy(part) for part in drawn)
    logits.requires_grad_()
    loss = LOSSES[name](logits, mask)
    loss.backward()
    assert (logits.grad[mask == 255] == 0).all()
    assert (logits.grad[mask == 1] != 0).any()
    other = torch.where(mask == 255, torch.randn(logits.shape, dtype=logits.dtype) * 5, logits.detach())
    assert LOSSES[name](other, mask).item() == pytest.approx(loss.item(), rel=1e-12)


@pytest.mark.parametrize("name", LOSSES)
def test_a_batch_without_annotation_has_a_finite_loss_without_gradient(name: str) -> None:
    logits = torch.randn(2, 8, 4, 4, requires_grad=True)
    loss = LOSSES[name](logits, torch.full((2, 8, 4, 4), 255, dtype=torch.uint8))
    loss.backward()
    assert loss.item() == pytest.approx(0, abs=1e-6)
    assert (logits.grad == 0).all()


def test_a_mixture_of_two_sets_teaches_each_lesion_from_its_own(drawn: Drawn) -> None:
    """The sums over a mixture are those of its parts, so that the Dice of both follows from six numbers."""
    logits, mask = drawn
    mask[:2, :4], mask[2:, 4:] = 255, 255
    p, t, known = probabilities(logits), mask == 1, mask != 255
    sums = np.zeros(3)
    for rows, planes in ((slice(0, 2), slice(4, 8)), (slice(2, 4), slice(0, 4))):
        pp, tt, kk = p[rows, planes], t[rows, planes], known[rows, planes]
        sums += [(pp * tt)[kk].sum(), (pp[kk] ** 2).sum(), tt[kk].sum()]
    wanted = 1 - 2 * sums[0] / (sums[1] + sums[2])
    given = segmentation_dice(torch.from_numpy(logits), torch.from_numpy(mask))
    assert given.item() == pytest.approx(wanted, abs=1e-7)


def share(rank: int, folder: Path) -> None:
    """One of two processes: its photographs, a layer of its own copy, gradients averaged as Lightning does."""
    store = distributed.FileStore(str(folder / "store"), 2)
    limit = timedelta(seconds=60)
    distributed.init_process_group("gloo", store=store, rank=rank, world_size=2, timeout=limit)
    rows = slice(0, 1) if rank == 0 else slice(1, 4)
    drawn = np.load(folder / "drawn.npz")
    for name, loss in LOSSES.items():
        value, gradient = through_a_layer(loss, drawn["logits"][rows], drawn["mask"][rows], across=True)
        distributed.all_reduce(gradient)
        if rank == 0:
            torch.save((value, gradient / 2), folder / f"{name}.pt")
    distributed.destroy_process_group()


def through_a_layer(
    loss: Any, logits: np.ndarray, mask: np.ndarray, across: bool = False
) -> tuple[Tensor, Tensor]:
    scale = torch.linspace(0.5, 1.5, 8, dtype=torch.float64).view(1, 8, 1, 1).requires_grad_()
    value = loss(torch.from_numpy(logits) * scale, torch.from_numpy(mask), across)
    value.backward()
    assert scale.grad is not None
    return value.detach(), scale.grad


def test_two_processes_have_the_loss_and_gradient_of_one(drawn: Drawn, tmp_path: Path) -> None:
    """Photographs divided unevenly, one to three; this file is what each process runs."""
    np.savez(tmp_path / "drawn.npz", logits=drawn[0], mask=drawn[1])
    settings = {**os.environ, "GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1"}
    both = [
        subprocess.Popen([sys.executable, __file__, str(rank), str(tmp_path)], env=settings)
        for rank in (0, 1)
    ]
    assert [process.wait(timeout=120) for process in both] == [0, 0]
    for name, loss in LOSSES.items():
        value, gradient = torch.load(tmp_path / f"{name}.pt", weights_only=True)
        alone, wanted = through_a_layer(loss, *drawn)
        assert value.item() == pytest.approx(alone.item(), rel=1e-12), name
        torch.testing.assert_close(gradient, wanted, rtol=1e-10, atol=1e-14)


if __name__ == "__main__":
    share(int(sys.argv[1]), Path(sys.argv[2]))
