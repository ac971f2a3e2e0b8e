import numpy as np
import pytest
import torch
from retinalab_ellg.blend import blended, blended_severity

from retinalab.tasks.severity import severity_grades


def _at(*places: tuple[int, int, int]) -> list[torch.Tensor]:
    return [*torch.tensor(places).T]


def test_equation_5_by_hand() -> None:
    photographs = torch.full((2, 3, 2, 2), 100, dtype=torch.uint8)
    photographs[1] = 40
    lesions = torch.tensor([[200.0, 0.0, 46.0], [200.0, 0.0, 50.0]])
    found = blended(photographs, lesions, *_at((0, 0, 1), (1, 1, 0)), torch.tensor([0.25, 0.75]))
    assert found[0, :, 0, 1].tolist() == [125, 75, 87]  # 0.25 * 46 + 0.75 * 100 = 86.5, upward
    assert found[1, :, 1, 0].tolist() == [160, 10, 48]  # 0.75 * 50 + 0.25 * 40 = 47.5, upward
    others = torch.ones(2, 2, 2, dtype=torch.bool)
    others[0, 0, 1] = others[1, 1, 0] = False
    assert (found[0, :, others[0]] == 100).all()
    assert (found[1, :, others[1]] == 40).all()
    assert photographs[0, 0, 0, 1] == 100


def test_black_pixels_of_a_lesion_are_blended_too() -> None:
    photographs = torch.full((1, 3, 1, 3), 80, dtype=torch.uint8)
    lesions = torch.zeros(2, 3)
    whole = blended(photographs, lesions, *_at((0, 0, 0), (0, 0, 2)), torch.tensor([1.0]))
    half = blended(photographs, lesions, *_at((0, 0, 0), (0, 0, 2)), torch.tensor([0.5]))
    assert whole[0, 0, 0].tolist() == [0, 80, 0]
    assert half[0, 0, 0].tolist() == [40, 80, 40]


def test_colours_beyond_the_range_are_clipped_before_they_are_blended() -> None:
    photographs = torch.full((1, 3, 1, 1), 100, dtype=torch.uint8)
    found = blended(photographs, torch.tensor([[400.0, -90.0, 255.0]]), *_at((0, 0, 0)), torch.tensor([0.5]))
    assert found[0, :, 0, 0].tolist() == [178, 50, 178]


def test_blending_is_the_equation_in_float64_everywhere() -> None:
    rng = np.random.default_rng(0)
    photographs = rng.integers(0, 256, (3, 3, 9, 11), dtype=np.uint8)
    lesions = rng.integers(0, 256, (3, 3, 9, 11))
    masks, ratios = rng.random((3, 9, 11)) < 0.4, rng.random(3)
    reference = photographs.astype(float)
    for b in range(3):
        mixed = ratios[b] * lesions[b] + (1 - ratios[b]) * photographs[b]
        reference[b] = np.where(masks[b], np.floor(mixed + 0.5), photographs[b])
    places = np.nonzero(masks)
    colours = torch.from_numpy(lesions[places[0], :, places[1], places[2]]).float()
    found = blended(
        torch.from_numpy(photographs), colours, *map(torch.from_numpy, places), torch.from_numpy(ratios)
    )
    np.testing.assert_array_equal(found, reference)


def test_equation_6_by_hand() -> None:
    ratios = torch.tensor([0.1, 0.125, 0.5, 1.0, 0.25, 0.5])
    sources = torch.tensor([4.0, 4.0, 3.0, 2.0, 1.0, 4.0])
    targets = torch.tensor([0.0, 0.0, 0.0, 0.0, 3.0, 3.0])
    severity = blended_severity(ratios, sources, targets)
    assert severity.tolist() == pytest.approx([0.4, 0.5, 1.5, 2.0, 2.5, 3.5])
    assert severity_grades(severity, 5).tolist() == [0, 1, 2, 2, 3, 4]
