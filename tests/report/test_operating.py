"""Operating points on the ROC: thresholds from validation, worked by hand."""

from __future__ import annotations

import pandas as pd
import pytest

from retinalab.protocol import SCALES
from retinalab.report.figures import roc
from retinalab.report.operating import chosen_points


def rows(scores: list[float], ill: list[int], seed: int = 0) -> pd.DataFrame:
    table = pd.DataFrame({"image": [str(k) for k in range(len(ill))], "set": "s", "fold": -1, "seed": seed})
    return table.assign(
        dr=ill, dr_p1=scores, dr_p0=[1 - s for s in scores], dr_grade=[int(s > 0.5) for s in scores]
    )


# ten well photographs: nine below 0.35, so that a threshold of 0.4 is 0.9 specific
VALIDATION = rows([0.05, 0.1, 0.1, 0.2, 0.2, 0.3, 0.3, 0.3, 0.35, 0.6, 0.4, 0.7, 0.8], [0] * 10 + [1] * 3)
TESTED = rows([0.1, 0.45, 0.3, 0.9, 0.5, 0.2, 0.4, 0.7], [0, 0, 0, 0, 1, 1, 1, 1])


def test_the_threshold_of_validation_is_applied_to_the_tested_photographs() -> None:
    points, missing = chosen_points(TESTED, VALIDATION, "dr", 1)
    assert missing == []
    # 0.4 holds a specificity of 0.9, and is the lowest score of an ill one: sensitivity 1 needs it as well
    for point in points:
        assert point.places == [(pytest.approx(0.5), pytest.approx(0.75))]
        assert point.text.endswith("here 0.75 sensitive, 0.50 specific")
    assert [point.text.split(" on ")[0] for point in points] == ["specificity 0.9", "sensitivity 0.95"]


def test_they_are_drawn_on_the_curve_with_their_words() -> None:
    points, _ = chosen_points(TESTED, VALIDATION, "dr", 1)
    drawn = roc(TESTED, "dr", SCALES["referable"], None, points=points)
    assert drawn is not None
    left, top, right, bottom = drawn.box
    for kind, x, y in drawn.marks:
        assert (x - left) / (right - left) == pytest.approx(0.5, abs=1e-3), kind
        assert (bottom - y) / (bottom - top) == pytest.approx(0.75, abs=1e-3), kind
    assert drawn.mark_legend == list(enumerate(point.text for point in points))


def test_each_seed_has_its_own_threshold_and_place() -> None:
    # the second network's scores are lower by a twentieth everywhere, and so is its threshold
    lower = [table.assign(dr_p1=table["dr_p1"] - 0.05, seed=1) for table in (TESTED, VALIDATION)]
    points, _ = chosen_points(pd.concat([TESTED, lower[0]]), pd.concat([VALIDATION, lower[1]]), "dr", 1)
    assert points[0].places == [(0.5, 0.75), (0.5, 0.75)]


def test_why_a_point_is_missing() -> None:
    points, missing = chosen_points(TESTED, VALIDATION.head(0), "dr", 1)
    assert points == []
    assert missing[0] == "no threshold at specificity 0.9, since no validation photograph with a known grade"
    _, missing = chosen_points(TESTED, VALIDATION[VALIDATION["dr"] == 0], "dr", 1)
    assert "validation has no positive photograph" in missing[1]
