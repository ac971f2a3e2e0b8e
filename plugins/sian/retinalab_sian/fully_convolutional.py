"""The fully convolutional networks that L-Net is compared with: FCN, U-Net, DeepLabv3+. No Lightning here."""

from __future__ import annotations

import torch
from segmentation_models_pytorch.base import SegmentationHead
from segmentation_models_pytorch.decoders.deeplabv3.decoder import DeepLabV3PlusDecoder
from segmentation_models_pytorch.decoders.unet.decoder import UnetDecoder
from torch import Tensor, nn

from retinalab.errors import RetinalabError
from retinalab.records import LESIONS
from retinalab_sian.contracting import STRIDE, ContractingPath
from retinalab_sian.lnet import begin_at, enlarged

__all__ = ["FCN", "DeepLabV3Plus", "PatchFCN", "UNet"]


class FCN(nn.Module):
    """FCN-32s, -16s or -8s: scores of several maps, added.

    Reference: Long et al., Fully convolutional networks for semantic segmentation, CVPR 2015; compared with in Tables 3
    and 5.

    Differs from its paper: Inception-v3 takes the place of VGG-16 and of its two 4,096-wide layers. As there, the
    enlargements by two are learned and begin bilinear, the last one is bilinear.

    Args:
        stride: 32, 16 or 8.
        backbone, weights, prior: as :class:`~retinalab_sian.lnet.LNet`.

    Shape:
        - as :class:`~retinalab_sian.lnet.LNet`.
    """

    def __init__(
        self, stride: int = 8, backbone: str = "inception_v3", weights: str = "none", prior: float = 0.01
    ) -> None:
        super().__init__()
        self.stride = stride
        self.levels = tuple(reduction for reduction in (32, 16, 8) if reduction >= stride)
        self.contracting = ContractingPath(backbone, weights, self.levels)
        channels = self.contracting.channels
        self.scores = nn.ModuleList(nn.Conv2d(channels[r], len(LESIONS), 1) for r in self.levels)
        self.enlarge = nn.ModuleList(_bilinear(len(LESIONS)) for _ in self.levels[1:])
        for score in self.scores:
            assert isinstance(score, nn.Conv2d)
            begin_at(score, 0.5)
        first = self.scores[0]
        assert isinstance(first, nn.Conv2d)
        begin_at(first, prior)

    def forward(self, images: Tensor) -> Tensor:
        """Logits of each lesion at every pixel."""
        maps = self.contracting(images)
        scores: Tensor = self.scores[0](maps[STRIDE])
        for reduction, score, enlarge in zip(self.levels[1:], self.scores[1:], self.enlarge, strict=True):
            scores = enlarge(scores) + score(maps[reduction])
        return enlarged(scores, self.stride)


