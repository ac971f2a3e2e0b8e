import math

import numpy as np
import pytest
import torch

from retinalab.transforms.reinhard import (
    FLOOR,
    Statistics,
    from_lab,
    of_one_colour,
    recoloured,
    statistics,
    to_lab,
    transferred,
)

_LMS = np.array([[0.3811, 0.5783, 0.0402], [0.1967, 0.7244, 0.0782], [0.0241, 0.1288, 0.8444]])
_PRINTED_INVERSE = np.array(
    [[4.4679, -3.5873, 0.1193], [-1.2186, 2.3809, -0.1624], [0.0497, -0.2439, 1.2045]]
)
_AXES = np.diag([1 / math.sqrt(3), 1 / math.sqrt(6), 1 / math.sqrt(2)]) @ [[1, 1, 1], [1, 1, -2], [1, -1, 0]]


def _lab(colours: np.ndarray) -> np.ndarray:
    """(..., 3) RGB to lαβ in float64, as the article writes it."""
    return np.log10(np.maximum(colours @ _LMS.T, FLOOR)) @ _AXES.T


def _photographs(seed: int, shape: tuple[int, ...] = (2, 3, 40, 56)) -> tuple[torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(seed)
    low, high = rng.uniform(20, 90, (shape[0], 3, 1, 1)), rng.uniform(110, 240, (shape[0], 3, 1, 1))
    images = torch.from_numpy(rng.uniform(low, high, shape).astype(np.uint8))
    fields = torch.zeros(shape[0], *shape[2:], dtype=torch.bool)
    fields[:, 3:-4, 5:-6] = True
    return images * fields[:, None], fields


def _inside(lab: torch.Tensor, fields: torch.Tensor, photograph: int) -> np.ndarray:
    return lab[photograph, :, fields[photograph]].double().numpy().T


def test_lab_is_the_articles_in_float64() -> None:
    images, _ = _photographs(0)
    found = to_lab(images.float() / 255).permute(0, 2, 3, 1).double().numpy()
    np.testing.assert_allclose(found, _lab(images.permute(0, 2, 3, 1).numpy() / 255), atol=2e-6)


def test_a_list_of_colours_is_taken_as_a_photograph_is() -> None:
    images, _ = _photographs(1)
    listed = images.float().div(255).permute(0, 2, 3, 1).reshape(-1, 3)
    torch.testing.assert_close(
        to_lab(listed), to_lab(images.float() / 255).permute(0, 2, 3, 1).reshape(-1, 3), rtol=0, atol=0
    )


def test_the_way_back_is_the_inverse_and_near_the_printed_one() -> None:
    images, _ = _photographs(2)
    colours = images.float().div(255).clamp(min=0.02)
    torch.testing.assert_close(from_lab(to_lab(colours)), colours, rtol=0, atol=2e-6)
    cones = np.random.default_rng(0).uniform(0.1, 0.9, (50, 3))
    lab = torch.from_numpy(np.log10(cones) @ _AXES.T)
    np.testing.assert_allclose(from_lab(lab).numpy(), cones @ np.linalg.inv(_LMS).T, atol=1e-12)
    np.testing.assert_allclose(np.linalg.inv(_LMS), _PRINTED_INVERSE, atol=0.02)


def test_black_has_a_finite_place() -> None:
    black = to_lab(torch.zeros(1, 3, 2, 2))
    assert torch.isfinite(black).all()
    assert black[0, 0, 0, 0].item() == pytest.approx(math.sqrt(3) * math.log10(0.5 / 255), abs=1e-5)


def test_statistics_are_those_inside_the_field() -> None:
    images, fields = _photographs(3)
    lab = to_lab(images.float() / 255)
    found = statistics(lab, fields)
    for photograph in range(2):
        inside = _inside(lab, fields, photograph)
        np.testing.assert_allclose(found.mean[photograph], inside.mean(0), atol=1e-5)
        np.testing.assert_allclose(found.deviation[photograph], inside.std(0), atol=1e-5)


def test_after_the_transfer_mean_and_deviation_are_the_targets() -> None:
    sources, fields = _photographs(4)
    targets, others = _photographs(5, (2, 3, 32, 32))
    source, target = to_lab(sources.float() / 255), to_lab(targets.float() / 255)
    given = transferred(source, statistics(source, fields), statistics(target, others))
    for lab in (given, to_lab(from_lab(given))):
        for photograph in range(2):
            result, wanted = _inside(lab, fields, photograph), _inside(target, others, photograph)
            np.testing.assert_allclose(result.mean(0), wanted.mean(0), atol=1e-3)
            np.testing.assert_allclose(result.std(0), wanted.std(0), atol=1e-3)


def test_what_lies_outside_the_field_changes_nothing() -> None:
    images, fields = _photographs(6)
    lab = to_lab(images.float() / 255)
    found = statistics(lab, fields)
    spoilt = statistics(torch.where(fields[:, None], lab, -3.0), fields)
    torch.testing.assert_close(spoilt.mean, found.mean, rtol=0, atol=0)
    torch.testing.assert_close(spoilt.deviation, found.deviation, rtol=0, atol=0)


def test_a_source_that_does_not_vary_takes_the_targets_mean() -> None:
    lab = torch.full((1, 3, 4, 4), -0.5)
    source = statistics(lab, torch.ones(1, 4, 4, dtype=torch.bool))
    assert (source.deviation == 0).all()
    target = Statistics(torch.tensor([[-0.2, 0.1, 0.3]]).double(), torch.tensor([[0.1, 0.2, 0.3]]).double())
    given = transferred(lab, source, target)
    torch.testing.assert_close(given[0, :, 0, 0], torch.tensor([-0.2, 0.1, 0.3]), rtol=0, atol=1e-6)


def test_statistics_are_the_same_to_the_last_bit_in_any_batch() -> None:
    images, fields = _photographs(7, (5, 3, 37, 41))
    lab = to_lab(images.float() / 255)
    whole = statistics(lab, fields)
    for photograph in range(5):
        one = statistics(
            to_lab(images[photograph : photograph + 1].float() / 255), fields[photograph : photograph + 1]
        )
        assert torch.equal(one.mean[0], whole.mean[photograph])
        assert torch.equal(one.deviation[0], whole.deviation[photograph])


def test_one_colour_is_told_from_many_whatever_the_rim() -> None:
    disc = np.hypot(*(np.mgrid[:96, :96] - 47.5))
    edge = np.clip(44 - disc, 0, 1)[..., None]  # a rim mixed with the black beyond
    rng = np.random.default_rng(0)
    flat, stored, varied = (
        edge * (np.array([165.0, 75, 40]) + rng.uniform(-w, w, (96, 96, 3))) for w in (0, 1, 5)
    )
    images = torch.from_numpy(np.stack([flat, stored, varied, 0 * flat]).astype(np.uint8)).permute(0, 3, 1, 2)
    fields = (images.amax(1) > 10).contiguous()
    assert of_one_colour(images, fields).tolist() == [True, True, False, True]
    assert (statistics(to_lab(images / 255), fields).deviation[0] > 0.01).any()  # the rim alone


def test_a_recoloured_photograph_has_the_others_tones_and_its_own_surroundings() -> None:
    photographs, fields = _photographs(8)
    others, theirs = _photographs(9)
    photographs[:, :, 0, 0] = 7  # a mark beyond the field
    wanted = statistics(to_lab(others.float() / 255), theirs)
    found = recoloured(photographs, fields, wanted)
    assert found.dtype == torch.uint8
    assert torch.equal(found.masked_fill(fields[:, None], 0), photographs.masked_fill(fields[:, None], 0))
    own = statistics(to_lab(photographs.float() / 255), fields)
    lab = to_lab(photographs.double() / 255)
    for photograph in range(2):
        inside = _inside(lab, fields, photograph)
        moved = (inside - inside.mean(0)) / inside.std(0)
        moved = moved * wanted.deviation[photograph].numpy() + wanted.mean[photograph].numpy()
        cones = 10 ** (moved @ np.linalg.inv(_AXES).T)
        colours = np.clip(cones @ np.linalg.inv(_LMS).T * 255, 0, 255)
        np.testing.assert_allclose(found[photograph][:, fields[photograph]].numpy().T, colours, atol=0.6)
    assert torch.equal(recoloured(photographs, fields, wanted, 0.0), photographs)
    assert torch.equal(recoloured(photographs, fields, own), photographs)
