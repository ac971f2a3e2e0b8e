"""Every override that the README names is one that the experiments know and that their networks fit."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from retinalab.config import Experiment
from retinalab.experiment import load_experiment
from retinalab.runner.check import check_tasks
from retinalab.smoke import smoke

README = (Path(__file__).parents[3] / "plugins/ellg/README.md").read_text(encoding="utf-8")
EXPERIMENTS = ("synthetic", "deepdrid", "eyepacs")
"""Those with rounds."""


def rows() -> list[tuple[str, ...]]:
    """The overrides of each row; a value or an option alone in brackets stands in the place of the one before it."""
    found: list[tuple[str, ...]] = []
    table = README.split("| row | override |")[1].split("\n\n")[0]
    for line in table.splitlines()[2:]:
        quoted = re.findall(r"`([^`]+)`", line.strip("|").split("|")[1])
        first = quoted[0].split()
        found.append(tuple(first))
        stem = first[0].rpartition("=")[0]
        for other in quoted[1:]:
            if "=" in other and "." not in other:
                found.append((f"{stem.rpartition('.')[0]}.{other}",))
            elif other in ("grad-cam", "cam"):
                found.append((f"{stem}={other}",))
    return found


ROWS = rows()


def made_by(experiment: Experiment) -> list[str]:
    return [name for name, stage in experiment.stages.items() if stage.kind == "make_data"]


def test_every_ablation_has_a_row() -> None:
    text = [word for row in ROWS for word in row]
    maker = "round.generate.task."
    wanted = ("shift=false", "colour_transfer=false", "mixup=false", "gate=0", "layers=[stage4]")
    assert set(text) >= {"round.rounds=0", "round.generate=null", *(maker + one for one in wanted)}


@pytest.mark.parametrize("name", EXPERIMENTS)
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_a_row_is_an_experiment_of_its_own(row: tuple[str, ...], name: str) -> None:
    assert load_experiment("ellg", name, row).stages != load_experiment("ellg", name).stages


def test_rows_without_generation_make_nothing() -> None:
    for name in EXPERIMENTS:
        assert made_by(load_experiment("ellg", name))
        for row in ROWS:
            if row[0] in ("round.rounds=0", "round.generate=null"):
                assert not made_by(load_experiment("ellg", name, row))


def test_aptos_without_generation_is_what_the_readme_says() -> None:
    (words,) = re.findall(r"`(generate=null [^`]*)`", README)
    assert not made_by(load_experiment("ellg", "aptos", words.split()))
    load_experiment("ellg", "aptos", ["generate.task.shift=false"])


@pytest.mark.parametrize(
    ("name", "layers"),
    [
        ("synthetic", "[layer4]"),
        ("deepdrid", "[layer2, layer4]"),
        ("eyepacs", "[stage4]"),
        ("eyepacs", "[stage3, stage5]"),
    ],
)
def test_layers_are_found_in_a_smoke_run_by_the_network_that_they_are_named_for(
    name: str, layers: str
) -> None:
    check_tasks(smoke(load_experiment("ellg", name, [f"round.generate.task.layers={layers}"])))


def test_any_timm_network_takes_the_place_of_the_default() -> None:
    (words,) = re.findall(r"`(baseline\.task\.backbone=resnet50 [^`]*)`", README)
    given = words.replace("resnet50", "resnet10t").split()
    for more in ((), ("baseline.task.output=classes", "round.train.task.output=classes")):
        check_tasks(load_experiment("ellg", "synthetic", [*given, *more]))
