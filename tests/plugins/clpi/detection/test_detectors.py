"""Each detector learns for a step and gives boxes; a deformable convolution begins as the plain one."""

from __future__ import annotations

import pytest
import torch
from retinalab_clpi.detection import (
    DETECTORS,
    NOT_RUN,
    Photographs,
    Recipe,
    annotated,
    build_detector,
    detect,
    train_detector,
)
from retinalab_clpi.detection.deformable import DeformableConv2d, deform
from torch import nn
from torchvision.models.detection import fasterrcnn_resnet50_fpn
from torchvision.models.resnet import Bottleneck, ResNet

from retinalab.errors import RetinalabError


@pytest.mark.parametrize("bfloat16", [False, True])
@pytest.mark.parametrize("name", DETECTORS)
def test_losses_are_finite_and_detections_have_the_format(
    name: str, bfloat16: bool, photographs: Photographs
) -> None:
    torch.manual_seed(0)
    network = build_detector(name, photographs.size, "small", bfloat16=bfloat16)
    before = {key: value.clone() for key, value in network.named_parameters()}
    seen: list[dict[str, torch.Tensor]] = []
    network.register_forward_hook(lambda _, __, out: seen.append(out))
    train_detector(network, photographs, annotated(photographs.lesions, 0.3, 0), Recipe(2, 3, 0.01), 0)
    assert len(seen) == 2
    assert all(torch.isfinite(value) for losses in seen for value in losses.values())
    changed = [key for key, value in network.named_parameters() if not torch.equal(value, before[key])]
    assert len(changed) > 0.9 * len(before)
    found = detect(network, photographs)
    assert len(found) == len(photographs)
    for boxes in found:
        assert set(boxes) == {"boxes", "labels", "scores"}
        assert boxes["boxes"].shape == (len(boxes["labels"]), 4)
        assert boxes["boxes"].dtype == boxes["scores"].dtype == torch.float32
        assert ((boxes["boxes"] >= 0) & (boxes["boxes"] <= photographs.size)).all()
        assert ((boxes["labels"] >= 1) & (boxes["labels"] <= 3)).all()
        assert ((boxes["scores"] >= 0) & (boxes["scores"] <= 1)).all()


def test_photographs_without_any_annotation_are_background(photographs: Photographs) -> None:
    network = build_detector("ssd", photographs.size, "small")
    train_detector(network, photographs, annotated(photographs.lesions, 0.99, 0), Recipe(1, 6, 0.01), 0)


@pytest.mark.parametrize(("groups", "stride"), [(1, 1), (8, 2)])
def test_a_deformable_convolution_begins_as_the_plain_one(groups: int, stride: int) -> None:
    torch.manual_seed(0)
    plain = nn.Conv2d(16, 24, 3, stride, 1, groups=groups, bias=False)
    features = torch.randn(2, 16, 9, 11)
    moved = DeformableConv2d(plain)
    torch.testing.assert_close(moved(features), plain(features), rtol=1e-5, atol=1e-5)
    moved(features).square().sum().backward()
    assert moved.offset.weight.grad is not None
    assert moved.offset.weight.grad.abs().sum() > 0


def test_an_offset_moves_the_samples() -> None:
    plain = nn.Conv2d(1, 1, 3, 1, 1, bias=False)
    moved = DeformableConv2d(plain)
    nn.init.zeros_(moved.offset.weight)
    with torch.no_grad():
        moved.offset.bias.view(-1, 2)[:, 1] = 1.0  # type: ignore[union-attr]
    features = torch.randn(1, 1, 8, 8)
    shifted = plain(torch.nn.functional.pad(features[..., 1:], (0, 1)))
    torch.testing.assert_close(moved(features)[..., 1:-1], shifted[..., 1:-1], rtol=1e-5, atol=1e-5)


def test_every_bottleneck_of_the_stages_is_deformed() -> None:
    with torch.device("meta"):
        network = deform(ResNet(Bottleneck, [1, 2, 3, 1], groups=4, width_per_group=4))
    found = [name for name, module in network.named_modules() if isinstance(module, DeformableConv2d)]
    assert found == [f"layer{s}.{b}.conv2" for s, blocks in ((2, 2), (3, 3), (4, 1)) for b in range(blocks)]


def test_the_papers_scale_is_torchvisions_own() -> None:
    """Faster R-CNN from parts equals torchvision's builder, tensor by tensor in name and shape."""
    with torch.device("meta"):
        ours = build_detector("faster-rcnn", 1024).state_dict()
        theirs = fasterrcnn_resnet50_fpn(weights=None, weights_backbone=None, num_classes=4).state_dict()
        deformable = build_detector("faster-rcnn-resnext-dcn", 1024)
    assert {k: v.shape for k, v in ours.items()} == {k: v.shape for k, v in theirs.items()}
    assert sum(isinstance(module, DeformableConv2d) for module in deformable.modules()) == 4 + 23 + 3


def test_ssd_at_the_papers_scale(photographs: Photographs) -> None:
    torch.manual_seed(0)
    network = build_detector("ssd", 320).eval()
    with torch.no_grad():
        (found,) = network([torch.rand(3, 320, 320)])
    assert found["boxes"].shape[1] == 4
    smallest = network.anchor_generator.scales[0] * 320
    assert smallest == pytest.approx(68)


def test_an_unknown_detector_and_those_not_run() -> None:
    with pytest.raises(RetinalabError, match=r"faster-rcnn.*YOLO-V3 is not run: no permissive") as caught:
        build_detector("yolo-v3", 320)
    assert "\n" not in str(caught.value)
    assert set(NOT_RUN) == {"YOLO-V3"}
