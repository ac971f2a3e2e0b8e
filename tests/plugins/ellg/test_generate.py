from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from retinalab_ellg.cut import field_of_view
from retinalab_ellg.generate import Generated, generate
from retinalab_ellg.generation_config import GenerationConfig
from retinalab_ellg.select import Pair
from scipy import ndimage

from retinalab.errors import RetinalabError
from retinalab.transforms import generator
from retinalab.transforms.reinhard import FLOOR

_SIDE = 72
_LMS = np.array([[0.3811, 0.5783, 0.0402], [0.1967, 0.7244, 0.0782], [0.0241, 0.1288, 0.8444]])
_AXES = np.diag([1 / np.sqrt(3), 1 / np.sqrt(6), 1 / np.sqrt(2)]) @ [[1, 1, 1], [1, 1, -2], [1, -1, 0]]


def _photographs(count: int, seed: int, radius: int) -> torch.Tensor:
    """Round fields of uneven colour on black."""
    rng = np.random.default_rng(seed)
    images = []
    for _ in range(count):
        field = np.zeros((_SIDE, _SIDE), np.uint8)
        cv2.circle(field, (36, 36), radius, 1, cv2.FILLED)
        tone = cv2.GaussianBlur(rng.uniform(-1, 1, (_SIDE, _SIDE, 3)), (0, 0), 3) * 200
        image = rng.uniform((90, 50, 20), (200, 110, 60)) + tone
        images.append(image.clip(12, 255).astype(np.uint8) * field[:, :, None])
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).contiguous()


def _saliency(count: int, seed: int) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).random((count, 9, 9), np.float32)) ** 4


def _pairs(count: int) -> list[Pair]:
    ratios = np.random.default_rng(9).uniform(0.1, 1, count)
    return [Pair(10 + k, k, 100 + k, float(ratios[k]), float(1 + k % 4), 0.0, 0) for k in range(count)]


def _generate(
    count: int, config: GenerationConfig, rows: Sequence[int] | None = None, key: tuple[int, ...] = (5, 1)
) -> Generated:
    chosen = list(range(count)) if rows is None else list(rows)
    sources, targets = _photographs(count, 0, 30)[chosen], _photographs(count, 1, 33)[chosen]
    pairs = [_pairs(count)[row] for row in chosen]
    return generate(
        sources,
        field_of_view(sources),
        _saliency(count, 2)[chosen],
        targets,
        field_of_view(targets),
        pairs,
        config,
        key,
    )


def _by_hand(
    index: int, count: int, config: GenerationConfig, key: tuple[int, ...]
) -> tuple[np.ndarray, int]:
    """Equations 4 to 6 for a photograph whose patches stay, in float64: the result and the number of patches."""
    pair = _pairs(count)[index]
    source = _photographs(count, 0, 30)[index].permute(1, 2, 0).numpy()
    target = _photographs(count, 1, 33)[index].permute(1, 2, 0).numpy()
    tau = generator(*key, pair.number, 0, 1).uniform(*config.threshold)
    large = cv2.resize(_saliency(count, 2)[index].numpy(), (_SIDE, _SIDE), interpolation=cv2.INTER_LINEAR)
    inside, other = source.max(2) > 0, target.max(2) > 0
    norm = (large - large[inside].min()) / (large[inside].max() - large[inside].min())
    mask = (norm > tau) & inside
    lesions = source.astype(float)
    if config.colour_transfer:
        lab = [np.log10(np.maximum(image / 255 @ _LMS.T, FLOOR)) @ _AXES.T for image in (source, target)]
        (of, to), (spread, wanted) = ([f(lab[0][inside], 0), f(lab[1][other], 0)] for f in (np.mean, np.std))
        moved = (lab[0] - of) * wanted / spread + to
        lesions = (10 ** (moved @ np.linalg.inv(_AXES).T) @ np.linalg.inv(_LMS).T * 255).clip(0, 255)
    blended = pair.ratio * lesions + (1 - pair.ratio) * target
    result = np.where(mask[:, :, None], blended, target)
    return result, ndimage.label(mask, np.ones((3, 3)))[1]


