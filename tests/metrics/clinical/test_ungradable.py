"""Ungradable photographs: how they are marked, and what each policy makes of them, counted by hand."""

from __future__ import annotations

import pandas as pd
import pytest

from retinalab.errors import RetinalabError
from retinalab.metrics.clinical import Options, read_clinically
from retinalab.metrics.clinical.result import Ungradable
from retinalab.metrics.clinical.ungradable import ungradable_rows
from retinalab.protocol import SCALES


def test_they_are_marked_by_the_record_by_a_reason_or_as_asked() -> None:
    table = pd.DataFrame(
        {"gradable": [1, 0, 1, 1], "reason": ["", "", "no field of view", None], "quality": list("0010")}
    )
    assert ungradable_rows(table).tolist() == [False, True, True, False]
    assert ungradable_rows(table, ("quality", "1")).tolist() == [False, True, True, False]
    assert ungradable_rows(table[["quality"]], ("quality", "1")).tolist() == [False, False, True, False]
    assert ungradable_rows(pd.DataFrame({"gradable": ["yes", "No", "false", None]})).tolist() == [
        False,
        True,
        True,
        False,
    ]
    with pytest.raises(RetinalabError, match=r"Unknown column 'qualty'\. Did you mean 'quality'"):
        ungradable_rows(table, ("qualty", "1"))
    with pytest.raises(RetinalabError, match="Unknown value of quality '2'"):
        ungradable_rows(table, ("quality", "2"))


def table() -> pd.DataFrame:
    """Ten gradable photographs, 3 of 4 diseased and 1 of 6 healthy ones called; four ungradable ones."""
    rows = [(2, 2)] * 3 + [(2, 0)] + [(0, 2)] + [(0, 0)] * 5
    frame = pd.DataFrame(rows, columns=["dr", "dr_grade"]).assign(gradable=True)
    poor = pd.DataFrame([(2, 0), (0, 0), (0, 0), (-1, 2)], columns=["dr", "dr_grade"]).assign(gradable=False)
    whole = pd.concat([frame, poor], ignore_index=True)
    return whole.assign(image=[f"{k}.png" for k in range(14)])


def read(predictions: pd.DataFrame, **options: object) -> Ungradable:
    reading = read_clinically(predictions, {"dr": SCALES["icdr5"]}, Options(resamples=50), **options)
    return reading.sets[0].diseases[0].ungradable


def test_left_out_referred_and_graded_by_the_network() -> None:
    found = read(table())
    assert (found.marked, found.photographs, found.known) == (4, 14, 3)
    policies = {
        policy: {name: metric["value"] for name, metric in figures.items()}
        for policy, figures in found.policies["referable"].items()
    }
    assert list(policies) == ["left out", "counted as referred", "as the network grades them"]
    left, referred, graded = policies.values()
    assert (left["sensitivity"], left["specificity"], left["referrals"]) == pytest.approx((3 / 4, 5 / 6, 400))
    assert (referred["sensitivity"], referred["specificity"]) == pytest.approx((4 / 5, 5 / 8))
    assert referred["referrals"] == pytest.approx(1000 * 8 / 14)
    assert referred["ppv"] == pytest.approx(4 / 7)
    assert (graded["sensitivity"], graded["specificity"]) == pytest.approx((3 / 5, 7 / 8))
    assert graded["referrals"] == pytest.approx(1000 * 5 / 14)


def test_those_that_no_network_saw_are_referred_or_left_out() -> None:
    whole = table()
    seen, unseen = whole[whole["gradable"]], whole[~whole["gradable"]]
    found = read(seen, ungradable=unseen.drop(columns="dr_grade").assign(part="test"))
    assert (found.marked, found.photographs, found.known) == (4, 14, 3)
    expected = read(whole)
    assert list(found.policies["referable"]) == ["left out", "counted as referred"]
    for policy, figures in found.policies["referable"].items():
        for name, metric in figures.items():
            assert metric["value"] == pytest.approx(expected.policies["referable"][policy][name]["value"]), (
                name
            )


def test_a_table_made_elsewhere_may_lack_their_grades() -> None:
    whole = table().assign(reason=[""] * 10 + ["too dark"] * 4).drop(columns="gradable")
    whole["dr_grade"] = whole["dr_grade"].where(whole.index < 10)
    found = read(whole)
    assert (found.marked, list(found.policies["referable"])) == (4, ["left out", "counted as referred"])
    unmarked = whole.assign(reason="")
    with pytest.raises(RetinalabError, match=r"dr_grade of '10.png' is nan"):
        read(unmarked)


def test_without_any_it_says_so() -> None:
    assert read(table()[:10]).missing == "no tested photograph is marked ungradable"
