"""Figures of hand-made answers against scikit-learn and figures worked by hand."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import accuracy_score, cohen_kappa_score, roc_auc_score

from retinalab.errors import RetinalabError
from retinalab.protocol import SCALES
from retinalab.robustness.agreement import beside_original, evaluate_robustness, views_of_eyes

ICDR = {"dr": SCALES["icdr5"]}


def answers(
    grades: Sequence[int],
    condition: str = "original",
    severity: int = 0,
    *,
    reference: Sequence[int] | None = None,
    referable: Sequence[float] | None = None,
    seed: int = 0,
    draw: int = 0,
    eye: str = "",
) -> pd.DataFrame:
    """Rows of one condition: photographs 0, 1, ...; two of each patient, one of each eye unless told otherwise."""
    n = len(grades)
    return pd.DataFrame(
        {
            "image": [f"{i}.png" for i in range(n)], "set": "toy",
            "patient": [str(i // 2) for i in range(n)], "eye": [eye or ("left", "right")[i % 2] for i in range(n)],
            "view": "", "part": "test", "group": [f"toy/{i // 2}" for i in range(n)], "fold": -1, "seed": seed,
            "condition": condition, "severity": severity, "draw": draw,
            "dr": grades if reference is None else list(reference), "dr_grade": grades,
            "dr_referable": [float(g >= 2) for g in grades] if referable is None else list(referable),
        }
    )  # fmt: skip


REFERENCE = [0, 1, 2, 3, 4, 2, 0, 0]
BEFORE = [0, 1, 2, 3, 4, 1, 0, 2]
AFTER = [0, 2, 2, 4, 4, 1, 1, 0]
SCORES = [0.1, 0.3, 0.8, 0.7, 0.9, 0.4, 0.2, 0.6]
CHANGED = [0.2, 0.6, 0.7, 0.9, 0.9, 0.1, 0.3, 0.3]


def both(**given: int) -> pd.DataFrame:
    return pd.concat(
        [
            answers(BEFORE, reference=REFERENCE, referable=SCORES, **given),
            answers(AFTER, "haze", 3, reference=REFERENCE, referable=CHANGED, **given),
        ],
        ignore_index=True,
    )


def values(table: pd.DataFrame, resamples: int = 0) -> dict[str, float | None]:
    return {key: one["value"] for key, one in evaluate_robustness(table, ICDR, resamples=resamples).items()}


def test_a_network_that_nothing_changes_agrees_with_itself() -> None:
    same = pd.concat([answers(BEFORE), answers(BEFORE, "flip"), answers(BEFORE, "defocus", 5)])
    found = evaluate_robustness(same, ICDR, resamples=200)
    for place in ("dr/flip/0", "dr/defocus/5"):
        assert found[f"{place}/self_kappa"]["value"] == 1
        assert found[f"{place}/unchanged"]["value"] == 1
        assert found[f"{place}/score_change"]["value"] == 0
        change = found[f"{place}/kappa_change"]
        assert (change["value"], change["low"], change["high"]) == (0, 0, 0)
    assert not [
        key for key in found if key.startswith("dr/original") and key.endswith(("unchanged", "self_kappa"))
    ]


def test_by_hand_and_against_scikit_learn() -> None:
    found = values(both())
    assert found["dr/haze/3/unchanged"] == 4 / 8
    assert found["dr/haze/3/score_change"] == pytest.approx((0.1 + 0.3 + 0.1 + 0.2 + 0 + 0.3 + 0.1 + 0.3) / 8)
    assert found["dr/haze/3/self_kappa"] == pytest.approx(
        cohen_kappa_score(BEFORE, AFTER, weights="quadratic")
    )
    positive = np.array(REFERENCE) >= 2
    for place, grades, scores in (("original/0", BEFORE, SCORES), ("haze/3", AFTER, CHANGED)):
        assert found[f"dr/{place}/kappa"] == pytest.approx(
            cohen_kappa_score(REFERENCE, grades, weights="quadratic")
        )
        assert found[f"dr/{place}/accuracy"] == pytest.approx(accuracy_score(REFERENCE, grades))
        assert found[f"dr/{place}/auc_referable"] == pytest.approx(roc_auc_score(positive, scores))
        for grade in range(5):
            mine = np.array(REFERENCE) == grade
            assert found[f"dr/{place}/sensitivity_{grade}"] == pytest.approx(
                (np.array(grades)[mine] == grade).mean()
            )
    for name in ("kappa", "accuracy", "auc_referable"):
        after, before = found[f"dr/haze/3/{name}"], found[f"dr/original/0/{name}"]
        assert after is not None
        assert before is not None
        assert found[f"dr/haze/3/{name}_change"] == pytest.approx(after - before)


def test_several_draws_count_as_so_many_pairs() -> None:
    draws = [answers(AFTER, "colours", draw=0), answers(BEFORE, "colours", draw=1)]
    found = evaluate_robustness(pd.concat([answers(BEFORE), *draws]), ICDR, resamples=0)
    assert found["dr/colours/0/unchanged"]["value"] == (4 + 8) / 16
    kappa = cohen_kappa_score(BEFORE * 2, AFTER + BEFORE, weights="quadratic")
    assert found["dr/colours/0/self_kappa"]["value"] == pytest.approx(kappa)
    assert found["dr/colours/0/self_kappa"]["n"] == 8


def test_intervals_resample_patients() -> None:
    rng = np.random.default_rng(1)
    grades = rng.integers(0, 5, 80)
    kept = np.repeat(rng.random(40) < 0.6, 2)  # a patient's two photographs keep their grade or both lose it
    table = pd.concat(
        [answers(grades.tolist()), answers(np.where(kept, grades, (grades + 1) % 5).tolist(), "flip")]
    )
    found = evaluate_robustness(table, ICDR, resamples=2000)["dr/flip/0/unchanged"]
    assert found["n"] == 80
    assert found["n_groups"] == 40
    share = kept.mean()
    assert found["value"] == pytest.approx(share)
    assert found["low"] is not None
    assert found["high"] is not None
    error = np.sqrt(share * (1 - share) / 40)  # of 40 patients, not of 80 photographs
    assert found["high"] - found["low"] == pytest.approx(2 * 1.96 * error, rel=0.2)


def test_seeds_are_averaged() -> None:
    table = pd.concat([both(seed=0), answers(BEFORE, seed=1), answers(BEFORE, "haze", 3, seed=1)])
    found = evaluate_robustness(table, ICDR, resamples=0)["dr/haze/3/unchanged"]
    assert found["seeds"] == [0.5, 1.0]
    assert found["value"] == 0.75


def test_views_of_an_eye_are_held_against_each_other() -> None:
    table = answers([0, 2, 3, 3, 4, 1], reference=[0, 0, 3, 2, 4, -1], eye="left")
    found = values(table)
    first, second = [0, 3, 4], [2, 3, 1]
    expected = cohen_kappa_score(first + second, second + first, weights="quadratic")
    assert found["dr/views/0/self_kappa"] == pytest.approx(expected)
    assert found["dr/views/0/unchanged"] == pytest.approx(1 / 3)
    assert found["dr/views/0/score_change"] == pytest.approx(2 / 3)
    assert found["dr/views/0/reference_unchanged"] == 0.5
    third = table.iloc[:3].assign(patient="0", group="toy/0")
    pairs = views_of_eyes(third, "dr")
    assert list(zip(pairs["other"], pairs["image"], strict=True)) == [
        ("0.png", "1.png"), ("0.png", "2.png"), ("1.png", "2.png"),
    ]  # fmt: skip
    assert evaluate_robustness(third, ICDR, resamples=0)["dr/views/0/unchanged"]["n"] == 3


def test_no_repeated_views_are_no_figures() -> None:
    table = answers(BEFORE)
    for one in (table, table.assign(eye=""), table.assign(patient="", eye="left")):
        assert views_of_eyes(one, "dr").empty
        assert not [key for key in values(one) if "/views/" in key]
    twice = answers(BEFORE, eye="left")
    assert [key for key in values(twice) if "/views/" in key]
    assert not [key for key in evaluate_robustness(twice, ICDR, views=False) if "/views/" in key]


def test_a_severity_is_its_own_score() -> None:
    table = both().drop(columns="dr_referable")
    table["dr_score"] = [*(2 * s for s in SCORES), *(2 * s for s in CHANGED)]
    found = values(table)
    assert found["dr/haze/3/score_change"] == pytest.approx(2 * 1.4 / 8)
    assert found["dr/haze/3/auc_referable"] == pytest.approx(roc_auc_score(np.array(REFERENCE) >= 2, CHANGED))


def test_unknown_references_and_undefined_figures() -> None:
    unknown = both().assign(dr=-1)
    found = evaluate_robustness(unknown, ICDR, resamples=0)
    assert found["dr/haze/3/unchanged"]["value"] == 0.5
    assert "dr/haze/3/kappa" not in found
    constant = pd.concat([answers([1] * 6), answers([1] * 6, "flip")])
    found = evaluate_robustness(constant, ICDR, resamples=0)
    assert found["dr/flip/0/self_kappa"]["value"] is None
    assert found["dr/flip/0/self_kappa"]["note"].startswith(
        "undefined: all grades, before and after, are one"
    )
    assert found["dr/flip/0/sensitivity_3"]["note"] == "undefined: no photograph of grade 3"
    assert found["dr/flip/0/unchanged"]["value"] == 1


def test_an_answer_without_its_original() -> None:
    with pytest.raises(RetinalabError, match=r"'7.png' has no row of condition 'original'"):
        beside_original(both().drop(index=7), "dr")
