"""Sizes and channels of the contracting path, its padding and its dilation."""

from __future__ import annotations

from typing import Any

import pytest
import timm
import torch
from retinalab_sian import inception
from retinalab_sian.contracting import ContractingPath
from retinalab_sian.inception import padded_inception
from torch import Tensor, nn
from torch.nn import functional as F

from retinalab.errors import RetinalabError


def shapes(maps: dict[int, Tensor]) -> dict[int, tuple[int, ...]]:
    return {reduction: tuple(value.shape[1:]) for reduction, value in maps.items()}


def settled(network: nn.Module) -> nn.Module:
    """With running statistics of a normal input, so that features stay of the order of one."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
    with torch.no_grad():
        network.train()(torch.randn(2, 3, 96, 96, generator=torch.Generator().manual_seed(0)))
    return network.eval()


def test_sizes_of_figure_4_at_896_pixels() -> None:
    with torch.no_grad(), torch.device("meta"):
        path = ContractingPath()
        given = shapes(path(torch.zeros(1, 3, 896, 896)))
    assert given == {
        2: (64, 448, 448),
        4: (192, 224, 224),
        8: (288, 112, 112),
        16: (768, 56, 56),
        32: (2048, 28, 28),
    }


@pytest.mark.parametrize(("height", "width"), [(32, 32), (96, 160)])
def test_every_reduction_halves_any_multiple_of_32(height: int, width: int) -> None:
    with torch.no_grad(), torch.device("meta"):
        for name in ("inception_v3", "resnet18"):
            given = shapes(ContractingPath(name).eval()(torch.zeros(1, 3, height, width)))
            assert {r: size[1:] for r, size in given.items()} == {
                r: (height // r, width // r) for r in (2, 4, 8, 16, 32)
            }


def test_parameters_and_their_names_are_those_of_timm() -> None:
    published = timm.create_model("inception_v3", num_classes=0, global_pool="")
    for dilated in (False, True):
        ours = padded_inception(dilated=dilated).state_dict()
        assert {name: value.shape for name, value in ours.items()} == {
            name: value.shape for name, value in published.state_dict().items()
        }


def test_only_the_borders_differ_from_timms_inception() -> None:
    """Far from the border a padded network sees what the unpadded one sees; here up to the first pooling."""
    torch.manual_seed(0)
    path = ContractingPath(reductions=(2,)).eval()
    published = timm.create_model("inception_v3", num_classes=0, global_pool="").eval()
    published.load_state_dict(path.net.state_dict())
    images = torch.randn(1, 3, 96, 96)
    with torch.no_grad():
        ours = path(images)[2]
        # timm's first convolution starts one pixel further: it is fed with the padded photograph instead
        theirs = published.Conv2d_2b_3x3(
            published.Conv2d_2a_3x3(published.Conv2d_1a_3x3(F.pad(images, (1, 1, 1, 1))))
        )
    assert ours.shape[-1] == 48
    assert theirs.shape[-1] == 46
    torch.testing.assert_close(ours[..., 4:-4, 4:-4], theirs[..., 3:-3, 3:-3])


def test_the_dilated_features_hold_the_undilated_ones_at_every_other_place() -> None:
    torch.manual_seed(0)
    plain, dilated = ContractingPath(reductions=(16, 32)), ContractingPath(reductions=(16, 32), dilated=True)
    settled(plain)
    dilated.load_state_dict(plain.state_dict())
    images = torch.randn(1, 3, 160, 96)
    with torch.no_grad():
        coarse, fine = plain(images), dilated.eval()(images)
    assert fine[32].shape == (1, 2048, 10, 6)
    torch.testing.assert_close(fine[32][..., ::2, ::2], coarse[32], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(fine[16], coarse[16])


def test_any_timm_network_with_features_serves() -> None:
    with torch.no_grad(), torch.device("meta"):
        images = torch.zeros(1, 3, 64, 96)
        assert shapes(ContractingPath("convnext_atto", reductions=(4, 32))(images)) == {
            4: (40, 16, 24),
            32: (320, 2, 3),
        }
        dilated = ContractingPath("resnet18", reductions=(4, 32), dilated=True)(images)
        assert shapes(dilated) == {4: (64, 16, 24), 32: (512, 4, 6)}


def test_features_whose_channels_stand_last_are_turned() -> None:
    path = ContractingPath("swin_tiny_patch4_window7_224", reductions=(32,)).eval()
    with torch.no_grad():
        assert path(torch.zeros(1, 3, 224, 224))[32].shape == (1, 768, 7, 7)


def test_the_halves_compose_to_the_whole() -> None:
    torch.manual_seed(0)
    images = torch.randn(1, 3, 64, 64)
    for name in ("resnet18", "inception_v3"):
        path = settled(ContractingPath(name))
        assert isinstance(path, ContractingPath)
        first, last = path.halves()
        with torch.no_grad():
            whole = path(images)
            torch.testing.assert_close(first(images), whole[16])
            torch.testing.assert_close(last(first(images)), whole[32])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"backbone": "inception_v33"}, r"Unknown backbone 'inception_v33'\. Did you mean"),
        (
            {"backbone": "convnext_atto", "reductions": (2, 32)},
            r"'convnext_atto' has no features at 1/2 of the side; it has 1/4",
        ),
        ({"backbone": "vit_tiny_patch16_224"}, r"has no features at 1/2 of the side; it has 1/16\. Use"),
        (
            {"backbone": "dla34", "dilated": True},
            r"'dla34' gives no dilated feature maps \(AssertionError\)\. Use",
        ),
        ({"backbone": "caformer_s18", "dilated": True}, r"'caformer_s18' gives no dilated feature maps"),
        (
            {"weights": "absent.pth"},
            r"Weights file absent\.pth does not exist\. Give a \.pth",
        ),
    ],
)
def test_what_cannot_be_built_is_said_in_one_line(options: dict[str, object], message: str) -> None:
    with pytest.raises(RetinalabError, match=message) as raised:
        ContractingPath(**options)  # type: ignore[arg-type]
    assert "\n" not in str(raised.value)


def test_a_side_that_is_no_multiple_of_32_is_refused() -> None:
    with pytest.raises(RetinalabError, match=r"100x64 pixels .* multiple of 32, such as 96\."):
        ContractingPath("resnet18")(torch.zeros(1, 3, 100, 64))


def test_a_backbone_that_cannot_be_cut_is_refused() -> None:
    with pytest.raises(RetinalabError, match="cannot be cut in two"):
        ContractingPath("efficientnet_b0", reductions=(16, 32)).halves()


def test_the_tag_of_stored_weights_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, str]] = []
    make = inception.timm_model

    def noted(name: str, weights: str = "none", **options: Any) -> torch.nn.Module:
        asked.append((name, weights))
        return make(name.split(".")[0], "none", **options)

    monkeypatch.setattr(inception, "timm_model", noted)
    ContractingPath("inception_v3.gluon_in1k", "timm", (32,))
    assert asked == [("inception_v3.gluon_in1k", "timm")]
