import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from retinalab_ellg.cut import Patches, connected_patches, field_of_view, inside_fields, lesion_masks
from scipy import ndimage

_TOUCHING = np.ones((3, 3), int)


def _spiral(side: int) -> np.ndarray:
    """One piece, a pixel wide, that winds inward and back: the hardest case for labels that spread."""
    mask = np.zeros((side, side), bool)
    for k in range(0, side // 2, 2):
        mask[k, k : side - k] = mask[k : side - k, side - 1 - k] = mask[side - 1 - k, k : side - k] = True
        mask[k + 2 : side - k, k] = True
        if k + 2 < side // 2:
            mask[k + 2, k : k + 3] = True
    return mask


def _pictures(patches: Patches, shape: tuple[int, int, int]) -> np.ndarray:
    """Labels as a picture: 0 none, else 1 + number of the patch."""
    labels = np.zeros(shape, int)
    labels[patches.photograph.numpy(), patches.row.numpy(), patches.column.numpy()] = (
        patches.patch.numpy() + 1
    )
    return labels


def _same_pieces(one: np.ndarray, other: np.ndarray) -> bool:
    pairs = {*zip(one.ravel().tolist(), other.ravel().tolist(), strict=True)}
    return len(pairs) == len({a for a, _ in pairs}) == len({b for _, b in pairs})


@pytest.mark.parametrize("density", [0.02, 0.3, 0.45, 0.6, 0.95])
def test_pieces_are_those_of_scipy(density: float) -> None:
    masks = np.random.default_rng(int(density * 100)).random((3, 61, 47)) < density
    found = connected_patches(torch.from_numpy(masks), 10_000)
    labels = _pictures(found, masks.shape)
    for photograph, mask in enumerate(masks):
        reference, count = ndimage.label(mask, _TOUCHING)
        assert found.counts()[photograph] == count
        assert _same_pieces(labels[photograph], reference)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 2**162 - 1))
def test_pieces_of_small_masks_are_those_of_scipy(height: int, width: int, bits: int) -> None:
    drawn = [bool(bits >> place & 1) for place in range(2 * height * width)]
    masks = np.array(drawn).reshape(2, height, width)
    labels = _pictures(connected_patches(torch.from_numpy(masks), 1000), masks.shape)
    for photograph, mask in enumerate(masks):
        assert _same_pieces(labels[photograph], ndimage.label(mask, _TOUCHING)[0])


def test_long_thin_pieces_are_one() -> None:
    masks = np.stack(
        [_spiral(65), np.eye(65, dtype=bool), np.flip(np.eye(65, dtype=bool), 1), np.ones((65, 65), bool)]
    )
    assert all(ndimage.label(mask, _TOUCHING)[1] == 1 for mask in masks)
    assert connected_patches(torch.from_numpy(masks.copy()), 9).counts().tolist() == [1, 1, 1, 1]


def test_rows_and_photographs_do_not_run_into_each_other() -> None:
    masks = torch.zeros(2, 4, 5, dtype=torch.bool)
    masks[0, 0, 4] = masks[0, 2, 0] = True  # neighbours in memory, not in the picture
    masks[0, 3, 2] = masks[1, 0, 2] = True
    assert connected_patches(masks, 9).counts().tolist() == [3, 1]


def test_areas_boxes_and_order_are_those_of_opencv() -> None:
    masks = np.random.default_rng(4).random((4, 50, 60)) < 0.35
    found = connected_patches(torch.from_numpy(masks), 10_000)
    for photograph, mask in enumerate(masks):
        _, _, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
        mine = (found.owner == photograph).numpy()
        left, top, width, height, area = stats[1:].T
        reference = np.stack([top, left, top + height - 1, left + width - 1, area], 1)
        got = np.column_stack([found.box.numpy(), found.area.numpy()])[mine]
        assert sorted(map(tuple, got.tolist())) == sorted(map(tuple, reference.tolist()))
        assert (np.diff(found.area.numpy()[mine]) <= 0).all()
        assert found.rank[torch.from_numpy(mine)].tolist() == list(range(int(mine.sum())))
    assert torch.equal(torch.bincount(found.patch), found.area)


