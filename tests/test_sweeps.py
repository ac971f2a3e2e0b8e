"""Every sweep file: each parameter path, value and metric is one that runs know, and its command line is ours."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Collection
from pathlib import Path
from typing import Any

import pytest
import yaml

from retinalab.cli import main
from retinalab.experiment import load_experiment

REPOSITORY = Path(__file__).resolve().parent.parent
SWEEPS = sorted(REPOSITORY.glob("experiments/*/sweep.yaml"))
wandb_sweeps = pytest.importorskip("wandb.sdk.launch.sweeps.utils", reason="wandb is not installed")


def read(sweep: Path) -> dict[str, Any]:
    config: dict[str, Any] = yaml.safe_load(sweep.read_text(encoding="utf-8"))
    return config


def extremes(parameter: dict[str, Any]) -> list[Any]:
    """Every listed value, or both ends of a range."""
    if "values" in parameter:
        return list(parameter["values"])
    return [parameter["value"]] if "value" in parameter else [parameter["min"], parameter["max"]]


def command_line(config: dict[str, Any], values: dict[str, Any]) -> list[str]:
    """The words that the agent starts, by its own rendering; ${env} is /usr/bin/env on POSIX."""
    rendered = wandb_sweeps.create_sweep_command_args(
        {"args": {name: {"value": v} for name, v in values.items()}}
    )
    rendered |= {"env": ["/usr/bin/env"], "interpreter": ["python"], "program": [config["program"]]}
    words: list[str] = []
    for word in wandb_sweeps.create_sweep_command(list(config["command"])):
        words += rendered[word[2:-1]] if word.startswith("${") else [word]
    return words


def ours(words: list[str]) -> list[str]:
    """The arguments behind the program, which must be ours."""
    assert words[:3] == ["/usr/bin/env", "retinalab", "exp"]
    return words[2:]


def test_there_are_sweeps() -> None:
    assert REPOSITORY / "experiments/canet/sweep.yaml" in SWEEPS


def place(path: str, stages: Collection[str]) -> list[str]:
    """The keys of an override; a stage within a block of rounds is that of the first round."""
    first, second, *rest = path.split(".")
    return [first, second, *rest] if first in stages else [f"{first}-1.{second}", *rest]


@pytest.mark.parametrize("sweep", SWEEPS, ids=lambda path: path.parent.name)
def test_the_sweep_is_one_that_wandb_takes(sweep: Path) -> None:
    config = read(sweep)
    assert set(config) <= {
        "name",
        "description",
        "project",
        "program",
        "command",
        "method",
        "metric",
        "parameters",
    }
    assert config["method"] in ("random", "bayes")
    assert config["metric"]["goal"] in ("maximize", "minimize")
    for parameter in config["parameters"].values():
        if "values" in parameter:
            assert set(parameter) == {"values"}
            assert len({str(value) for value in parameter["values"]}) == len(parameter["values"]) > 1
        else:
            assert parameter["distribution"] in ("uniform", "log_uniform_values", "int_uniform")
            assert parameter["min"] < parameter["max"]
            assert parameter["distribution"] != "log_uniform_values" or parameter["min"] > 0


@pytest.mark.parametrize("sweep", SWEEPS, ids=lambda path: path.parent.name)
def test_every_value_of_every_parameter_reaches_the_experiment(sweep: Path) -> None:
    config = read(sweep)
    paper, name, *fixed = ours(command_line(config, {}))[1:]
    for path, parameter in config["parameters"].items():
        for value in extremes(parameter):
            experiment = load_experiment(paper, name, [*fixed, f"{path}={value}"])
            if path.endswith(".rounds"):
                block = path.removesuffix("rounds").replace(".", "-")
                assert len({one.split(".")[0] for one in experiment.stages if one.startswith(block)}) == value
                continue
            stage, section, *rest = place(path, experiment.stages)
            found: Any = getattr(experiment.stages[stage], section)
            for key in rest:
                found = getattr(found, key)
            found = list(found) if isinstance(found, tuple) else found
            assert found == pytest.approx(value) if isinstance(value, float) else found == value


@pytest.mark.parametrize("sweep", SWEEPS, ids=lambda path: path.parent.name)
@pytest.mark.parametrize("form", ["args", "args_no_hyphens"])
def test_the_agents_command_line_is_read_as_meant(
    sweep: Path, form: str, capsys: pytest.CaptureFixture[str]
) -> None:
    config = read(sweep)
    assert config["command"][-1] == "${args_no_hyphens}"
    config["command"][-1] = "${" + form + "}"
    values = {name: extremes(parameter)[-1] for name, parameter in config["parameters"].items()}
    assert main([*ours(command_line(config, values)), "--show"]) == 0
    shown = yaml.safe_load(capsys.readouterr().out)
    assert shown["logger"] == "wandb"
    for path, value in values.items():
        if path.endswith(".rounds"):
            continue  # what is shown is written out
        found = shown["stages"]
        for key in place(path, shown["stages"]):
            found = found[key]
        assert found == pytest.approx(value) if isinstance(value, float) else found == value


@pytest.mark.parametrize("sweep", SWEEPS, ids=lambda path: path.parent.name)
def test_the_agents_command_line_runs_and_logs_the_metric(
    sweep: Path, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    config = read(sweep)
    values = {name: extremes(parameter)[0] for name, parameter in config["parameters"].items()}
    words = ours(command_line(config, values))
    cache = tmp_path_factory.getbasetemp() / "prepared"
    assert main([*words, "--smoke", f"output={tmp_path / 'runs'}", f"data.cache={cache}"]) == 0
    (metrics,) = tmp_path.glob("runs/*/*/latest/metrics.json")
    assert config["metric"]["name"] in json.loads(metrics.read_text(encoding="utf-8"))
    histories = [path.read_text(encoding="utf-8") for path in metrics.parent.glob("history/*/metrics.csv")]
    assert any(config["metric"]["name"] in text.splitlines()[0].split(",") for text in histories)
    assert config["metric"]["goal"] == "maximize"


def test_the_real_sweep_and_agent_start_our_command(tmp_path: Path) -> None:
    script = REPOSITORY / "experiments/bench/wandb_agent.py"
    ran = subprocess.run(
        [sys.executable, script, "--show", "--runs", "1", "--out", tmp_path / "agent.json"],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr[-2000:]
    result = json.loads((tmp_path / "agent.json").read_text(encoding="utf-8"))
    assert {"UpsertSweep", "SweepWithRuns", "CreateAgent", "Heartbeat"} <= set(result["operations"])
    shown = yaml.safe_load(ran.stdout[ran.stdout.index("name:") : ran.stdout.rindex("\n{")])
    assert shown["logger"] == "wandb"
    for path, value in result["runs"][0].items():
        found = shown["stages"]
        for key in path.split("."):
            found = found[key]
        assert found == pytest.approx(value) if isinstance(value, float) else found == value
