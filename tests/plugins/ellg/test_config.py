"""Options: the o_O solution's values, and what is refused."""

from __future__ import annotations

import pytest
from pydantic import ValidationError
from retinalab_ellg.config import EllgConfig

from retinalab.errors import RetinalabError
from retinalab.experiment import load_experiment


def test_the_defaults_are_the_o_o_solutions() -> None:
    config = EllgConfig()
    assert (config.net, config.side, config.biases, config.slope, config.dropout) == (
        "B",
        448,
        "untied",
        0.01,
        0.5,
    )
    assert (config.width, config.hidden, config.backbone, config.output) == (32, 1024, None, "severity")
    assert (config.optimiser, config.learning_rate, config.momentum, config.l2) == ("sgd", 3e-3, 0.9, 5e-4)
    assert (config.schedule, config.milestones, config.factor) == ("steps", (150, 220), 10.0)


@pytest.mark.parametrize("wrong", [{"milestones": [10, 10]}, {"milestones": [20, 10]}, {"milestones": [0]}])
def test_milestones_rise(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match="each once and rising"):
        EllgConfig.model_validate(wrong)


@pytest.mark.parametrize("wrong", [{"net": "C"}, {"hidden": 7}, {"side": 8}, {"blocks": 6}, {"sides": 448}])
def test_what_no_network_has_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        EllgConfig.model_validate(wrong)


def test_a_smoke_run_takes_the_sides_that_such_photographs_have() -> None:
    assert [EllgConfig(side=side).smoke().side for side in (112, 224, 448)] == [112, 64, 64]
    assert EllgConfig(backbone="resnet50", weights="timm").smoke().backbone == "resnet18"
    assert EllgConfig().smoke().backbone is None


def test_options_that_do_not_fit_each_other_are_named_with_their_place() -> None:
    with pytest.raises(
        RetinalabError, match=r"stages\.round-1\.generate\.task: threshold must be \(low, high\)"
    ):
        load_experiment("ellg", "synthetic", ["round.generate.task.threshold=[0.9, 0.1]"])
