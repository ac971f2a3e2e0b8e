"""Comparison of two runs: a hand-worked case, SciPy on brute-force resamples, seeds apart from patients, refusals."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from scipy import stats

from retinalab.cli import main
from retinalab.errors import RetinalabError
from retinalab.metrics.comparable import check_fingerprints, common_scales
from retinalab.metrics.compare import compare, difference_lines
from retinalab.metrics.evaluate import evaluate
from retinalab.metrics.statistics import Clusters, resample
from retinalab.metrics.tables import write_table
from retinalab.protocol import SCALES, Protocol

SCALES_OF = {"dr": SCALES["icdr5"], "dme": SCALES["binary"]}
Rows = dict[str, np.ndarray]
Statistic = Callable[[Rows], float]


def predictions(method: int, seeds: int = 1, patients: int = 40, noise: float = 1.0) -> pd.DataFrame:
    """Two photographs a patient; the references are the same for every method and seed."""
    world = np.random.default_rng(7)
    severity = np.repeat(world.choice(5, patients, p=[0.3, 0.2, 0.2, 0.2, 0.1]), 2)
    dr = np.clip(severity + world.integers(-1, 2, severity.size), 0, 4)
    dme = (dr + world.normal(size=dr.size) > 2).astype(int)
    tables = []
    for seed in range(seeds):
        drawn = np.random.default_rng((method, seed))
        latent = dr + drawn.normal(scale=noise, size=dr.size)
        p = np.exp(-((latent[:, None] - np.arange(5)) ** 2))
        p /= p.sum(axis=1, keepdims=True)
        q = 1 / (1 + np.exp(2 - latent))
        table = pd.DataFrame(
            {
                "image": [f"{k}.jpg" for k in range(dr.size)],
                "set": "clinic",
                "patient": [str(k // 2) for k in range(dr.size)],
                "seed": seed,
                "dr": dr,
                "dr_grade": p.argmax(axis=1),
                "dme": dme,
                "dme_grade": (q > 0.5).astype(int),
                "dme_p0": 1 - q,
                "dme_p1": q,
            }
        )
        tables.append(table.assign(**{f"dr_p{k}": p[:, k] for k in range(5)}))
    return pd.concat(tables, ignore_index=True)


def hand(*answers: list[int], reference: tuple[int, ...] = (0, 0, 1, 1)) -> pd.DataFrame:
    """One table, a seed per list of answers, of grades yes or no."""
    tables = [
        pd.DataFrame(
            {
                "image": [f"{k}.jpg" for k in range(len(reference))],
                "seed": seed,
                "dme": reference,
                "dme_grade": given,
                "dme_p0": [1.0 - g for g in given],
                "dme_p1": [float(g) for g in given],
            }
        )
        for seed, given in enumerate(answers)
    ]
    return pd.concat(tables, ignore_index=True)


def columns(table: pd.DataFrame) -> Rows:
    return {str(name): table[name].to_numpy() for name in table}


def test_hand_worked_difference() -> None:
    found = compare(hand([0, 0, 1, 0]), hand([0, 1, 1, 0]), SCALES_OF, resamples=50)
    accuracy, kappa, auc = (found[f"test/dme/{name}"] for name in ("accuracy", "kappa", "auc"))
    assert (accuracy["a"], accuracy["b"], accuracy["difference"]) == (0.75, 0.5, 0.25)
    assert (kappa["a"], kappa["b"], kappa["difference"]) == pytest.approx((0.5, 0.0, 0.5))
    assert (auc["a"], auc["b"], auc["difference"]) == pytest.approx((0.75, 0.5, 0.25))
    assert (accuracy["n"], accuracy["n_groups"]) == (4, 4)
    assert "seeds" not in accuracy


def test_seeds_are_averaged_and_their_spread_kept_apart() -> None:
    a = hand([0, 0, 1, 0], [0, 0, 1, 1], [0, 1, 1, 0])
    b = hand([0, 1, 1, 0], [1, 1, 1, 1], [0, 0, 1, 0])
    one = compare(a, b, SCALES_OF, resamples=50)["test/dme/accuracy"]
    assert one["a"] == pytest.approx(0.75)
    assert one["b"] == pytest.approx(1.75 / 3)
    assert one["difference"] == pytest.approx(0.5 / 3)
    assert [each["difference"] for each in one["seeds"]] == pytest.approx([0.25, 0.5, -0.25])
    assert one["sd_seeds_a"] == pytest.approx(0.25)
    assert one["sd_seeds_b"] == pytest.approx(np.sqrt(1 / 48))
    assert one["sd_seeds_difference"] == pytest.approx(np.sqrt(7 / 48))


def test_seeds_pair_by_value_not_by_place() -> None:
    a = hand([0, 0, 1, 1], [0, 0, 1, 0], [0, 1, 1, 0])
    b = a[a["seed"] > 0].assign(seed=lambda table: table["seed"])
    one = compare(a, b, SCALES_OF, resamples=20)["test/dme/accuracy"]
    assert [each["seed"] for each in one["seeds"]] == [0, 1, 2]
    assert [each["difference"] for each in one["seeds"]] == [None, 0, 0]
    assert one["sd_seeds_difference"] == 0
    alone = compare(a, b[b["seed"] == 2], SCALES_OF, resamples=20)["test/dme/accuracy"]
    assert alone["sd_seeds_b"] is None
    assert alone["sd_seeds_difference"] is None
    assert alone["sd_seeds_a"] == pytest.approx(0.25)


def _accuracy(rows: Rows) -> float:
    return float(np.average(rows["dr"] == rows["dr_grade"], weights=rows["weight"]))


def _joint(rows: Rows) -> float:
    right = (rows["dr"] == rows["dr_grade"]) & (rows["dme"] == rows["dme_grade"])
    return float(np.average(right, weights=rows["weight"]))


def _kappa(rows: Rows) -> float:
    """One less mean squared distance over that of every reference with every prediction."""
    reference, predicted, weight = rows["dr"], rows["dr_grade"], rows["weight"]
    chance = np.average(
        np.subtract.outer(reference, predicted) ** 2, weights=np.multiply.outer(weight, weight)
    )
    return float(1 - np.average((reference - predicted) ** 2, weights=weight) / chance)


def _referable(rows: Rows) -> float:
    """Share of pairs of an ill and a well photograph that the score puts in order."""
    score, ill, weight = rows["dr_p2"] + rows["dr_p3"] + rows["dr_p4"], rows["dr"] >= 2, rows["weight"]
    order = np.sign(np.subtract.outer(score[ill], score[~ill])) / 2 + 0.5
    return float(np.average(order, weights=np.multiply.outer(weight[ill], weight[~ill])))


@pytest.mark.parametrize(
    ("key", "statistic"),
    [
        ("test/dr/accuracy", _accuracy),
        ("test/joint/accuracy", _joint),
        ("test/dr/kappa", _kappa),
        ("test/dr/auc_referable", _referable),
    ],
)
def test_interval_agrees_with_scipy_over_photographs_weighted_as_drawn(
    key: str, statistic: Statistic
) -> None:
    a, b = predictions(1, seeds=2), predictions(2, seeds=2, noise=1.6)
    shuffled = b.sample(frac=1, random_state=3)
    one = compare(a, shuffled, SCALES_OF, resamples=200, seed=5)[key]

    groups = "clinic/" + a["patient"]
    clusters = Clusters.of(groups, a["dr"])
    sides = [[columns(side[side["seed"] == seed]) for seed in (0, 1)] for side in (a, b)]
    first = groups[a["seed"] == 0].to_numpy()

    def difference_of(weights: np.ndarray) -> float:
        by_name = dict(zip(clusters.names, weights, strict=True))
        weight = np.array([by_name[name] for name in first])
        means = [np.mean([statistic({**side, "weight": weight}) for side in seeds]) for seeds in sides]
        return float(means[0] - means[1])

    def difference(*left: Any) -> float:
        weights = np.zeros(clusters.size)
        np.add.at(weights, np.concatenate([np.asarray(part, dtype=int) for part in left]), 1)
        return difference_of(weights)

    counts = np.concatenate(list(resample(clusters, 200, 5)))
    everyone = np.arange(clusters.size)
    distribution = np.array([difference_of(row) for row in counts])
    oracle = stats.bootstrap(
        clusters.strata, difference, n_resamples=0, method="BCa", vectorized=False,
        bootstrap_result=SimpleNamespace(bootstrap_distribution=distribution),
    ).confidence_interval  # fmt: skip
    assert one["difference"] == pytest.approx(difference(everyone))
    assert (one["low"], one["high"]) == pytest.approx((oracle.low, oracle.high), abs=1e-9)


def test_sides_are_what_evaluation_gives() -> None:
    a, b = predictions(1, seeds=3), predictions(2, seeds=3)
    found = compare(a, b, SCALES_OF, resamples=20)
    for side, table in (("a", a), ("b", b)):
        alone = evaluate(table, SCALES_OF, resamples=0)
        assert {key: one[side] for key, one in found.items()} == {k: m["value"] for k, m in alone.items()}
        spread = {key: one[f"sd_seeds_{side}"] for key, one in found.items()}
        assert spread == pytest.approx({key: metric["sd_seeds"] for key, metric in alone.items()})


def test_a_run_differs_from_itself_by_nothing() -> None:
    table = predictions(1)
    for one in compare(table, table, SCALES_OF, resamples=50).values():
        assert (one["difference"], one["low"], one["high"]) == (0, 0, 0)


def test_exchanged_sides_exchange_the_sign() -> None:
    a, b = predictions(1), predictions(2)
    forth, back = (compare(*pair, SCALES_OF, resamples=200)["test/dr/kappa"] for pair in ((a, b), (b, a)))
    assert back["difference"] == pytest.approx(-forth["difference"])
    assert (back["low"], back["high"]) == pytest.approx((-forth["high"], -forth["low"]), abs=1e-9)


def test_pairing_is_tighter_than_two_intervals_apart() -> None:
    a = predictions(1, patients=150)
    b = a.copy()
    wrong = b.index[:6]
    b.loc[wrong, "dr_grade"] = (b.loc[wrong, "dr_grade"] - 1).abs()
    one = compare(a, b, SCALES_OF, resamples=500)["test/dr/kappa"]
    alone = evaluate(a, SCALES_OF, resamples=500)["test/dr/kappa"]
    assert one["high"] - one["low"] < (alone["high"] - alone["low"]) / 2


def test_several_sets_and_folds() -> None:
    a, b = (
        pd.concat(
            [predictions(k).assign(fold=lambda t: t.index % 3), predictions(k).assign(set="other", fold=-1)]
        )
        for k in (1, 2)
    )
    found = compare(a, b, SCALES_OF, resamples=20)
    assert {"test/dr/kappa", "test@other/dr/kappa", "test@other/joint/accuracy"} <= set(found)


def test_a_disease_of_one_side_only_is_left_out_and_joint_with_it() -> None:
    a = predictions(1)
    b = predictions(2).drop(columns=["dme", "dme_grade", "dme_p0", "dme_p1"])
    keys = compare(a, b, SCALES_OF, resamples=5)
    assert {key.split("/")[1] for key in keys} == {"dr"}


def test_undefined_figures_say_on_which_side() -> None:
    a = predictions(1)
    b = predictions(2).drop(columns=[f"dr_p{k}" for k in range(5)]).assign(dr_score=lambda t: t["dr"] * 1.0)
    one = compare(a, b, SCALES_OF, resamples=20)["test/dr/auc"]
    assert one["a"] is not None
    assert (one["b"], one["difference"], one["low"]) == (None, None, None)
    assert one["note"].startswith("b: undefined")


def _set(column: str, value: Any, row: int = 3) -> Callable[[pd.DataFrame], pd.DataFrame]:
    def change(table: pd.DataFrame) -> pd.DataFrame:
        out = table.copy()
        out.loc[row, column] = value
        return out

    return change


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t: t.iloc[1:], r"Different photographs: the second run \(seed 0\) lacks 1 .* clinic/0.jpg"),
        (_set("image", "x.jpg"), r"Different photographs: the second run \(seed 0\) lacks 1 .* clinic/3.jpg"),
        (lambda t: t[(t["seed"] == 0) | (t.index % 5 > 0)], r"Different photographs: the second run \(seed 1\)"),
        (lambda t: t.assign(set="other"), "Different data sets: .* test clinic; .* test other"),
        (lambda t: t.assign(part="val"), "Different data sets: .* test clinic; .* val clinic"),
        (lambda t: t.assign(fold=t.index % 2), "Different folds: test photograph clinic/"),
        (_set("dr", 4, row=0), r"Different references of dr: test photograph clinic/0.jpg has \d in .* and 4"),
        (_set("dme", -1), "Different references of dme: .* and -1 in the second run"),
        (_set("patient", "x"), "Different patients: .* clinic/1 in .* clinic/x in"),
        (lambda t: pd.concat([t, t[:1]]), "clinic/0.jpg stands twice in the second run"),
        (lambda t: t.drop(columns="dr_p4"), "Different grade scales: dr has 5 grades .* and 4"),
        (
            lambda t: t.drop(columns=["dr_grade", "dme_grade"]),
            "No disease is graded by both: dr, dme and none",
        ),
    ],
)  # fmt: skip
def test_refuses_what_cannot_be_compared(change: Callable[[pd.DataFrame], pd.DataFrame], words: str) -> None:
    with pytest.raises(RetinalabError, match=words) as caught:
        compare(predictions(1, seeds=2), change(predictions(2, seeds=2)), SCALES_OF, resamples=0)
    assert "\n" not in str(caught.value)


def test_refuses_other_protocols_and_files() -> None:
    ours = Protocol(diseases={"dr": "icdr5", "dme": "risk3"})
    assert list(common_scales(ours, Protocol(diseases={"dme": "risk3"}))) == ["dme"]
    for other, words in (
        ({"diseases": {"dr": "referable"}}, "diseases.dr is icdr5 in the first run and referable"),
        ({"split": "folds"}, "split is held-out in the first run and folds in the second"),
        ({"select_on": "test", "split": "as-published"}, "(?s)split is .*\n.*select_on is val"),
    ):
        with pytest.raises(RetinalabError, match=words):
            common_scales(ours, Protocol.model_validate({"diseases": ours.diseases} | other))
    check_fingerprints({"clinic": ["1"], "other": ["2"]}, {"clinic": ["1", "3"], "third": ["4"]})
    with pytest.raises(RetinalabError, match=r"labels of set clinic: fingerprint 1 .* 3"):
        check_fingerprints({"clinic": ["1"]}, {"clinic": ["3"]})


def test_lines_keep_within_eighty_columns() -> None:
    a, b = (
        pd.concat([predictions(k, seeds=2), predictions(k, seeds=2).assign(set="a_data_set_of_long_name")])
        for k in (1, 2)
    )
    lines = difference_lines(compare(a, b, SCALES_OF, resamples=20))
    assert max(map(len, lines)) <= 80
    row = next(line for line in lines if line.startswith("test/dr/accuracy ")).split()
    kept = (a["set"] == "clinic").to_numpy()
    expected = [_accuracy(columns(side[kept].assign(weight=1.0))) for side in (a, b)]
    assert row[1:4] == [f"{expected[0]:.3f}", f"{expected[1]:.3f}", f"{expected[0] - expected[1]:+.3f}"]
    assert row[-1] == "80"


def write_run(folder: Path, table: pd.DataFrame, fingerprint: str = "f", **protocol: Any) -> Path:
    folder.mkdir(parents=True)
    named = {"diseases": {"dr": "icdr5", "dme": "binary"}} | protocol
    (folder / "experiment.yaml").write_text(yaml.safe_dump({"protocol": named}))
    data = {"train": {"clinic": {"fingerprint": fingerprint}}}
    labels = ["synthetic: drawn photographs, not a result on patients"]
    (folder / "provenance.json").write_text(json.dumps({"data": data, "labels": labels}))
    (folder / "metrics.json").write_text("{}")
    write_table(table, folder / "predictions.parquet", "predictions")
    return folder


def test_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a, b = (predictions(k, seeds=3, patients=20) for k in (1, 2))
    validation = a.assign(part="val", image="v" + a["image"])
    first = write_run(tmp_path / "one" / "abc-1", pd.concat([a, validation]))
    latest = tmp_path / "one" / "latest"
    latest.symlink_to("abc-1")
    second = write_run(tmp_path / "two", b)
    out = tmp_path / "difference.json"
    assert main(["compare", str(latest), str(second), "--json", str(out)]) == 0
    printed = capsys.readouterr().out
    assert "one/abc-1" in printed
    assert "synthetic: drawn photographs" in printed
    written = json.loads(out.read_text())
    expected = compare(a, b, SCALES_OF)
    assert written["differences"] == json.loads(json.dumps(expected))
    one = expected["test/dr/kappa"]
    assert f"{one['difference']:+.3f}  [{one['low']:+.3f}, {one['high']:+.3f}]" in printed
    alone = write_run(tmp_path / "alone", b.drop(columns=["dme", "dme_grade", "dme_p0", "dme_p1"]))
    assert main(["compare", str(first), str(alone)]) == 0
    assert "dme is left out: only one of the two grades it" in capsys.readouterr().out


def test_command_line_refuses_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = predictions(1)
    good = write_run(tmp_path / "good", table)
    unfinished = write_run(tmp_path / "unfinished", table)
    (unfinished / "metrics.json").unlink()
    cases = {
        tmp_path / "absent": "No run folder",
        unfinished: "No metrics.json",
        write_run(tmp_path / "val", table.assign(part="val")): "has no test photographs with grades",
        write_run(tmp_path / "folds", table, split="folds"): "Different protocols: split",
        write_run(
            tmp_path / "files", table, fingerprint="g"
        ): "Different photographs or labels of set clinic",
        write_run(tmp_path / "fewer", table.iloc[4:]): "Different photographs",
    }
    for folder, words in cases.items():
        assert main(["compare", str(good), str(folder)]) == 2
        printed = capsys.readouterr()
        assert printed.out == ""
        assert words in printed.err
        assert printed.err.count("\n") == 1
    again = write_run(tmp_path / "again", table)
    assert main(["compare", str(good), str(again), "--json", str(tmp_path / "no" / "x.json")]) == 2
    assert "Cannot write" in capsys.readouterr().err
