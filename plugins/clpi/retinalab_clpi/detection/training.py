"""Training and detecting: the same steps, optimiser and turns for the generator and for the detectors."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from retinalab.errors import RetinalabError
from retinalab.tasks.optim import cosine
from retinalab.transforms.draw import generator
from retinalab_clpi.detection.patches import Patches
from retinalab_clpi.detection.photographs import Photographs
from retinalab_clpi.detection.truth import Boxes, unit_detections
from retinalab_clpi.generator import LesionAttentionGenerator

__all__ = ["Recipe", "detect", "detect_units", "train_detector", "train_generator"]

_ORDER, _TURNS = 0x0D3A, 0x7235


@dataclass(frozen=True)
class Recipe:
    """How a network is trained: SGD, a warm-up from 0, then a cosine.

    Attributes:
        steps: how many.
        batch: patches or photographs of a step.
        learning_rate: after the warm-up.
        momentum, weight_decay: of SGD.
        warmup: share of the steps.
        clip: greatest norm of the gradient.
        device: of torch.
        bfloat16: whether convolutions compute in bfloat16 (a detector's backbone is built so).
    """

    steps: int
    batch: int
    learning_rate: float
    momentum: float = 0.9
    weight_decay: float = 1e-4
    warmup: float = 0.05
    clip: float = 10.0
    device: str = "cpu"
    bfloat16: bool = False


def train_generator(
    network: LesionAttentionGenerator, patches: Patches, recipe: Recipe, seed: int
) -> LesionAttentionGenerator:
    """Train the generator on patches with cross-entropy.

    Reference: sections III-A and IV-A, equation 2.

    Differs from the paper: patches are turned by right angles and mirrored, not cropped or turned freely.
    """
    batches = _batches(len(patches), recipe, seed)
    network.to(memory_format=torch.channels_last)

    def loss(step: int) -> Tensor:
        rows = next(batches)
        images = _pixels(patches.images[rows]).to(recipe.device)
        turned = torch.stack([_turned(i, _turn(seed, step, k)) for k, i in enumerate(images)])
        turned = turned.contiguous(memory_format=torch.channels_last)
        with torch.autocast(turned.device.type, torch.bfloat16, enabled=recipe.bfloat16):
            logits = network(turned, padded=False).flatten(1).float()
        return F.cross_entropy(logits, torch.from_numpy(patches.labels[rows]).to(recipe.device))

    _descend(network, loss, recipe)
    return network


def train_detector(
    network: nn.Module, photographs: Photographs, kept: Sequence[np.ndarray], recipe: Recipe, seed: int
) -> nn.Module:
    """Train a detector of torchvision's interface on whole photographs; lesions not in ``kept`` are background."""
    truth = photographs.truth(kept)
    batches = _batches(len(photographs), recipe, seed)

    def loss(step: int) -> Tensor:
        images, targets = [], []
        for position, row in enumerate(next(batches)):
            turn = _turn(seed, step, position)
            images.append(_turned(_pixels(photographs.images[row]), turn).to(recipe.device))
            boxes = {
                "boxes": _turned_boxes(truth[row]["boxes"], turn, photographs.size),
                "labels": truth[row]["labels"],
            }
            targets.append({name: value.to(recipe.device) for name, value in boxes.items()})
        losses: dict[str, Tensor] = network(images, targets)
        return torch.stack([value.float() for value in losses.values()]).sum()

    _descend(network, loss, recipe)
    return network


@torch.no_grad()
def detect(network: nn.Module, photographs: Photographs, device: str = "cpu") -> list[Boxes]:
    """What a detector finds on each photograph."""
    network.to(device).eval()
    found = []
    for image in photographs.images:
        (boxes,) = network([_pixels(image).to(device)])
        found.append({name: boxes[name].cpu() for name in ("boxes", "labels", "scores")})
    return found


@torch.no_grad()
def detect_units(
    network: LesionAttentionGenerator, photographs: Photographs, device: str = "cpu"
) -> list[Boxes]:
    """What the generator finds on each photograph: its units' fields, in one pass."""
    network.to(device).eval()
    return [
        unit_detections(network(_pixels(image)[None].to(device)).float().softmax(1)[0].cpu())
        for image in photographs.images
    ]


def _descend(network: nn.Module, loss_of: Callable[[int], Tensor], recipe: Recipe) -> None:
    network.to(recipe.device).train()
    learning = [parameter for parameter in network.parameters() if parameter.requires_grad]
    optimiser = torch.optim.SGD(
        learning, recipe.learning_rate, recipe.momentum, weight_decay=recipe.weight_decay
    )
    warmup = int(recipe.warmup * recipe.steps)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: cosine(step, recipe.steps, warmup))
    for step in range(recipe.steps):
        loss = loss_of(step)
        if not torch.isfinite(loss):
            raise RetinalabError(
                f"The loss of {type(network).__name__} is {loss.item()} at step {step}. "
                f"Lower the learning rate, {recipe.learning_rate}."
            )
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(learning, recipe.clip)
        optimiser.step()
        schedule.step()


def _batches(count: int, recipe: Recipe, seed: int) -> Iterator[np.ndarray]:
    """Whole batches without end; every sample once before any comes again."""
    queue, epoch = np.empty(0, np.int64), 0
    while True:
        while len(queue) < recipe.batch:
            queue = np.concatenate([queue, generator(seed, epoch, _ORDER).permutation(count)])
            epoch += 1
        batch, queue = queue[: recipe.batch], queue[recipe.batch :]
        yield batch


def _pixels(images: np.ndarray) -> Tensor:
    """``(..., H, W, 3)`` uint8 to ``(..., 3, H, W)`` float32 in [0, 1]."""
    return torch.from_numpy(images).movedim(-1, -3).float() / 255


def _turn(seed: int, step: int, position: int) -> tuple[bool, bool, bool]:
    """One of the eight symmetries of the square: transposed, mirrored left to right, top to bottom."""
    drawn = generator(seed, step, position, _TURNS).random(3) < 0.5
    return bool(drawn[0]), bool(drawn[1]), bool(drawn[2])


def _turned(image: Tensor, turn: tuple[bool, bool, bool]) -> Tensor:
    transposed, left_right, top_bottom = turn
    image = image.transpose(-1, -2) if transposed else image
    axes = [axis for axis, mirrored in ((-1, left_right), (-2, top_bottom)) if mirrored]
    return image.flip(axes).contiguous() if axes else image.contiguous()


def _turned_boxes(boxes: Tensor, turn: tuple[bool, bool, bool], size: int) -> Tensor:
    transposed, left_right, top_bottom = turn
    left, top, right, bottom = boxes[:, [1, 0, 3, 2]].T if transposed else boxes.T
    if left_right:
        left, right = size - right, size - left
    if top_bottom:
        top, bottom = size - bottom, size - top
    return torch.stack([left, top, right, bottom], 1)
