import numpy as np
import torch
from retinalab_ellg.cut import Patches, connected_patches
from retinalab_ellg.shift import Placed, placed


def _disc(side: int, radius: float) -> torch.Tensor:
    places = torch.arange(side) - (side - 1) / 2
    return (places[:, None] ** 2 + places[None] ** 2) <= radius**2


def _tries(patches: Patches, tries: int, seed: int = 0) -> torch.Tensor:
    drawn = np.random.default_rng(seed).random((len(patches.owner), tries, 2), np.float32)
    return torch.from_numpy(drawn)


def _masks(seed: int, photographs: int = 3, side: int = 48) -> torch.Tensor:
    """Some rectangles of 2 to 9 pixels in each photograph."""
    rng = np.random.default_rng(seed)
    masks = torch.zeros(photographs, side, side, dtype=torch.bool)
    for photograph in range(photographs):
        for _ in range(6):
            (top, left), (height, width) = rng.integers(8, side - 18, 2), rng.integers(2, 10, 2)
            masks[photograph, top : top + height, left : left + width] = True
    return masks


def _pixels(patches: Patches, patch: int) -> np.ndarray:
    mine = patches.patch == patch
    return torch.stack([patches.row[mine], patches.column[mine]], 1).numpy()


def _by_hand(patches: Patches, fields: torch.Tensor, tries: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    """The rounds with sets of pixels: photograph by photograph, patch by patch."""
    shift, free = np.zeros((len(patches.owner), 2), int), np.zeros(len(patches.owner), bool)
    for photograph, field in enumerate(fields.numpy()):
        rows, columns = np.flatnonzero(field.any(1)), np.flatnonzero(field.any(0))
        taken: set[tuple[int, int]] = set()
        for attempt in range(tries.shape[1]):
            claimed: set[tuple[int, int]] = set()
            won: set[tuple[int, int]] = set()
            for patch in np.flatnonzero((patches.owner.numpy() == photograph) & ~free):
                pixels = _pixels(patches, patch)
                low = np.array([rows[0], columns[0]]) - pixels.min(0)
                high = np.array([rows[-1], columns[-1]]) - pixels.max(0)
                drawn = low + (tries[patch, attempt].numpy() * (high - low + 1)).astype(int)
                moved = pixels + np.where(high < low, 0, drawn)
                if not field[moved[:, 0], moved[:, 1]].all():
                    continue
                shift[patch] = moved[0] - pixels[0]
                places = {(int(row), int(column)) for row, column in moved}
                if places & taken:
                    continue
                free[patch] = not places & claimed
                claimed |= places
                won |= places if free[patch] else set()
            taken |= won
    return shift, free


def _times_pasted(patches: Patches, found: Placed, fields: torch.Tensor) -> np.ndarray:
    count = np.zeros(tuple(fields.shape), int)
    kept = found.kept
    np.add.at(count, (patches.photograph[kept], found.row[kept], found.column[kept]), 1)
    return count


def test_places_are_those_of_rounds_by_hand() -> None:
    for seed in range(6):
        patches = connected_patches(_masks(seed), 64)
        fields = _disc(48, 23).expand(3, -1, -1)
        for number in (1, 2, 12):
            tries = _tries(patches, number, seed)
            found = placed(patches, fields, tries)
            shift, free = _by_hand(patches, fields, tries)
            np.testing.assert_array_equal(found.free, free)
            np.testing.assert_array_equal(found.shift, shift)


def test_patches_move_whole_within_the_field_and_apart() -> None:
    patches = connected_patches(_masks(1), 64)
    fields = _disc(48, 23).expand(3, -1, -1)
    found = placed(patches, fields, _tries(patches, 100))
    assert found.free.all()
    assert found.kept.all()
    assert torch.equal(found.row, patches.row + found.shift[patches.patch, 0])
    assert torch.equal(found.column, patches.column + found.shift[patches.patch, 1])
    times = _times_pasted(patches, found, fields)
    assert times.max() == 1
    assert not times[~fields.numpy()].any()
    assert times.sum() == patches.area.sum()


def test_shifts_reach_the_whole_field_evenly() -> None:
    masks = torch.zeros(2000, 6, 7, dtype=torch.bool)
    masks[:, 2, 3] = True
    patches = connected_patches(masks, 1)
    fields = torch.zeros(2000, 6, 7, dtype=torch.bool)
    fields[:, 1:5, 1:6] = True
    found = placed(patches, fields, _tries(patches, 1))
    times = np.zeros((6, 7), int)
    np.add.at(times, (found.row, found.column), 1)
    inside = times[1:5, 1:6]
    assert inside.sum() == 2000
    assert ((inside - 100) ** 2 / 100).sum() < 43.8  # chi-square, 19 degrees of freedom, p = 0.001


def test_without_tries_nothing_moves_and_the_outside_is_left_out() -> None:
    masks = torch.zeros(1, 8, 8, dtype=torch.bool)
    masks[0, 2:5, 2:6] = True
    fields = torch.zeros(1, 8, 8, dtype=torch.bool)
    fields[0, :, :4] = True
    patches = connected_patches(masks, 4)
    for unplaced in ("stay", "drop"):
        found = placed(patches, fields, None, unplaced)
        assert (found.shift == 0).all()
        np.testing.assert_array_equal(_times_pasted(patches, found, fields)[0], (masks & fields)[0])


def test_a_patch_without_a_place_stays_under_the_others_or_goes() -> None:
    masks = torch.zeros(1, 6, 12, dtype=torch.bool)
    masks[0, 0:4, 0:5] = True
    masks[0, 0:4, 6:10] = True
    patches = connected_patches(masks, 4)
    fields = torch.zeros(1, 6, 12, dtype=torch.bool)
    fields[0, 0:4, 0:6] = True  # room for the larger one, not for both
    tries = _tries(patches, 30)
    stays, goes = placed(patches, fields, tries), placed(patches, fields, tries, "drop")
    assert stays.free.tolist() == goes.free.tolist() == [True, False]
    larger = stays.kept[patches.patch == 0]
    smaller = stays.kept[patches.patch == 1]
    assert larger.all()
    assert (
        4 <= int(smaller.sum()) <= 8
    )  # what the larger one leaves of it: a column or none of 4 rows on either side
    times = _times_pasted(patches, stays, fields)
    assert times.max() == 1
    assert not times[~fields.numpy()].any()
    assert torch.equal(goes.kept, patches.patch == 0)


def test_a_patch_larger_than_the_field_is_pasted_where_it_was_cut() -> None:
    masks = torch.zeros(1, 20, 20, dtype=torch.bool)
    masks[0, 2:18, 2:18] = True
    fields = _disc(20, 6)[None]
    patches = connected_patches(masks, 1)
    found = placed(patches, fields, _tries(patches, 10))
    assert found.shift.tolist() == [[0, 0]]
    assert not found.free.any()
    np.testing.assert_array_equal(_times_pasted(patches, found, fields)[0], fields[0])


def test_nothing_is_pasted_without_a_field_or_without_patches() -> None:
    patches = connected_patches(_masks(2), 64)
    fields = torch.zeros(3, 48, 48, dtype=torch.bool)
    assert not placed(patches, fields, _tries(patches, 5)).kept.any()
    none = connected_patches(torch.zeros(3, 48, 48, dtype=torch.bool), 64)
    assert len(placed(none, ~fields, torch.zeros(0, 5, 2)).kept) == 0


def test_places_do_not_depend_on_the_batch() -> None:
    masks, fields = _masks(3, 5), _disc(48, 20).expand(5, -1, -1)
    patches = connected_patches(masks, 64)
    tries = _tries(patches, 20)
    whole = placed(patches, fields, tries)
    for photograph in range(5):
        mine = patches.owner == photograph
        one = placed(connected_patches(masks[photograph : photograph + 1], 64), fields[:1], tries[mine])
        assert torch.equal(one.shift, whole.shift[mine])
        assert torch.equal(one.free, whole.free[mine])
        assert torch.equal(one.kept, whole.kept[patches.photograph == photograph])