@pytest.mark.parametrize("colour_transfer", [True, False])
def test_lesions_that_stay_are_blended_as_the_equations_say(colour_transfer: bool) -> None:
    config = GenerationConfig(shift=False, colour_transfer=colour_transfer)
    found = _generate(6, config)
    for index in range(6):
        reference, patches = _by_hand(index, 6, config, (5, 1))
        made = found.photographs[index].permute(1, 2, 0).numpy()
        assert np.abs(made - reference).max() <= 0.52  # to the nearest level, and float32
        assert found.records[index].patches == patches > 0
        assert found.records[index].unplaced == 0


def test_only_pasted_pixels_change_and_none_outside_the_field() -> None:
    found = _generate(6, GenerationConfig())
    targets = _photographs(6, 1, 33)
    changed = (found.photographs != targets).any(1)
    assert not (changed & ~found.pasted).any()
    assert not (found.pasted & ~field_of_view(targets)).any()
    assert (changed & found.pasted).sum() > 0.9 * found.pasted.sum()
    assert not (found.cut & ~field_of_view(_photographs(6, 0, 30))).any()


@pytest.mark.parametrize("unplaced", ["stay", "drop"])
def test_patches_lie_whole_in_the_disc_and_apart_where_all_found_a_place(unplaced: str) -> None:
    """Discs, pieces and areas as OpenCV and SciPy have them; some photographs are too full for all their patches."""
    disc = cv2.circle(np.zeros((_SIDE, _SIDE), np.uint8), (36, 36), 33, 1, cv2.FILLED).astype(bool)
    found = _generate(8, GenerationConfig(threshold=(0.05, 0.8), tries=20, unplaced=unplaced))  # type: ignore[arg-type]
    targets = _photographs(8, 1, 33)
    assert not (found.photographs != targets).any(1).numpy()[:, ~disc].any()
    assert not found.pasted.numpy()[:, ~disc].any()
    for index, record in enumerate(found.records):
        pieces, count = ndimage.label(found.cut[index], np.ones((3, 3)))
        areas = np.sort(np.bincount(pieces.ravel())[1:])[::-1]
        pasted = int(found.pasted[index].sum())
        assert record.patches + record.patches_left_out == count == len(record.shifts)
        if not record.unplaced:
            assert pasted == areas.sum()  # each pixel of each patch once: none outside, none over another
        elif unplaced == "drop":
            assert record.patches == count - record.unplaced
            assert pasted < areas.sum()
    numbers = [record.unplaced for record in found.records]
    assert 0 in numbers
    assert any(numbers)


def test_a_round_is_made_again_bit_for_bit_in_batches_of_any_size() -> None:
    config = GenerationConfig()
    whole = _generate(8, config)
    assert torch.equal(_generate(8, config).photographs, whole.photographs)
    for row in range(8):
        one = _generate(8, config, [row])
        assert torch.equal(one.photographs[0], whole.photographs[row])
        assert torch.equal(one.pasted[0], whole.pasted[row])
        assert one.records[0] == whole.records[row]
    turned = _generate(8, config, [6, 3, 0])
    assert torch.equal(turned.photographs, whole.photographs[[6, 3, 0]])
    assert turned.records == tuple(whole.records[row] for row in (6, 3, 0))


def test_another_round_draws_anew() -> None:
    first, second = _generate(4, GenerationConfig()), _generate(4, GenerationConfig(), key=(5, 2))
    for one, other in zip(first.records, second.records, strict=True):
        assert one.threshold != other.threshold
        assert one.shifts[:1] != other.shifts[:1]


