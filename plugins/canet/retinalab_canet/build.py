"""The network that a configuration describes."""

from __future__ import annotations

from collections.abc import Mapping

from torch import nn

from retinalab.errors import RetinalabError
from retinalab_canet.baselines import COMPLEX, COMPLEX_V2, JointNetwork, MTMRNet, MultiTaskNet
from retinalab_canet.checkpoint import load_authors_checkpoint
from retinalab_canet.config import CanetConfig
from retinalab_canet.network import CANet

__all__ = ["build_network"]

CONVOLUTIONS = {"joint": (), "joint-complex": COMPLEX, "joint-complex-v2": COMPLEX_V2}


def build_network(config: CanetConfig, grades: Mapping[str, int]) -> nn.Module:
    """Build the network of a row of Tables IV-VI.

    Args:
        config: the task's options.
        grades: disease -> number of grades, in the order of the outputs.

    Returns:
        A module from ``(B, 3, H, W)`` photographs to :class:`retinalab_canet.network.GradeLogits`.

    Raises:
        RetinalabError: an unknown backbone, weights that do not fit, or a checkpoint for another variant
            than CANet.
    """
    if config.checkpoint is not None and config.variant != "canet":
        raise RetinalabError(
            f"checkpoint={config.checkpoint} holds the authors' CANet, but variant is {config.variant!r}. "
            "Use variant=canet, or leave the checkpoint out."
        )
    if config.variant == "multi-task":
        return MultiTaskNet(config.backbone, grades, weights=config.weights, dropout=config.dropout)
    if config.variant == "mtmr":
        return MTMRNet(config.backbone, grades, weights=config.weights, dropout=config.dropout)
    if config.variant in CONVOLUTIONS:
        return JointNetwork(
            config.backbone,
            grades,
            weights=config.weights,
            convolutions=CONVOLUTIONS[config.variant],
            dropout=config.dropout,
            dropout_place=config.dropout_place,
        )
    return _canet(config, grades)


def _canet(config: CanetConfig, grades: Mapping[str, int]) -> CANet:
    network = CANet(
        config.backbone,
        grades,
        weights=config.weights,
        dependence=config.dependence,
        features=config.features,
        reduction=config.reduction,
        dropout=config.dropout,
        dropout_place=config.dropout_place,
        dependent_attention=config.dependent_attention,
        mlp_bias=config.mlp_bias,
        spatial_norm=config.spatial_norm,
        spatial_bias=config.spatial_bias,
    )
    if config.checkpoint is not None:
        load_authors_checkpoint(network, config.checkpoint)
    return network
