"""The paper's values are the defaults; contradictions are refused in one line."""

from __future__ import annotations

import pytest
import timm
from pydantic import ValidationError
from retinalab_sian.config import LNetConfig, SianConfig

from retinalab.config import NormaliseConfig
from retinalab.errors import RetinalabError
from retinalab.experiment import load_experiment

WEIGHTS = timm.get_pretrained_cfg("inception_v3").to_dict()
"""How the weights that ``weights=timm`` takes were trained."""


def test_defaults_are_section_4_1s() -> None:
    for config in (LNetConfig(), SianConfig()):
        assert (config.backbone, config.optimiser, config.learning_rate) == ("inception_v3", "sgd", 1e-3)
        assert (config.momentum, config.weight_decay, config.segmentation_weight) == (0.95, 1e-4, 0.8)
        assert (config.schedule, config.patience, config.factor) == ("plateau", 4, 10)
    assert (LNetConfig().network, LNetConfig().loss) == ("l-net-16s", "dual")
    assert (LNetConfig().focal_alpha, LNetConfig().focal_gamma) == (0.8, 2)
    sian = SianConfig()
    assert (sian.variant, sian.lesions, sian.attention, sian.fusion) == (
        "sian",
        "l-net-16s",
        "conv",
        "features",
    )
    assert not sian.train_side


@pytest.mark.parametrize(
    "name", ["retinal-lesions", "fgadr", "hei-med", "ddr", "e-ophtha", "idrid", "idrid-grades"]
)
def test_experiments_on_photographs_follow_the_recipe(name: str) -> None:
    experiment = load_experiment("sian", name)
    for stage in experiment.stages.values():
        assert stage.trainer.val_check_interval == 1000
        assert stage.trainer.check_val_every_n_epoch is None
        assert stage.trainer.early_stopping is not None
        assert stage.trainer.early_stopping.patience == 10
        assert stage.data.input_size == (512 if name == "idrid" else 896)
        assert stage.data.normalise == NormaliseConfig(mean=WEIGHTS["mean"], deviation=WEIGHTS["std"])
    start = list(experiment.stages.values())[-1].start_from
    assert start is None or start.map == {"network.": "network.side."}


def test_contradictions_are_refused() -> None:
    with pytest.raises(ValidationError, match=r"variant=sian needs lesion maps.*l-net-16s"):
        SianConfig(lesions="classifier")
    assert SianConfig(lesions="classifier", variant="concat").lesions == "classifier"
    with pytest.raises(ValidationError, match=r"lesions=abn without its own loss; set train_side=false"):
        SianConfig(variant="concat", lesions="abn", train_side=True)
    with pytest.raises(ValidationError, match=r"schedule=cosine never falls by a step.*set dual_after"):
        LNetConfig(schedule="cosine")
    assert LNetConfig(schedule="cosine", loss="dice").dual_after is None


def test_an_unknown_network_is_met_with_its_neighbour() -> None:
    with pytest.raises(RetinalabError, match=r"did you mean 'l-net-16s'"):
        load_experiment("sian", "synthetic", ["l-net.task.network=l-net-16"])
