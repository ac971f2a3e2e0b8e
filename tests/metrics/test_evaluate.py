"""Evaluation: keys, counts and values against scikit-learn on the same rows."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics as sk

from retinalab.errors import RetinalabError
from retinalab.metrics import evaluate, majority
from retinalab.protocol import SCALES

SCALES_OF = {"dr": SCALES["icdr5"], "dme": SCALES["binary"]}


def photographs(n: int, seed: int = 0, views: int = 4) -> pd.DataFrame:
    generator = np.random.default_rng(seed)
    grades = generator.choice(5, n, p=[0.5, 0.1, 0.2, 0.1, 0.1])
    latent = grades + generator.normal(size=n)
    probabilities = np.exp(-((latent[:, None] - np.arange(5)) ** 2))
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    edema = (grades + generator.normal(size=n) > 2).astype(int)
    guess = 1 / (1 + np.exp(-(latent - 2)))
    table = pd.DataFrame(
        {
            "image": [f"{k}.jpg" for k in range(n)],
            "set": "clinic",
            "patient": [str(k // views) for k in range(n)],
            "dr": grades,
            "dr_grade": probabilities.argmax(axis=1),
            "dme": edema,
            "dme_p0": 1 - guess,
            "dme_p1": guess,
            "dme_grade": (guess > 0.5).astype(int),
        }
    )
    return table.assign(**{f"dr_p{k}": probabilities[:, k] for k in range(5)})


def test_every_figure_of_two_diseases() -> None:
    table = photographs(300)
    table.loc[:9, "dme"] = -1
    found = evaluate(table, SCALES_OF, resamples=200)
    known = table.iloc[10:]
    dr, dme = (table["dr"], table["dr_grade"]), (known["dme"], known["dme_grade"])
    probabilities = table[[f"dr_p{k}" for k in range(5)]].to_numpy()
    expected = {
        "test/dr/accuracy": sk.accuracy_score(*dr),
        "test/dr/kappa": sk.cohen_kappa_score(*dr, weights="quadratic"),
        "test/dr/kappa_linear": sk.cohen_kappa_score(*dr, weights="linear"),
        "test/dr/kappa_unweighted": sk.cohen_kappa_score(*dr),
        "test/dr/mae": sk.mean_absolute_error(*dr),
        "test/dr/precision": sk.precision_score(*dr, average="macro", zero_division=0),
        "test/dr/recall": sk.recall_score(*dr, average="macro"),
        "test/dr/f1": sk.f1_score(*dr, average="macro"),
        "test/dr/auc": sk.roc_auc_score(table["dr"], probabilities, multi_class="ovr"),
        "test/dr/auc_referable": sk.roc_auc_score(table["dr"] >= 2, probabilities[:, 2:].sum(axis=1)),
        "test/dr/unacceptable": np.mean(
            ((table["dr"] <= 1) & (table["dr_grade"] >= 3)) | ((table["dr"] >= 3) & (table["dr_grade"] <= 1))
        ),
        "test/dme/accuracy": sk.accuracy_score(*dme),
        "test/dme/kappa": sk.cohen_kappa_score(*dme),
        "test/dme/kappa_linear": sk.cohen_kappa_score(*dme),
        "test/dme/kappa_unweighted": sk.cohen_kappa_score(*dme),
        "test/dme/mae": sk.mean_absolute_error(*dme),
        "test/dme/precision": sk.precision_score(*dme),
        "test/dme/recall": sk.recall_score(*dme),
        "test/dme/f1": sk.f1_score(*dme),
        "test/dme/auc": sk.roc_auc_score(known["dme"], known["dme_p1"]),
        "test/joint/accuracy": np.mean(
            (known["dr"] == known["dr_grade"]) & (known["dme"] == known["dme_grade"])
        ),
    }
    for disease, (reference, predicted) in (("dr", dr), ("dme", dme)):
        for grade, recall in enumerate(sk.recall_score(reference, predicted, average=None)):
            expected[f"test/{disease}/sensitivity_{grade}"] = recall
    assert {key: metric["value"] for key, metric in found.items()} == pytest.approx(expected)
    assert found["test/dr/kappa"]["n"] == 300
    assert found["test/dr/kappa"]["n_groups"] == 75
    assert found["test/joint/accuracy"]["n"] == 290
    for metric in found.values():
        assert metric["low"] is not None
        assert metric["low"] <= metric["value"] <= metric["high"]  # type: ignore[operator]
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_intervals_are_wider_over_patients_whose_photographs_agree() -> None:
    once = photographs(60, views=1)
    repeated = pd.concat([once.assign(image=once["image"] + str(k)) for k in range(4)], ignore_index=True)
    by_patient = evaluate(repeated, SCALES_OF, resamples=500)["test/dr/accuracy"]
    alone = evaluate(once, SCALES_OF, resamples=500)["test/dr/accuracy"]
    pretended = evaluate(repeated.assign(patient=""), SCALES_OF, resamples=500)["test/dr/accuracy"]

    def width(metric: dict) -> float:  # type: ignore[type-arg]
        return float(metric["high"] - metric["low"])

    assert {k: alone[k] for k in ("value", "low", "high")} == pytest.approx(  # type: ignore[literal-required]
        {k: by_patient[k] for k in ("value", "low", "high")}  # type: ignore[literal-required]
    )
    assert by_patient["n"] == 240
    assert by_patient["n_groups"] == 60
    assert width(pretended) < 0.6 * width(by_patient)  # type: ignore[arg-type]


def test_sets_and_parts_have_their_own_keys() -> None:
    table = pd.concat(
        [
            photographs(40).assign(part="val"),
            photographs(40, 1),
            photographs(30, 2).assign(set="messidor2", dme=-1),
        ]
    )
    found = evaluate(table, SCALES_OF, resamples=50)
    prefixes = {key.split("/")[0] for key in found}
    assert prefixes == {"val", "test", "test@messidor2"}
    assert found["test@messidor2/dr/kappa"]["n"] == 30
    assert "test@messidor2/dme/kappa" not in found
    assert "test@messidor2/joint/accuracy" not in found
    other = evaluate(table, SCALES_OF, resamples=0, primary_set="messidor2")
    assert other["test/dr/kappa"]["value"] == found["test@messidor2/dr/kappa"]["value"]
    assert other["test@clinic/dr/kappa"]["value"] == found["test/dr/kappa"]["value"]


def test_folds_are_pooled_and_seeds_are_averaged() -> None:
    pooled = photographs(80)
    folded = pooled.assign(fold=np.arange(80) // 4 % 5)
    assert evaluate(folded, SCALES_OF, resamples=50) == evaluate(pooled, SCALES_OF, resamples=50)

    first, second = pooled, pooled.assign(dr_grade=np.roll(pooled["dr_grade"], 1), seed=1)
    both = evaluate(pd.concat([first.assign(seed=0), second]), SCALES_OF, resamples=300)["test/dr/accuracy"]
    each = [float((t["dr"] == t["dr_grade"]).mean()) for t in (first, second)]
    assert both["value"] == pytest.approx(np.mean(each))
    assert both["seeds"] == pytest.approx(each)
    assert both["sd_seeds"] == pytest.approx(np.std(each, ddof=1))
    assert both["n"] == 80
    assert both["n_groups"] == 20
    same = evaluate(pd.concat([first.assign(seed=s) for s in range(3)]), SCALES_OF, resamples=300)[
        "test/dr/kappa"
    ]
    single = evaluate(first, SCALES_OF, resamples=300)["test/dr/kappa"]
    assert same["sd_seeds"] == pytest.approx(0)
    assert (same["low"], same["high"]) == pytest.approx((single["low"], single["high"]))


def test_unacceptable_errors_have_their_counts_over_all_seeds() -> None:
    table = photographs(50).assign(dr=[0, 1, 3, 4, 2] * 10)
    first = table.assign(dr_grade=[3, 1, 3, 0, 0] + [0, 1, 3, 4, 2] * 9, seed=0)
    second = table.assign(dr_grade=[0, 4, 0, 1, 4] + [0, 1, 3, 4, 2] * 9, seed=1)
    one = evaluate(first, {"dr": SCALES["icdr5"], "dme": SCALES["binary"]}, resamples=100)
    assert one["test/dr/unacceptable"]["counts"] == {"0-1 as 3-4": 1, "3-4 as 0-1": 1}
    assert one["test/dr/unacceptable"]["of"] == 50
    assert one["test/dr/unacceptable"]["value"] == pytest.approx(2 / 50)
    both = evaluate(pd.concat([first, second]), SCALES_OF, resamples=100)["test/dr/unacceptable"]
    assert both["counts"] == {"0-1 as 3-4": 2, "3-4 as 0-1": 3}
    assert both["of"] == 100
    assert both["value"] == pytest.approx(5 / 100)
    assert "test/dme/unacceptable" not in one


def test_a_regression_ranks_by_its_score() -> None:
    table = photographs(120)[["image", "patient", "dr"]]
    score = table["dr"] + np.random.default_rng(5).normal(size=120)
    table = table.assign(dr_score=score, dr_grade=np.digitize(score, [0.5, 1.5, 2.5, 3.5]))
    found = evaluate(table, {"dr": SCALES["icdr5"]}, resamples=50)
    assert found["test/dr/auc_referable"]["value"] == pytest.approx(sk.roc_auc_score(table["dr"] >= 2, score))
    assert found["test/dr/auc"]["value"] is None
    assert "one-vs-rest" in found["test/dr/auc"]["note"]


def test_what_is_undefined_says_why() -> None:
    table = photographs(40).assign(dr=0, dr_grade=0)
    found = evaluate(table, SCALES_OF, resamples=50)
    assert found["test/dr/kappa"]["value"] is None
    assert "one grade" in found["test/dr/kappa"]["note"]
    assert "both sides" in found["test/dr/auc_referable"]["note"]
    assert found["test/dr/sensitivity_3"]["note"] == "undefined: no photograph of grade 3"
    assert found["test/dr/accuracy"]["low"] == 1


def lesion_rows(images: int = 12) -> pd.DataFrame:
    generator = np.random.default_rng(0)
    rows = []
    for k in range(images):
        for lesion in ("HE", "MA", "other"):
            inside = generator.integers(0, 6, 256) * (np.arange(256) > 80)
            outside = generator.integers(0, 20, 256)
            counts = dict(
                zip(("hits", "misses", "false_components"), generator.integers(1, 9, 3), strict=True)
            )
            tp, fn, fp = inside[128:].sum(), inside[:128].sum(), outside[128:].sum()
            identity = {
                "image": f"{k}.png",
                "set": "marked",
                "part": "test",
                "group": f"marked/{k}",
                "lesion": lesion,
            }
            rows.append(
                identity | counts | {"tp": tp, "fn": fn, "fp": fp, "hist_in": inside, "hist_out": outside}
            )
    return pd.DataFrame(rows)


def test_lesions_pool_pixels_over_photographs() -> None:
    rows = lesion_rows()
    found = evaluate(photographs(20).assign(set="marked"), SCALES_OF, lesions=rows, resamples=100)
    pixel = []
    for lesion in ("MA", "HE", "other"):
        part = rows[rows["lesion"] == lesion]
        inside, outside = part["hist_in"].sum(), part["hist_out"].sum()
        truth = np.repeat([1, 0], [inside.sum(), outside.sum()])
        score = np.concatenate([np.repeat(np.arange(256), inside), np.repeat(np.arange(256), outside)])
        pixel.append(sk.f1_score(truth, score >= 128))
        assert found[f"test/lesion/{lesion}/f1"]["value"] == pytest.approx(pixel[-1])
        assert found[f"test/lesion/{lesion}/ap"]["value"] == pytest.approx(
            sk.average_precision_score(truth, score)
        )
        recall = part["hits"].sum() / (part["hits"].sum() + part["misses"].sum())
        assert found[f"test/lesion/{lesion}/component_recall"]["value"] == pytest.approx(recall)
        false = found[f"test/lesion/{lesion}/false_components"]["value"]
        assert false == pytest.approx(part["false_components"].mean())
        assert found[f"test/lesion/{lesion}/f1"]["n"] == 12
    assert found["test/lesion/mean/f1"]["value"] == pytest.approx(np.mean(pixel))
    assert [key.split("/")[2] for key in found if key.endswith("/ap")] == ["MA", "HE", "other", "mean"]


def test_presence_of_lesions_in_photographs() -> None:
    generator = np.random.default_rng(1)
    table = photographs(60)
    for lesion in ("MA", "EX"):
        table[f"lesion_{lesion}"] = generator.integers(-1, 2, 60)
        table[f"lesion_{lesion}_p"] = generator.random(60).round(1)
    table["lesion_EX_annotated"] = np.arange(60) > 20
    table.loc[0, "lesion_MA_p"] = np.nan
    found = evaluate(table, SCALES_OF, resamples=50)
    each = []
    for lesion in ("MA", "EX"):
        known = table[table[f"lesion_{lesion}"] >= 0]
        known = known[known["lesion_EX_annotated"] if lesion == "EX" else known["lesion_MA_p"].notna()]
        reference, score = known[f"lesion_{lesion}"], known[f"lesion_{lesion}_p"]
        each.append(sk.f1_score(reference, score >= 0.5))
        assert found[f"test/lesion/{lesion}/image_f1"]["value"] == pytest.approx(each[-1])
        assert found[f"test/lesion/{lesion}/image_auc"]["value"] == pytest.approx(
            sk.roc_auc_score(reference, score)
        )
        assert found[f"test/lesion/{lesion}/image_f1"]["n"] == len(known)
    assert found["test/lesion/mean/image_f1"]["value"] == pytest.approx(np.mean(each))


def test_a_lesion_that_no_photograph_shows_has_an_image_f1_only_where_it_is_found() -> None:
    """As of pixels, nothing to find and nothing found is no error and no success; it takes no part in the mean."""
    table = photographs(20).assign(lesion_MA=np.arange(20) % 2, lesion_MA_p=[0.1, 0.9] * 9 + [0.9, 0.1])
    quiet = evaluate(table.assign(lesion_NV=0, lesion_NV_p=0.2), SCALES_OF, resamples=20)
    false = evaluate(table.assign(lesion_NV=0, lesion_NV_p=0.7), SCALES_OF, resamples=20)
    assert quiet["test/lesion/MA/image_f1"]["value"] == pytest.approx(18 / 20)
    assert quiet["test/lesion/NV/image_f1"]["value"] is None
    assert "undefined" in quiet["test/lesion/NV/image_f1"]["note"]
    assert quiet["test/lesion/mean/image_f1"]["value"] == pytest.approx(18 / 20)
    assert false["test/lesion/NV/image_f1"]["value"] == 0
    assert false["test/lesion/mean/image_f1"]["value"] == pytest.approx(9 / 20)


def test_patches() -> None:
    generator = np.random.default_rng(2)
    windows = pd.DataFrame({"image": [f"{k // 5}" for k in range(50)], "set": "clinic", "part": "val"})
    windows["group"] = "clinic/" + windows["image"]
    probabilities = generator.dirichlet(np.ones(4), 50)
    windows = windows.assign(
        x=0, y=0, size=68, label=generator.integers(0, 4, 50), grade=probabilities.argmax(axis=1),
        **{f"p{k}": probabilities[:, k] for k in range(4)},
    )  # fmt: skip
    found = evaluate(photographs(8), SCALES_OF, windows=windows, resamples=50)
    assert found["val/windows/accuracy"]["value"] == sk.accuracy_score(windows["label"], windows["grade"])
    assert found["val/windows/f1"]["value"] == pytest.approx(
        sk.f1_score(windows["label"], windows["grade"], average="macro")
    )
    assert found["val/windows/accuracy"]["n"] == 50
    assert found["val/windows/accuracy"]["n_groups"] == 10
    with pytest.raises(RetinalabError, match="probabilities of 4 classes"):
        evaluate(photographs(8), SCALES_OF, windows=windows.assign(label=4))


def test_the_majority_answers_the_most_frequent_training_grades() -> None:
    table = photographs(100).assign(dr=[0] * 40 + [2] * 60, dme=[0] * 40 + [1] * 35 + [0] * 25)
    train = pd.DataFrame({"dr": [0, 0, 0, 2, 2, 2, 2, -1], "dme": [0, 0, 0, 1, 1, 0, 0, 1]})
    found = majority(train, table, SCALES_OF, resamples=50)
    assert found["test/dr/accuracy_majority"]["value"] == pytest.approx(0.6)
    assert found["test/dme/accuracy_majority"]["value"] == pytest.approx(0.65)
    assert found["test/joint/accuracy_majority"]["value"] == pytest.approx(0.4)
    assert found["test/joint/accuracy_majority"]["n_groups"] == 25


def test_no_constant_answer_on_patches_scores_above_the_majority() -> None:
    windows = pd.DataFrame({"image": [f"{k // 5}" for k in range(50)], "set": "clinic", "part": "test"})
    windows["group"] = "clinic/" + windows["image"]
    windows = windows.assign(
        label=[-1] * 10 + [3] * 18 + [0] * 12 + [1] * 10,
        grade=2,
        fold=-1,
        seed=0,
        p0=1.0,
        p1=0.0,
        p2=0.0,
        p3=0.0,
    )
    train = pd.DataFrame({"dr": [0, 0, 1]})
    found = majority(train, photographs(8), {}, resamples=50, primary_set="clinic", windows=windows)
    constant = [(windows["label"] == k).sum() / 40 for k in range(4)]
    assert found["test/windows/accuracy_majority"]["value"] == pytest.approx(max(constant))
    assert found["test/windows/accuracy_majority"]["n"] == 40


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dr": 5}, "dr of '0.jpg' is 5, outside icdr5"),
        ({"dr_grade": -1}, "dr_grade of '0.jpg' is -1"),
        ({"dr_p2": np.nan}, "prediction for '0.jpg' is not finite"),
        ({"cataract": 0, "cataract_grade": 0, "cataract_p0": 1.0}, "Unknown disease 'cataract'"),
        ({"dr_p5": 0.0}, "6 probability columns for scale icdr5 of 5 grades"),
    ],
)
def test_what_cannot_be_evaluated_is_named(change: dict[str, float], message: str) -> None:
    with pytest.raises(RetinalabError, match=message):
        evaluate(photographs(10).assign(**change), SCALES_OF, resamples=0)


def test_predictions_of_nothing_give_nothing() -> None:
    assert evaluate(photographs(4).head(0), SCALES_OF) == {}
