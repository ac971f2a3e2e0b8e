"""The worse eye of each patient, by hand."""

from __future__ import annotations

import pandas as pd

from retinalab.metrics.clinical.patients import worse_eye
from retinalab.metrics.clinical.targets import judged, targets_of
from retinalab.protocol import SCALES

TARGETS = targets_of("dr", SCALES["icdr5"])


def test_it_is_the_highest_of_reference_prediction_and_score_apart() -> None:
    rows = pd.DataFrame(
        [
            ("a", "1", "s/1", 0, 0, 3, 0.5),
            ("b", "1", "s/1", 0, 2, 1, 1.9),
            ("c", "2", "s/2", 0, 1, 0, 0.1),
            ("a", "1", "s/1", 1, 0, 0, 0.2),
            ("b", "1", "s/1", 1, 2, 0, 0.3),
            ("d", "", "s/d", 0, 4, 4, 4.0),
        ],
        columns=["image", "patient", "group", "seed", "dr", "dr_grade", "dr_score"],
    ).assign(part="test", set="s", fold=-1)
    found = worse_eye(judged(rows, TARGETS), "dr", TARGETS).set_index(["group", "seed"])
    assert found[["dr", "dr_grade"]].to_dict("index") == {
        ("s/1", 0): {"dr": 2, "dr_grade": 3},
        ("s/2", 0): {"dr": 1, "dr_grade": 0},
        ("s/1", 1): {"dr": 2, "dr_grade": 0},
    }
    first = found.loc[("s/1", 0)]
    assert first["referable|score"] == 1.9
    assert (first["referable|positive"], first["vision-threatening|positive"]) == (True, False)
    assert (first["referable|graded"], first["vision-threatening|graded"]) == (True, True)


def test_parts_and_folds_are_never_joined() -> None:
    rows = pd.DataFrame(
        {
            "image": list("abc"),
            "patient": "1",
            "group": "s/1",
            "part": ["val", "test", "test"],
            "fold": [0, 0, 1],
        }
    ).assign(set="s", seed=0, dr=[1, 2, 3], dr_grade=0, dr_score=0.0)
    found = worse_eye(judged(rows, TARGETS), "dr", TARGETS)
    assert found[["part", "fold", "dr"]].to_numpy().tolist() == [
        ["val", 0, 1],
        ["test", 0, 2],
        ["test", 1, 3],
    ]
