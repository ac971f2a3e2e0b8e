"""Table II, and the equivalence of patches and photographs."""

from __future__ import annotations

import pytest
import torch
from retinalab_clpi.generator import FIELD, STRIDE, LesionAttentionGenerator
from torch import nn
from torch.nn import functional as F


def generator(widths: str = "paper") -> LesionAttentionGenerator:
    """With running statistics that are not those of an untrained network, in float64."""
    torch.manual_seed(0)
    network = LesionAttentionGenerator(widths).double()  # type: ignore[arg-type]
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean, std=0.1)  # type: ignore[arg-type]
            nn.init.uniform_(module.running_var, 0.5, 2.0)  # type: ignore[arg-type]
    return network.eval()


@pytest.mark.parametrize(
    ("widths", "parameters"), [("paper", 8_050_976), ("code", 4_909_408), ("small", 505_928)]
)
def test_parameters(widths: str, parameters: int) -> None:
    assert sum(p.numel() for p in generator(widths).parameters()) == parameters
    assert not any(
        "bias" in name and "layers" not in name for name, _ in generator(widths).named_parameters()
    )


def test_sizes_of_table_ii() -> None:
    sizes: list[int] = []
    network = generator("code").float()
    for module in network.modules():
        if isinstance(module, nn.Conv2d) and module.kernel_size[0] > 1:
            module.register_forward_hook(lambda _, __, out: sizes.append(out.shape[-1]))
    with torch.no_grad():
        assert network(torch.zeros(1, 3, 1024, 1024)).shape == (1, 4, 16, 16)
    assert sizes == [1024, 512, 256, 128, 64, 32, 16]
    sizes.clear()
    assert network(torch.zeros(1, 3, FIELD, FIELD), padded=False).shape == (1, 4, 1, 1)
    assert sizes == [64, 32, 16, 8, 4, 2, 1]


@pytest.mark.parametrize(("row", "column"), [(0, 0), (1, 2), (3, 3)])
def test_a_unit_sees_68_rows_and_columns_from_two_before_its_own(row: int, column: int) -> None:
    """By the gradient: facts of the receptive field, not of the code's constants."""
    images = torch.rand(1, 3, 256, 256, dtype=torch.float64, requires_grad=True)
    generator("code")(images)[0, :, row, column].sum().backward()
    assert images.grad is not None
    seen = images.grad.abs().sum((0, 1))
    rows, columns = seen.sum(1).nonzero().flatten().tolist(), seen.sum(0).nonzero().flatten().tolist()
    assert (rows[0], rows[-1]) == (max(0, 64 * row - 2), min(255, 64 * row + 65))
    assert (columns[0], columns[-1]) == (max(0, 64 * column - 2), min(255, 64 * column + 65))


@pytest.mark.parametrize("widths", ["paper", "code", "small"])
def test_a_patch_gives_what_the_unit_over_it_gives(widths: str) -> None:
    network = generator(widths)
    photograph = torch.rand(2, 3, 192, 256, dtype=torch.float64)
    bordered = F.pad(photograph, (2, 2, 2, 2))
    with torch.no_grad():
        units = network(photograph)
        for i in range(3):
            for j in range(4):
                patch = bordered[..., STRIDE * i : STRIDE * i + FIELD, STRIDE * j : STRIDE * j + FIELD]
                single = network(patch, padded=False)[..., 0, 0]
                torch.testing.assert_close(single, units[..., i, j], rtol=0, atol=1e-12)


def test_with_padding_a_patch_is_not_what_the_unit_sees() -> None:
    """The paper's claim as tabulated: 68 pixels with padding 2 lose their last two rows instead."""
    network = generator()
    photograph = torch.rand(1, 3, 192, 192, dtype=torch.float64)
    with torch.no_grad():
        unit = network(photograph)[..., 1, 1]
        padded = network(photograph[..., 62:130, 62:130])[..., 0, 0]
    assert (unit - padded).abs().max() > 1e-3
