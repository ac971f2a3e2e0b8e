"""The names of what one process can do of an experiment, and what each stands for."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from retinalab.config import Experiment
from retinalab.errors import RetinalabError
from retinalab.experiment import load_experiment
from retinalab.runner.jobs import chosen, jobs_of, listed, sets_tested, steps_of

SETS = "test.sets=[dr600, e_ophtha]"


def experiment(*overrides: str) -> Experiment:
    return load_experiment("baseline", "synthetic", ["protocol.split=folds", "folds=2", *overrides])


def names(only: Sequence[str], *overrides: str) -> list[str]:
    return [job.name for job in chosen(jobs_of(experiment(*overrides)), only)]


def test_a_fold_or_seed_has_one_job_where_one_set_is_tested() -> None:
    both = ("seeds=2", "seed=5")
    every = ["fold-0_seed-5", "fold-0_seed-6", "fold-1_seed-5", "fold-1_seed-6"]
    assert names([], *both) == every
    assert names(["fold-1"], *both) == every[2:]
    assert names(["seed-6"], *both) == every[1::2]
    assert names(["fold=1_seed-5", "seed-6"], *both) == every[1:]
    assert names(["fold-10"], "folds=12") == ["fold-10"]
    assert names(["seed-0"], "folds=3", "fold=1", "seeds=2") == ["seed-0"]
    assert sets_tested(experiment()) == {}


def test_a_training_and_each_test_are_jobs_where_several_sets_are_tested() -> None:
    fold = ["train", "test@synthetic", "test@dr600", "test@e_ophtha"]
    assert names([], SETS) == [f"fold-{k}_{one}" for k in (0, 1) for one in fold]
    assert names([], "folds=1", "protocol.split=held-out", SETS) == fold
    assert names(["fold-1"], SETS) == [f"fold-1_{one}" for one in fold]
    assert names(["train"], SETS) == ["fold-0_train", "fold-1_train"]
    assert names(["test@e_ophtha"], SETS) == ["fold-0_test@e_ophtha", "fold-1_test@e_ophtha"]
    assert names(["test@e-ophtha"], SETS) == names(["test@e_ophtha"], SETS)
    assert names(["fold-1_test@e_ophtha", "fold-0_train"], SETS) == ["fold-0_train", "fold-1_test@e_ophtha"]
    assert names(["seed-1_test@dr600"], SETS, "seeds=2") == [
        "fold-0_seed-1_test@dr600",
        "fold-1_seed-1_test@dr600",
    ]


def test_sets_of_a_mixture_are_tested_one_by_one_too() -> None:
    mixed = experiment("data.mix.sets=[dr600]")
    assert sets_tested(mixed) == {"train": ("synthetic", "dr600")}


def test_steps_of_a_stage_are_its_training_and_its_tests() -> None:
    given = experiment(SETS)
    child = jobs_of(given)[-1].child
    tests = [f"fold-1/train@{one}" for one in ("synthetic", "dr600", "e_ophtha")]
    assert steps_of(given, child, "train") == ("fold-1/train", *tests)
    assert [job.steps for job in jobs_of(given)][4:] == [
        ("fold-1/train",),
        *((step,) for step in tests),
    ]
    assert steps_of(experiment(), child, "train") == ("fold-1/train",)


def test_jobs_are_listed_by_the_name_of_their_fold_where_that_is_all_of_it() -> None:
    every = jobs_of(experiment(SETS))
    assert listed(every, every) == ("fold-0", "fold-1")
    assert listed(every[3:], every) == ("fold-0_test@e_ophtha", "fold-1")
    one = jobs_of(experiment(SETS, "folds=1", "protocol.split=held-out"))
    assert listed(one, one) == ("train", "test@synthetic", "test@dr600", "test@e_ophtha")


@pytest.mark.parametrize(
    ("only", "overrides", "message"),
    [
        ("fold-2", (), "Unknown fold or seed 'fold-2'. Did you mean 'fold-1'? Choices: fold-0, fold-1."),
        ("fold-1_seed-1", (), "Unknown fold or seed 'fold-1_seed-1'. Did you mean 'fold-1'?"),
        (
            "fold-1",
            ("folds=3", "fold=1"),
            "Only 'fold-1' was asked for, and the experiment has one fold and one seed, tested on one data set.",
        ),
        (
            "test@e_optha",
            (SETS,),
            "Unknown fold, seed or test set 'test@e_optha'. Did you mean 'test@e_ophtha'? Choices: fold-0, fold-1, "
            "test@dr600, test@e_ophtha, test@synthetic, train.",
        ),
        ("dr600", (SETS,), "Unknown fold, seed or test set 'dr600'. Did you mean 'test@dr600'?"),
        ("fold-1_test@dr60", (SETS,), "Unknown fold, seed or test set 'fold-1_test@dr60'. Did you mean"),
        ("fold-7_test@dr600", (SETS,), "Unknown fold, seed or test set 'fold-7_test@dr600'."),
        ("test@", (SETS,), "Unknown fold, seed or test set 'test@'."),
    ],
)
def test_a_name_of_none_is_one_line(only: str, overrides: tuple[str, ...], message: str) -> None:
    with pytest.raises(RetinalabError) as caught:
        names([only], *overrides)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)
