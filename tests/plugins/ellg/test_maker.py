"""Lesion generation as a stage, end to end on photographs and a network that are made by hand."""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest
import torch
from retinalab_ellg.generation_config import GenerationConfig
from retinalab_ellg.maker import LesionMaker
from torch import Tensor, nn

from retinalab.config import DataConfig, TaskConfig
from retinalab.data.batch import Batch
from retinalab.errors import RetinalabError
from retinalab.tasks import Outputs, Task
from retinalab.tasks.maker import Made, Originals

SIDE = 64
SPOT = {4: (24, 40), 5: (36, 28), 6: (30, 20), 7: (20, 26)}
"""Upper left corner of the lesion, 8 pixels a side, in each photograph that has one."""
GRADE = [0, 0, 0, 0, 2, 2, 3, 3, 2, 1]
PREDICTED = [0, 0, 0, 2, 2, 2, 3, 3, 1, 2]
CORRECT = {0, 1, 2, 4, 5, 6, 7}


class Greenest(nn.Module):
    """Sees green above the middle, in places of 2 x 2 pixels; nothing else."""

    def __init__(self) -> None:
        super().__init__()
        self.low = nn.Sequential(nn.Conv2d(3, 1, 2, 2), nn.ReLU())
        self.high = nn.Sequential(nn.Conv2d(1, 1, 1), nn.ReLU())
        with torch.no_grad():
            self.low[0].weight.copy_(torch.tensor([0, 0.25, 0]).reshape(1, 3, 1, 1).expand(1, 3, 2, 2))
            self.low[0].bias.fill_(-0.6)
            self.high[0].weight.fill_(10.0)
            self.high[0].bias.zero_()

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        return {"dr": self.high(self.low(images)).sum((2, 3))}


class ByHand(Task):
    config_class = TaskConfig

    def build_network(self) -> nn.Module:
        return Greenest()

    def feature_maps(self) -> dict[str, nn.Module]:
        return {name: self.network.get_submodule(name) for name in ("low", "high")}

    def outputs(self, batch: Batch) -> Outputs:
        return Outputs(torch.zeros(()), severity={"dr": self(batch["image"])["dr"][:, 0]})


class Opaque(ByHand):
    """Names no feature map."""

    def feature_maps(self) -> dict[str, nn.Module]:
        return Task.feature_maps(self)


class Given(Originals):
    """Photographs at hand instead of prepared ones; the network takes their centre."""

    def images(self, positions: np.ndarray) -> np.ndarray:
        return self.module.photographs[positions]  # type: ignore[attr-defined, no-any-return]

    def batch(self, positions: np.ndarray) -> Batch:
        side = self.data.input_size
        edge = (SIDE - side) // 2
        centre = self.images(positions)[:, edge : edge + side, edge : edge + side]
        return Batch(image=torch.from_numpy(centre.copy()).permute(0, 3, 1, 2).float() / 255)


def photographs(empty: tuple[int, ...] = ()) -> np.ndarray:
    """Round fields, uneven and reddish; a green square is the lesion of those that have one."""
    rng = np.random.default_rng(0)
    field = cv2.circle(np.zeros((SIDE, SIDE), np.uint8), (32, 32), 30, 1, cv2.FILLED)
    images = rng.uniform((150, 60, 30), (180, 90, 50), (len(GRADE), SIDE, SIDE, 3))
    for row, (y, x) in SPOT.items():
        if row not in empty:
            images[row, y : y + 8, x : x + 8] = (120, 240, 60)
    return (images * field[..., None]).astype(np.uint8)


def originals(images: np.ndarray | None = None, crop: int | None = None) -> Originals:
    table = pd.DataFrame({"image": [f"{k}.png" for k in range(len(GRADE))], "patient": "p"})
    part = SimpleNamespace(records=SimpleNamespace(table=table))
    given = photographs() if images is None else images
    module = SimpleNamespace(
        data=DataConfig(size=SIDE, crop=crop, view="whole" if crop is None else "centre"), photographs=given
    )
    return Given(part, module, torch.device("cpu"))  # type: ignore[arg-type]


def maker(**options: Any) -> LesionMaker:
    chosen = {"saliency": "grad-cam", "layers": ("low",), "number": 12} | options
    return LesionMaker(GenerationConfig(**chosen), {"dr": "icdr5", "dme": "risk3"}, (3, 1))


