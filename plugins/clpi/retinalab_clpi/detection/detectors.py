"""The detectors that the generator is compared with, built from torchvision's parts for whole photographs."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Literal

import torch
from torch import Tensor, nn
from torchvision.models import resnet50, resnext101_64x4d
from torchvision.models.detection import FasterRCNN, ssd300_vgg16
from torchvision.models.detection.anchor_utils import AnchorGenerator, DefaultBoxGenerator
from torchvision.models.detection.backbone_utils import BackboneWithFPN
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.ssd import SSD
from torchvision.models.resnet import BasicBlock, Bottleneck, ResNet
from torchvision.ops import FrozenBatchNorm2d, MultiScaleRoIAlign

from retinalab.errors import unknown
from retinalab_clpi.detection.deformable import deform
from retinalab_clpi.generator import CLASSES, FIELD

__all__ = ["DETECTORS", "NOT_RUN", "READINGS", "DetectorScale", "build_detector"]

DetectorScale = Literal["paper", "small"]

NOT_RUN: Mapping[str, str] = MappingProxyType(
    {
        "YOLO-V3": "not run: no permissive, maintained package trains it. libreyolo 1.6 (MIT) predicts with it and "
        "refuses to train it; ultralytics (AGPL-3.0) and pytorchyolo (GPL-3.0) are not permissive; mmdet 3.3 "
        "(Apache-2.0, January 2024) needs mmcv < 2.2, which is not built for the torch used here; lightning-bolts 0.7 "
        "needs lightning < 2; paddledet 2.6 (Apache-2.0) needs another framework"
    }
)
"""Detectors of Figure 8 without a row of figures, and why."""

READINGS: Mapping[str, str] = MappingProxyType(
    {
        "Faster R-CNN": "the text prints 'Fast-RCNN' with the reference that section III-A cites for Faster R-CNN",
        "Faster R-CNN, ResNeXt, deformable": "the text prints 'ResNeXt10', read as ResNeXt-101; offsets in stages 3-5, "
        "which the text leaves open",
    }
)
"""What the paper's text was taken to mean."""

_MOST = 500
_SHALLOW = [1, 1, 1, 1]
_FPN = 128
_HEAD = 256
_SSD_SCALES = (0.07, 0.15, 0.33, 0.51, 0.69, 0.87, 1.05)
_SSD_ASPECTS = ([2], [2, 3], [2, 3], [2, 3], [2], [2])


class _Maps(nn.Module):
    """The last two maps of a residual network: strides 16 and 32."""

    def __init__(self, body: ResNet) -> None:
        super().__init__()
        self.stem = nn.Sequential(body.conv1, body.bn1, body.relu, body.maxpool, body.layer1, body.layer2)
        self.layer3, self.layer4 = body.layer3, body.layer4

    def forward(self, images: Tensor) -> OrderedDict[str, Tensor]:
        """``(B, 3, S, S)`` to two maps."""
        middle = self.layer3(self.stem(images))
        return OrderedDict([("0", middle), ("1", self.layer4(middle))])


class _Bfloat16(nn.Module):
    """A backbone that computes in bfloat16; boxes, losses and suppression stay in float32."""

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone

    def forward(self, images: Tensor) -> OrderedDict[str, Tensor]:
        """Maps in float32."""
        images = images.to(memory_format=torch.channels_last)
        with torch.autocast(images.device.type, torch.bfloat16):
            maps = self.backbone(images)
        return OrderedDict((name, value.float().contiguous()) for name, value in maps.items())


def build_detector(
    name: str, size: int, scale: DetectorScale = "paper", weights: bool = False, bfloat16: bool = False
) -> nn.Module:
    """A detector of the three lesions: torchvision's interface, so losses in training mode and boxes in evaluation.

    ``paper`` takes ResNet-50, VGG-16 or ResNeXt-101 and torchvision's own anchors and heads (SSD's scaled so that the
    smallest is the truth's side); ``small`` takes residual networks of one block a stage, which two processors can
    train, and one square anchor of the truth's side.

    Reference: section V, Figure 8.

    Differs from the paper: it names no backbone of the first, no anchors and no weights; see also ``READINGS``.

    Args:
        name: a key of ``DETECTORS``.
        size: side of the photographs; they are not resized.
        scale: ``paper`` or ``small``.
        weights: begin with torchvision's ImageNet backbone, which it downloads (``paper`` alone has one).
        bfloat16: whether the backbone computes in bfloat16.

    Raises:
        RetinalabError: no such detector.
    """
    if name not in DETECTORS:
        raise unknown("detector", name, DETECTORS, "; ".join(f"{k} is {v}" for k, v in NOT_RUN.items()) + ".")
    network = DETECTORS[name](size, scale, weights)
    if bfloat16:
        network.backbone = _Bfloat16(network.get_submodule("backbone"))
    return network


