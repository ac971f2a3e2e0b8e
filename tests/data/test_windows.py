"""Windows: their centres, labels, borders and cover."""

from __future__ import annotations

import cv2
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from retinalab.config import WindowConfig
from retinalab.data.windows import cut, cut_at, find_lesions, free_windows, grid_windows
from retinalab.records import LESIONS

BIT = {lesion: 1 << i for i, lesion in enumerate(LESIONS)}


def lesions(**masks: np.ndarray) -> np.ndarray:
    side = next(iter(masks.values())).shape[0]
    planes = np.zeros((2, side, side), np.uint8)
    for lesion, mask in masks.items():
        planes[0] |= (mask.astype(bool) * BIT[lesion]).astype(np.uint8)
    return planes


def lesion_windows(planes: np.ndarray, config: WindowConfig, seed: int, row: int) -> pd.DataFrame:
    """The windows of one photograph: its lesions, then places without any."""
    found = [(lesion.x, lesion.y, lesion.label) for lesion in find_lesions(planes[0], config.classes)]
    free = free_windows(planes, config, config.negatives, seed, row)
    return pd.DataFrame([*found, *((x, y, 0) for x, y in free)], columns=["x", "y", "label"])


def disc(side: int, x: int, y: int, radius: int) -> np.ndarray:
    mask = np.zeros((side, side), np.uint8)
    cv2.circle(mask, (x, y), radius, 1, cv2.FILLED)
    return mask


def config(**options: object) -> WindowConfig:
    return WindowConfig.model_validate({"kind": "lesions", "size": 16, "negatives": 0, **options})


def test_the_centre_of_a_crescent_lies_in_it() -> None:
    crescent = disc(64, 32, 32, 20) & ~disc(64, 38, 32, 19) & 1
    ys, xs = np.nonzero(crescent)
    assert not crescent[round(ys.mean()), round(xs.mean())]  # its centroid does not
    found = lesion_windows(lesions(HE=crescent), config(), 0, 0)
    assert len(found) == 1
    assert crescent[found["y"][0], found["x"][0]]
    assert found["label"].tolist() == [2]


def test_each_connected_lesion_gives_one_window_near_its_middle() -> None:
    mask = disc(64, 15, 20, 4) | disc(64, 45, 40, 3)
    found = lesion_windows(lesions(MA=mask), config(), 0, 0)
    assert sorted(zip(found["x"], found["y"], strict=True)) == [(15, 20), (45, 40)]
    assert found["label"].tolist() == [3, 3]


def test_exudates_precede_haemorrhages_precede_microaneurysms() -> None:
    mask = disc(64, 32, 32, 5)
    for classes, expected in (
        (("EX", "HE", "MA"), 1),
        (("HE", "EX", "MA"), 1),
        (("MA", "HE", "EX"), 1),
        (("MA",), 1),
        (("SE", "MA"), 2),
    ):
        found = lesion_windows(lesions(EX=mask, HE=mask, MA=mask), config(classes=classes), 0, 0)
        assert found["label"].tolist() == [expected]
    found = lesion_windows(lesions(HE=disc(64, 32, 32, 12), MA=mask), config(), 0, 0)
    assert found["label"].tolist() == [2]  # both centres coincide, and a haemorrhage precedes


def test_a_window_of_a_lesion_of_no_asked_class_is_not_made() -> None:
    found = lesion_windows(lesions(SE=disc(64, 32, 32, 5)), config(), 0, 0)
    assert len(found) == 0


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 2**31), st.integers(8, 24), st.integers(0, 6))
def test_negatives_are_free_of_lesions_and_lie_in_the_photograph(seed: int, size: int, spots: int) -> None:
    rng = np.random.default_rng(seed)
    mask = np.zeros((96, 96), np.uint8)
    for x, y in rng.integers(0, 96, (spots, 2)):
        mask |= disc(96, int(x), int(y), 6)
    planes = lesions(NV=mask)  # of a class that is not even asked for
    found = lesion_windows(planes, config(size=size, negatives=5), seed, 0)
    assert len(found) <= 5
    if spots == 0:
        assert len(found) == 5
    for x, y, label in found[["x", "y", "label"]].to_numpy():
        assert label == 0
        assert cut(planes[0], x, y, size).max() == 0
        assert 0 <= x - size // 2 <= x - size // 2 + size <= 96
        assert 0 <= y - size // 2 <= y - size // 2 + size <= 96
    again = lesion_windows(planes, config(size=size, negatives=5), seed, 0)
    pd.testing.assert_frame_equal(found, again)


