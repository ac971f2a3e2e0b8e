"""The scorecard of a network whose answer and maps are known, on drawn photographs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from retinalab.config import DataConfig, TaskConfig
from retinalab.data.batch import Batch
from retinalab.errors import RetinalabError
from retinalab.explain.grid import Grid, in_frame
from retinalab.explain.photographs import Annotated, Photographs, field_mask, read_annotated
from retinalab.explain.saliency import SaliencyMaps
from retinalab.explain.scorecard import Scorecard, Settings
from retinalab.explain.usable import usable_methods
from retinalab.metrics.saliency import map_figures
from retinalab.metrics.tables import read_table, write_table
from retinalab.protocol import Protocol
from retinalab.tasks import Outputs, Task

PROTOCOL = Protocol(diseases={"dr": "icdr5"})
REMOVED = (0.0, 0.5, 1.0)


class _Config(TaskConfig):
    name: str = "brightness"


class Brightness(Task):
    """Grades by the mean colour."""

    config_class = _Config

    def build_network(self) -> nn.Module:
        torch.manual_seed(0)
        return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 5))

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        return {"dr": self.network(images)}

    def outputs(self, batch: Batch) -> Outputs:
        return Outputs(torch.zeros(()), grades={"dr": self(batch["image"])["dr"].softmax(1)})


def maps(task: Task, images: Tensor, grades: Tensor, methods: Sequence[str]) -> list[SaliencyMaps]:
    """``cam``: how red each of 8 × 8 cells is; ``gmsm``: empty. Neither asks the network."""
    red = F.adaptive_avg_pool2d(images[:, :1], 8)[:, 0]
    red = red - red.amin((1, 2), keepdim=True)
    each = [red if method == "cam" else torch.zeros_like(red) for method in methods]
    return [SaliencyMaps(in_frame(one, Grid.even((48, 48), (8, 8)), (48, 48)), (8, 8)) for one in each]


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Photographs:
    data = DataConfig(
        set="synthetic",
        size=64,
        crop=48,
        view="centre",
        options={"photographs": 10},
        cache=tmp_path_factory.mktemp("cache"),
    )
    chosen = read_annotated(data, PROTOCOL, {})
    return Photographs(chosen.limited(6), data, PROTOCOL, ("dr",), torch.device("cpu"))


def test_rows_hold_what_each_map_finds(photographs: Photographs, tmp_path: Path) -> None:
    task = Brightness(_Config(), {"dr": "icdr5"}).eval()
    settings = Settings("dr", ("cam", "gmsm"), removed=REMOVED, depths=(0.5, 1.0), size=4)
    passes: list[int] = []
    rows = Scorecard(task, photographs, settings, maps).rows(passes.append)
    assert sum(passes) == 3 * 6
    assert len(rows) == 12
    assert (rows["lesions"] > 0).any()
    given = photographs.given(np.arange(6))
    images = given.batch["image"]
    found = maps(task, images, torch.zeros(6), ["cam"])[0].values.numpy()
    answers = task.outputs(given.batch).grades["dr"].detach()
    names = photographs.part.records.table["image"].tolist()
    for _, row in rows.iterrows():
        i = names.index(row["image"])
        values = found[i] if row["method"] == "cam" else np.zeros((48, 48))
        for name, value in dict(map_figures(values, given.batch["mask"][i].numpy(), given.fields[i])).items():
            assert row[name] == pytest.approx(value, abs=1e-6), name
        assert row["grade"] == answers[i].argmax()
        assert row["reference"] == photographs.part.records.table["dr"].iloc[i]
        assert row["deletion_curve"][0] == pytest.approx(float(answers[i].max()), abs=1e-6)
        assert row["deletion"] == pytest.approx(np.trapezoid(row["deletion_curve"], REMOVED), abs=1e-6)
        assert row["deletion_curve"][-1] == pytest.approx(row["deletion_random_curve"][-1], abs=1e-6)
        if row["method"] == "gmsm":
            assert row["empty"] == 1
            assert row["deletion_curve"] == row["deletion_random_curve"]
            assert row["randomised_known"] == [0, 0]
        else:  # a map that does not ask the network does not change with its weights
            assert row["randomised_curve"] == pytest.approx([1.0, 1.0])
            assert row["randomised_known"] == [1, 1]
    write_table(rows.assign(model="a"), tmp_path / "saliency.parquet", "saliency")
    assert len(read_table(tmp_path / "saliency.parquet", "saliency")) == 12


def test_the_network_stays_as_it_was_and_rows_can_be_made_again(photographs: Photographs) -> None:
    task = Brightness(_Config(), {"dr": "icdr5"}).eval()
    before = {name: value.clone() for name, value in task.state_dict().items()}
    card = Scorecard(
        task, photographs, Settings("dr", ("cam",), removed=REMOVED, depths=(1.0,), size=3), maps
    )
    first, second = card.rows(), card.rows()
    assert first.equals(second)
    assert all(torch.equal(before[name], value) for name, value in task.state_dict().items())


def test_a_network_without_layers_has_no_method(photographs: Photographs) -> None:
    task = Brightness(_Config(), {"dr": "icdr5"}).eval()
    images = photographs.given(np.array([0])).batch["image"]
    usable, reasons = usable_methods(task, images, "dr", ("cam", "grad-cam"))
    assert usable == ()
    assert "no plain class activation map" in reasons["cam"]
    assert "names no feature maps" in reasons["grad-cam"]


def test_a_map_that_is_no_number_names_its_photograph(photographs: Photographs) -> None:
    task = Brightness(_Config(), {"dr": "icdr5"}).eval()
    card = Scorecard(
        task, photographs, Settings("dr", ("cam",), removed=REMOVED, depths=(1.0,)),
        lambda task, images, grades, methods: [SaliencyMaps(torch.full((len(images), 48, 48), torch.nan), (4, 4))],
    )  # fmt: skip
    with pytest.raises(
        RetinalabError, match=r"synthetic/.*, cam: A saliency map is negative or not a number"
    ):
        card.rows()


def test_fields_lie_where_the_retina_was_drawn() -> None:
    y, x = np.indices((128, 128)) - 63.5
    disc = np.hypot(y, x) <= 62
    rng = np.random.default_rng(0)
    working = np.where(disc[..., None], rng.integers(90, 150, (128, 128, 3)), 0).astype(np.uint8)
    found = field_mask(working)
    assert (found & disc).sum() / (found | disc).sum() > 0.97
    cut = working.copy()
    cut[:14] = cut[-14:] = 0
    found = field_mask(cut)
    disc[:14] = disc[-14:] = False
    assert not found[:14].any()
    assert (found & disc).sum() / (found | disc).sum() > 0.95


def test_the_field_moves_with_the_central_crop(photographs: Photographs) -> None:
    given = photographs.given(np.array([0]))
    working = photographs.part.cache.images(photographs.part.rows[[0]])[0]
    assert given.fields.shape == (1, 48, 48)
    assert np.array_equal(given.fields[0], field_mask(working)[8:56, 8:56])
    assert np.array_equal(photographs.pictures(np.array([0]))[0], working[8:56, 8:56])
    assert cv2.countNonZero(given.fields[0].astype(np.uint8)) > 1000


def test_a_set_without_masks_is_refused(fake_sets: Path) -> None:
    data = DataConfig(set="idrid", root=fake_sets / "idrid", size=64)
    with pytest.raises(RetinalabError, match=r"has no lesion masks.*--option task=segmentation"):
        read_annotated(data, PROTOCOL, {})


def test_a_limit_is_drawn_the_same_every_time(photographs: Photographs, tmp_path: Path) -> None:
    data = DataConfig(set="synthetic", size=64, options={"photographs": 10}, cache=tmp_path)
    chosen: Annotated = read_annotated(data, PROTOCOL, {})
    images = chosen.limited(6).records.table["image"].tolist()
    assert images == photographs.part.records.table["image"].tolist()
    assert chosen.limited(6).notes[-1] == "6 of 10 photographs, chosen by lot"
    assert chosen.limited(99) is chosen