def _faster_rcnn(size: int, scale: DetectorScale, weights: bool) -> FasterRCNN:
    if scale == "small":
        return _small_faster_rcnn(ResNet(BasicBlock, _SHALLOW), size)
    return _paper_faster_rcnn(resnet50(**_imagenet(weights)), size)


def _faster_rcnn_deformable(size: int, scale: DetectorScale, weights: bool) -> FasterRCNN:
    if scale == "small":
        body = ResNet(Bottleneck, _SHALLOW, groups=8, width_per_group=4)
        return _small_faster_rcnn(deform(body, ("layer3", "layer4")), size)
    return _paper_faster_rcnn(deform(resnext101_64x4d(**_imagenet(weights))), size)


def _ssd(size: int, scale: DetectorScale, weights: bool) -> SSD:
    unit = FIELD / size
    if scale == "small":
        anchors = DefaultBoxGenerator([[], []], scales=[unit, 1.5 * unit, 2.25 * unit])
        return SSD(
            _Maps(ResNet(BasicBlock, _SHALLOW)), anchors, (size, size), len(CLASSES), detections_per_img=_MOST
        )
    published = ssd300_vgg16(weights=None, weights_backbone="DEFAULT" if weights else None, num_classes=2)
    scales = [value * unit / _SSD_SCALES[0] for value in _SSD_SCALES]
    centring = (
        {"image_mean": published.transform.image_mean, "image_std": published.transform.image_std}
        if weights
        else {}
    )
    return SSD(
        published.backbone,
        DefaultBoxGenerator([list(aspects) for aspects in _SSD_ASPECTS], scales=scales),
        (size, size),
        len(CLASSES),
        detections_per_img=_MOST,
        **centring,
    )


def _imagenet(weights: bool) -> dict[str, object]:
    """Stored weights come with frozen normalisation, as torchvision's own detectors have them."""
    return {"weights": "DEFAULT", "norm_layer": FrozenBatchNorm2d} if weights else {}


def _paper_faster_rcnn(body: ResNet, size: int) -> FasterRCNN:
    maps = {f"layer{stage}": str(stage - 1) for stage in range(1, 5)}
    backbone = BackboneWithFPN(body, maps, [256, 512, 1024, 2048], 256)
    return FasterRCNN(
        backbone,
        len(CLASSES),
        min_size=size,
        max_size=size,
        box_detections_per_img=_MOST,
        box_score_thresh=0.01,
    )


def _small_faster_rcnn(body: ResNet, size: int) -> FasterRCNN:
    widths = [body.fc.in_features // 2, body.fc.in_features]
    backbone = BackboneWithFPN(body, {"layer3": "0", "layer4": "1"}, widths, _FPN)
    levels = len(widths) + 1
    return FasterRCNN(
        backbone,
        min_size=size,
        max_size=size,
        rpn_anchor_generator=AnchorGenerator(((FIELD,),) * levels, ((1.0,),) * levels),
        rpn_pre_nms_top_n_train=600,
        rpn_post_nms_top_n_train=300,
        box_roi_pool=MultiScaleRoIAlign(["0"], 7, 2),
        box_head=TwoMLPHead(_FPN * 49, _HEAD),
        box_predictor=FastRCNNPredictor(_HEAD, len(CLASSES)),
        box_batch_size_per_image=128,
        box_detections_per_img=_MOST,
        box_score_thresh=0.01,
    )


DETECTORS: Mapping[str, Callable[[int, DetectorScale, bool], nn.Module]] = MappingProxyType(
    {
        "faster-rcnn": _faster_rcnn,
        "ssd": _ssd,
        "faster-rcnn-resnext-dcn": _faster_rcnn_deformable,
    }
)
"""Name -> builder of (size, scale, weights)."""
