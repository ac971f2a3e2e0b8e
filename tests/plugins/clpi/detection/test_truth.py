"""Boxes by hand-made masks; the units' fields by the gradient of the generator."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from retinalab_clpi.detection import best_possible, lesion_boxes, lesion_centres, unit_detections, unit_fields
from retinalab_clpi.detection.truth import any_score
from retinalab_clpi.generator import LesionAttentionGenerator

from tests.plugins.clpi.detection.conftest import BIT, SIZE, planes_of


def test_one_box_round_the_centre_of_each_component() -> None:
    planes = planes_of(EX=(60, 50), HE=(120, 90), MA=(100, 150))
    centres = lesion_centres(planes)
    assert sorted(map(tuple, centres.tolist())) == [(60, 50, 1), (100, 150, 3), (120, 90, 2)]
    boxes = lesion_boxes(np.array([[60, 50, 1]]), SIZE)
    assert boxes["boxes"].tolist() == [[26, 16, 94, 84]]
    assert boxes["boxes"].dtype == torch.float32
    assert boxes["labels"].dtype == torch.int64


def test_two_components_of_one_lesion_are_two_boxes_and_other_lesions_none() -> None:
    planes = planes_of(MA=(60, 50), SE=(120, 120))
    planes[0, 100:103, 40:43] |= BIT["MA"]
    assert sorted(map(tuple, lesion_centres(planes).tolist())) == [(41, 101, 3), (60, 50, 3)]


@pytest.mark.parametrize(
    ("lesions", "label"),
    [(("EX", "HE", "MA"), 1), (("HE", "MA"), 2), (("EX", "MA"), 1), (("MA",), 3), (("SE", "HE"), 2)],
)
def test_the_gravest_at_the_centre_gives_the_class(lesions: tuple[str, ...], label: int) -> None:
    planes = planes_of(**dict.fromkeys(lesions, (80, 70)))
    assert lesion_centres(planes).tolist() == [[80, 70, label]]


def test_a_lesion_beside_the_centre_does_not_count() -> None:
    planes = planes_of(MA=(80, 70), EX=(90, 70))
    assert sorted(map(tuple, lesion_centres(planes).tolist())) == [(80, 70, 3), (90, 70, 1)]


def test_boxes_end_at_the_border_and_none_is_none() -> None:
    boxes = lesion_boxes(np.array([[3, 190, 2]]), SIZE)["boxes"]
    assert boxes.tolist() == [[0, 156, 37, 192]]
    empty = lesion_boxes(lesion_centres(planes_of()), SIZE)
    assert empty["boxes"].shape == (0, 4)
    assert empty["labels"].shape == (0,)


def test_fields_are_what_the_generator_sees() -> None:
    torch.manual_seed(0)
    generator = LesionAttentionGenerator("code").double().eval()
    images = torch.rand(1, 3, 128, SIZE, dtype=torch.float64, requires_grad=True)
    logits = generator(images)
    rows, columns = logits.shape[2:]
    fields = unit_fields(rows, columns).reshape(rows, columns, 4)
    for row in range(rows):
        for column in range(columns):
            (gradient,) = torch.autograd.grad(logits[0, :, row, column].sum(), images, retain_graph=True)
            ys, xs = gradient.abs().sum((0, 1)).nonzero().T
            seen = [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]
            assert fields[row, column].tolist() == [int(value) for value in seen]


def test_every_unit_is_a_detection_of_each_class() -> None:
    probabilities = torch.rand(4, 2, 3).softmax(0)
    found = unit_detections(probabilities)
    assert found["boxes"].shape == (18, 4)
    for box, label, score in zip(found["boxes"], found["labels"], found["scores"], strict=True):
        column, row = int((box[0] + 2) // 64), int((box[1] + 2) // 64)
        assert score == probabilities[label, row, column]
        assert [float(box[0]), float(box[1])] == [max(64 * column - 2, 0), max(64 * row - 2, 0)]


def test_the_best_generator_scores_a_field_by_its_overlap() -> None:
    """A lesion in the middle of unit (1, 1) has its very field; one 17 pixels beside it overlaps by 51/85."""
    centred = lesion_boxes(np.array([[96, 96, 2]]), SIZE)
    found = best_possible(centred, SIZE)
    best = int(found["scores"].argmax())
    assert (found["labels"][best], found["scores"][best]) == (2, 1)
    assert found["boxes"][best].tolist() == [62, 62, 130, 130]
    assert found["scores"][found["labels"] != 2].max() == 0
    beside = best_possible(lesion_boxes(np.array([[113, 96, 2]]), SIZE), SIZE)
    assert float(beside["scores"].max()) == pytest.approx(51 / 85)


def test_fields_by_chance_follow_from_the_seed() -> None:
    assert torch.equal(any_score(SIZE, 1)["scores"], any_score(SIZE, 1)["scores"])
    assert not torch.equal(any_score(SIZE, 1)["scores"], any_score(SIZE, 2)["scores"])
    assert any_score(SIZE, 1)["boxes"].shape == (27, 4)
