"""Activations of named layers and the gradients of each photograph's score with respect to them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from retinalab.errors import RetinalabError
from retinalab.explain.gradient_maps import Layer
from retinalab.explain.grid import Grid
from retinalab.explain.grid_tracking import GridTracking
from retinalab.tasks.base import Task

__all__ = ["Explained", "captured", "explained", "undisturbed"]


@dataclass(frozen=True)
class Explained:
    """What one forward and one backward pass give of a batch.

    Attributes:
        activations: layer -> ``(B, C, h, w)``, A of each layer.
        gradients: layer -> ``(B, C, h, w)``, the gradient of each photograph's score with respect to A.
        grids: layer -> where its cells lie in the input.
        scores: ``(B,)``.
        size: height and width of the input.
    """

    activations: dict[str, Tensor]
    gradients: dict[str, Tensor]
    grids: dict[str, Grid]
    scores: Tensor
    size: tuple[int, int]

    def layers(self, names: Iterable[str] | None = None) -> list[Layer]:
        """These layers, in this order; all where None."""
        chosen = self.activations if names is None else names
        return [Layer(self.activations[name], self.gradients[name], self.grids[name]) for name in chosen]


def explained(
    task: Task, images: Tensor, disease: str, layers: Sequence[str], grades: Tensor | None = None
) -> Explained:
    """Run a batch through the network and its scores back to the layers.

    The gradient of the sum of scores is each photograph's own gradient, since in evaluation no photograph of a batch
    acts on another. The task is left as it was found (:func:`undisturbed`); no parameter gets a gradient.

    Args:
        task: one with :meth:`~retinalab.tasks.base.Task.feature_maps`.
        images: normalised, as the task takes them.
        disease: whose score.
        layers: names of feature maps.
        grades: whose score, where the task classifies; the predicted ones where None.

    Shape:
        - ``images``: ``(B, 3, H, W)``. ``grades``: ``(B,)`` int64.

    Raises:
        RetinalabError: a layer that the forward pass does not reach once, or that gives no feature map.
    """
    modules = task.feature_maps()
    with undisturbed(task), captured({name: modules[name] for name in layers}) as activations:
        given = (images.clone() if images.is_inference() else images).detach()
        with GridTracking(given) as tracking:
            output = task(given)
        scores = task.score(output, disease, grades)
        missing = [name for name in layers if name not in activations]
        if missing:
            raise RetinalabError(
                f"Layer {missing[0]!r} of task {task.config.name!r} took no part in the forward pass. Choose another "
                f"of: {', '.join(modules)}."
            )
        found = {name: activations[name] for name in layers}
        gradients = _gradients(scores, list(found.values()))
    return Explained(
        {name: value.detach() for name, value in found.items()},
        dict(zip(found, gradients, strict=True)),
        {name: tracking.grid(value) for name, value in found.items()},
        scores.detach(),
        tracking.size,
    )


@contextmanager
def captured(layers: Mapping[str, nn.Module]) -> Iterator[dict[str, Tensor]]:
    """Keep what the layers give during the forward passes inside the context.

    The network goes on with a copy, so that an operation in place behind a layer does not change what was kept. Where
    nothing before a layer needs a gradient, the graph begins at the layer.

    Args:
        layers: name -> module whose output is a feature map.

    Yields:
        A dictionary that the forward pass fills: name -> ``(B, C, h, w)``.

    Raises:
        RetinalabError: during the forward pass: a layer gives no feature map, or runs twice.

    Example:
        >>> network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU(inplace=True))
        >>> with captured({"first": network[0]}) as found:
        ...     answer = network(torch.ones(2, 3, 8, 8))
        >>> tuple(found["first"].shape), bool((found["first"] < 0).any())
        ((2, 4, 8, 8), True)
    """
    found: dict[str, Tensor] = {}
    handles = [
        module.register_forward_hook(partial(_keep, found=found, name=name))
        for name, module in layers.items()
    ]
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def undisturbed(task: Task) -> Iterator[None]:
    """Evaluation mode with gradients, whatever the caller's context; afterwards all is as it was.

    Batch statistics, dropout and the caller's automatic half precision, in which small gradients vanish, are off.
    Restored are every module's mode, every parameter's ``requires_grad`` and the states of random numbers.
    """
    modes = [(module, module.training) for module in task.modules()]
    parameters = [(parameter, parameter.requires_grad) for parameter in task.parameters()]
    device = next((parameter.device for parameter, _ in parameters), torch.device("cpu"))
    drawn_on = [device] if device.type == "cuda" else []
    try:
        task.eval()
        for parameter, _ in parameters:
            parameter.requires_grad_(False)
        with (
            torch.random.fork_rng(drawn_on),
            torch.inference_mode(False),
            torch.enable_grad(),
            torch.autocast(device.type, enabled=False),
        ):
            yield
    finally:
        for module, mode in modes:
            module.training = mode
        for parameter, wanted in parameters:
            parameter.requires_grad_(wanted)


def _keep(_: nn.Module, __: Any, output: Any, *, found: dict[str, Tensor], name: str) -> Tensor:
    if not isinstance(output, Tensor) or output.ndim != 4:
        got = f"shape {tuple(output.shape)}" if isinstance(output, Tensor) else type(output).__name__
        raise RetinalabError(
            f"Layer {name!r} gives no feature map (B, C, h, w) but {got}. Choose another layer, or a convolutional "
            "backbone such as resnet18."
        )
    if name in found:
        raise RetinalabError(
            f"Layer {name!r} runs more than once in a forward pass, so that it has no one feature map. Choose another."
        )
    kept = output if output.requires_grad or not torch.is_grad_enabled() else output.detach().requires_grad_()
    found[name] = kept
    return kept.clone()


def _gradients(scores: Tensor, activations: list[Tensor]) -> tuple[Tensor, ...]:
    """Zeros where a score does not depend on a layer, as behind a clamped output."""
    if not scores.requires_grad:
        return tuple(torch.zeros_like(value) for value in activations)
    return torch.autograd.grad(scores.sum(), activations, materialize_grads=True)