def test_where_lesions_were_not_annotated_nothing_counts_as_free_of_them() -> None:
    planes = np.zeros((2, 96, 96), np.uint8)
    planes[1] |= BIT["HE"]
    assert len(lesion_windows(planes, config(negatives=5), 0, 0)) == 0
    planes[1] = BIT["NV"]  # of no asked class
    assert len(lesion_windows(planes, config(negatives=5), 0, 0)) == 5


def test_a_photograph_without_retinopathy_needs_no_annotation_but_what_is_not_to_be_judged_stays_out() -> (
    None
):
    planes = np.zeros((2, 96, 96), np.uint8)
    planes[1] |= BIT["HE"]
    found = free_windows(planes, config(), 5, 0, 0, healthy=True)
    assert len(set(found)) == 5
    for doubted in ("EX", "SE"):  # annotated elsewhere; of a class asked for, and of another
        unsure = planes.copy()
        unsure[1, :, :60] |= BIT[doubted]
        for x, _ in free_windows(unsure, config(), 5, 0, 0, healthy=True):
            assert x - 8 >= 60


def test_a_doubtful_mark_of_any_class_is_not_taken_for_none() -> None:
    planes = np.zeros((2, 96, 96), np.uint8)
    planes[1] |= BIT["NV"]  # annotated nowhere
    planes[1, 30:, :] |= BIT["SE"]
    found = free_windows(planes, config(), 8, 0, 0)
    assert len(found) == 8
    assert all(y + 8 <= 30 for _, y in found)


def test_negatives_reach_the_photographs_border() -> None:
    planes = np.zeros((2, 40, 40), np.uint8)
    found = np.array(free_windows(planes, config(size=16), 400, 0, 0))
    assert found.min(0).tolist() == [8, 8]
    assert found.max(0).tolist() == [32, 32]
    assert free_windows(planes, config(size=48), 4, 0, 0) == []


def test_a_lost_annotation_takes_its_lesion_and_no_other() -> None:
    he, ma = disc(64, 20, 20, 6), disc(64, 44, 44, 2) | disc(64, 20, 20, 3)
    planes = lesions(HE=he, MA=ma)
    found = {(one.x, one.y): one for one in find_lesions(planes[0], ("EX", "HE", "MA"))}
    assert {at: one.label for at, one in found.items()} == {(20, 20): 2, (44, 44): 3}
    assert len(found[20, 20].pieces) == 2  # both share a centre, and one window
    found[20, 20].erased(planes[0])
    assert np.array_equal(planes[0] > 0, disc(64, 44, 44, 2) > 0)
    found[44, 44].erased(planes[0])
    assert not planes[0].any()


@settings(deadline=None, max_examples=40)
@given(st.integers(16, 80), st.integers(8, 90), st.integers(1, 40))
def test_tiles_cover_every_pixel_and_stay_inside(side: int, size: int, stride: int) -> None:
    stride = min(stride, size)
    table = grid_windows(2, side, size, stride)
    assert table["photograph"].value_counts().nunique() == 1
    seen = np.zeros((side, side), int)
    for x, y in table.loc[table["photograph"] == 0, ["x", "y"]].to_numpy():
        top, left = y - size // 2, x - size // 2
        assert top >= 0
        assert left >= 0
        if size <= side:
            assert top + size <= side
            assert left + size <= side
        seen[top : top + size, left : left + size] += 1
    assert seen.min() >= 1
    assert not table.duplicated(["photograph", "x", "y"]).any()


@pytest.mark.parametrize("size", [4, 5])
@pytest.mark.parametrize("at", [(0, 0), (9, 9), (3, 6), (-20, 4), (12, 0)])
def test_a_cut_is_the_padded_image_about_its_centre(size: int, at: tuple[int, int]) -> None:
    image = np.arange(1, 301, dtype=np.uint16).reshape(10, 10, 3)
    padded = np.pad(image, ((30, 30), (30, 30), (0, 0)))
    x, y = at
    top, left = y + 30 - size // 2, x + 30 - size // 2
    assert np.array_equal(cut(image, x, y, size), padded[top : top + size, left : left + size])
    assert np.array_equal(cut(image[..., 0], x, y, size), padded[top : top + size, left : left + size, 0])
    assert np.array_equal(cut_at(image, left - 30, top - 30, size), cut(image, x, y, size))


def test_windows_of_drawn_lesions_match_scipys_components() -> None:
    rng = np.random.default_rng(0)
    mask = ndimage.gaussian_filter(rng.normal(size=(128, 128)), 3) > 0.12
    labels, count = ndimage.label(mask, structure=np.ones((3, 3)))
    found = lesion_windows(lesions(MA=mask), config(), 0, 0)
    assert sorted(labels[found["y"], found["x"]]) == list(range(1, count + 1))
