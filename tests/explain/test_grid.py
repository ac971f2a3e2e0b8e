"""Where cells lie, against SciPy and against a bright dot that is moved over the input of small networks."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.interpolate import RegularGridInterpolator
from torch import Tensor, nn
from torch.nn import functional as F

from retinalab.explain.activations import captured
from retinalab.explain.grid import Grid, in_frame
from retinalab.explain.grid_tracking import GridTracking


@pytest.mark.parametrize("grid", [Grid((35.5, -4.0), (9.0, 13.5)), Grid.even((60, 50), (3, 4))])
def test_maps_over_pixels_against_scipy(grid: Grid) -> None:
    maps = torch.rand(2, 3, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    found = in_frame(maps, grid, (60, 50)).numpy()
    centres = [grid.first[axis] + grid.step[axis] * np.arange(count) for axis, count in enumerate((3, 4))]
    held = [np.clip(np.arange(size), at[0], at[-1]) for size, at in zip((60, 50), centres, strict=True)]
    for values, one in zip(maps.numpy(), found, strict=True):
        wanted = RegularGridInterpolator(centres, values)(np.stack(np.meshgrid(*held, indexing="ij"), -1))
        np.testing.assert_allclose(one, wanted, atol=1e-12)


def test_an_evenly_covering_map_is_enlarged_as_usual() -> None:
    maps = torch.rand(2, 7, 7, dtype=torch.float64)
    wanted = F.interpolate(maps[:, None], (224, 224), mode="bilinear")[:, 0]
    assert torch.allclose(in_frame(maps, Grid.even((224, 224), (7, 7)), (224, 224)), wanted)


class Branches(nn.Module):
    """Two branches of other kernels, concatenated, gated by what the whole map says, and added to a third."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 4, 5, 2)
        self.one, self.two = nn.Conv2d(4, 4, 3, 2, 1), nn.Conv2d(4, 4, 5, 2, 2)
        self.third = nn.Conv2d(4, 8, 1, 2)

    def forward(self, images: Tensor) -> Tensor:
        low = self.first(images)
        joined = torch.cat([self.one(low), self.two(low)], 1)
        tokens = joined.flatten(2).transpose(1, 2) * joined.mean((2, 3))[:, None].sigmoid()
        attended = tokens.transpose(1, 2).unflatten(2, joined.shape[2:])
        return attended + self.third(low)


class Cropped(nn.Module):
    """Padded on one side, pooled, cropped, and every second row taken."""

    def forward(self, images: Tensor) -> Tensor:
        padded = F.pad(images, (4, 0, 8, 0), mode="replicate")
        return F.avg_pool2d(padded, 4)[:, :, 1:-1:2, -20:]


class Blurred(nn.Module):
    """Downsampled behind a blur that is no module, and shuffled into space."""

    def forward(self, images: Tensor) -> Tensor:
        kernel = torch.tensor([1.0, 2.0, 1.0]).outer(torch.tensor([1.0, 2.0, 1.0])).expand(3, 1, 3, 3)
        blurred = F.conv2d(F.pad(images, (1, 1, 1, 1), mode="reflect"), kernel, stride=2, groups=3)
        return F.pixel_unshuffle(F.max_pool2d(blurred, 3, 1), 2)


