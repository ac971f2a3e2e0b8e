"""The descriptor, as the command line shows it, and the recipes of its experiments."""

from __future__ import annotations

import subprocess
import sys

import pytest
from retinalab_ellg.paper import paper

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
