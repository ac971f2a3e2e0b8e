"""Two sets with different lesions: what neither annotates is taught and judged nowhere; what cannot be is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import torch

from retinalab.config import Experiment
from retinalab.data.sets.fake import fake_image
from retinalab.errors import RetinalabError
from retinalab.experiment import load_experiment
from retinalab.metrics import read_table
from retinalab.runner import run
from retinalab.runner.modules import stage_modules
from retinalab.runner.stage import build_task
from retinalab.smoke import smoke
from retinalab.tasks.lesion_loss import batch_dice, pixel_cross_entropy

SIDE = 64
Make = Callable[..., Experiment]


def write_set(folder: Path, lesions: dict[str, tuple[int, int]], first: int, photographs: int = 16) -> Path:
    """Photographs with a disc of each lesion in every second one; ``lesions`` gives its place."""
    (folder / "images").mkdir(parents=True)
    (folder / "masks").mkdir()
    rows = []
    for k in range(photographs):
        cv2.imwrite(str(folder / "images" / f"{first + k}.png"), fake_image(first + k, 1)[..., ::-1])
        row = {"image": f"images/{first + k}.png", "patient": str(first + k), "dr": k % 5}
        for lesion, centre in lesions.items():
            mask = cv2.circle(np.zeros((72, 96), np.uint8), centre, 5, 255, cv2.FILLED)
            name = f"masks/{first + k}-{lesion}.png"
            if k % 2:
                cv2.imwrite(str(folder / name), mask)
            row[f"mask_{lesion}"] = name if k % 2 else ""
        rows.append(row)
    pd.DataFrame(rows).to_csv(folder / "records.csv", index=False)
    return folder


@pytest.fixture
def dark(tmp_path: Path) -> Path:
    return write_set(tmp_path / "dark", {"MA": (40, 30), "HE": (55, 40)}, 100)


@pytest.fixture
def bright(tmp_path: Path) -> Path:
    return write_set(tmp_path / "bright", {"EX": (45, 45), "HE": (50, 25)}, 300)


@pytest.fixture
def made(tmp_path: Path) -> Make:
    def make(root: Path, *more: str) -> Experiment:
        given = [
            f"output={tmp_path / 'runs'}", f"data.cache={tmp_path / 'cache'}", "data.set=table", f"data.root={root}",
            "data.options={}", f"data.size={SIDE}", f"data.crop={SIDE}", "data.overlap=exclude",
            "train.task.options={decoder_channels: [8, 8, 8, 8, 4]}", "train.trainer.accelerator=cpu",
            "train.trainer.precision=32-true", "train.trainer.max_epochs=1", "train.trainer.monitor=val/loss",
            "train.trainer.mode=min", *more,
        ]  # fmt: skip
        return load_experiment("baseline", "synthetic-lesions", given)

    return make


def folders(root: Path) -> list[str]:
    """A second table beside the first, under its own name."""
    return ["test.options.second={set: table, name: second}", f"roots.second={root}", "test.sets=[second]"]


def test_what_a_set_does_not_annotate_moves_neither_loss_nor_figures(
    made: Make, dark: Path, bright: Path
) -> None:
    experiment = made(dark, *folders(bright))
    (module,) = stage_modules(experiment, None, 0).values()
    task = build_task(experiment, "train", 0)
    lost = {}
    for name, part in module.parts.tests.items():
        dataset = module.dataset(part)
        batch = module.on_after_batch_transfer(
            dataset.__getitems__([(0, k, k) for k in range(len(dataset))]), 0
        )
        mask = batch["mask"]
        lost[name] = {k for k in range(8) if (mask[:, k] == 255).all()}
        logits = torch.randn(mask.shape, generator=torch.Generator().manual_seed(0))
        other = logits.clone()
        other[mask == 255] = 50 * torch.randn(int((mask == 255).sum()))
        for loss in (pixel_cross_entropy, batch_dice):
            assert loss(logits, mask) == loss(other, mask)
            free = logits.clone().requires_grad_()
            loss(free, mask).backward()
            assert free.grad is not None
            assert not free.grad[mask == 255].any()
            assert free.grad[mask != 255].any()
    assert lost == {"table": {2, 3, 4, 5, 6, 7}, "second": {0, 3, 4, 5, 6, 7}}
    assert task.outputs(batch).loss.isfinite()


def test_figures_of_two_sets_with_different_lesions(made: Make, dark: Path, bright: Path) -> None:
    result = run(smoke(made(dark, *folders(bright))))
    table = read_table(result.folder / "lesions.parquet", "lesions")
    tested = table[table["part"] == "test"]
    assert {s: set(rows["lesion"]) for s, rows in tested.groupby("set")} == {
        "dark": {"MA", "HE"}, "second": {"EX", "HE"},
    }  # fmt: skip
    keys = {key for key in result.metrics if key.endswith("/f1") and "mean" not in key}
    assert {key for key in keys if key.startswith("test")} == {
        "test/lesion/MA/f1", "test/lesion/HE/f1", "test@second/lesion/EX/f1", "test@second/lesion/HE/f1",
    }  # fmt: skip
    assert result.metrics["test/lesion/mean/f1"]["n"] == tested[tested["set"] == "dark"]["image"].nunique()
    known = result.predictions.filter(regex=r"lesion_\w+_annotated").groupby(result.predictions["set"]).any()
    assert known.columns[known.loc["dark"]].tolist() == ["lesion_MA_annotated", "lesion_HE_annotated"]
    assert {key for key in result.metrics if key.endswith("f1_threshold") and "@" not in key} == {
        "test/lesion/MA/f1_threshold", "test/lesion/HE/f1_threshold", "test/lesion/mean/f1_threshold",
    }  # fmt: skip


def test_a_set_without_a_common_lesion_is_refused_before_training(
    made: Make, dark: Path, tmp_path: Path
) -> None:
    other = write_set(tmp_path / "other", {"NV": (45, 45)}, 500)
    expected = r"Test set 'second' is annotated for NV, and stage 'train' was taught MA, HE: none in common"
    with pytest.raises(RetinalabError, match=expected):
        run(made(dark, *folders(other)))
    none = write_set(tmp_path / "none", {}, 700)
    with pytest.raises(
        RetinalabError, match=r"no training photograph of none is annotated for any of MA, HE"
    ):
        run(made(none))
    assert not list((tmp_path / "runs").rglob("metrics.json"))
    assert not list((tmp_path / "runs").rglob("*.ckpt"))


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ("size", r"1-MA\.png: the mask is 48x36 pixels but its photograph 96x72"),
        ("grey", r"1-MA\.png: a binary mask was expected but it has \d+ values"),
        ("name", r"Unknown lesion 'XX'"),
    ],
)
def test_masks_that_cannot_be_used(made: Make, dark: Path, fault: str, expected: str) -> None:
    path = dark / "masks" / "101-MA.png"
    mask = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    assert mask is not None
    if fault == "size":
        cv2.imwrite(str(path), mask[::2, ::2])
    if fault == "grey":
        cv2.imwrite(str(path), cv2.GaussianBlur(mask, (0, 0), 2))
    more = ["data.options={lesions: [MA, XX]}"] if fault == "name" else []
    with pytest.raises(RetinalabError, match=expected) as caught:
        run(made(dark, *more))
    assert len(str(caught.value).splitlines()) == 1
