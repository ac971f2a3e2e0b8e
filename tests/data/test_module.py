"""Batches: the same with any number of workers, once per epoch, masks and grades beside their photographs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
import pytest
import torch
from lightning import Trainer
from lightning.pytorch.strategies import SingleDeviceStrategy
from lightning.pytorch.utilities.data import has_len_all_ranks

from retinalab.config import DataConfig, TestConfig
from retinalab.data.batch import Batch
from retinalab.data.cache import Cache
from retinalab.data.dataset import fresh_memory
from retinalab.data.module import FundusDataModule
from retinalab.data.parts import Part, identity
from retinalab.data.sets import open_set
from retinalab.errors import RetinalabError
from retinalab.protocol import Protocol
from retinalab.testing import write_fake_set

PROTOCOL = Protocol(diseases={"dr": "icdr5", "dme": "risk3"})


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def module(fake_sets: Path, cache: Path) -> Any:
    def made(name: str = "table", seed: int = 0, **options: Any) -> FundusDataModule:
        given = {
            "set": name,
            "root": fake_sets / name,
            "size": 48,
            "batch_size": 4,
            "cache": cache,
            **options,
        }
        protocol = PROTOCOL if name != "dr600" else Protocol(diseases={"dr": "icdr5", "dme": "binary"})
        return FundusDataModule(DataConfig.model_validate(given), protocol, seed=seed)

    return made


RICH = {"rotation": 180, "zoom": [0.8, 1.2], "flip_horizontal": 0.5, "brightness": 0.3, "hue": 0.05}


def epochs(module: FundusDataModule, count: int = 2) -> list[list[Batch]]:
    """Batches of several epochs, as Lightning asks for them."""
    loader = module.train_dataloader()
    result = []
    for epoch in range(count):
        loader.batch_sampler.sampler.set_epoch(epoch)  # type: ignore[union-attr]
        result.append(list(loader))
    return result


def same(one: Batch, other: Batch) -> bool:
    return torch.equal(one["image"], other["image"]) and torch.equal(one["index"], other["index"])


def test_workers_change_nothing_and_epochs_differ(module: Any) -> None:
    alone, with_two = epochs(module(augment=RICH)), epochs(module(augment=RICH, workers=2))
    for first, second in zip(alone, with_two, strict=True):
        assert all(same(a, b) for a, b in zip(first, second, strict=True))
    order = [torch.cat([batch["index"] for batch in epoch]) for epoch in alone]
    assert sorted(order[0].tolist()) == sorted(order[1].tolist()) == list(range(20))
    assert order[0].tolist() != order[1].tolist()
    assert not same(epochs(module(augment=RICH, seed=1), 1)[0][0], alone[0][0])


def test_batches_hold_the_records_and_the_prepared_pixels(module: Any) -> None:
    made = module()
    part = made.parts.train
    for batch in epochs(made, 1)[0]:
        rows = batch["index"].numpy()
        assert batch["image"].dtype == torch.uint8
        expected = part.cache.images(part.rows[rows])
        assert np.array_equal(batch["image"].permute(0, 2, 3, 1).numpy(), expected)
        for disease in ("dr", "dme"):
            assert batch["grades"][disease].tolist() == part.records.table[disease].iloc[rows].tolist()
        assert batch["present"].isnan().all()


def test_evaluation_goes_through_validation_then_every_test_set_in_order(
    fake_sets: Path, cache: Path
) -> None:
    data = DataConfig(set="table", size=48, batch_size=5, cache=cache)
    protocol = Protocol(diseases={"dr": "icdr5", "dme": "binary"})
    roots = {path.name: path for path in fake_sets.iterdir()}
    made = FundusDataModule(data, protocol, roots=roots, test=TestConfig(sets=("dr600",)))
    loaders = made.test_dataloader()
    parts = made.evaluation_parts()
    assert [part.records.table["set"].iloc[0] for part in parts] == ["table", "table", "dr600"]
    for loader, part in zip(loaders, parts, strict=True):
        assert torch.cat([batch["index"] for batch in loader]).tolist() == list(range(len(part)))


def test_masks_say_present_absent_and_not_to_be_judged(module: Any) -> None:
    made = module("idrid", options={"task": "segmentation"}, masks=True, augment={"zoom": [0.6, 0.6]})
    (batch,) = epochs(made, 1)[0]
    mask = batch["mask"]
    assert mask.shape == (len(batch["index"]), 8, 48, 48)
    assert (mask[:, 4:] == 255).all()
    assert set(mask[:, :4].unique().tolist()) == {0, 1, 255}
    assert (mask[:, :4, 0, 0] == 255).all()  # zoomed out: the corner is no photograph
    assert (mask[:, 0] == 1).any((1, 2)).all()
    assert (batch["present"][:, :3] == 1).all()
    assert batch["present"][:, 4:].isnan().all()


def test_both_roads_to_the_device_give_one_picture(module: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch whose warp is left to the device, against one that OpenCV has changed."""
    options = {
        "options": {"task": "segmentation"},
        "masks": True,
        "augment": RICH,
        "normalise": "unit",
        "crop": 40,
    }
    near = module("idrid", **options)
    (batch,) = epochs(near, 1)[0]
    near_batch = near.on_after_batch_transfer(batch, 0)
    far = module("idrid", **options)
    monkeypatch.setattr(far, "_on_gpu", lambda: True)
    dataset = far.dataset(far.parts.train, training=True)
    raw = dataset.__getitems__([(0, i, int(row)) for i, row in enumerate(near_batch["index"])])
    assert raw["warp"].shape == (len(batch["index"]), 2, 3)
    far_batch = far.on_after_batch_transfer(raw, 0)
    assert "warp" not in far_batch
    assert far_batch["image"].shape == near_batch["image"].shape == (3, 3, 40, 40)
    assert (far_batch["image"] - near_batch["image"]).abs().mean() * 255 < 1.5
    assert (far_batch["mask"] != near_batch["mask"]).float().mean() < 0.01


