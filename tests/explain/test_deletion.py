"""Deletion: the order of removal, what takes a pixel's place, and curves of an answer that is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage

from retinalab.errors import RetinalabError
from retinalab.explain.deletion import (
    area_under,
    deletion_curve,
    local_colour,
    random_maps,
    removal_order,
    without,
)


def fields(batch: int = 2, side: int = 16) -> torch.Tensor:
    y, x = np.indices((side, side)) - (side - 1) / 2
    return torch.from_numpy(np.stack([np.hypot(y, x) < side * share for share in (0.5, 0.4)][:batch]))


def test_the_order_falls_by_saliency_then_by_lot_and_ends_beyond_the_field() -> None:
    rng = np.random.default_rng(0)
    maps = torch.from_numpy(rng.integers(0, 3, (2, 16, 16)) / 2)
    ties, inside = torch.from_numpy(rng.random((2, 16, 16))), fields()
    order = removal_order(maps, inside, ties).numpy()
    for b in range(2):
        assert sorted(order[b].ravel()) == list(range(256))
        values = np.where(inside[b], maps[b], -1).ravel()
        wanted = np.lexsort((-ties[b].ravel().numpy(), -values))
        assert np.array_equal(np.argsort(order[b].ravel()), wanted)


def test_an_empty_map_is_taken_away_in_the_random_order() -> None:
    ties = random_maps([(0, 1), (0, 2)], (4, 4), 16, torch.device("cpu"))
    inside = fields()
    assert torch.equal(removal_order(torch.zeros(2, 16, 16), inside, ties), removal_order(ties, inside, ties))


def test_random_maps_follow_from_their_key_alone() -> None:
    device = torch.device("cpu")
    both = random_maps([(0, 1), (0, 2)], (3, 5), 16, device)
    assert torch.equal(random_maps([(0, 2)], (3, 5), 16, device)[0], both[1])
    assert not torch.equal(both[0], both[1])
    assert both.min() >= 0
    assert both.max() < 1


@pytest.mark.parametrize("share", [0.0, 0.1, 0.37, 1.0])
def test_so_many_pixels_are_replaced_and_none_beyond_the_field(share: float) -> None:
    inside = fields()
    maps = torch.rand(2, 16, 16, generator=torch.Generator().manual_seed(0))
    images, filled = torch.zeros(2, 3, 16, 16), torch.ones(2, 3, 16, 16)
    out = without(images, filled, inside, removal_order(maps, inside, maps), share)
    for b in range(2):
        gone = out[b, 0].bool()
        assert int(gone.sum()) == int(share * int(inside[b].sum()) + 0.5)
        assert not (gone & ~inside[b]).any()
        kept = inside[b] & ~gone
        if gone.any() and kept.any():
            assert maps[b][gone].min() >= maps[b][kept].max()


def test_a_known_answer_gives_a_known_curve() -> None:
    """The answer counts bright pixels; a map of the bright ones takes them first, its reverse last."""
    side = 10
    images = torch.zeros(1, 3, side, side, dtype=torch.float64)
    images[:, :, :2] = 1.0
    inside = torch.ones(1, side, side, dtype=torch.bool)
    shares = (0.0, 0.1, 0.2, 1.0)
    ties = torch.arange(side * side, dtype=torch.float64).view(1, side, side)

    def unchanged(given: torch.Tensor) -> torch.Tensor:
        return (given[:, 0] == 1.0).flatten(1).double().sum(1)

    found = deletion_curve(unchanged, images, inside, removal_order(images[:, 0], inside, ties), shares)
    assert found.tolist() == [[20.0, 10.0, 0.0, 0.0]]
    last = deletion_curve(unchanged, images, inside, removal_order(1 - images[:, 0], inside, ties), shares)
    assert last.tolist() == [[20.0, 20.0, 20.0, 0.0]]
    assert area_under(found, shares).item() == pytest.approx(0.1 * 15 + 0.1 * 5)
    assert area_under(last, shares).item() == pytest.approx(np.trapezoid([20, 20, 20, 0], shares))


def test_local_colour_is_a_gaussian_mean_of_the_field_alone() -> None:
    rng = np.random.default_rng(1)
    side, deviation = 32, 3.2
    picture = rng.random((side, side))
    y, x = np.indices((side, side)) - 15.5
    inside = np.hypot(y, x) < 13
    images = torch.from_numpy(np.where(inside, picture, 1e6)[None, None].repeat(3, axis=1))
    found = local_colour(images, torch.from_numpy(inside)[None])[0, 0].numpy()
    above = ndimage.gaussian_filter(picture * inside, deviation, mode="constant", truncate=20)
    below = ndimage.gaussian_filter(inside.astype(float), deviation, mode="constant", truncate=20)
    assert found[inside] == pytest.approx((above / below)[inside], abs=1e-9)
    flat = local_colour(torch.full((1, 3, 100, 100), 0.3), torch.ones(1, 100, 100, dtype=torch.bool))
    assert torch.allclose(flat, torch.tensor(0.3), atol=1e-6)


def test_a_field_without_a_pixel_is_refused() -> None:
    with pytest.raises(RetinalabError, match="field of view is empty"):
        local_colour(torch.zeros(2, 3, 8, 8), torch.stack([torch.ones(8, 8), torch.zeros(8, 8)]).bool())
