"""Saliency maps of whole networks: one computed by hand, finite differences, and what a pass must leave alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from retinalab.config import TaskConfig
from retinalab.data.batch import Batch
from retinalab.errors import RetinalabError
from retinalab.explain import METHODS, class_activation_map, default_layers, saliency_maps
from retinalab.explain.activations import captured, explained, undisturbed
from retinalab.explain.cam import class_activation_cells
from retinalab.explain.gradient_maps import gated_multi_layer, grad_cam
from retinalab.explain.grid import in_frame
from retinalab.explain.saliency import OWN, Recipe, maps_of
from retinalab.registry import task_class, task_config
from retinalab.tasks import Outputs, Task

LOW = np.array([[[1, -1], [0, 2]], [[-1, 0.5], [1, 1]], [[0.25, 0], [-2, 1]]])
"""The first of the two filters of the first convolution, of 2 x 2 pixels: colour, row, column."""
FIRST = np.stack([LOW, LOW[::-1, :, ::-1] * 0.5 + 0.25])
SECOND = np.array(
    [[[[1, -0.5], [2, 0]], [[0, 1], [-1, 1]]], [[[-1, 1], [0.5, 1]], [[1, -2], [0, 1]]]], dtype=np.float64
)
HEAD = np.array([[[0.5, -1.0], [1.5, 2.0]], [[1.0, 0.25], [-0.5, 3.0]]])
BIAS = 0.125

OF_ANY_NETWORK = [method for method in METHODS if method not in OWN]
"""A task's own maps are held in test_own_maps."""


class ByHandNetwork(nn.Module):
    """Two strided convolutions, each rectified, and a linear layer that reads every place of the last map."""

    def __init__(self) -> None:
        super().__init__()
        self.stage2 = nn.Sequential(nn.Conv2d(3, 2, 2, 2, bias=False), nn.ReLU(inplace=True))
        self.stage4 = nn.Sequential(nn.Conv2d(2, 2, 2, 2, bias=False), nn.ReLU(inplace=True))
        self.head = nn.Linear(8, 1)
        with torch.no_grad():
            for part, weights in ((self.stage2[0], FIRST), (self.stage4[0], SECOND)):
                part.weight.copy_(torch.from_numpy(weights))
            self.head.weight.copy_(torch.from_numpy(HEAD.reshape(1, 8)))
            self.head.bias.fill_(BIAS)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        return {"dr": self.head(self.stage4(self.stage2(images)).flatten(1))}


class ByHand(Task):
    config_class = TaskConfig

    def build_network(self) -> nn.Module:
        return ByHandNetwork()

    def feature_maps(self) -> dict[str, nn.Module]:
        return {name: self.network.get_submodule(name) for name in ("stage2", "stage4")}

    def outputs(self, batch: Batch) -> Outputs:
        return Outputs(torch.zeros(()), severity={"dr": self(batch["image"])["dr"][:, 0]})


class Clamped(ByHand):
    """Its severity cannot fall below 0, and there it has no slope."""

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        return {"dr": (self.network(images)["dr"] - 1e6).clamp(min=0)}


class Fixed(ByHand):
    """Its severity does not depend on the photograph."""

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        return {"dr": self.network(images)["dr"].detach() * 0 + 2}


def by_hand(kind: type[ByHand] = ByHand) -> Task:
    return kind(TaskConfig(name="by-hand"), {"dr": "icdr5"}).double()


def photographs() -> np.ndarray:
    """The second is too faint to pass the gate in either layer, the third black."""
    one = np.random.default_rng(7).uniform(-1, 2, (1, 3, 8, 8))
    return np.concatenate([one, one * 0.01, np.zeros_like(one)])


