"""What a finished run's networks answer: their own evaluation where nothing changes; and a toy that nothing changes."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from retinalab.data.batch import Batch
from retinalab.errors import RetinalabError
from retinalab.metrics import read_table
from retinalab.predict.explained import explained_runs
from retinalab.robustness import answers
from retinalab.robustness.agreement import evaluate_robustness
from retinalab.robustness.answers import Settings, Trial
from retinalab.robustness.conditions import NAMES, Condition, conditions
from retinalab.robustness.donors import donors_of

CPU = torch.device("cpu")
SOME = conditions(["flip", "colours", "jpeg", "lash"], (1, 5))


def trial(home: Path, settings: Settings) -> Trial:
    runs, _ = explained_runs([(home, None)], None)
    return Trial(runs[0], None, settings, CPU)


@pytest.fixture(scope="module")
def table(home: Path) -> pd.DataFrame:
    one = trial(home, Settings(SOME))
    done: list[int] = []
    rows = one.rows(done.append)
    assert sum(done) == len(one)
    return rows


def test_unchanged_photographs_have_the_runs_own_answers(home: Path, table: pd.DataFrame) -> None:
    tested = read_table(home / "predictions.parquet", "predictions")
    tested = tested[tested["part"] == "test"].set_index(["image", "seed"])
    own = table[table["condition"] == "original"].set_index(["image", "seed"])
    assert sorted(own.index) == sorted(tested.index)
    tested = tested.loc[own.index]
    assert own["group"].tolist() == tested["group"].tolist()
    for disease, grades in (("dr", 5), ("dme", 3)):
        columns = [f"{disease}_p{k}" for k in range(grades)]
        np.testing.assert_allclose(
            own[columns], tested[columns], atol=2e-2
        )  # batches of another size, in bfloat16
        assert (own[disease] == tested[disease]).all()
        referable = tested[columns].to_numpy()[:, 2:].sum(1)
        np.testing.assert_allclose(own[f"{disease}_referable"], referable, atol=2e-2)


def test_a_row_for_each_photograph_condition_and_seed(table: pd.DataFrame) -> None:
    counts = table.groupby(["condition", "severity", "draw", "seed"], sort=False).size()
    assert set(counts) == {table["image"].nunique()}
    assert [key[:3] for key in counts.index][: len(SOME)] == [
        (one.name, one.severity, one.draw) for one in SOME
    ]
    assert np.isfinite(table.filter(regex="_(p\\d|referable)$").to_numpy()).all()


def test_the_same_again_and_another_seed(home: Path, table: pd.DataFrame) -> None:
    few = tuple(one for one in SOME if one.name in ("original", "lash", "jpeg"))
    again = trial(home, Settings(few, limit=4)).rows()
    images = again["image"].unique()
    assert len(images) == 4
    assert again["patient"].nunique() <= 2  # patients stay whole
    keys = ["image", "condition", "severity", "draw", "seed"]
    both = again.merge(table, on=keys, suffixes=("", "_before"))
    assert len(both) == len(again)
    np.testing.assert_allclose(both["dr_p0"], both["dr_p0_before"], atol=2e-2)
    other = trial(home, Settings(few, seed=1, limit=4))
    lash = [Condition("lash", 5)]
    assert (other.shown(0).under(lash, 1) != other.shown(0).under(lash, 0)).any()


def test_two_seeds_see_the_same_photographs(two_seeds: Path, table: pd.DataFrame) -> None:
    one = trial(two_seeds, Settings(SOME))
    rows = one.rows()
    assert len(one) == table["image"].nunique()  # photographs are changed once for both
    first, second = (rows[rows["seed"] == seed].reset_index(drop=True) for seed in (0, 1))
    keys = ["image", "condition", "severity", "draw", "dr", "dme"]
    pd.testing.assert_frame_equal(first[keys], second[keys])
    np.testing.assert_allclose(first["dr_p0"], table["dr_p0"], atol=1e-5)
    assert (first["dr_p0"] - second["dr_p0"]).abs().max() > 1e-3
    np.testing.assert_array_equal(first["dme_p0"], second["dme_p0"])
    found = evaluate_robustness(rows, one.scales, resamples=0)["dr/jpeg/5/accuracy"]
    accuracies = [(each["dr"] == each["dr_grade"])[(each["condition"] == "jpeg") & (each["severity"] == 5)].mean()
                  for each in (first, second)]  # fmt: skip
    assert found["seeds"] == pytest.approx(accuracies)


class Toy:
    """Grades by the mean green of a photograph, which no mirror changes."""

    diseases = ("dr",)
    regressed: frozenset[str] = frozenset()

    def __init__(self, run: Any, member: Any, batches: Any) -> None:
        self.member = member

    def answers(self, batch: Batch) -> dict[str, np.ndarray]:
        green = batch["image"].float().mean((1, 2, 3)).numpy()
        grade = np.floor(green * 1000).astype(int) % 5
        return {"dr": np.eye(5, dtype=np.float32)[grade] * 0.6 + 0.08}


def test_a_toy_that_cannot_tell_left_from_right(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "Network", Toy)
    one = trial(home, Settings(conditions(["flip", "light"], (5,))))
    rows = one.rows()
    assert rows["dr_grade"].nunique() > 1
    found = evaluate_robustness(rows, one.scales, resamples=0)
    assert found["dr/flip/0/unchanged"]["value"] == 1
    assert found["dr/flip/0/self_kappa"]["value"] == 1
    assert found["dr/flip/0/score_change"]["value"] == 0
    changed = rows[rows["condition"] == "light"]["dr_grade"].to_numpy()
    before = rows[rows["condition"] == "original"]["dr_grade"].to_numpy()
    assert found["dr/light/5/unchanged"]["value"] == pytest.approx((changed == before).mean())


def test_a_network_that_grades_nothing(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blind = type("Blind", (Toy,), {"diseases": ()})
    monkeypatch.setattr(answers, "Network", blind)
    with pytest.raises(RetinalabError, match=r"grades no photographs \(stage 'train'\)"):
        trial(home, Settings(conditions(NAMES, (1,))))


def test_an_answer_that_is_no_number(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: Toy, batch: Batch) -> dict[str, np.ndarray]:
        return {"dr": np.full((len(batch["image"]), 5), np.nan, np.float32)}

    monkeypatch.setattr(answers, "Network", type("Broken", (Toy,), {"answers": broken}))
    with pytest.raises(RetinalabError, match=r"dr: the answer for '.*' is no finite number"):
        trial(home, Settings(conditions(["flip"], (1,)), limit=2)).rows()


def test_colours_need_another_patient() -> None:
    part = SimpleNamespace(records=SimpleNamespace(groups=np.array(["toy/1", "toy/1"])))
    part = type("One", (), {"__len__": lambda self: 2, "records": part.records})()
    with pytest.raises(RetinalabError, match=r"All photographs \(2\) are of one patient"):
        donors_of(part, 3, 0)
