"""The options: the paper's values, their limits, and what a wrong one says."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from pydantic import ValidationError
from retinalab_canet.config import CanetConfig


def test_defaults_are_the_published_recipe() -> None:
    config = CanetConfig()
    assert (config.variant, config.backbone, config.dependence) == ("canet", "resnet50", "both")
    assert (config.specific_weight, config.dropout, config.features, config.reduction) == (
        0.25,
        0.3,
        1024,
        16,
    )
    assert (config.learning_rate, config.weight_decay, config.schedule) == (3e-4, 1e-4, "cosine")


@pytest.mark.parametrize(
    ("variant", "dropout"), [("joint", 0.0), ("multi-task", 0.5), ("mtmr", 0.5), ("canet", 0.3)]
)
def test_dropout_follows_the_variant_unless_given(variant: str, dropout: float) -> None:
    assert CanetConfig.model_validate({"variant": variant}).dropout == dropout
    assert CanetConfig.model_validate({"variant": variant, "dropout": 0.1}).dropout == 0.1


def test_it_survives_a_checkpoint_as_plain_json() -> None:
    config = CanetConfig.model_validate(
        {"checkpoint": "weights/canet.pth", "dependence": ["dr2dme"], "class_weights": {"dr": [1, 2]}}
    )
    plain = json.loads(json.dumps(config.model_dump(mode="json")))
    assert CanetConfig.model_validate(plain) == config


@pytest.mark.parametrize(
    "wrong",
    [
        {"specific_weight": -0.1},
        {"dropout": 1.0},
        {"reduction": 0},
        {"variant": "canett"},
        {"dependence": "backwards"},
        {"dependence": ["both"]},
        {"class_weights": {"dr": [-1.0, 1.0]}},
        {"class_weights": {"dr": [0.0, 0.0]}},
        {"lambda": 0.5},
        {"name": "clpi"},
    ],
)
def test_what_is_out_of_range_or_unknown_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        CanetConfig.model_validate(wrong)


def test_smoke_keeps_the_method_and_drops_what_is_large_or_stored() -> None:
    config = CanetConfig.model_validate({"variant": "mtmr", "weights": "timm", "specific_weight": 0.5})
    assert config.smoke().backbone == "resnet18"
    assert config.smoke().weights == "none"
    assert (config.smoke().variant, config.smoke().specific_weight) == ("mtmr", 0.5)


def test_options_and_description_import_no_torch() -> None:
    code = "import sys, retinalab_canet.paper, retinalab_canet.config; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
