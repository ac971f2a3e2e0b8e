"""Inception-v3 padded so that every reduction halves the side, and its dilated form. No Lightning here."""

from __future__ import annotations

from typing import Any

import torch
from timm.models.inception_v3 import InceptionB, InceptionD, InceptionE
from torch import Tensor, nn
from torch.nn import functional as F

from retinalab.errors import RetinalabError
from retinalab.tasks.network import timm_model

__all__ = ["LAYERS", "LEVELS", "padded_inception", "unstrided"]

LAYERS = (
    "Conv2d_1a_3x3",
    "Conv2d_2a_3x3",
    "Conv2d_2b_3x3",
    "Pool1",
    "Conv2d_3b_1x1",
    "Conv2d_4a_3x3",
    "Pool2",
    "Mixed_5b",
    "Mixed_5c",
    "Mixed_5d",
    "Mixed_6a",
    "Mixed_6b",
    "Mixed_6c",
    "Mixed_6d",
    "Mixed_6e",
    "Mixed_7a",
    "Mixed_7b",
    "Mixed_7c",
)
"""The network's layers in their order, under timm's names."""

LEVELS = {2: "Conv2d_2b_3x3", 4: "Conv2d_4a_3x3", 8: "Mixed_5d", 16: "Mixed_6e", 32: "Mixed_7c"}
"""Reduction of the side -> the last layer at it."""


class _Branches(nn.Module):
    """The branches of a block, under timm's names."""

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        for name, branch in block.named_children():
            self.add_module(name, branch)

    def _through(self, features: Tensor, *names: str) -> Tensor:
        for name in names:
            features = self.get_submodule(name)(features)
        return features


class _Padded(_Branches):
    """A reduction of Inception whose pooling is padded as its convolutions are."""

    def __init__(self, block: InceptionB | InceptionD) -> None:
        super().__init__(block)
        self.stride = 2
        self.paths: tuple[tuple[str, ...], ...] = (
            (("branch3x3",), ("branch3x3dbl_1", "branch3x3dbl_2", "branch3x3dbl_3"))
            if isinstance(block, InceptionB)
            else (
                ("branch3x3_1", "branch3x3_2"),
                ("branch7x7x3_1", "branch7x7x3_2", "branch7x7x3_3", "branch7x7x3_4"),
            )
        )

    def forward(self, features: Tensor) -> Tensor:
        """Both convolutional branches and the pooled features, one behind the other."""
        given = [self._through(features, *path) for path in self.paths]
        given.append(F.max_pool2d(features, 3, self.stride, 1))
        return torch.cat(given, 1)


class _DilatedAverage(nn.Module):
    """The 3×3 average of places two apart, zeros counted beyond the border as ``F.avg_pool2d`` counts them."""

    def forward(self, features: Tensor) -> Tensor:
        """The average at every place, by averaging each of the four interleaved grids alone."""
        height, width = features.shape[-2:]
        grids = F.pixel_unshuffle(F.pad(features, (0, width % 2, 0, height % 2)), 2)
        pooled = F.pixel_shuffle(F.avg_pool2d(grids, 3, 1, 1), 2)
        return pooled[..., :height, :width]


class _Dilated(_Branches):
    """timm's InceptionE with every 3-wide kernel two places apart."""

    def __init__(self, block: InceptionE) -> None:
        super().__init__(block)
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d) and max(layer.kernel_size) > 1:
                layer.dilation = (2, 2)
                rows, columns = layer.kernel_size
                layer.padding = (rows - 1, columns - 1)
        self.average = _DilatedAverage()

    def forward(self, features: Tensor) -> Tensor:
        """The four branches, one behind the other."""
        once = self._through(features, "branch3x3_1")
        twice = self._through(features, "branch3x3dbl_1", "branch3x3dbl_2")
        given = [
            self._through(features, "branch1x1"),
            self._through(once, "branch3x3_2a"),
            self._through(once, "branch3x3_2b"),
            self._through(twice, "branch3x3dbl_3a"),
            self._through(twice, "branch3x3dbl_3b"),
            self._through(features, "average", "branch_pool"),
        ]
        return torch.cat(given, 1)


def padded_inception(weights: str = "none", dilated: bool = False, name: str = "inception_v3") -> nn.Module:
    """Inception-v3 of timm without its classifier, padded.

    Padding of 1 on every unpadded 3×3 convolution and max pooling makes 448, 224, 112, 56 and 28 places of 896 pixels,
    where the published network makes 447, 222, 109, 54 and 26. Parameters, their names and stored weights are timm's.

    Reference: Figures 3 and 4, whose last features have 28 × 28 places.

    Args:
        weights: ``none``, ``timm`` (its hub), or the path of a file.
        dilated: keep the last block at a sixteenth of the side: its reduction takes no stride, what follows looks at
            every other place. At every other place the features are those of the undilated network.
        name: timm's, with the tag of stored weights where others than its default are wanted.

    Raises:
        RetinalabError: weights that cannot be loaded.
    """
    net: Any = timm_model(name, weights, num_classes=0, global_pool="")
    for layer in net.modules():
        if isinstance(layer, nn.Conv2d) and layer.kernel_size == (3, 3) and layer.padding == (0, 0):
            layer.padding = (1, 1)
        elif isinstance(layer, nn.MaxPool2d):
            layer.padding = 1
    net.Mixed_6a, net.Mixed_7a = _Padded(net.Mixed_6a), _Padded(net.Mixed_7a)
    if dilated:
        unstrided(net.Mixed_7a)
        net.Mixed_7b, net.Mixed_7c = _Dilated(net.Mixed_7b), _Dilated(net.Mixed_7c)
    module: nn.Module = net
    return module


def unstrided(block: nn.Module) -> nn.Module:
    """Take the strides out of a block's convolutions and poolings, in place.

    Raises:
        RetinalabError: a convolution of even width, which without its stride would lose a row and a column.
    """
    for layer in block.modules():
        if isinstance(layer, nn.Conv2d):
            if layer.stride != (1, 1) and not layer.kernel_size[0] % 2:
                raise RetinalabError(
                    f"A backbone whose last stage halves by a convolution of {layer.kernel_size[0]}x"
                    f"{layer.kernel_size[1]} cannot go on without its stride. Use one such as inception_v3 or resnet18."
                )
            layer.stride = (1, 1)
        elif isinstance(layer, nn.MaxPool2d) and layer.kernel_size == layer.stride:
            layer.kernel_size, layer.stride, layer.padding = 1, 1, 0
        elif isinstance(layer, nn.MaxPool2d | _Padded):
            layer.stride = 1
        elif isinstance(layer, nn.AvgPool2d):  # of a shortcut: without the stride there is nothing to average
            layer.kernel_size, layer.stride, layer.padding = 1, 1, 0
    return block