NETWORKS = {
    "odd padding": lambda: nn.Sequential(
        nn.Conv2d(3, 4, 4, 2, 2),
        nn.ReLU(),
        nn.Conv2d(4, 4, 4, 1, 1),
        nn.MaxPool2d(3, 2),
        nn.Conv2d(4, 2, 4, 2, 0),
    ),
    "dilated": lambda: nn.Sequential(nn.Conv2d(3, 4, (5, 3), (3, 2), (0, 1)), nn.Conv2d(4, 4, 3, 1, 0, 2)),
    "even kernel, same size": lambda: nn.Sequential(nn.Conv2d(3, 2, 4, padding="same"), nn.AvgPool2d(2)),
    "resized": lambda: nn.Sequential(
        nn.Conv2d(3, 3, 5), nn.Upsample(size=(46, 46), mode="bilinear"), nn.AvgPool2d(4)
    ),
    "branches": Branches,
    "crop": Cropped,
    "blur": Blurred,
}


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
@pytest.mark.parametrize("context", [torch.enable_grad, torch.no_grad, torch.inference_mode])
@pytest.mark.parametrize("name", NETWORKS)
def test_a_cell_answers_dots_around_its_centre(name: str, context: type[torch.no_grad]) -> None:
    """The mean place of a dot, weighted by a cell's answer to it, for kernels of which no side is heavier."""
    side = 96
    network = NETWORKS[name]()
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.constant_(module.weight, 1.0)
            assert module.bias is not None
            nn.init.zeros_(module.bias)
    with context(), GridTracking(torch.zeros(1, 3, side, side)) as tracking:
        images = torch.ones(1, 3, side, side)
        found = network(images)
    grid = tracking.grid(found)
    given = images.clone().requires_grad_()
    rows, columns = (size // 2 for size in found.shape[2:])  # cells that no edge reaches
    for row, column in ((rows, columns), (rows + 1, columns - 1)):
        (slope,) = torch.autograd.grad(_smooth(network, given)[0, :, row, column].sum(), given)
        weight = slope[0].sum(0).double()
        centre = [float((weight.sum(1 - axis) * torch.arange(side)).sum() / weight.sum()) for axis in (0, 1)]
        at = [grid.first[axis] + grid.step[axis] * place for axis, place in enumerate((row, column))]
        assert centre == pytest.approx(at, abs=0.02)


def _smooth(network: nn.Module, images: Tensor) -> Tensor:
    """The network with means in the place of maxima, whose slopes lie all over a window."""
    pooled = nn.functional.max_pool2d
    swapped = {
        name: nn.AvgPool2d(one.kernel_size, one.stride, one.padding)
        for name, one in network.named_modules()
        if isinstance(one, nn.MaxPool2d)
    }
    for name, one in swapped.items():
        network.set_submodule(name, one)
    nn.functional.max_pool2d = nn.functional.avg_pool2d  # type: ignore[assignment]
    try:
        given: Tensor = network(images)
    finally:
        nn.functional.max_pool2d = pooled  # type: ignore[assignment]
    return given


@pytest.mark.parametrize("options", [(4, 2, 1, 1), (3, 2, 0, 2), (2, 2, 0, 1)])
def test_a_transposed_convolution_leads_back(options: tuple[int, int, int, int]) -> None:
    kernel, stride, padding, dilation = options
    down = nn.Conv2d(1, 1, kernel, stride, padding, dilation)
    up = nn.ConvTranspose2d(1, 1, kernel, stride, padding, dilation=dilation)
    with GridTracking(torch.zeros(1, 1, 40, 40)) as tracking:
        found = up(down(torch.zeros(1, 1, 40, 40)))
    assert tracking.grid(found) == Grid()


@pytest.mark.parametrize(
    ("net", "wanted"),
    [
        # by hand: first += ((kernel - 1) / 2 - padding) * step, step *= stride, layer by layer
        ("B", [(1.5, 4), (11.5, 16), (19.5, 32), (35.5, 64), (131.5, 128)]),
        ("A", [(2.0, 4), (10.0, 16), (26.0, 32), (58.0, 64), (122.0, 192)]),
    ],
)
def test_the_detection_network_of_published_kernels(net: str, wanted: list[tuple[float, int]]) -> None:
    from retinalab_ellg.network import DetectionNetwork

    network = DetectionNetwork({"dr": 1}, net=net, side=448, width=2, hidden=4).eval()  # type: ignore[arg-type]
    images = torch.zeros(1, 3, 448, 448)
    layers = dict(network.blocks.named_children())
    with torch.no_grad(), GridTracking(images) as tracking, captured(layers) as found:
        network(images)
    for (name, features), (first, step) in zip(found.items(), wanted, strict=True):
        assert tracking.grid(features) == Grid((first, first), (step, step)), name
    last = found["stage4"].shape[2] - 1
    even = Grid.even((448, 448), (6, 6))
    away = even.first[0] + last * even.step[0] - (wanted[3][0] + last * wanted[3][1])
    assert away == pytest.approx({"B": 54.7, "A": 32.2}[net], abs=0.1)


def test_resnet_begins_at_the_first_pixel() -> None:
    import timm

    network = timm.create_model("resnet18", num_classes=0).eval()
    images = torch.zeros(1, 3, 256, 256)
    with torch.no_grad(), GridTracking(images) as tracking, captured({"layer4": network.layer4}) as found:
        network(images)
    assert tracking.grid(found["layer4"]) == Grid((0.0, 0.0), (32.0, 32.0))  # 15.5 px from an even covering


@pytest.mark.parametrize("dot", [(20, 20), (57, 36), (36, 70)])
def test_the_peak_lands_on_the_dot(dot: tuple[int, int]) -> None:
    """Means over 5 x 5 pixels with too much padding, then every fourth: an even covering would be 5 pixels off."""
    network = nn.Sequential(nn.Conv2d(1, 1, 5, 1, 4, bias=False), nn.Conv2d(1, 1, 5, 4, 3, bias=False))
    for module in network:
        nn.init.constant_(module.weight, 0.04)  # type: ignore[arg-type]
    images = torch.zeros(1, 1, 96, 96)
    images[0, 0, dot[0] - 1 : dot[0] + 2, dot[1] - 1 : dot[1] + 2] = 1
    with torch.no_grad(), GridTracking(images) as tracking:
        features = network(images)
    maps = in_frame(features[:, 0], tracking.grid(features), (96, 96))[0].double()
    places = torch.arange(96, dtype=torch.float64)
    centre = [float((maps.sum(1 - axis) * places).sum() / maps.sum()) for axis in (0, 1)]
    assert centre == pytest.approx(dot, abs=0.15)
    cells = features.shape[-1]
    even = in_frame(features[:, 0], Grid.even((96, 96), (cells, cells)), (96, 96))[0].double()
    off = [float((even.sum(1 - axis) * places).sum() / even.sum()) for axis in (0, 1)]
    assert max(abs(a - b) for a, b in zip(off, dot, strict=True)) > 1


def test_values_are_those_without_tracking() -> None:
    network = Branches()
    images = torch.rand(2, 3, 32, 32)
    with GridTracking(images):
        found = network(images)
    assert torch.equal(found, network(images))