def seen(grade: list[int] = GRADE, predicted: list[int] = PREDICTED) -> pd.DataFrame:
    return pd.DataFrame(
        {"dr": grade, "dr_grade": predicted, "dr_score": np.array(predicted) + 0.2, "part": "train"}
    )


def task(kind: type[ByHand] = ByHand) -> Task:
    return kind(TaskConfig(name="by-hand"), {"dr": "icdr5"}).eval().requires_grad_(False)


def planned(one: LesionMaker) -> pd.DataFrame:
    return one.plan(seen()).rows.assign(shown=True)


def made(one: LesionMaker, given: Originals, size: int = 12, network: Task | None = None) -> list[Made]:
    rows = planned(one)
    network = network or task()
    return [one.make(network, given, rows.iloc[k : k + size]) for k in range(0, len(rows), size)]


def test_only_correctly_classified_training_photographs_feed_it() -> None:
    (found,) = made(maker(), originals())
    assert set(found.rows["source"]) <= CORRECT & {row for row, grade in enumerate(GRADE) if grade}
    assert set(found.rows["target"]) <= {0, 1, 2}
    assert not found.rows["left_out"].any()
    assert (found.rows["dme"] == -1).all()
    assert found.rows["source_image"].tolist() == [f"{row}.png" for row in found.rows["source"]]


def test_what_is_changed_lies_where_it_says_and_the_rest_is_the_target() -> None:
    given = originals()
    (found,) = made(maker(), given)
    targets = given.images(found.rows["target"].to_numpy())
    differs = (found.images != targets).any(-1)
    assert differs.any(axis=(1, 2)).all()
    assert not (differs & ~found.changed).any()
    assert not (found.changed & (targets.max(-1) == 0)).any()


def test_without_shift_and_mixup_the_lesion_stays_in_its_place() -> None:
    (found,) = made(maker(shift=False, mixup=False, colour_transfer=False), originals())
    for changed, source in zip(found.changed, found.rows["source"], strict=True):
        y, x = SPOT[source]
        assert changed[
            y + 1 : y + 7, x + 1 : x + 7
        ].all()  # the map has half the side: its rim is interpolated
        outside = changed.copy()
        outside[y : y + 8, x : x + 8] = False
        assert not outside.any()


def test_another_batch_size_gives_the_same_bit_for_bit() -> None:
    (whole,) = made(maker(), originals())
    for size in (1, 5):
        pieces = made(maker(), originals(), size)
        np.testing.assert_array_equal(np.concatenate([one.images for one in pieces]), whole.images)
        np.testing.assert_array_equal(np.concatenate([one.changed for one in pieces]), whole.changed)
        table = pd.concat([one.rows for one in pieces], ignore_index=True)
        pd.testing.assert_frame_equal(table, whole.rows)


def test_an_empty_map_gives_way_to_another_source() -> None:
    one = maker(balance="none")
    rows = planned(one)
    (found,) = made(one, originals(photographs(empty=(4, 5, 6))))
    first = rows["source"].to_numpy()
    assert {4, 5, 6} & set(first)
    kept = found.rows[~found.rows["left_out"]]
    assert set(kept["source"]) == {7}
    assert (kept["attempt"].to_numpy() > 0).tolist() == (first[kept.index] != 7).tolist()


def test_a_map_that_peaks_outside_the_field_alone_is_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    def corner(self: LesionMaker, task: Task, originals: Originals, rows: list[int]) -> Tensor:
        maps = torch.full((len(rows), SIDE, SIDE), 0.25)
        for k, row in enumerate(rows):
            y, x = SPOT[7] if row == 7 else (0, 0)
            maps[k, y : y + 4, x : x + 4] = 1.0
        return maps

    monkeypatch.setattr(LesionMaker, "_maps", corner)
    one = maker(balance="none")
    assert {4, 5, 6} & set(planned(one)["source"])
    (found,) = made(one, originals())
    kept = found.rows[~found.rows["left_out"]]
    assert len(kept)
    assert set(kept["source"]) == {7}
    assert not found.changed[found.rows["left_out"]].any()


def test_the_plan_is_what_is_made() -> None:
    one = maker()
    rows = planned(one).assign(source=6, target=2, ratio=0.625)
    found = one.make(task(), originals(), rows).rows
    assert found[["source", "target", "ratio", "attempt"]].drop_duplicates().to_numpy().tolist() == [
        [6, 2, 0.625, 0]
    ]


