"""The grading module's backbone: any timm network, its first convolution widened to the weighted photographs."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor, nn

from retinalab.errors import RetinalabError
from retinalab.tasks.network import FeatureMap

__all__ = ["Stem", "features_of", "grading_backbone", "spread"]

Stem = Literal["spread", "random"]

_TOO_SMALL = ("Kernel size can't be greater than actual input size", "Output size is too small")
_MEAN = (0.485, 0.456, 0.406)
_DEVIATION = (0.229, 0.224, 0.225)


def grading_backbone(name: str, weights: str = "none", blocks: int = 1, stem: Stem = "spread") -> FeatureMap:
    """A feature extractor for photographs in [0, 1], or for ``blocks`` weighted copies of them.

    Without stored weights every convolution is drawn at random. With them, ``spread`` gives the first convolution the
    stored weights of each colour in every block (:func:`spread`); ``random`` draws it.

    Args:
        name: any timm network; the paper's is ``densenet121``.
        weights: ``none``, ``timm`` (its hub), or the path of a file.
        blocks: n, how many times the three colours stand one behind the other.
        stem: what becomes of stored weights in the first convolution.

    Shape:
        - ``images``: ``(B, 3 blocks, H, W)``. Returns: ``(B, C, H/32, W/32)`` for most networks.

    Raises:
        RetinalabError: unknown name, weights that cannot be loaded, or a network whose first layer is no convolution.
    """
    network = FeatureMap(name, "none", channels_in=3 * blocks)
    if weights != "none":
        stored = FeatureMap(name, weights)
        first, given = _first(network, name), _first(stored, name)
        own = {key: value for key, value in stored.state_dict().items() if not key.startswith(f"{given}.")}
        network.load_state_dict(own, strict=False)
        if stem == "spread":
            _widen(network.get_submodule(first), stored.get_submodule(given), blocks)
    return network


def features_of(backbone: FeatureMap, images: Tensor) -> Tensor:
    """The last feature map.

    Raises:
        RetinalabError: pictures of a size that the network cannot take: too small for its reductions, or another than
            the one that a transformer was made for.
    """
    try:
        features: Tensor = backbone(images)
    except (AssertionError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and not any(sign in str(error) for sign in _TOO_SMALL):
            raise
        height, width = images.shape[2:]
        raise RetinalabError(
            f"The backbone cannot take pictures of {height}x{width} pixels ({str(error).rstrip('.')}). Photographs "
            "reach it at half of data.size, patches at task.patch_side: change that, or use one that takes any size, "
            "such as densenet121."
        ) from error
    return features


def spread(weight: Tensor, blocks: int) -> Tensor:
    """Stored weights of three normalised colours, for n blocks of weighted colours in [0, 1].

    The blocks of a weighted photograph sum to ``n + 1`` times the photograph, whatever the attention. Divided by that,
    and by the deviations that the stored network's photographs were normalised with, the first convolution answers a
    photograph as the stored one did, but for the constant that the subtracted mean makes.

    Args:
        weight: of the stored first convolution.
        blocks: n; 1 stands for plain photographs, which are not weighted.

    Shape:
        - ``weight``: ``(K, 3, h, w)``. Returns: ``(K, 3 n, h, w)``.

    Example:
        >>> import torch
        >>> tuple(spread(torch.zeros(64, 3, 7, 7), 4).shape)
        (64, 12, 7, 7)
    """
    scaled = weight / weight.new_tensor(_DEVIATION).view(1, 3, 1, 1)
    return scaled.repeat(1, blocks, 1, 1) / (blocks + 1 if blocks > 1 else 1)


def _widen(first: nn.Module, stored: nn.Module, blocks: int) -> None:
    with torch.no_grad():
        kernel: Any = stored.weight
        own: Any = first.weight
        own.copy_(spread(kernel, blocks))
        bias: Any = getattr(first, "bias", None)
        if bias is not None:
            mean = kernel.new_tensor(_MEAN) / kernel.new_tensor(_DEVIATION)
            given: Any = stored.bias
            bias.copy_(given - (kernel.sum((2, 3)) * mean).sum(1))


def _first(network: nn.Module, name: str) -> str:
    for place, module in network.named_modules():
        if isinstance(module, nn.Conv2d):
            return str(place)
    raise RetinalabError(
        f"Backbone {name!r} has no convolution to widen to the weighted photographs. Use one such as densenet121."
    )