def test_the_record_says_how_it_was_made() -> None:
    config = GenerationConfig(threshold=(0.6, 0.7))
    found = _generate(6, config)
    for index, (record, pair) in enumerate(zip(found.records, _pairs(6), strict=True)):
        assert (record.number, record.source, record.target) == (pair.number, pair.source, pair.target)
        assert 0.6 <= record.threshold <= 0.7
        assert record.ratio == pair.ratio
        assert record.label == found.labels[index] == int(np.floor(pair.ratio * pair.source_severity + 0.5))
        pieces = ndimage.label(found.cut[index], np.ones((3, 3)))[1]
        assert record.patches + record.patches_left_out == len(record.shifts) == pieces
        field = field_of_view(_photographs(6, 1, 33)[index : index + 1])
        assert record.share == pytest.approx(float(found.pasted[index].sum() / field.sum()))
    row = found.records[0].as_row()
    assert row["shifts"] == ";".join(f"{down},{right}" for down, right in found.records[0].shifts)


def test_patches_beyond_the_most_are_counted() -> None:
    few, all_ = (
        _generate(6, GenerationConfig(patches=1, shift=False)),
        _generate(6, GenerationConfig(shift=False)),
    )
    for one, other in zip(few.records, all_.records, strict=True):
        assert one.patches == 1
        assert one.patches_left_out == other.patches - 1
    assert any(record.patches_left_out for record in few.records)


def test_a_source_with_a_flat_map_leaves_the_target_and_its_label() -> None:
    sources, targets = _photographs(1, 0, 30), _photographs(1, 1, 33)
    pair = Pair(0, 0, 1, 1.0, 4.0, 2.0, 2)
    found = generate(
        sources, field_of_view(sources), torch.zeros(1, 5, 5), targets, field_of_view(targets), [pair],
        GenerationConfig(), (0,),
    )  # fmt: skip
    assert torch.equal(found.photographs, targets)
    assert found.labels.tolist() == [2]
    assert not found.records[0].pasted
    assert found.records[0].share == 0


def test_black_lesion_pixels_reach_the_result() -> None:
    sources, targets = _photographs(1, 0, 30), _photographs(1, 1, 33)
    sources[0, :, 30:40, 30:40] = 0
    saliency = torch.zeros(1, _SIDE, _SIDE)
    saliency[0, 32:38, 32:38] = 1.0
    pair = Pair(0, 0, 1, 1.0, 2.0, 0.0, 0)
    config = GenerationConfig(colour_transfer=False, shift=False)
    found = generate(
        sources, field_of_view(sources), saliency, targets, field_of_view(targets), [pair], config, (0,)
    )
    assert (found.photographs[0, :, 32:38, 32:38] == 0).all()
    assert int(found.pasted.sum()) == 36


@pytest.mark.parametrize("which", ["sources", "targets"])
def test_a_photograph_of_one_colour_is_refused(which: str) -> None:
    given = {"sources": _photographs(2, 0, 30), "targets": _photographs(2, 1, 33)}
    given[which][1] = (given[which][1] > 0) * torch.tensor([120, 60, 30], dtype=torch.uint8)[:, None, None]
    sources, targets = given["sources"], given["targets"]
    arguments: list[Any] = [
        sources, field_of_view(sources), _saliency(2, 2), targets, field_of_view(targets), _pairs(2),
    ]  # fmt: skip
    row = 1 if which == "sources" else 101
    with pytest.raises(RetinalabError, match=f"photograph {row} \\(from 0\\) is of one colour") as caught:
        generate(*arguments, GenerationConfig(), (0,))
    assert "\n" not in str(caught.value)


def test_sizes_that_do_not_fit_are_refused() -> None:
    sources = _photographs(2, 0, 30)
    fields, maps = field_of_view(sources), _saliency(2, 2)
    with pytest.raises(RetinalabError, match=r"Targets are torch.float32 \(2, 3, 72, 72\) for 2 pairs"):
        generate(sources, fields, maps, sources.float(), fields, _pairs(2), GenerationConfig(), (0,))
    with pytest.raises(RetinalabError, match=r"saliency \(1, 9, 9\) do not fit"):
        generate(sources, fields, maps[:1], sources, fields, _pairs(2), GenerationConfig(), (0,))
