"""Networks of segmentation-models-pytorch that map lesions. No Lightning here."""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import segmentation_models_pytorch as smp
import timm
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

from retinalab.errors import RetinalabError, unknown
from retinalab.records import LESIONS
from retinalab.tasks.pretrained import carried, checked, remedy
from retinalab.tasks.stored import read_stored

__all__ = ["LesionMaps"]

_STRIDE = 32
_OWN = ("self", "encoder_name", "encoder_weights", "in_channels", "classes", "activation", "aux_params")


class LesionMaps(nn.Module):
    """Any architecture of segmentation-models-pytorch with any of its encoders, one map per lesion.

    The last layer's bias begins at the log-odds of ``prior``: nearly every pixel shows no lesion, and a network
    that begins at one half spends its first epochs on learning that.

    Args:
        architecture: such as ``unet``, ``fpn``, ``deeplabv3plus``.
        encoder: such as ``resnet18``, or ``tu-<any timm model>``.
        weights: of the encoder: ``none``, ``hub`` (the library's own, which needs a network) or the path of a
            .pth or .safetensors file of its state.
        prior: probability of a lesion that the maps begin with.
        options: further arguments of the architecture, such as ``decoder_channels``.

    Shape:
        - ``images``: ``(B, 3, H, W)``, float32, normalised; any size, padded to a multiple of 32 inside.
        - Returns: ``(B, 8, H, W)`` float32 logits, planes in the order of ``LESIONS``.

    Raises:
        RetinalabError: an architecture, encoder, option or weights file that does not exist or does not fit.
    """

    def __init__(
        self,
        architecture: str = "unet",
        encoder: str = "resnet18",
        weights: str = "none",
        prior: float = 0.01,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.maps = _made(architecture, encoder, weights, dict(options or {}))
        last = [layer for layer in self.maps.modules() if isinstance(layer, nn.Conv2d)][-1]
        if last.bias is not None:
            nn.init.constant_(last.bias, math.log(prior / (1 - prior)))

    def forward(self, images: Tensor) -> Tensor:
        """Logits of each lesion at every pixel."""
        height, width = images.shape[-2:]
        padding = (0, -width % _STRIDE, 0, -height % _STRIDE)
        logits: Tensor = self.maps(F.pad(images, padding) if any(padding) else images)
        return logits[..., :height, :width]


def _made(architecture: str, encoder: str, weights: str, options: dict[str, Any]) -> nn.Module:
    _check(architecture, encoder, options)
    pretrained: str | bool | None = None
    brought = carried("smp", encoder) if weights == "hub" and not encoder.startswith("tu-") else None
    if weights == "hub" and brought is None:
        pretrained = True if encoder.startswith("tu-") else "imagenet"
    try:
        network: nn.Module = smp.create_model(
            architecture,
            encoder,
            pretrained,
            in_channels=3,
            classes=len(LESIONS),
            **options,
        )
    except (OSError, RuntimeError) as error:
        if pretrained is None:
            raise _unfit(architecture, encoder, error) from error
        raise RetinalabError(
            f"Weights of encoder {encoder!r} cannot be had from the hub ({type(error).__name__}). "
            f"{remedy('smp', encoder)}"
        ) from error
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise _unfit(architecture, encoder, error) from error
    if brought is not None or weights not in ("none", "hub"):
        _load(network, encoder, brought or Path(weights))
    return network


def _check(architecture: str, encoder: str, options: Mapping[str, Any]) -> None:
    kinds = smp.MODEL_ARCHITECTURES_MAPPING
    if architecture.lower() not in kinds:
        raise unknown("architecture", architecture, kinds)
    names = smp.encoders.get_encoder_names()
    if encoder.startswith("tu-"):
        base = encoder.removeprefix("tu-").split(".")[0]
        if base not in timm.list_models():
            similar = timm.list_models(base[:4] + "*") or timm.list_models("resnet*")
            raise unknown("encoder", encoder, [f"tu-{name}" for name in similar], label="Similar")
    elif encoder not in names:
        raise unknown("encoder", encoder, names, "Any timm model: tu-<model>.")
    known = [name for name in inspect.signature(kinds[architecture.lower()]).parameters if name not in _OWN]
    for name in options:
        if name not in known or name == "kwargs":
            raise unknown(f"option of {architecture}", name, [k for k in known if k != "kwargs"])


def _load(network: nn.Module, encoder: str, path: Path) -> None:
    if not path.is_file():
        raise RetinalabError(f"Weights file {path} does not exist. Give a .pth file, 'hub' or 'none'.")
    try:
        state: dict[str, Any] = _state(checked(path))
        own: Any = network.encoder
        own.load_state_dict(state)
    except (RuntimeError, KeyError, OSError, ValueError, AttributeError, SafetensorError) as error:
        reason = str(error).splitlines()[0]
        raise RetinalabError(
            f"Weights file {path} does not fit encoder {encoder!r}: {reason} Give the state of that encoder."
        ) from error


def _state(path: Path) -> Any:
    if path.suffix == ".safetensors":
        return load_file(path)
    return read_stored(path, "Give the state of that encoder.")


def _unfit(architecture: str, encoder: str, error: Exception) -> RetinalabError:
    reason = (str(error) or type(error).__name__).splitlines()[0]
    return RetinalabError(
        f"Architecture {architecture!r} cannot be built on encoder {encoder!r} with these options: {reason} "
        "Try encoder=resnet18, or architecture=unet."
    )