def test_windows_carry_their_labels_and_the_pixels_about_their_centres(module: Any) -> None:
    made = module(
        "idrid", options={"task": "segmentation"}, windows={"kind": "lesions", "size": 16, "negatives": 2}
    )
    part = made.parts.train
    dataset = made.dataset(part)
    batch = dataset.__getitems__([(0, i, i) for i in range(len(dataset))])
    table = dataset.windows
    assert table is not None
    assert batch["label"].tolist() == table["label"].tolist()
    for i, (photograph, x, y) in enumerate(table[["photograph", "x", "y"]].to_numpy()):
        image = np.pad(part.cache.images(part.rows[[photograph]])[0], ((16, 16), (16, 16), (0, 0)))
        expected = image[y + 8 : y + 24, x + 8 : x + 24]
        assert np.array_equal(batch["image"][i].permute(1, 2, 0).numpy(), expected)


def test_balanced_windows_bring_each_class_equally_often(module: Any) -> None:
    windows = {"kind": "lesions", "size": 16, "negatives": 12}
    made = module("idrid", options={"task": "segmentation"}, windows=windows, sampler="balanced")
    labels = torch.cat([b["label"] for epoch in epochs(made, 40) for b in epoch])
    shares = labels.bincount() / len(labels)
    present = shares[shares > 0]
    assert (present - 1 / len(present)).abs().max() < 0.08


def test_no_training_batch_or_window_is_said(module: Any) -> None:
    with pytest.raises(RetinalabError, match=r"20 photographs or windows make no training batch of 64"):
        module(batch_size=64, drop_last=True).train_dataloader()
    windows = {"kind": "lesions", "size": 16, "classes": ["NV"], "negatives": 0}
    made = module("idrid", options={"task": "segmentation"}, windows=windows)
    with pytest.raises(
        RetinalabError, match=r"Part train of idrid has no window of class NV: 3 photographs, 0 of"
    ):
        made.train_dataloader()


def test_a_limit_keeps_so_many_of_each_part(module: Any) -> None:
    parts = module(limit=3).parts
    assert (len(parts.train), len(parts.val), len(parts.tests["table"])) == (3, 3, 3)
    again = module(limit=3).parts
    assert parts.train.records.table["image"].tolist() == again.train.records.table["image"].tolist()


def test_selection_on_test_validates_on_test(fake_sets: Path, cache: Path) -> None:
    protocol = Protocol(diseases={"dr": "icdr5"}, split="as-published", select_on="test")
    data = DataConfig(set="table", root=fake_sets / "table", size=48, cache=cache)
    made = FundusDataModule(data, protocol)
    seen = sum(len(batch["index"]) for batch in made.val_dataloader())
    assert seen == len(made.parts.tests["table"]) == 8


def test_further_columns_reach_the_predictions_and_none_is_taken_for_one(tmp_path: Path) -> None:
    folder = write_fake_set("table", tmp_path / "own", 12)
    table = pd.read_csv(folder / "records.csv").assign(camera="left room", dr_p7=0.9, lesion_MA=1)
    table.to_csv(folder / "records.csv", index=False)
    records = open_set("table", folder).records()
    part = Part("test", records, cast(Cache, None), np.arange(len(records)))
    frame = identity(part)
    assert set(frame["camera"]) == {"left room"}
    assert not {"dr_p7", "lesion_MA", "mask_MA", "width"} & set(frame.columns)


@pytest.mark.parametrize(("devices", "beside"), [(1, 1), (3, 3)])
def test_processes_that_lightning_starts_share_the_processors(
    devices: int, beside: int, module: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = module()
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(6)))
    off = dict.fromkeys(("logger", "enable_checkpointing"), False)
    made.trainer = Trainer(
        accelerator="cpu", devices=devices, strategy="ddp" if devices > 1 else "auto", **off
    )
    monkeypatch.setattr(made, "_on_gpu", lambda: True)
    monkeypatch.setattr("retinalab.data.loader.pinned_memory", fresh_memory)
    assert made.val_dataloader().threads == 6 // beside


@pytest.mark.parametrize("rank", [0, 1])
def test_no_process_is_without_a_batch_where_photographs_are_fewer(
    rank: int, module: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lightning refuses a process whose loader is empty."""
    made = module()
    made.use(replace(made.parts, val=made.parts.val.keep(np.arange(len(made.parts.val)) == 0)))
    monkeypatch.setattr(made, "_share", lambda: (rank, 2))
    for loader in (made.val_dataloader(), *made.test_dataloader()):
        assert has_len_all_ranks(loader, SingleDeviceStrategy("cpu"), False)
    assert len(made.val_dataloader()) == len(list(made.val_dataloader())) == 1