def test_the_largest_patches_are_kept_and_the_rest_counted() -> None:
    masks = torch.zeros(2, 20, 20, dtype=torch.bool)
    masks[0, 1, 1] = True
    masks[0, 5:7, 5:7] = True
    masks[0, 10:15, 10:15] = True
    masks[1, 3, 3] = True
    found = connected_patches(masks, 2)
    assert found.area.tolist() == [25, 4, 1]
    assert found.owner.tolist() == [0, 0, 1]
    assert found.left_out.tolist() == [1, 0]
    assert len(found.row) == 30


def test_masks_without_a_lesion_give_no_patch() -> None:
    found = connected_patches(torch.zeros(2, 8, 8, dtype=torch.bool), 5)
    assert found.counts().tolist() == [0, 0]
    assert found.box.shape == (0, 4)
    assert len(connected_patches(torch.zeros(0, 8, 8, dtype=torch.bool), 5).owner) == 0


def test_pieces_of_a_photograph_do_not_depend_on_its_batch() -> None:
    masks = torch.from_numpy(np.random.default_rng(8).random((6, 33, 29)) < 0.4)
    whole = connected_patches(masks, 7)
    for photograph in range(6):
        one = connected_patches(masks[photograph : photograph + 1], 7)
        mine = whole.photograph == photograph
        first = int(whole.patch[mine].min())
        assert torch.equal(one.row, whole.row[mine])
        assert torch.equal(one.column, whole.column[mine])
        assert torch.equal(one.patch, whole.patch[mine] - first)


def test_saliency_is_scaled_inside_the_field_of_view() -> None:
    saliency = torch.tensor([[[0.2, 0.4, 9.0], [0.3, 0.6, 9.0]], [[5.0, 5.0, 5.0], [5.0, 5.0, 1.0]]])
    fields = torch.tensor([[[True, True, False], [True, True, False]]] * 2)
    found = inside_fields(saliency, fields)
    torch.testing.assert_close(found[0], torch.tensor([[0.0, 0.5, 0.0], [0.25, 1.0, 0.0]]))
    assert (found[1] == 0).all()


def test_saliency_is_enlarged_bilinearly() -> None:
    saliency = np.random.default_rng(1).random((1, 5, 7)).astype(np.float32)
    fields = torch.ones(1, 40, 56, dtype=torch.bool)
    large = cv2.resize(saliency[0], (56, 40), interpolation=cv2.INTER_LINEAR)
    reference = (large - large.min()) / (large.max() - large.min())
    np.testing.assert_allclose(inside_fields(torch.from_numpy(saliency), fields)[0], reference, atol=1e-5)


def test_a_mask_lies_above_its_own_threshold() -> None:
    saliency = torch.tensor([[[0.0, 0.5, 0.75, 1.0]]] * 2)
    fields = torch.ones(2, 1, 4, dtype=torch.bool)
    masks = lesion_masks(saliency, fields, torch.tensor([0.5, 0.75]))
    assert masks[:, 0].tolist() == [[False, False, True, True], [False, False, False, True]]


def test_the_highest_peak_is_always_cut_out() -> None:
    saliency = torch.zeros(1, 13, 13)
    saliency[0, 6, 6] = 0.01
    masks = lesion_masks(saliency, torch.ones(1, 26, 26, dtype=torch.bool), torch.tensor([0.8]))
    assert masks.any()


def test_a_dark_lesion_belongs_to_the_field_of_view() -> None:
    disc = np.zeros((64, 80), np.uint8)
    cv2.circle(disc, (40, 32), 28, 1, cv2.FILLED)
    photograph = np.stack([disc * 90, disc * 50, disc * 20])
    photograph[:, 20:30, 35:50] = 0
    found = field_of_view(torch.from_numpy(np.stack([photograph, np.zeros_like(photograph)])))
    np.testing.assert_array_equal(found[0], disc > 0)
    assert not found[1].any()
