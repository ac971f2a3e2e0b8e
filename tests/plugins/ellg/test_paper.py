"""The descriptor, as the command line shows it, and the recipes of its experiments."""

from __future__ import annotations

import subprocess
import sys

import pytest
import yaml
from retinalab_ellg.generation_config import GenerationConfig
from retinalab_ellg.paper import paper
from retinalab_ellg.task import EllgTask

from retinalab.config import Stage
from retinalab.experiment import load_experiment
from retinalab.registry import task_class, task_config
from retinalab.smoke import smoke


def test_the_descriptor_names_what_is_there() -> None:
    assert {path.stem for path in paper.experiments.glob("*.yaml")} >= {
        "synthetic", "eyepacs", "aptos", "deepdrid",
    }  # fmt: skip
    for name in paper.tasks:
        assert task_class(name).config_class is task_config(name)


def test_the_descriptor_imports_no_torch() -> None:
    code = "import sys, retinalab_ellg.paper, retinalab_ellg.config; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("name", ["eyepacs", "aptos"])
def test_phases_fit_their_photographs_at_full_size_and_in_a_smoke_run(name: str) -> None:
    experiment = load_experiment("ellg", name)
    for stages in (experiment.stages, smoke(experiment).stages):
        for stage in stages.values():
            if stage.task.name == "ellg" and stage.kind == "train":
                assert stage.task.side == stage.data.input_size  # type: ignore[attr-defined]


def test_the_published_recipe_stands_in_the_experiment() -> None:
    stages = load_experiment("ellg", "eyepacs").stages
    phases = [stages[f"size-{size}"] for size in (128, 256, 512)]
    assert [phase.data.crop for phase in phases] == [112, 224, 448]
    assert [phase.data.batch_size for phase in phases] == [128, 128, 48]
    assert [phase.trainer.max_epochs for phase in phases] == [200, 200, 250]
    assert [phase.data.augment.shift * phase.data.size for phase in phases] == [10, 20, 40]
    assert all(phase.data.sampler == "decaying" for phase in phases)


def rates(stage: Stage) -> list[float]:
    """Of each epoch, by the task's own optimiser and schedule on a small network."""
    task = EllgTask(
        {**stage.task.model_dump(), "side": 64, "blocks": 3, "width": 4, "hidden": 8}, {"dr": "icdr5"}
    )
    made = task.configure_optimizers()
    optimiser, schedule = made["optimizer"], made["lr_scheduler"]["scheduler"]
    assert made["lr_scheduler"]["interval"] == "epoch"
    found = []
    for _ in range(stage.trainer.max_epochs or 0):
        found.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
        schedule.step()
    return found


def test_eyepacs_has_the_papers_four_rounds() -> None:
    experiment = load_experiment("ellg", "eyepacs")
    assert experiment.protocol.validation == 0.1
    assert list(experiment.stages)[3:] == [
        f"round-{n}.{one}" for n in (1, 2, 3, 4) for one in ("generate", "train")
    ]
    before = "size-512"
    for number in (1, 2, 3, 4):
        made, trained = (experiment.stages[f"round-{number}.{one}"] for one in ("generate", "train"))
        assert rates(trained) == pytest.approx([3e-5] * 10 + [3e-6] * 10 + [3e-7] * 10)
        assert trained.data.batch_size == 48
        assert trained.data.input_size == made.data.input_size == 448
        assert trained.adds == (f"round-{number}.generate",)
        assert trained.alternate  # original and combined data in turns
        for stage in (made, trained):
            assert stage.start_from is not None
            assert (stage.start_from.stage, stage.start_from.which) == (before, "best")
        assert isinstance(made.task, GenerationConfig)
        assert (made.task.gate, made.task.threshold, made.task.tries) == (1.0, (0.5, 0.8), 100)
        before = f"round-{number}.train"
    assert experiment.evaluated == ("round-4.train",)


def test_aptos_is_tuned_from_eyepacs_with_and_without_generation() -> None:
    experiment = load_experiment("ellg", "aptos")
    assert experiment.protocol.validation == 0.1
    phases, tune = list(experiment.stages.values())[:3], experiment.stages["tune"]
    assert [phase.data.set for phase in phases] == ["eyepacs"] * 3
    assert phases == [
        one.model_copy(update={"data": one.data.model_copy(update={"set": "eyepacs"})})
        for one in list(load_experiment("ellg", "eyepacs").stages.values())[:3]
    ]
    assert tune.start_from is not None
    assert (tune.start_from.stage, tune.start_from.which, tune.data.set) == ("size-512", "best", "aptos")
    assert rates(tune) == pytest.approx([8e-5] * 30)
    assert tune.data.batch_size == 64
    assert (tune.adds, tune.alternate) == (("generate",), True)
    plain = load_experiment("ellg", "aptos", ["generate=null", "tune.adds=[]", "tune.alternate=false"])
    assert list(plain.stages) == ["size-128", "size-256", "size-512", "tune"]
    assert plain.stages["tune"] == tune.model_copy(update={"adds": (), "alternate": False})


@pytest.mark.parametrize("name", ["synthetic", "eyepacs", "aptos", "deepdrid"])
def test_every_beginning_says_which_weights_it_takes(name: str) -> None:
    """Phases take the last, as the o_O solution does; rounds and tuning the best."""
    written = yaml.safe_load((paper.experiments / f"{name}.yaml").read_text())
    stages = dict(written["stages"])
    stages.update({key: value for key, value in stages.pop("round", {}).items() if key != "rounds"})
    starts = {key: stage["start_from"]["which"] for key, stage in stages.items() if "start_from" in stage}
    assert starts
    assert starts == {key: "last" if key.startswith("size-") else "best" for key in starts}
