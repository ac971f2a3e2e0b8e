"""Patches of the lesions still annotated; negatives that no loss of annotations can spoil."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from retinalab_clpi.detection import Photographs, annotated, training_patches
from retinalab_clpi.detection.patches import free_windows

from retinalab.errors import RetinalabError


def test_one_patch_for_each_kept_lesion_with_the_lesion_in_its_middle(photographs: Photographs) -> None:
    kept = annotated(photographs.lesions, 0.5, 0)
    patches = training_patches(photographs, kept, 2.0, 0)
    assert np.bincount(patches.labels, minlength=4).tolist() == [24, *photographs.counts(kept).values()]
    middle = patches.images[:, 34, 34, 0]
    for label, value in ((1, 250), (2, 5), (3, 60)):
        assert (middle[patches.labels == label] == value).all()


def test_negatives_come_from_healthy_photographs_and_do_not_fall_with_the_annotations(
    photographs: Photographs,
) -> None:
    marked = replace(photographs, images=photographs.images.copy())
    for row in range(len(marked)):
        marked.images[row] = row
    every, half = (training_patches(marked, annotated(marked.lesions, r, 0), 1.0, 0) for r in (0.0, 0.5))
    assert set(every.images[every.labels == 0][:, 34, 34, 0]) == {4, 5}
    assert (every.images[every.labels == 0] == half.images[half.labels == 0]).all()
    assert every.negatives == "12 patches of 2 photographs without retinopathy"


def test_without_healthy_photographs_windows_are_free_of_all_lesions_lost_ones_too(
    photographs: Photographs,
) -> None:
    ill = replace(photographs, healthy=np.zeros(6, bool))
    patches = training_patches(ill, annotated(ill.lesions, 0.9, 0), 4.0, 0)
    negatives = patches.images[patches.labels == 0]
    assert len(negatives) == 48
    inside = negatives[:, 2:-2, 2:-2]  # the two outer rows may lie beyond the border
    assert inside.min() >= 118
    assert inside.max() < 138
    assert "free of lesions in the full annotation (this set has no photograph without)" in patches.negatives


def test_windows_are_free_and_units_at_the_border_are_among_them() -> None:
    lesion = np.zeros((256, 256), bool)
    lesion[40:60, 100:104] = True
    windows = free_windows(lesion, 400, seed=0, row=0)
    assert len(windows) == 400
    for x, y in windows:
        assert not lesion[max(y - 34, 0) : y + 34, max(x - 34, 0) : x + 34].any()
    fields = [tuple(w) for w in windows.tolist() if w[0] % 64 == 32 and w[1] % 64 == 32]
    assert 150 < len(fields) < 250
    assert (32, 224) in fields


def test_nothing_to_learn_from(photographs: Photographs) -> None:
    with pytest.raises(RetinalabError, match="None of the 12 lesions of 6 training photographs is annotated"):
        training_patches(photographs, [np.zeros(n, bool) for n in photographs.lesions], 1.0, 0)
    covered = replace(photographs, lesion=np.ones_like(photographs.lesion))
    with pytest.raises(RetinalabError, match="No window of 68 pixels in 2 photographs is free"):
        training_patches(covered, annotated(photographs.lesions, 0.0, 0), 1.0, 0)