class PatchFCN(nn.Module):
    """FCN-32s on windows of a quarter of the side.

    In training the photograph is cut into 4 × 4 windows without overlap. In evaluation the windows lie half a window
    apart, and where they overlap their probabilities are averaged.

    Reference: section 4.2.1: windows of 224 × 224 pixels and a stride of 112 at 896 × 896.

    Args:
        backbone, weights, prior: as :class:`~retinalab_sian.lnet.LNet`.

    Shape:
        - ``images``: ``(B, 3, 128h, 128w)``. Returns: ``(B, 8, 128h, 128w)`` logits.
    """

    def __init__(self, backbone: str = "inception_v3", weights: str = "none", prior: float = 0.01) -> None:
        super().__init__()
        self.fcn = FCN(STRIDE, backbone, weights, prior)

    def forward(self, images: Tensor) -> Tensor:
        """Logits of each lesion at every pixel."""
        height, width = images.shape[-2:]
        if height % (4 * STRIDE) or width % (4 * STRIDE):
            raise RetinalabError(
                f"Photographs of {height}x{width} pixels give no 4x4 windows whose sides are multiples of {STRIDE}. "
                f"Set data.size (or data.crop) to a multiple of {4 * STRIDE}, such as 896."
            )
        return self._apart(images) if self.training else self._overlapping(images)

    def _apart(self, images: Tensor) -> Tensor:
        batch, channels, height, width = images.shape
        windows = images.reshape(batch, channels, 4, height // 4, 4, width // 4).permute(0, 2, 4, 1, 3, 5)
        scores: Tensor = self.fcn(windows.flatten(0, 2))
        apart = scores.reshape(batch, 4, 4, len(LESIONS), height // 4, width // 4)
        return apart.permute(0, 3, 1, 4, 2, 5).reshape(batch, len(LESIONS), height, width)

    def _overlapping(self, images: Tensor) -> Tensor:
        height, width = images.shape[-2:]
        rows, columns = height // 4, width // 4
        total = images.new_zeros(images.shape[0], len(LESIONS), height, width, dtype=torch.float32)
        times = total.new_zeros(1, 1, height, width)
        for top in range(0, height - rows + 1, rows // 2):
            for left in range(0, width - columns + 1, columns // 2):
                place = (..., slice(top, top + rows), slice(left, left + columns))
                total[place] += self.fcn(images[place]).float().sigmoid()
                times[place] += 1
        return (total / times).logit(eps=1e-6)


class UNet(nn.Module):
    """The decoder of segmentation-models-pytorch's U-Net over the contracting path.

    Reference: Ronneberger et al., U-Net, MICCAI 2015; compared with in Tables 3, 5 and 6.

    Args:
        backbone, weights, prior: as :class:`~retinalab_sian.lnet.LNet`.

    Shape:
        - as :class:`~retinalab_sian.lnet.LNet`.
    """

    def __init__(self, backbone: str = "inception_v3", weights: str = "none", prior: float = 0.01) -> None:
        super().__init__()
        self.contracting = ContractingPath(backbone, weights)
        widths = (256, 128, 64, 32, 16)
        self.decoder = UnetDecoder((3, *self.contracting.channels.values()), widths)
        self.head = SegmentationHead(widths[-1], len(LESIONS))
        begin_at(self.head[0], prior)

    def forward(self, images: Tensor) -> Tensor:
        """Logits of each lesion at every pixel."""
        logits: Tensor = self.head(self.decoder([images, *self.contracting(images).values()]))
        return logits


class DeepLabV3Plus(nn.Module):
    """The decoder of segmentation-models-pytorch's DeepLabv3+ over the dilated contracting path.

    Reference: Chen et al., Encoder-decoder with atrous separable convolution, ECCV 2018; compared with in Tables 3, 5
    and 6.

    Args:
        backbone, weights, prior: as :class:`~retinalab_sian.lnet.LNet`.

    Shape:
        - as :class:`~retinalab_sian.lnet.LNet`; in training B is at least 2, since the pooled branch is normalised.
    """

    def __init__(self, backbone: str = "inception_v3", weights: str = "none", prior: float = 0.01) -> None:
        super().__init__()
        self.contracting = ContractingPath(backbone, weights, (4, 32), dilated=True)
        low, high = self.contracting.channels.values()
        self.decoder = DeepLabV3PlusDecoder(
            (3, 0, low, 0, 0, high),
            encoder_depth=5,
            out_channels=256,
            atrous_rates=(12, 24, 36),
            output_stride=16,
            aspp_separable=True,
            aspp_dropout=0.5,
        )
        self.head = nn.Conv2d(256, len(LESIONS), 1)
        begin_at(self.head, prior)

    def forward(self, images: Tensor) -> Tensor:
        """Logits of each lesion at every pixel."""
        maps = self.contracting(images)
        fused = self.decoder([images, images, maps[4], maps[32]])
        return enlarged(self.head(fused), 4)


def _bilinear(channels: int) -> nn.ConvTranspose2d:
    """Learned enlargement by two that begins as the bilinear one, each channel alone."""
    layer = nn.ConvTranspose2d(channels, channels, 4, 2, 1, bias=False)
    line = torch.tensor([0.25, 0.75, 0.75, 0.25])
    with torch.no_grad():
        layer.weight.copy_(torch.eye(channels)[:, :, None, None] * torch.outer(line, line))
    return layer
