"""AP by hand, against the COCO backend, and resampled photographs against photographs copied."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from retinalab_clpi.detection import Matches, coco_average_precision, interval_of_share, score
from retinalab_clpi.detection.score import average_precision
from retinalab_clpi.detection.truth import Boxes

from retinalab.errors import RetinalabError


def box(x: float, y: float = 0.0) -> list[float]:
    return [x, y, x + 100, y + 100]


def boxes(rows: list[list[float]], labels: list[int], scores: list[float] | None = None) -> Boxes:
    out = {"boxes": torch.tensor(rows).reshape(-1, 4), "labels": torch.tensor(labels, dtype=torch.int64)}
    return out if scores is None else out | {"scores": torch.tensor(scores)}


TRUTH = [boxes([box(0), box(500)], [1, 1]), boxes([box(200)], [1])]
FOUND = [
    boxes([box(0), box(800), box(0, 10)], [1, 1, 1], [0.9, 0.8, 0.1]),
    boxes([box(225)], [1], [0.7]),
]
"""In order of scores: a hit; a miss; on the other photograph a box 25 pixels off, overlapping by 75/125 = 0.6; a second
box on a lesion already taken. Recall 1/3 at precision 1, then 2/3 at 2/3: of 101 recalls 34 and 33 are reached."""


def test_by_hand() -> None:
    ap50 = (34 * 1 + 33 * 2 / 3) / 101
    ap75 = 34 / 101
    ours = average_precision(Matches(FOUND, TRUTH), np.ones((1, 2)))[0]
    assert ours[0].tolist() == pytest.approx([ap50, ap75])
    assert np.isnan(ours[1:]).all()
    pytest.importorskip("faster_coco_eval")
    assert coco_average_precision(FOUND, TRUTH) == pytest.approx((ap50, ap75), abs=1e-6)


def drawn(seed: int, photographs: int = 12) -> tuple[list[Boxes], list[Boxes]]:
    """Lesions of three classes, and detections about them and elsewhere with scores of two decimals, so with ties."""
    rng = np.random.default_rng(seed)
    found, truth = [], []
    for _ in range(photographs):
        n, m = rng.integers(0, 9), rng.integers(0, 40)
        where = rng.integers(0, 300, (n, 2))
        corners = np.concatenate([where, where + 68], 1).reshape(-1, 4)
        truth.append(boxes(corners.tolist(), rng.integers(1, 4, n).tolist()))
        near = (
            where[rng.integers(0, n, m)] + rng.integers(-20, 21, (m, 2))
            if n
            else rng.integers(0, 300, (m, 2))
        )
        corners = np.concatenate([near, near + 68], 1).reshape(-1, 4)
        scores = rng.permutation(1000)[:m] / 1000
        found.append(boxes(corners.tolist(), rng.integers(1, 4, m).tolist(), scores.tolist()))
    return [{k: v.float() if k == "boxes" else v for k, v in f.items()} for f in found], [
        {k: v.float() if k == "boxes" else v for k, v in t.items()} for t in truth
    ]


@pytest.mark.parametrize("seed", range(6))
def test_as_the_coco_backend(seed: int) -> None:
    pytest.importorskip("faster_coco_eval")
    found, truth = drawn(seed)
    ours = np.nanmean(average_precision(Matches(found, truth), np.ones((1, 12)))[0], 0)
    assert ours == pytest.approx(coco_average_precision(found, truth), abs=1e-6)


def test_more_than_a_hundred_detections_count() -> None:
    """COCO's own limit would leave the hundred false ones and lose the true one."""
    pytest.importorskip("faster_coco_eval")
    truth = [boxes([box(0)], [2])]
    found = [boxes([box(1000.0 + i) for i in range(150)] + [box(0)], [2] * 151, [0.9] * 150 + [0.5])]
    assert coco_average_precision(found, truth)[0] == pytest.approx(1 / 151, abs=1e-6)


def test_a_photograph_drawn_twice_counts_as_two() -> None:
    found, truth = drawn(3, 6)
    counts = np.array([2, 0, 1, 3, 0, 1])
    rows = np.repeat(np.arange(6), counts)
    resampled = average_precision(Matches(found, truth), counts[None].astype(float))[0]
    copied = Matches([found[row] for row in rows], [truth[row] for row in rows])
    np.testing.assert_allclose(resampled, average_precision(copied, np.ones((1, len(rows))))[0])


def test_no_detection_is_zero() -> None:
    nothing = [boxes([], [], []) for _ in TRUTH]
    assert average_precision(Matches(nothing, TRUTH), np.ones((1, 2)))[0, 0].tolist() == [0, 0]
    pytest.importorskip("faster_coco_eval")
    assert coco_average_precision(nothing, TRUTH) == (0, 0)


def test_the_share_of_a_run_in_itself_is_one_and_of_a_worse_run_less() -> None:
    found, truth = drawn(0, 20)
    full = Matches(found, truth)
    groups = np.array([f"patient {i // 2}" for i in range(20)])
    same = interval_of_share([full], [full], groups, 100)
    assert (same["share50"].value, same["share50"].low, same["share50"].high) == (1, 1, 1)
    rng = np.random.default_rng(1)
    worse = [
        f | {"boxes": f["boxes"] + torch.from_numpy(rng.integers(-25, 26, (len(f["boxes"]), 4)))}
        for f in found
    ]
    lost = interval_of_share([full], [Matches(worse, truth)], groups, 200)
    share = lost["share50"]
    assert share.low < share.value < share.high
    assert share.high < 1
    everything = np.ones((1, 20))
    before, after = (
        np.nanmean(average_precision(m, everything)[0], 0)[0] for m in (full, Matches(worse, truth))
    )
    assert share.value == pytest.approx(after / before)
    assert lost["ap50"].value == pytest.approx(after)


def test_seeds_are_averaged() -> None:
    (one, truth), (two, _) = drawn(0), drawn(0)
    two = [f | {"scores": 1 - f["scores"]} for f in two]
    single = [np.nanmean(average_precision(Matches(f, truth), np.ones((1, 12)))[0], 0)[0] for f in (one, two)]
    both = interval_of_share(
        [Matches(one, truth)] * 2, [Matches(f, truth) for f in (one, two)], np.arange(12), 10
    )
    assert both["ap50"].value == pytest.approx(np.mean(single))
    assert both["share50"].value == pytest.approx(np.mean(single) / single[0])


def test_a_share_of_nothing_is_undefined() -> None:
    nothing = Matches([boxes([], [], []) for _ in TRUTH], TRUTH)
    assert np.isnan(interval_of_share([nothing], [nothing], np.arange(2), 10)["share50"].value)


def test_bad_input(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RetinalabError, match="1 photographs with detections, 2 with truth"):
        Matches(FOUND[:1], TRUTH)

    def absent(**_: object) -> None:
        raise ModuleNotFoundError

    monkeypatch.setattr(score, "MeanAveragePrecision", absent)
    with pytest.raises(RetinalabError, match="needs the COCO backend faster-coco-eval") as caught:
        coco_average_precision(FOUND, TRUTH)
    assert "\n" not in str(caught.value)
