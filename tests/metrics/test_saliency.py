"""Figures of a saliency map against masks: hand-worked cases, brute force; a uniform map gets chance exactly."""

from __future__ import annotations

from fractions import Fraction
from itertools import combinations, product
from math import comb

import numpy as np
import pytest
from scipy import ndimage

from retinalab.errors import RetinalabError
from retinalab.metrics.lesion_recall import chance_of_finding, found_at, lesion_labels
from retinalab.metrics.saliency import judged, map_figures, mass_share, pointing_game, ring_of, within

ALL = np.ones((4, 5), bool)


def disc(side: int, radius: float) -> np.ndarray:
    y, x = np.indices((side, side)) - (side - 1) / 2
    return np.asarray(np.hypot(y, x) <= radius)


def drawn(seed: int, side: int = 24) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A map with many ties and zeros, masks of three classes (one not annotated, one with open pixels), a field."""
    rng = np.random.default_rng(seed)
    saliency = rng.integers(0, 5, (side, side)) / 4
    masks = np.zeros((3, side, side), np.uint8)
    masks[0][ndimage.binary_dilation(rng.random((side, side)) > 0.98)] = 1
    masks[1][rng.random((side, side)) > 0.97] = 1
    masks[1, :3] = 255
    masks[2] = 255
    return saliency, masks, disc(side, side * 0.48)


def test_pointing_counts_each_of_the_equal_maxima() -> None:
    saliency = np.zeros((4, 5))
    saliency[0, 0] = saliency[1, 1] = saliency[2, 2] = saliency[3, 4] = 3.0
    target = np.zeros((4, 5), bool)
    target[1, 1] = target[3, 4] = True
    field = ALL.copy()
    assert pointing_game(saliency, target, field) == 0.5
    field[0, 0] = False
    assert pointing_game(saliency, target, field) == pytest.approx(2 / 3)
    saliency[2, 2] = 4.0
    assert pointing_game(saliency, target, field) == 0.0
    assert pointing_game(np.zeros((4, 5)), target, field) == 0.0


def test_within_and_ring_against_all_distances() -> None:
    rng = np.random.default_rng(0)
    target, field = rng.random((17, 13)) > 0.95, rng.random((17, 13)) > 0.1
    places = np.argwhere(np.ones_like(target))
    outside = [
        *np.argwhere(~field),
        *((y, x) for y, x in product(range(-1, 18), range(-1, 14)) if y in (-1, 17) or x in (-1, 13)),
    ]
    for distance in (0.0, 1.0, 1.5, 2.0, 5.0**0.5, 4.2):
        near = np.zeros_like(target)
        edge = np.zeros_like(field)
        for y, x in places:
            near[y, x] = min(np.hypot(y - a, x - b) for a, b in np.argwhere(target)) <= distance + 1e-9
            edge[y, x] = field[y, x] and min(np.hypot(y - a, x - b) for a, b in outside) <= distance + 1e-9
        assert np.array_equal(within(target, distance), near)
        assert np.array_equal(ring_of(field, distance), edge)
    assert not within(np.zeros((3, 3), bool), 9.0).any()


def test_mass_against_a_loop() -> None:
    saliency, masks, field = drawn(1)
    lesion = (masks == 1).any(0)
    over = among = 0.0
    for y, x in np.argwhere(field):
        among += saliency[y, x]
        over += saliency[y, x] * lesion[y, x]
    assert mass_share(saliency, lesion, field) == pytest.approx(over / among, abs=1e-12)
    assert mass_share(np.zeros_like(saliency), lesion, field) == 0.0


def test_lesions_are_the_pieces_of_each_class_inside_the_field() -> None:
    masks = np.zeros((2, 4, 5), np.uint8)
    masks[0, 0, 0] = masks[0, 1, 1] = masks[0, 3, 3] = 1
    masks[1, 1, 1] = masks[1, 1, 2] = 1
    labels, sizes = lesion_labels(masks, ALL)
    assert sizes.tolist() == [2, 1, 2]
    assert labels[0][1, 1] == 1
    assert labels[1][1, 1] == 3
    field = ALL.copy()
    field[3] = False
    assert lesion_labels(masks, field)[1].tolist() == [2, 2]
    assert lesion_labels(np.full((2, 4, 5), 255, np.uint8), ALL)[1].size == 0


def brute_found(saliency: np.ndarray, lesion: np.ndarray, field: np.ndarray, k: int) -> Fraction:
    """Go through every set of tied pixels that could fill the last places."""
    pixels = [(saliency[y, x], bool(lesion[y, x])) for y, x in np.argwhere(field)]
    order = sorted((value for value, _ in pixels), reverse=True)
    least = order[k - 1]
    sure = [marked for value, marked in pixels if value > least and value > 0]
    tied = [marked for value, marked in pixels if value == least and value > 0]
    places = k - len([value for value in order if value > least]) if tied else 0
    sets = list(combinations(tied, places))
    hits = sum(2 * (sum(sure) + sum(chosen)) >= lesion[field].sum() for chosen in sets)
    return Fraction(hits, len(sets))


@pytest.mark.parametrize("seed", range(12))
def test_recall_against_every_way_of_breaking_the_tie(seed: int) -> None:
    rng = np.random.default_rng(seed)
    saliency = rng.integers(0, 4, (4, 5)).astype(float)
    masks = (rng.random((2, 4, 5)) > 0.7).astype(np.uint8)
    field = rng.random((4, 5)) > 0.15
    labels, sizes = lesion_labels(masks, field)
    areas = (0.1, 0.3, 0.6)
    found = found_at(saliency, labels, sizes, field, areas)
    for row, area in zip(found, areas, strict=True):
        k = max(1, int(area * field.sum() + 0.5))
        wanted = [
            brute_found(saliency, each == number, field, k)
            for each in labels
            for number in np.unique(each[each > 0])
        ]
        assert row == pytest.approx([float(one) for one in wanted], abs=1e-12)


def test_a_lesion_of_three_pixels_needs_two_of_them() -> None:
    masks = np.zeros((1, 1, 10), np.uint8)
    masks[0, 0, :3] = 1
    field = np.ones((1, 10), bool)
    labels, sizes = lesion_labels(masks, field)
    sharp = np.arange(10, 0, -1.0)[None]
    assert found_at(sharp, labels, sizes, field, (0.1, 0.2)).tolist() == [[0.0], [1.0]]
    uniform = found_at(np.full((1, 10), 0.3), labels, sizes, field, (0.2,))
    assert uniform[0, 0] == pytest.approx(3 / comb(10, 2))


@pytest.mark.parametrize("seed", range(6))
def test_a_uniform_map_gets_exactly_what_chance_gives(seed: int) -> None:
    _, masks, field = drawn(seed)
    figures = dict(map_figures(np.full(field.shape, 0.37), masks, field))
    chances = [name for name in figures if name.endswith("_chance")]
    assert len(chances) == 7
    for name in chances:
        assert figures[name.removesuffix("_chance")] == pytest.approx(figures[name], abs=1e-9), name
    assert figures["empty"] == 0
    inside = judged(masks, field)
    _, sizes = lesion_labels(masks, inside)
    assert figures["lesions"] == len(sizes) > 0
    assert figures["found_10_chance"] == pytest.approx(
        chance_of_finding(sizes, int(inside.sum()), (0.1,)).sum()
    )


def test_an_empty_map_is_counted_and_finds_nothing() -> None:
    _, masks, field = drawn(2)
    figures = dict(map_figures(np.zeros(field.shape, np.float32), masks, field))
    assert figures["empty"] == 1
    assert all(
        figures[name] == 0
        for name in ("pointing", "mass", "border", "outside", "found_1", "found_5", "found_10")
    )
    assert figures["lesions"] > 0
    beyond = np.where(field, 0.0, 1.0)
    figures = dict(map_figures(beyond, masks, field))
    assert (figures["empty"], figures["outside"], figures["found_10"]) == (1, 1.0, 0.0)


def test_zeros_are_never_salient_though_the_area_is_not_used_up() -> None:
    masks = np.zeros((1, 20, 20), np.uint8)
    masks[0, 5, 5] = masks[0, 15, 15] = 1
    saliency = np.zeros((20, 20))
    saliency[5, 5] = 1
    figures = map_figures(saliency, masks, np.ones((20, 20), bool))
    assert (figures["found_1"], figures["found_5"], figures["found_10"], figures["lesions"]) == (1, 1, 1, 2)
    assert figures["mass"] == 1.0
    assert figures["found_5_chance"] == pytest.approx(0.1)


def test_all_figures_against_another_computation() -> None:
    saliency, masks, field = drawn(3, 60)
    figures = map_figures(saliency, masks, field, tolerance=0.05, ring=0.1)
    open_ = (masks[:2] == 255).any(0) & ~(masks == 1).any(0)
    inside = field & ~open_
    lesion = (masks == 1).any(0) & inside
    assert np.array_equal(judged(masks, field), inside)
    diameter = field.any(1).sum()
    near = ndimage.distance_transform_edt(~lesion) <= 0.05 * diameter
    edge = field & (ndimage.distance_transform_edt(np.pad(field, 1))[1:-1, 1:-1] <= 0.1 * diameter)
    top = inside & (saliency == saliency[inside].max())
    assert figures["pointing"] == pytest.approx(near[top].mean())
    assert figures["pointing_chance"] == pytest.approx(near[inside].mean())
    assert figures["mass"] == pytest.approx(saliency[lesion].sum() / saliency[inside].sum())
    assert figures["mass_chance"] == pytest.approx(lesion[inside].mean())
    assert figures["border"] == pytest.approx(saliency[edge].sum() / saliency[field].sum())
    assert figures["outside"] == pytest.approx(saliency[~field].sum() / saliency.sum())
    assert figures["outside_chance"] == pytest.approx(1 - field.mean())
    number = sum(ndimage.label(masks[c] * inside == 1, np.ones((3, 3)))[1] for c in range(2))
    assert figures["lesions"] == number
    assert (figures["field"], figures["lesion_pixels"]) == (inside.sum(), lesion.sum())


def test_no_lesion_means_nothing_to_find() -> None:
    figures = map_figures(np.ones((8, 8)), np.zeros((2, 8, 8), np.uint8), np.ones((8, 8), bool))
    assert (figures["lesions"], figures["lesion_pixels"], figures["pointing"], figures["found_10"]) == (
        0,
        0,
        0,
        0,
    )
    assert np.isfinite(list(dict(figures).values())).all()


def test_refusals() -> None:
    ones, masks, field = np.ones((4, 4)), np.zeros((1, 4, 4), np.uint8), np.ones((4, 4), bool)
    with pytest.raises(RetinalabError, match="Bring all three to one size"):
        map_figures(ones, masks[:, :2], field)
    with pytest.raises(RetinalabError, match="negative or not a number"):
        map_figures(np.where(np.eye(4) > 0, np.nan, 1.0), masks, field)
    with pytest.raises(RetinalabError, match="negative or not a number"):
        map_figures(-ones, masks, field)
    with pytest.raises(RetinalabError, match="mask holds 7"):
        map_figures(ones, masks + np.uint8(7), field)
    with pytest.raises(RetinalabError, match="No pixel of the field"):
        map_figures(ones, masks, np.zeros((4, 4), bool))
