"""Backbones from timm, and the baselines' network. No Lightning here."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import timm
from torch import Tensor, nn

from retinalab.errors import RetinalabError, unknown
from retinalab.tasks.pretrained import carried, checked, remedy
from retinalab.tasks.stored import FAULTS, check_archive, runs_code

__all__ = ["FeatureMap", "LinearHeads", "timm_feature_maps", "timm_model"]


def timm_model(name: str, weights: str = "none", **options: Any) -> nn.Module:
    """Make a timm model with its weights from where the user has them.

    Args:
        name: any timm model, as ``timm.list_models()`` gives it.
        weights: ``none`` (random), ``timm`` (from its hub, which needs a network) or the path of a .pth or
            .safetensors file.
        options: passed to ``timm.create_model``, such as ``num_classes``, ``global_pool`` and ``features_only``.

    Raises:
        RetinalabError: unknown model, absent file, weights of another model, or a hub that cannot be reached.
    """
    if name.split(".")[0] not in timm.list_models():
        raise unknown(
            "backbone", name, timm.list_models(name[:4] + "*") or timm.list_models("resnet*"), label="Similar"
        )
    if weights == "none":
        return timm.create_model(name, pretrained=False, **options)
    brought = carried("timm", name) if weights == "timm" else None
    if weights == "timm" and brought is None:
        try:
            return timm.create_model(name, pretrained=True, **options)
        except (OSError, RuntimeError) as error:
            raise RetinalabError(
                f"Weights of {name!r} cannot be had from timm's hub ({type(error).__name__}). {remedy('timm', name)}"
            ) from error
    path = brought or Path(weights)
    if not path.is_file():
        raise RetinalabError(
            f"Weights file {weights} does not exist. Give a .pth or .safetensors file, 'timm' or 'none'."
        )
    again = "Give the file of that model, as its owners published it."
    check_archive(checked(path), again)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Detected pickle protocol")
            return timm.create_model(
                name, pretrained=True, pretrained_cfg_overlay={"file": str(path)}, **options
            )
    except FAULTS as error:
        if "weights_only" in str(error):
            raise runs_code(path, again) from error
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise RetinalabError(
            f"Weights file {path} does not fit backbone {name!r}: {reason}. Give the file of that model."
        ) from error


def timm_feature_maps(net: nn.Module) -> dict[str, nn.Module]:
    """The last layer of each stage of a timm network, as its feature information names them, from low to high.

    Args:
        net: a timm model, with or without pooling and classifier, or one made with ``features_only``.

    Raises:
        RetinalabError: a network whose stages give tokens or channels-last maps, or that does not name them.

    Example:
        >>> list(timm_feature_maps(timm_model("resnet18")))
        ['act1', 'layer1', 'layer2', 'layer3', 'layer4']
    """
    made: Any = net
    name = getattr(made, "pretrained_cfg", {}).get("architecture") or type(net).__name__
    if hasattr(made, "num_prefix_tokens") or getattr(made, "output_fmt", "NCHW") != "NCHW":
        raise RetinalabError(
            f"Backbone {name!r} has no feature maps (B, C, h, w) between its layers, which a saliency map by layers is "
            "made of. Use a convolutional backbone, such as resnet18 or convnext_tiny."
        )
    info: Any = getattr(made, "feature_info", None) or []
    named = info.module_name() if hasattr(info, "module_name") else [one["module"] for one in info]
    modules = dict(net.named_modules())
    found = {
        label: modules[place]
        for label in named
        for place in (label, label.replace(".", "_"))  # features_only flattens names
        if place in modules
    }
    if len(found) < len(named) or not found:
        raise RetinalabError(
            f"Backbone {name!r} does not name its feature maps, so that it has no saliency map by layers. Use one such "
            "as resnet18 or convnext_tiny."
        )
    return found


class FeatureMap(nn.Module):
    """Any timm network without its pooling and classifier.

    Args:
        name: any timm model.
        weights: as :func:`timm_model`.
        channels_in: channels of the input.

    Attributes:
        channels: C, the channels of the feature map.

    Shape:
        - ``images``: ``(B, channels_in, H, W)``, float32.
        - Returns: ``(B, C, H/32, W/32)``, float32, for most networks; a transformer's tokens become a grid.

    Raises:
        RetinalabError: unknown name, or weights that cannot be loaded.

    Example:
        >>> import torch
        >>> tuple(FeatureMap("resnet18")(torch.zeros(1, 3, 64, 64)).shape)
        (1, 512, 2, 2)
    """

    def __init__(self, name: str, weights: str = "none", channels_in: int = 3) -> None:
        super().__init__()
        net: Any = timm_model(name, weights, num_classes=0, global_pool="", in_chans=channels_in)
        self.net: nn.Module = net
        self.channels = int(getattr(net, "head_hidden_size", None) or net.num_features)
        self.tokens = hasattr(net, "num_prefix_tokens")
        self._channels_last = getattr(net, "output_fmt", "NCHW") == "NHWC"

    def forward(self, images: Tensor) -> Tensor:
        """Compute the feature map."""
        if self.tokens:
            return self._grid(images)
        features: Tensor = self.net(images)
        return features.permute(0, 3, 1, 2) if self._channels_last else features

    def _grid(self, images: Tensor) -> Tensor:
        net: Any = self.net
        grid: Tensor = net.forward_intermediates(images, indices=1, norm=True, intermediates_only=True)[-1]
        return grid


class LinearHeads(nn.Module):
    """A timm backbone, global average pooling, dropout, and one linear head per disease.

    Args:
        backbone: any timm model.
        outputs: disease -> number of outputs.
        weights: as :func:`timm_model`.
        dropout: on the pooled features.

    Shape:
        - ``images``: ``(B, 3, H, W)``, float32, normalised.
        - Returns: disease -> ``(B, outputs)`` float32.
    """

    def __init__(
        self, backbone: str, outputs: Mapping[str, int], weights: str = "none", dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.backbone = timm_model(backbone, weights, num_classes=0)
        features: Any = self.backbone.num_features
        self.dropout = nn.Dropout(dropout)
        self.heads = nn.ModuleDict({d: nn.Linear(features, n) for d, n in outputs.items()})

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Logits (or severities) of each disease."""
        features = self.dropout(self.backbone(images))
        return {disease: head(features) for disease, head in self.heads.items()}