def strided(images: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """A convolution of 2 x 2 pixels in steps of 2, and a ReLU."""
    batch, _, height, width = images.shape
    given = np.zeros((batch, len(weights), height // 2, width // 2))
    for b, k, y, x in np.ndindex(*given.shape):
        given[b, k, y, x] = (weights[k] * images[b, :, 2 * y : 2 * y + 2, 2 * x : 2 * x + 2]).sum()
    return given.clip(0)


def pass_by_hand(images: np.ndarray) -> tuple[np.ndarray, ...]:
    """Both maps, the score, and its gradients with respect to both maps."""
    low = strided(images, FIRST)
    high = strided(low, SECOND)
    of_high = np.broadcast_to(HEAD, high.shape).copy()
    of_low = np.zeros_like(low)
    for b, k, y, x in np.ndindex(*high.shape):
        if high[b, k, y, x] > 0:
            of_low[b, :, 2 * y : 2 * y + 2, 2 * x : 2 * x + 2] += HEAD[k, y, x] * SECOND[k]
    return low, high, (high * HEAD).sum((1, 2, 3)) + BIAS, of_low, of_high


def gated_by_hand(activations: np.ndarray, gradients: np.ndarray, t: float) -> np.ndarray:
    """Equation 2 and norm, of one photograph."""
    height, width = activations.shape[1:]
    total = np.zeros((height, width))
    for k in range(len(activations)):
        weight = 0.0
        for g in gradients[k].ravel():
            if g > 0:
                weight += g**2 / (2 * g**2 + activations[k].sum() * g**3) * g
        total += weight * activations[k]
    return scaled(np.maximum(total, t))


def scaled(values: np.ndarray) -> np.ndarray:
    """From 0 to 1, where there is anything to scale."""
    extent = values.max() - values.min()
    return (values - values.min()) / extent if extent > 0 else np.zeros_like(values)


def placed_by_hand(values: np.ndarray, window: int) -> np.ndarray:
    """Over 8 x 8 pixels, of cells that are each the middle of a window of so many pixels; scaled again."""
    given = np.zeros((8, 8))
    for y, x in np.ndindex(8, 8):
        places = [min(max((i - (window - 1) / 2) / window, 0), len(values) - 1) for i in (y, x)]
        for v, u in np.ndindex(*values.shape):
            share = max(0.0, 1 - abs(places[0] - v)) * max(0.0, 1 - abs(places[1] - u))
            given[y, x] += share * values[v, u]
    return scaled(given)


def test_gmsm_of_a_network_computed_by_hand() -> None:
    task, images = by_hand(), photographs()
    low, high, scores, of_low, of_high = pass_by_hand(images)
    given = explained(task, torch.from_numpy(images), "dr", ["stage2", "stage4"])
    for name, activations, gradients in (("stage2", low, of_low), ("stage4", high, of_high)):
        np.testing.assert_allclose(given.activations[name].numpy(), activations, rtol=1e-12, atol=1e-13)
        np.testing.assert_allclose(given.gradients[name].numpy(), gradients, rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(given.scores.numpy(), scores, rtol=1e-12)
    for t in (0.0, 1.0, 2.2):  # the last is above the lower layer, not above the higher
        wanted = np.stack(
            [
                (
                    placed_by_hand(gated_by_hand(low[b], of_low[b], t), 2)
                    + placed_by_hand(gated_by_hand(high[b], of_high[b], t), 4)
                )
                / 2
                for b in range(3)
            ]
        )
        exact = gated_multi_layer(given.layers(), given.size, t)
        np.testing.assert_allclose(exact.numpy(), wanted, atol=1e-12)
        found = saliency_maps(task, torch.from_numpy(images), "dr", "gmsm", t=t)
        assert found.dtype == torch.float32
        np.testing.assert_allclose(found.numpy(), wanted, atol=1e-6)
        assert wanted[0].max() > 0.4
        assert (wanted[1].max() > 0) == (t == 0)  # too faint for the gate: empty, not noise scaled up
        assert not found[2].any()


def test_the_factor_of_the_exponential_moves_the_gate() -> None:
    task, images = by_hand(), torch.from_numpy(photographs())
    low, high, scores, of_low, of_high = pass_by_hand(images.numpy())
    found = saliency_maps(task, images, "dr", "gmsm", t=0.5, exponential=True)
    for b in range(2):
        t = 0.5 / np.exp(scores[b])  # exp(s) L > t where L > t / exp(s)
        maps = gated_by_hand(low[b], of_low[b], t), gated_by_hand(high[b], of_high[b], t)
        wanted = (placed_by_hand(maps[0], 2) + placed_by_hand(maps[1], 4)) / 2
        np.testing.assert_allclose(found[b].numpy(), wanted, atol=1e-5)


def made(name: str = "baseline", **options: Any) -> Task:
    torch.manual_seed(1)
    config = task_config(name).model_validate({"name": name, "backbone": "test_resnet", **options})
    task: Task = task_class(name)(config, {"dr": "icdr5", "dme": "risk3"})
    for module in task.modules():  # running statistics of a fresh network would hide a wrong mode
        if isinstance(module, nn.BatchNorm2d) and module.running_mean is not None:
            nn.init.normal_(module.running_mean, 0, 0.2)
    return task


def noise(batch: int = 3, side: int = 64) -> Tensor:
    return torch.rand(batch, 3, side, side, generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize("layer", ["layer2", "layer4"])
def test_gradients_against_finite_differences(layer: str) -> None:
    task, images = made(output="severity").double().eval(), noise(2).double()
    found = explained(task, images, "dr", [layer])
    module = task.feature_maps()[layer]
    rng, step = np.random.default_rng(0), 1e-6
    for _ in range(12):
        place = tuple(int(rng.integers(size)) for size in found.gradients[layer].shape)

        def score(moved: float, place: tuple[int, ...] = place) -> float:
            def shift(_: nn.Module, __: Any, output: Tensor) -> Tensor:
                output = output.clone()
                output[place] += moved
                return output

            handle = module.register_forward_hook(shift)
            with torch.no_grad():
                given = task(images)["dr"][:, 0].sum()
            handle.remove()
            return float(given)

        slope = (score(step) - score(-step)) / (2 * step)
        assert float(found.gradients[layer][place]) == pytest.approx(slope, rel=1e-5, abs=1e-8)


@pytest.mark.parametrize("method", OF_ANY_NETWORK)
def test_a_batch_gives_what_its_photographs_give_alone(method: Any) -> None:
    task, images = made().double().train(), noise(4).double()
    together = saliency_maps(task, images, "dr", method, t=1e-4)
    alone = torch.cat([saliency_maps(task, one[None], "dr", method, t=1e-4) for one in images])
    assert together.amax((1, 2)).gt(0).all()
    assert torch.allclose(together, alone, atol=1e-6)


def test_cam_is_the_class_activation_map_scaled() -> None:
    task, images = made().eval(), noise()
    wanted = [[0, 3, 4], None]
    for grades in wanted:
        given = None if grades is None else torch.tensor(grades)
        with torch.no_grad():
            rows = task(images)["dr"].argmax(1) if given is None else given
            maps = class_activation_map(task, "dr", images, rows)
        found = saliency_maps(task, images, "dr", "cam", grades=given)
        np.testing.assert_allclose(found, np.stack([scaled(one) for one in maps.numpy()]), atol=1e-6)


def test_grad_cam_of_pooled_features_is_the_rectified_class_activation_map() -> None:
    task, images, grades = made().eval(), noise(), torch.tensor([0, 3, 4])
    given = explained(task, images, "dr", ["layer4"], grades)
    activations, gradients, grid = given.layers()[0]
    with torch.no_grad():
        cam, same = class_activation_cells(task, "dr", images, grades)
    assert grid == same
    places = activations.shape[2] * activations.shape[3]
    assert cam.amax() > 0
    assert torch.allclose(grad_cam(activations, gradients) * places, cam.clamp(min=0), atol=1e-5)
    found = saliency_maps(task, images, "dr", "grad-cam", grades=grades)
    wanted = in_frame(cam.clamp(min=0), grid, images.shape[-2:]).numpy()
    np.testing.assert_allclose(found, np.stack([scaled(one) for one in wanted]), atol=1e-4)


@pytest.mark.parametrize("kind", [Clamped, Fixed])
@pytest.mark.parametrize("method", ["grad-cam", "grad-cam++", "gmsm"])
def test_an_output_without_slope_has_an_empty_map(kind: type[ByHand], method: Any) -> None:
    found = saliency_maps(by_hand(kind), torch.from_numpy(photographs()), "dr", method, t=0.0)
    assert found.shape == (3, 8, 8)
    assert not found.any()


@pytest.mark.parametrize("method", ["grad-cam", "grad-cam++", "gmsm"])
def test_a_constant_photograph_has_a_finite_map_and_without_padding_an_empty_one(method: Any) -> None:
    flat = torch.full((2, 3, 64, 64), 0.37)
    assert saliency_maps(made(), flat, "dr", method, t=0.0).isfinite().all()
    assert not saliency_maps(by_hand().float(), flat[..., :8, :8], "dr", method, t=0.0).any()


@contextmanager
def unchanged(task: Task) -> Iterator[None]:
    """All that a pass must leave as it found it."""

    def state() -> tuple[Any, ...]:
        return (
            {name: value.clone() for name, value in task.state_dict().items()},
            [module.training for module in task.modules()],
            [parameter.requires_grad for parameter in task.parameters()],
            [len(module._forward_hooks) for module in task.modules()],
            torch.get_rng_state(),
            (torch.is_grad_enabled(), torch.is_inference_mode_enabled()),
        )

    before = state()
    yield
    after = state()
    assert all(torch.equal(before[0][name], value) for name, value in after[0].items())
    assert before[1:4] == after[1:4]
    assert torch.equal(before[4], after[4])
    assert before[5] == after[5]
    assert all(parameter.grad is None for parameter in task.parameters())


class Drawing(nn.Dropout):
    """A layer that draws in evaluation too."""

    def forward(self, images: Tensor) -> Tensor:
        return images + 0 * torch.rand_like(images)


@pytest.mark.parametrize("context", [torch.enable_grad, torch.no_grad, torch.inference_mode])
@pytest.mark.parametrize("method", OF_ANY_NETWORK)
def test_a_pass_leaves_the_task_as_it_was(method: Any, context: Any) -> None:
    task = made(dropout=0.5).train()
    network: Any = task.network
    network.dropout = Drawing()
    network.backbone.layer1.eval()
    network.backbone.layer3.requires_grad_(False)
    wanted = saliency_maps(task, noise(), "dr", method, t=0.0)
    with context(), unchanged(task):
        images = noise() + 0
        before = images.clone()
        found = saliency_maps(task, images, "dr", method, t=0.0)
        assert torch.equal(found, wanted)
        assert torch.equal(images, before)
    assert not found.requires_grad


def test_automatic_half_precision_of_the_caller_is_left_out() -> None:
    task, images = made(), noise()
    wanted = saliency_maps(task, images, "dr", "gmsm", t=0.0)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(saliency_maps(task, images, "dr", "gmsm", t=0.0), wanted)


def test_a_pass_that_fails_leaves_the_task_as_it_was() -> None:
    task = made().train()
    with unchanged(task), pytest.raises(RuntimeError):
        saliency_maps(task, torch.zeros(2, 5, 64, 64), "dr", "gmsm")


def test_gradients_of_training_are_kept() -> None:
    task = made().train()
    task(noise())["dr"].sum().backward()
    before = [None if p.grad is None else p.grad.clone() for p in task.parameters()]
    saliency_maps(task, noise(), "dr", "gmsm")
    after = [p.grad for p in task.parameters()]
    assert all(
        (a is None and b is None) or (a is not None and b is not None and torch.equal(a, b))
        for a, b in zip(before, after, strict=True)
    )


def test_what_stands_behind_a_layer_in_place_does_not_change_what_is_kept() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU(inplace=True))
    with captured({"first": network[0]}) as found:
        answer = network(noise(1, 4) - 0.5)
    assert torch.equal(found["first"].clamp(min=0), answer)
    assert found["first"].min() < 0


def test_layers_by_default() -> None:
    def names(*given: str) -> tuple[str, str]:
        return default_layers(dict.fromkeys(given, nn.Identity()))

    assert names("stage1", "stage2", "stage3", "stage4", "stage5") == ("stage2", "stage4")
    assert names("act1", "layer1", "layer2", "layer3", "layer4") == ("layer2", "layer4")
    assert names("stages.0", "stages.1", "stages.2", "stages.3") == ("stages.1", "stages.3")
    assert names("extractor", "perception") == ("extractor", "perception")
    with pytest.raises(
        RetinalabError, match=r"Two layers are fused by default, and the network has 1 \(one\)"
    ):
        names("one")


def test_maps_made_together_are_those_made_alone() -> None:
    task, images = made(), noise()
    recipes = [Recipe(method, t=1e-4) for method in OF_ANY_NETWORK] + [
        Recipe("grad-cam++", ["layer3"], exponential=True)
    ]
    together = maps_of(task, images, "dr", recipes)
    for recipe, found in zip(recipes, together, strict=True):
        alone = saliency_maps(
            task, images, "dr", recipe.method, recipe.layers, recipe.t, exponential=recipe.exponential
        )
        torch.testing.assert_close(found.values, alone, rtol=0, atol=1e-6)


def test_named_layers() -> None:
    task, images = made(), noise()
    for method, layers, cells in (
        ("gmsm", ["layer1", "layer3"], (16, 16)),
        ("gmsm", ["layer3"], (4, 4)),
        ("grad-cam", None, (2, 2)),
        ("cam", None, (2, 2)),
    ):
        given = maps_of(task, images, "dr", [Recipe(method, layers)])[0]  # type: ignore[arg-type]
        assert given.values.shape == images[:, 0].shape
        assert given.cells == cells
    one = [saliency_maps(task, images, "dr", "grad-cam++", [name]) for name in ("layer2", "layer3")]
    both = saliency_maps(task, images, "dr", "grad-cam++", ["layer2", "layer3"])
    np.testing.assert_allclose(both, (one[0] + one[1]) / 2, atol=1e-6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"method": "gmsn"},
            r"Unknown saliency method 'gmsn'\. Did you mean 'gmsm'\? Choices: attention, cam, gmsm, grad-cam",
        ),
        ({"disease": "amd"}, r"Unknown disease 'amd'\. .*Choices: dme, dr\."),
        ({"layers": ["layer7"]}, r"Unknown layer 'layer7'\. Did you mean 'layer\d'\? Choices: act1, layer1"),
        ({"layers": []}, r"No layer is named\. Choose at least one of: act1, layer1"),
        (
            {"method": "cam", "layers": ["layer4"]},
            r"Layers layer4 are named, but a class activation map .* Leave them out",
        ),
        (
            {"grades": torch.tensor([0, 5, 1])},
            r"Grades \[0, 5, 1\] of 'dr' cannot be explained .* grade of 0-4",
        ),
        (
            {"grades": torch.tensor([0, 5, 1]), "method": "cam"},
            r"Grades \[0, 5, 1\] of 'dr' cannot be explained",
        ),
        ({"grades": torch.tensor([0, -1, 1])}, r"Grades \[0, -1, 1\] of 'dr' cannot be explained"),
        ({"grades": torch.tensor([1])}, r"Grades \[1\] of 'dr' cannot be explained for 3 photographs"),
        ({"t": -1.0}, r"floor t is -1\.0"),
    ],
)
def test_refusals_of_one_line(options: dict[str, Any], message: str) -> None:
    given: dict[str, Any] = {"disease": "dr", "method": "gmsm", **options}
    with pytest.raises(RetinalabError, match=message) as error:
        saliency_maps(made(), noise(), **given)
    assert "\n" not in str(error.value)


def test_layers_that_are_no_feature_maps() -> None:
    given = noise(1, 4)
    with captured({"flat": nn.Flatten()}), pytest.raises(KeyError):
        raise KeyError
    flat, twice = nn.Flatten(), nn.Conv2d(3, 3, 1)
    with (
        captured({"flat": flat}),
        pytest.raises(RetinalabError, match=r"'flat' gives no .* but shape \(1, 48\)"),
    ):
        flat(given)
    with captured({"twice": twice}), pytest.raises(RetinalabError, match="'twice' runs more than once"):
        twice(twice(given))
    assert not flat._forward_hooks
    task = by_hand()
    aside = nn.Identity()
    task.feature_maps = lambda: {"aside": aside}  # type: ignore[method-assign]
    with pytest.raises(RetinalabError, match="'aside' of task 'by-hand' took no part in the forward pass"):
        saliency_maps(task, torch.from_numpy(photographs()), "dr", "grad-cam")


def test_evaluation_is_on_and_gradients_of_weights_off_inside() -> None:
    task = made().train()
    with torch.no_grad(), undisturbed(task):
        assert torch.is_grad_enabled()
        assert not any(module.training for module in task.modules())
        assert not any(parameter.requires_grad for parameter in task.parameters())
