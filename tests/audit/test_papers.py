"""The four papers' own tables: what is impossible in them, and that every value audited is the one they print."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from retinalab.audit import audit, read_checks, summed
from retinalab.claims import load_claims

EXPERIMENTS = Path(__file__).resolve().parents[2] / "experiments"
PAPERS = ("canet", "clpi", "sian", "ellg")
IMPOSSIBLE = {
    "canet": {
        ("Table III", "DME 1 / DR 2, share", "4.6"),
        ("Table III", "DME 2 / DR 3, share", "22.4"),
        ("Table IV", "Individual training (DR) / Parameters", "23.52"),
        ("Table IV", "Individual training (DME) / Parameters", "23.52"),
        ("Table VIII", "CANet (ours) / Joint Ac", "65.1"),
        ("Table IX", "CANet (final model) / Joint Ac", "65.1"),
    },
    "clpi": {
        ("Table III", "Training / Image number", "57"),
        ("Table III", "Testing / Image number", "24"),
        ("Text", "rows of Table VI trained on Messidor-2", "5"),
    },
    "sian": {("Table 6", "Inception-v3 (488 × 448), input", "488 × 448")},
    "ellg": set(),
}


@pytest.mark.parametrize("paper", PAPERS)
def test_what_is_impossible_without_any_assumption(paper: str) -> None:
    findings = audit(EXPERIMENTS / paper / "audit.csv")
    wrong = [one.check for one in findings if one.wrong and not one.check.assumes]
    assert {(one.table, one.row, one.value) for one in wrong} == IMPOSSIBLE[paper]
    assert summed(findings)["untestable"] == 0


@pytest.mark.parametrize("paper", PAPERS)
def test_every_value_is_the_one_that_the_claims_hold(paper: str) -> None:
    pytest.importorskip(f"retinalab_{paper}")
    claims = {(one.label, one.place.row, one.place.column): one.published for one in load_claims(paper)}
    found = 0
    for one in read_checks(EXPERIMENTS / paper / "audit.csv"):
        row, _, column = one.row.rpartition(" / ")
        stated = claims.get((one.table, row, column)) or claims.get((one.table, one.row, "value"))
        if stated is not None and re.search(r"\d", stated):
            found += 1
            assert (
                one.value
                in (
                    stated,
                    stated.removesuffix("%").removesuffix("M").removesuffix("k").removesuffix("K").strip(),
                )
                or one.value in re.findall(r"\d+", stated)
                or stated == "last five rows"
            ), one
    assert found >= {"canet": 150, "clpi": 35, "sian": 35, "ellg": 6}[paper]


def test_means_over_folds_that_no_count_could_contradict_are_counted_apart() -> None:
    findings = audit(EXPERIMENTS / "canet/audit.csv")
    folds = [one for one in findings if one.check.check == "share" and one.check.averaged == 10]
    assert len(folds) == summed(findings)["not_telling"] == 47
    assert {one.check.n for one in folds} == {"120"}


def test_the_parameters_counted_are_those_of_a_resnet50_and_its_last_layer() -> None:
    """torchvision states 25,557,032 with 1,000 classes; CANet's own tests count the networks."""
    given = {
        one.row: one.given for one in read_checks(EXPERIMENTS / "canet/audit.csv") if one.check == "count"
    }
    backbone = 25_557_032 - (2048 * 1000 + 1000)
    for name, grades in (("(DR)", 2), ("(DME)", 3)):
        assert given[f"Individual training {name} / Parameters"] == str(backbone + 2049 * grades)
    assert given["Joint training / Parameters"] == str(backbone + 2049 * 5)


def test_aptos_shares_fit_364_photographs_and_no_tenth_of_3662() -> None:
    """Every n to 1,000 tried: only multiples and neighbours of 364 give both printed accuracies."""
    both = [
        n
        for n in range(1, 700)
        if all(
            any(abs(k / n - v) <= 0.5e-4 for k in range(int(n * v) - 1, int(n * v) + 3))
            for v in (0.7830, 0.8269)
        )
    ]
    assert both == [364]
    wrong = {one.check.value for one in audit(EXPERIMENTS / "ellg/audit.csv") if one.wrong}
    assert {"0.7830", "0.8269"} <= wrong
