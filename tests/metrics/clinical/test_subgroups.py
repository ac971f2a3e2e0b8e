"""Subgroups: how they are told apart, what each reaches, which are too small."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import cohen_kappa_score, recall_score, roc_auc_score

from retinalab.errors import RetinalabError
from retinalab.metrics.clinical import Options, read_clinically
from retinalab.metrics.clinical.subgroups import groups_of, subgroup_columns, warning
from retinalab.protocol import SCALES


def table(count: int = 200) -> pd.DataFrame:
    draw = np.random.default_rng(0)
    grade = draw.integers(0, 5, count)
    score = grade + draw.normal(0, 1, count)
    return pd.DataFrame(
        {
            "image": [f"{k}.png" for k in range(count)], "patient": [f"p{k // 2}" for k in range(count)],
            "camera": np.where(np.arange(count) < count - 10, "clinic", "van"), "eye": ["left", "right"] * (count // 2),
            "age": draw.uniform(20, 80, count), "dr": grade, "dr_score": score,
            "dr_grade": score.round().clip(0, 4).astype(int), "part": "test",
        }
    )  # fmt: skip


def test_each_is_measured_on_its_own_photographs() -> None:
    rows = table()
    reading = read_clinically(rows, {"dr": SCALES["icdr5"]}, Options(resamples=100))
    groups = {(one.column, one.value): one for one in reading.sets[0].diseases[0].subgroups}
    assert list(groups) == [("camera", "clinic"), ("camera", "van"), ("eye", "left"), ("eye", "right")]
    for (column, value), one in groups.items():
        mine = rows[rows[column] == value]
        positive, called = mine["dr"] >= 2, mine["dr_grade"] >= 2
        assert (one.photographs, one.units, one.positive) == (
            len(mine),
            mine["patient"].nunique(),
            positive.sum(),
        )
        expected = {
            "auc": roc_auc_score(positive, mine["dr_score"]),
            "kappa": cohen_kappa_score(mine["dr"], mine["dr_grade"], weights="quadratic"),
            "sensitivity": recall_score(positive, called),
            "specificity": recall_score(~positive, ~called),
            "referrals": 1000 * called.mean(),
        }
        for name, figure in expected.items():
            assert one.figures[name]["value"] == pytest.approx(figure), (value, name)
            low, high = one.figures[name]["low"], one.figures[name]["high"]
            assert low is not None
            assert high is not None
            assert low <= figure + 1e-9
            assert figure <= high + 1e-9
    assert groups["camera", "van"].warning == "fewer than 20 patients"
    assert groups["camera", "clinic"].warning == ""


def test_numbers_of_many_values_are_told_apart_by_quarters() -> None:
    rows = table()
    found = dict(groups_of(rows, "age"))
    assert [len(part) for part in found.values()] == [50, 50, 50, 50]
    assert all(
        a["age"].max() < b["age"].min()
        for a, b in zip(list(found.values())[:-1], list(found.values())[1:], strict=True)
    )
    few = dict(groups_of(rows.assign(level=[0, 1, 2, np.nan] * 50), "level"))
    assert {name: len(part) for name, part in few.items()} == dict.fromkeys(
        ["0", "1", "2", "not recorded"], 50
    )


def test_columns_are_those_asked_for_or_those_that_differ() -> None:
    rows = table().assign(view="1")
    assert subgroup_columns(rows, ()) == ("camera", "eye")
    assert subgroup_columns(rows, ["age"]) == ("age",)
    with pytest.raises(RetinalabError, match=r"Unknown column 'camra'\. Did you mean 'camera'"):
        subgroup_columns(rows, ["camra"])
    with pytest.raises(RetinalabError, match="Column patient has 100 values, too many"):
        list(groups_of(rows, "patient"))


def test_what_is_too_small_is_said() -> None:
    assert warning(19, 5, 40, 20) == "fewer than 20 patients"
    assert warning(5, 0, 5, 20) == "fewer than 20 patients; no positive"
    assert warning(30, 30, 30, 20) == "no negative"
    assert warning(20, 5, 40, 20) == ""


def test_sets_are_laid_side_by_side() -> None:
    rows = pd.concat([table().assign(set="a"), table(40).assign(set="b")])
    reading = read_clinically(rows, {"dr": SCALES["icdr5"]}, Options(resamples=20))
    assert [one.prefix for one in reading.sets] == ["test", "test@b"]
    by_set = reading.by_set["dr"]
    assert [(one.value, one.photographs) for one in by_set] == [("a", 200), ("b", 40)]
    second = reading.sets[1].diseases[0].targets[0].auc
    assert second is not None
    assert by_set[1].figures["auc"]["value"] == second["value"]
