"""The plain segmentation baseline: its loss, what it ignores, that it learns, and its way to the tables."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning import Trainer

from retinalab.data.batch import Batch
from retinalab.errors import RetinalabError
from retinalab.experiment import load_experiment
from retinalab.metrics import read_table
from retinalab.records import LESIONS
from retinalab.registry import task_class, task_config
from retinalab.runner import run
from retinalab.smoke import smoke
from retinalab.tasks.config import SegmentationConfig
from retinalab.tasks.lesion_loss import batch_dice, pixel_cross_entropy
from retinalab.tasks.segmentation import SegmentationTask
from retinalab.tasks.segmenter import LesionMaps

SMALL = {"encoder": "tu-test_resnet", "options": {"encoder_depth": 3, "decoder_channels": [16, 8, 8]}}


def task(**options: Any) -> SegmentationTask:
    torch.manual_seed(0)
    return SegmentationTask({"name": "baseline-segmentation", **SMALL, **options}, {"dr": "icdr5"})


def photographs(size: int = 4, side: int = 32) -> Batch:
    """Red discs are MA and blue ones EX; HE was not annotated."""
    generator = np.random.default_rng(0)
    images = generator.normal(0, 0.3, (size, 3, side, side)).astype(np.float32)
    mask = np.zeros((size, len(LESIONS), side, side), np.uint8)
    mask[:, 1] = 255
    y, x = np.mgrid[:side, :side]
    for image, planes in zip(images, mask, strict=True):
        for colour, lesion in ((0, 0), (2, 2)):
            row, column = generator.uniform(6, side - 6, 2)
            disc = np.hypot(y - row, x - column) < 5
            image[colour][disc] += 3
            planes[lesion][disc] = 1
    return {
        "image": torch.from_numpy(images),
        "mask": torch.from_numpy(mask),
        "grades": {"dr": torch.zeros(size, dtype=torch.int64)},
    }


def random_maps() -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(3)
    logits = generator.normal(0, 2, (3, 8, 6, 5))
    mask = generator.choice([0, 1, 255], size=logits.shape, p=[0.6, 0.2, 0.2])
    mask[:, 4] = np.where(mask[:, 4] == 1, 0, mask[:, 4])  # annotated, and nowhere present
    mask[:, 6] = 255  # not annotated
    return logits, mask.astype(np.uint8)


def test_the_registry_finds_the_task_and_its_options() -> None:
    assert task_class("baseline-segmentation") is SegmentationTask
    assert task_config("baseline-segmentation") is SegmentationConfig
    assert task().chosen_by() == ("val/lesion/mean/f1", "max")


def test_cross_entropy_is_the_mean_over_annotated_pixels_in_float64() -> None:
    logits, mask = random_maps()
    total, count = 0.0, 0
    for value, truth in zip(logits.ravel(), mask.ravel(), strict=True):
        if truth != 255:
            chance = 1 / (1 + np.exp(-value))
            total -= np.log(chance if truth else 1 - chance)
            count += 1
    found = pixel_cross_entropy(torch.from_numpy(logits), torch.from_numpy(mask))
    assert found.dtype == torch.float64
    assert found.item() == pytest.approx(total / count, rel=1e-12)


def test_dice_is_over_the_batch_per_lesion_that_it_shows_in_float64() -> None:
    logits, mask = random_maps()
    each = []
    for lesion in range(8):
        known = mask[:, lesion] != 255
        chance = (1 / (1 + np.exp(-logits[:, lesion])))[known]
        truth = mask[:, lesion][known] == 1
        if truth.any():
            each.append(1 - 2 * chance[truth].sum() / (chance.sum() + truth.sum()))
    assert len(each) == 6
    found = batch_dice(torch.from_numpy(logits), torch.from_numpy(mask))
    assert found.item() == pytest.approx(np.mean(each), rel=1e-12)


def test_dice_of_one_batch_is_not_the_mean_over_its_photographs() -> None:
    logits, mask = (torch.from_numpy(part) for part in random_maps())
    apart = np.mean([batch_dice(logits[i : i + 1], mask[i : i + 1]).item() for i in range(3)])
    assert batch_dice(logits, mask).item() != pytest.approx(apart, rel=1e-3)


@pytest.mark.parametrize("loss", [pixel_cross_entropy, batch_dice])
def test_ignored_pixels_carry_no_gradient(loss: Any) -> None:
    values, mask = random_maps()
    logits = torch.from_numpy(values).requires_grad_()
    loss(logits, torch.from_numpy(mask)).backward()
    assert logits.grad is not None
    assert (logits.grad.numpy()[mask == 255] == 0).all()
    assert (logits.grad.numpy()[mask == 1] != 0).all()


@pytest.mark.parametrize("loss", [pixel_cross_entropy, batch_dice])
@pytest.mark.parametrize("value", [0, 255])
def test_a_batch_without_lesions_or_annotation_gives_a_finite_loss(loss: Any, value: int) -> None:
    logits = torch.full((2, 8, 4, 4), -200.0, requires_grad=True)
    found = loss(logits, torch.full((2, 8, 4, 4), value, dtype=torch.uint8))
    found.backward()
    assert found.item() == pytest.approx(0, abs=1e-6)
    assert logits.grad is not None
    assert logits.grad.isfinite().all()


def test_the_loss_is_cross_entropy_plus_weighted_dice_of_the_network_s_maps() -> None:
    module, batch = task(dice_weight=0.5).eval(), photographs()
    with torch.no_grad():
        given, logits = module.outputs(batch), module(batch["image"])
    expected = pixel_cross_entropy(logits, batch["mask"]) + 0.5 * batch_dice(logits, batch["mask"])
    torch.testing.assert_close(given.loss, expected)
    torch.testing.assert_close(given.lesions, 1 / (1 + torch.exp(-logits)))
    assert given.present is not None
    assert given.lesions is not None
    highest = given.lesions.numpy().reshape(4, 8, -1).max(axis=2)
    np.testing.assert_array_equal(given.present.numpy(), highest)


def test_it_learns_one_batch_and_leaves_what_nobody_annotated_alone() -> None:
    module, batch = task(learning_rate=3e-3).train(), photographs()
    optimiser = torch.optim.Adam(module.parameters(), lr=5e-3)
    first = last = 0.0
    for step in range(60):
        optimiser.zero_grad()
        loss = module.outputs(batch).loss
        loss.backward()
        optimiser.step()
        first, last = (loss.item(), loss.item()) if step == 0 else (first, loss.item())
    assert last < 0.4 * first
    with torch.no_grad():
        maps = module.outputs(batch).lesions
    assert maps is not None
    for lesion in (0, 2):
        found, truth = maps[:, lesion] >= 0.5, batch["mask"][:, lesion] == 1
        assert 2 * (found & truth).sum() / (found.sum() + truth.sum()) > 0.8


def test_maps_begin_at_the_prior_and_have_the_photographs_size() -> None:
    network = LesionMaps("unet", prior=0.02, **SMALL).eval()  # type: ignore[arg-type]
    with torch.no_grad():
        maps = network(torch.zeros(1, 3, 40, 52)).sigmoid()
    assert maps.shape == (1, 8, 40, 52)
    assert maps.median().item() == pytest.approx(0.02, rel=0.5)


def test_without_masks_it_says_what_to_set() -> None:
    batch = photographs()
    del batch["mask"]
    with pytest.raises(RetinalabError, match=r"needs lesion masks\. Set data\.masks=true"):
        task().outputs(batch)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"architecture": "unett"}, "Did you mean 'unet'"),
        ({"encoder": "resnet8"}, "Any timm model: tu-<model>"),
        ({"encoder": "tu-resnet8"}, "Similar: tu-resne"),
        ({"options": {"decoder_chanels": [8]}}, "Did you mean 'decoder_channels'"),
        ({"options": {"decoder_channels": [8]}}, "cannot be built on encoder"),
        ({"weights": "absent.pth"}, r"absent\.pth does not exist"),
    ],
)
def test_what_does_not_fit_is_said_in_one_line(options: dict[str, Any], words: str) -> None:
    with pytest.raises(RetinalabError, match=words):
        task(**{"encoder": "resnet18", "options": {}, **options})


def test_weights_of_an_encoder_are_read_from_a_file(tmp_path: Path) -> None:
    given = LesionMaps("unet", **SMALL)  # type: ignore[arg-type]
    encoder: Any = given.maps.encoder
    torch.save(encoder.state_dict(), tmp_path / "encoder.pth")
    again = LesionMaps("fpn", "tu-test_resnet", str(tmp_path / "encoder.pth"), options={"encoder_depth": 3})
    other: Any = again.maps.encoder
    for name, value in encoder.state_dict().items():
        assert torch.equal(value, other.state_dict()[name]), name
    torch.save({"stem": torch.zeros(1)}, tmp_path / "wrong.pth")
    with pytest.raises(RetinalabError, match=r"wrong\.pth does not fit encoder 'tu-test_resnet'"):
        LesionMaps("unet", weights=str(tmp_path / "wrong.pth"), **SMALL)  # type: ignore[arg-type]


def test_a_checkpoint_gives_the_same_maps(tmp_path: Path) -> None:
    module = task()
    trainer = Trainer(accelerator="cpu", logger=False, enable_checkpointing=False, barebones=True)
    trainer.strategy.connect(module)
    trainer.save_checkpoint(tmp_path / "last.ckpt")
    again = SegmentationTask.load_from_checkpoint(
        tmp_path / "last.ckpt", map_location="cpu", weights_only=True
    )
    assert again.config == module.config
    with torch.no_grad():
        images = photographs()["image"]
        assert torch.equal(again.eval()(images), module.eval()(images))


def test_the_experiment_leaves_a_table_of_lesions(tmp_path: Path) -> None:
    given = load_experiment("baseline", "synthetic-lesions", [f"data.cache={tmp_path}", f"output={tmp_path}"])
    result = run(smoke(given))
    rows = read_table(result.folder / "lesions.parquet", "lesions")
    photographs = result.predictions.groupby("part")["image"].nunique()
    assert rows.groupby("part")["image"].nunique().to_dict() == photographs.to_dict()
    assert set(rows["lesion"]) == set(LESIONS)
    assert not rows.duplicated(["image", "part", "lesion"]).any()
    side = 128
    assert (rows["hist_in"].map(sum) + rows["hist_out"].map(sum) == side * side).all()
    present = result.predictions.set_index(["part", "image"])
    shown = rows[rows["tp"] + rows["fn"] > 0]
    assert len(shown)
    for row in shown.itertuples():
        assert present.loc[(row.part, row.image), f"lesion_{row.lesion}"] == 1
    assert {"test/lesion/mean/f1", "test/lesion/mean/image_f1", "test/lesion/EX/ap"} <= set(result.metrics)
