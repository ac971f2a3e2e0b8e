"""Errors by severity: order, words and counts worked by hand."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from retinalab.protocol import SCALES
from retinalab.report.errors import errors_of, keys_of
from retinalab.report.maps import drawing

ICDR = SCALES["icdr5"]
# image, reference, predicted, probability of the predicted grade
CASES = (
    ("right", 2, 2, 0.99),
    ("near", 2, 1, 0.9),
    ("far but acceptable", 4, 2, 0.95),
    ("unacceptable", 1, 3, 0.4),
    ("unacceptable, surer", 3, 1, 0.6),
    ("unacceptable, farther", 4, 0, 0.3),
    ("near, less sure", 3, 4, 0.5),
)


class Marks:
    def __call__(self, name: str, image: str) -> np.ndarray | None:
        return None if image == "near" else np.full((64, 64, 3), 90, np.uint8)

    def lesions(self, name: str, image: str) -> Mapping[str, np.ndarray]:
        return {"HE": np.eye(64, dtype=bool)} if image.startswith("unacceptable") else {}


def predictions() -> pd.DataFrame:
    rows = []
    for image, reference, grade, probability in CASES:
        shares = np.full(5, (1 - probability) / 4)
        shares[grade] = probability
        named = {"image": image, "set": "s", "fold": -1, "seed": 0, "dr": reference, "dr_grade": grade}
        rows.append(named | {f"dr_p{k}": share for k, share in enumerate(shares)})
    return pd.DataFrame(rows).sample(frac=1, random_state=3)


def test_unacceptable_ones_first_then_by_distance_then_by_certainty() -> None:
    rows = predictions()
    found = errors_of(rows, "dr", ICDR, drawing(None, rows, {"dr": ICDR}, Marks()), shown=4)
    assert [one.key[1] for one in (*found.shown, *found.listed)] == [
        "unacceptable, farther",
        "unacceptable, surer",
        "unacceptable",
        "far but acceptable",
        "near",
        "near, less sure",
    ]
    assert [(one.way, one.weight) for one in (*found.shown, *found.listed)] == [
        ("4 grades too low", "unacceptable, referable disease missed"),
        ("2 grades too low", "unacceptable, referable disease missed"),
        ("2 grades too high", "unacceptable, referred without need"),
        ("2 grades too low", ""),
        ("1 grade too low", "referable disease missed"),
        ("1 grade too high", ""),
    ]
    assert found.counts == [
        "6 of 7 graded otherwise than the reference: 4 too low, 2 too high.",
        "3 unacceptable; 1 by 4 grades, 3 by 2 grades, 2 by 1 grade.",
    ]
    assert found.shown[0].certainty == "probability 0.30"
    assert found.left == 0
    assert keys_of([found]) == {("s", one.key[1], -1) for one in found.shown}


def test_photographs_stand_with_their_marked_lesions_where_there_are_any() -> None:
    rows = predictions()
    found = errors_of(rows, "dr", ICDR, drawing(None, rows, {"dr": ICDR}, Marks()), shown=5)
    drawn = [one.drawn for one in found.shown]
    assert [row is not None and [name for name, _ in row.marked] for row in drawn] == [["HE"]] * 3 + [[], []]
    assert [row is not None and bool(row.truth) for row in drawn] == [True] * 3 + [False] * 2
    assert drawn[4] is not None
    assert drawn[4].source == ""


def test_a_regression_is_as_sure_as_its_score_is_far_off() -> None:
    rows = predictions().drop(columns=[f"dr_p{k}" for k in range(5)])
    rows = rows[rows["image"].str.startswith("near")].assign(dr_score=[2.0, 4.4])
    rows["dr_score"] = rows["image"].map({"near": 1.4, "near, less sure": 4.4})
    found = errors_of(rows, "dr", ICDR, drawing(None, rows, {"dr": ICDR}, None))
    assert [(one.key[1], one.certainty) for one in found.shown] == [
        ("near, less sure", "score 4.40"),
        ("near", "score 1.40"),
    ]


def test_one_photograph_of_several_folds_stands_once_and_ungraded_ones_not_at_all() -> None:
    rows = predictions()
    twice = pd.concat(
        [rows, rows.assign(fold=1, dr_grade=np.where(rows["image"] == "right", 0, rows["dr_grade"]))]
    )
    found = errors_of(twice, "dr", ICDR, drawing(None, twice, {"dr": ICDR}, None), shown=1, listed=2)
    assert len(found.shown) == 1
    assert (len(found.listed), found.left) == (2, 4)
    ungraded = rows.assign(dr_grade=-1)
    assert errors_of(ungraded, "dr", ICDR, drawing(None, ungraded, {"dr": ICDR}, None)).shown == []


def test_a_scale_without_unacceptable_errors_counts_none() -> None:
    scale = SCALES["risk3"]
    rows = pd.DataFrame({"image": ["a"], "set": ["s"], "seed": [0], "dme": [2], "dme_grade": [0]})
    found = errors_of(rows, "dme", scale, drawing(None, rows, {"dme": scale}, None))
    assert found.counts[1] == "1 by 2 grades."
    assert found.shown[0].weight == "referable disease missed"