def test_a_photograph_whose_sources_are_all_empty_is_left_out() -> None:
    given = originals(photographs(empty=tuple(SPOT)))
    (found,) = made(maker(), given)
    assert found.rows["left_out"].all()
    assert (found.rows["dr"] == 0).all()  # the target's own grade
    np.testing.assert_array_equal(found.images, given.images(found.rows["target"].to_numpy()))
    assert not found.changed.any()
    assert not found.strips


def test_each_strip_goes_from_the_source_to_the_result() -> None:
    given = originals()
    (found,) = made(maker(), given)
    assert [strip.number for strip in found.strips] == list(range(12))
    strip, row = found.strips[3], found.rows.iloc[3]
    captions, pictures = zip(*strip.pictures, strict=True)
    assert [caption.split(",")[0].split(" above")[0] for caption in captions] == [
        "source", "saliency", "cut out", "target", "result",
    ]  # fmt: skip
    np.testing.assert_array_equal(pictures[0], given.images(np.array([row["source"]]))[0])
    np.testing.assert_array_equal(pictures[3], given.images(np.array([row["target"]]))[0])
    np.testing.assert_array_equal(pictures[4], found.images[3])


def test_the_map_of_a_central_crop_lies_in_the_middle() -> None:
    (found,) = made(
        maker(shift=False, mixup=False, colour_transfer=False, balance="none"), originals(crop=32)
    )
    kept = found.rows[~found.rows["left_out"]]
    assert len(kept)
    for row in kept.index:
        y, x = SPOT[kept.at[row, "source"]]
        assert found.changed[row, y + 1 : y + 7, x + 1 : x + 7].all()
        outside = found.changed[row].copy()
        outside[y : y + 8, x : x + 8] = False
        assert not outside.any()


def test_a_lesion_beyond_a_central_crop_is_not_cut_out() -> None:
    one = maker(balance="none")
    assert 4 in set(planned(one)["source"])
    (found,) = made(one, originals(crop=16))  # rows and columns 24 to 39; photograph 4 has its lesion beyond
    kept = found.rows[~found.rows["left_out"]]
    assert len(kept)
    assert 4 not in set(kept["source"])


def test_without_a_correctly_classified_photograph_there_is_a_note_and_none_is_made() -> None:
    plan = maker().plan(seen(predicted=[(grade + 1) % 5 for grade in GRADE]))
    assert plan.rows.empty
    (note,) = plan.notes
    assert note.startswith("No photograph to cut lesions from: 0 of 10 training photographs are correctly")
    assert "\n" not in note


def test_a_grade_without_training_photographs_is_named() -> None:
    plan = maker().plan(seen())
    assert "Grade 4 has no training photograph: none is generated." in plan.notes
    assert not any("\n" in note for note in plan.notes)


def refused(one: LesionMaker, given: Originals, network: Task | None = None) -> str:
    with pytest.raises(RetinalabError) as caught:
        made(one, given, network=network)
    text = str(caught.value)
    assert "\n" not in text
    return text


def test_a_constant_photograph_is_named() -> None:
    images = photographs()
    images[[0, 1, 2]] = 90
    said = refused(maker(), originals(images))
    assert re.match(
        r"[012]\.png: Training photograph [012] \(from 0\) is of one colour throughout its field", said
    )


def test_photographs_of_another_part_are_refused() -> None:
    with pytest.raises(RetinalabError, match="Photographs of part test, val among those to generate from"):
        maker().plan(seen().assign(part=["train"] * 7 + ["val", "test", "train"]))


def test_a_network_without_the_named_layers_is_named() -> None:
    text = refused(maker(layers=("stage2", "stage4"), saliency="gmsm"), originals())
    assert "'stage2'" in text
    assert "Choices: high, low." in text
    assert "names no feature maps" in refused(maker(), originals(), task(Opaque))


def test_a_disease_that_is_not_graded_is_named() -> None:
    with pytest.raises(RetinalabError, match="blends grades of disease=dr; the protocol grades dme"):
        LesionMaker(GenerationConfig(), {"dme": "risk3"}, (0,))


def test_photographs_are_made_from_a_plan_only() -> None:
    with pytest.raises(RetinalabError, match="Call plan first"):
        maker().make(task(), originals(), planned(maker()))
