"""The whole reading: thresholds and temperatures from validation, figures against independent counts."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict

import numpy as np
import pandas as pd
import pytest
from scipy.special import softmax
from sklearn.metrics import brier_score_loss, cohen_kappa_score, recall_score, roc_auc_score, roc_curve

from retinalab.errors import RetinalabError
from retinalab.metrics.clinical import ClinicalReading, Options, read_clinically
from retinalab.metrics.clinical.result import TargetReading
from retinalab.metrics.clinical.temperature import fit_temperature, tempered
from retinalab.metrics.evaluate import evaluate
from retinalab.protocol import SCALES

ICDR = {"dr": SCALES["icdr5"]}
FEW = Options(resamples=40)
PROBABILITIES = [f"dr_p{k}" for k in range(5)]


def part(name: str, count: int, salt: int = 0, sharpness: float = 2.0, **columns: object) -> pd.DataFrame:
    """Two photographs a patient, whose probabilities are ``sharpness`` times too extreme."""
    draw = np.random.default_rng([len(name), salt])
    logits = draw.normal(0, 1.3, (count, 5))
    truth = softmax(logits, axis=1)
    table = pd.DataFrame(softmax(sharpness * logits, axis=1), columns=PROBABILITIES)
    table["dr"] = [int(draw.choice(5, p=row)) for row in truth]
    table["dr_grade"] = truth.argmax(axis=1)
    table["image"] = [f"{name}{k}.png" for k in range(count)]
    table["patient"] = [f"{name}{k // 2}" for k in range(count)]
    return table.assign(part=name, set="made", **columns)


def referable(reading: ClinicalReading, number: int = 0) -> TargetReading:
    return reading.sets[number].diseases[0].targets[0]


def test_thresholds_come_from_validation_and_figures_from_test() -> None:
    val, test = part("val", 160), part("test", 240)
    one = referable(read_clinically(pd.concat([val, test]), ICDR, FEW))
    grade, specificity, sensitivity = one.points
    score = {
        name: rows[PROBABILITIES[2:]].sum(axis=1).to_numpy() for name, rows in (("val", val), ("test", test))
    }
    false, true, cuts = roc_curve(val["dr"] >= 2, score["val"], drop_intermediate=False)
    at = {
        "specificity": cuts[np.flatnonzero(false <= 0.1)[-1]],
        "sensitivity": cuts[np.flatnonzero(true >= 0.95)[0]],
    }
    positive = (test["dr"] >= 2).to_numpy()
    for point in (specificity, sensitivity):
        # between two scores of validation no threshold is better than another there
        called = score["test"] >= point.thresholds[0]
        assert point.figures["sensitivity"]["value"] == pytest.approx(recall_score(positive, called))
        assert point.figures["specificity"]["value"] == pytest.approx(recall_score(~positive, ~called))
        assert ((score["val"] >= point.thresholds[0]) == (score["val"] >= at[point.name])).mean() > 0.98
    assert specificity.validation["specificity"] >= 0.9
    assert sensitivity.validation["sensitivity"] >= 0.95
    assert specificity.validation["positive"] == (val["dr"] >= 2).sum()
    assert grade.figures["sensitivity"]["value"] == pytest.approx(
        recall_score(positive, test["dr_grade"] >= 2)
    )
    assert grade.validation == {}
    assert one.auc is not None
    assert one.auc["value"] == pytest.approx(roc_auc_score(positive, score["test"]))


def test_temperature_comes_from_validation_and_calibrates_test() -> None:
    val, test = part("val", 300, sharpness=3), part("test", 400, sharpness=3)
    one = referable(read_clinically(pd.concat([val, test]), ICDR, FEW)).calibration
    temperature = fit_temperature(val[PROBABILITIES].to_numpy(), val["dr"]).value
    assert list(one.temperatures) == [pytest.approx(temperature)]
    positive = (test["dr"] >= 2).to_numpy()
    for figures, t in ((one.before, 1.0), (one.after, temperature)):
        p = tempered(test[PROBABILITIES].to_numpy(), t)[:, 2:].sum(axis=1)
        assert figures["brier"]["value"] == pytest.approx(brier_score_loss(positive, p), abs=1e-6)
    for name, ideal in (("slope", 1), ("intercept", 0), ("ece", 0)):
        before, after = (abs(figures[name]["value"] - ideal) for figures in (one.before, one.after))  # type: ignore[operator]
        assert after < before
    assert len(one.bins_before) == len(one.bins_after) == 10
    assert sum(one.photographs or 0 for one in one.bins_before) == 400
    assert all(b.observed["low"] < b.observed["high"] for b in one.bins_before)  # type: ignore[operator]


def test_worse_eyes_are_read_at_thresholds_of_worse_eyes() -> None:
    val, test = part("val", 160), part("test", 200)
    reading = read_clinically(pd.concat([val, test]), ICDR, FEW)
    eye = reading.sets[0].diseases[0].worse_eye
    worst = test.groupby("patient")[["dr", "dr_grade"]].max()
    assert (eye.patients, eye.left_out, eye.positive["referable"]) == (100, 0, (worst["dr"] >= 2).sum())
    kappa = cohen_kappa_score(worst["dr"], worst["dr_grade"], weights="quadratic")
    assert eye.figures["kappa"]["value"] == pytest.approx(kappa)
    grade, specificity, _ = eye.points["referable"]
    assert grade.figures["sensitivity"]["value"] == pytest.approx(
        recall_score(worst["dr"] >= 2, worst["dr_grade"] >= 2)
    )
    assert specificity.validation["photographs"] == 80
    assert specificity.validation["specificity"] >= 0.9
    unknown = read_clinically(pd.concat([val, test]).drop(columns="patient"), ICDR, FEW).sets[0]
    assert unknown.unit == "photographs"
    assert "patients are unknown" in unknown.diseases[0].worse_eye.missing


def test_seeds_are_averaged_each_at_its_own_threshold() -> None:
    parts = [part(name, 120, seed=seed, sharpness=1 + seed) for seed in (0, 1) for name in ("val", "test")]
    both = read_clinically(pd.concat(parts), ICDR, FEW)
    alone = [referable(read_clinically(pd.concat(parts[2 * k : 2 * k + 2]), ICDR, FEW)) for k in (0, 1)]
    point = referable(both).points[1]
    assert both.seeds == 2
    assert list(point.thresholds) == [one.points[1].thresholds[0] for one in alone]
    for name in ("sensitivity", "specificity", "ppv_stated"):
        each = [one.points[1].figures[name]["value"] for one in alone]
        assert point.figures[name]["value"] == pytest.approx(np.mean(each))  # type: ignore[arg-type]
        assert point.figures[name]["seeds"] == each
    assert (referable(both).photographs, referable(both).calibration.bins_before[0].photographs) == (120, 12)


def test_folds_keep_their_own_thresholds_and_are_pooled() -> None:
    folds = [part(name, 100, salt=fold, fold=fold) for fold in (0, 1) for name in ("val", "test")]
    for fold in (0, 1):
        for number in (0, 1):
            folds[2 * fold + number]["image"] += f"-{fold}"
    pooled = referable(read_clinically(pd.concat(folds), ICDR, FEW)).points[1]
    called = np.concatenate(
        [
            f[PROBABILITIES[2:]].sum(axis=1) >= cut
            for f, cut in zip(folds[1::2], pooled.thresholds, strict=True)
        ]
    )
    positive = np.concatenate([f["dr"] >= 2 for f in folds[1::2]])
    assert pooled.figures["sensitivity"]["value"] == pytest.approx(recall_score(positive, called))


def test_without_validation_it_says_what_cannot_be_fixed() -> None:
    reading = read_clinically(part("test", 60), ICDR, FEW)
    assert any("no validation part" in note for note in reading.notes)
    grade, *fixed = referable(reading).points
    assert grade.figures["sensitivity"]["value"] is not None
    assert [point.missing for point in fixed] == ["no validation photograph with a known grade"] * 2
    calibration = referable(reading).calibration
    assert calibration.missing_after == "no validation photograph with a known grade"
    assert (calibration.before["brier"]["value"] or 0) > 0
    assert (list(calibration.bins_after), dict(calibration.after)) == ([], {})


def test_a_photograph_that_chose_and_is_judged_is_said_to() -> None:
    test = part("test", 60)
    reading = read_clinically(pd.concat([test.assign(part="val"), test]), ICDR, FEW)
    assert reading.notes == [
        "60 tested photographs also chose thresholds and temperatures: what follows is optimistic"
    ]


@pytest.mark.parametrize("kept", ["dr_score", "grades"])
def test_a_score_or_grades_alone_have_no_calibration(kept: str) -> None:
    both = pd.concat([part("val", 80), part("test", 80)])
    score = both[PROBABILITIES].to_numpy() @ np.arange(5)
    bare = both.drop(columns=PROBABILITIES)
    one = referable(read_clinically(bare.assign(dr_score=score) if kept == "dr_score" else bare, ICDR, FEW))
    assert one.calibration.missing == "not applicable: a score or a grade alone is no probability"
    assert (one.auc is None) == (kept == "grades")
    assert [bool(point.missing) for point in one.points] == [False, kept == "grades", kept == "grades"]


def test_grades_are_those_of_the_metrics() -> None:
    both = pd.concat([part("val", 80), part("test", 80)])
    one = read_clinically(both, ICDR, FEW).sets[0].diseases[0]
    metrics = evaluate(both, ICDR, resamples=40)
    for name in ("kappa", "accuracy", "unacceptable"):
        assert one.graded[name] == metrics[f"test/dr/{name}"]
    assert one.targets[0].auc == pytest.approx(metrics["test/dr/auc_referable"])


def test_two_diseases_and_scales_of_two_grades() -> None:
    both = pd.concat([part("val", 80), part("test", 80)]).reset_index(drop=True)
    both["dme"] = (both["dr"] > 2).astype(int)
    both["dme_p1"] = both[PROBABILITIES[2:]].sum(axis=1)
    both["dme_p0"], both["dme_grade"] = 1 - both["dme_p1"], (both["dme_p1"] > 0.5).astype(int)
    reading = read_clinically(both, {**ICDR, "dme": SCALES["binary"]}, FEW)
    assert [[t.name for t in d.targets] for d in reading.sets[0].diseases] == [
        ["referable", "vision-threatening"], ["present"],
    ]  # fmt: skip


def test_one_side_alone_is_undefined_not_wrong() -> None:
    both = pd.concat([part("val", 80), part("test", 80)])
    healthy = both[(both["part"] == "val") | (both["dr"] < 2)]
    one = referable(read_clinically(healthy, ICDR, FEW))
    assert one.positive == 0
    assert one.points[1].figures["sensitivity"]["value"] is None
    assert one.points[1].figures["specificity"]["value"] is not None
    assert one.calibration.before["slope"]["value"] is None
    assert "both sides" in one.calibration.before["intercept"]["note"]


def test_it_is_json_of_plain_numbers() -> None:
    reading = read_clinically(pd.concat([part("val", 60), part("test", 60)]), ICDR, FEW)
    text = json.dumps(asdict(reading), allow_nan=False)
    assert json.loads(text)["options"]["prevalence"] == 0.1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t[t["part"] == "val"], "hold no test photographs"),
        (lambda t: t.drop(columns="dr_grade"), "hold no graded disease"),
        (lambda t: t.assign(dr=7), "outside icdr5"),
        (lambda t: t.drop(columns="image"), "Unknown column 'image'"),
        (lambda t: t.drop(columns="dr_p4"), "4 probability columns for scale icdr5 of 5 grades"),
    ],
)
def test_a_table_that_cannot_be_read_is_refused(
    change: Callable[[pd.DataFrame], pd.DataFrame], message: str
) -> None:
    with pytest.raises(RetinalabError, match=message):
        read_clinically(change(pd.concat([part("val", 20), part("test", 20)])), ICDR, FEW)


@pytest.mark.parametrize("name", ["prevalence", "specificity", "sensitivity"])
@pytest.mark.parametrize("value", [0.0, 1.0, 90.0, -0.1])
def test_shares_outside_their_range_are_refused(name: str, value: float) -> None:
    with pytest.raises(RetinalabError, match=f"{name} is {value:g}, not a share between 0 and 1"):
        Options(**{name: value})
