"""From the generator's probabilities to the attention map and the weighted photographs."""

from __future__ import annotations

from torch import Tensor

__all__ = ["attention_map", "weighted_attention", "weighted_by_units"]


def attention_map(probabilities: Tensor, size: tuple[int, int]) -> Tensor:
    """Repeat each unit's probabilities over the square that it stands for.

    Reference: Appendix A, Figure 9: 16×16 units become 512×512 pixels, each entry a constant square of 32×32.

    Differs from the released code: its nearest-neighbour resize aligns corners, so that squares are 18, 34 and 18
    pixels wide; here they are as the appendix says.

    Args:
        probabilities: P.
        size: height and width of the map, whole multiples of P's.

    Shape:
        - ``probabilities``: ``(B, n, h, w)``, float32 in [0, 1].
        - Returns: ``(B, n, H, W)``.

    Raises:
        ValueError: ``size`` is no multiple of P's size.

    Example:
        >>> import torch
        >>> attention_map(torch.tensor([[[[0.0, 1.0]]]]), (2, 4)).tolist()
        [[[[0.0, 0.0, 1.0, 1.0], [0.0, 0.0, 1.0, 1.0]]]]
    """
    height, width = probabilities.shape[2:]
    if size[0] % height or size[1] % width:
        raise ValueError(f"a map of {height}x{width} units cannot be repeated to {size[0]}x{size[1]} pixels")
    return probabilities.repeat_interleave(size[0] // height, 2).repeat_interleave(size[1] // width, 3)


def weighted_attention(images: Tensor, attention: Tensor) -> Tensor:
    """I_AM: the photograph weighted by one plus each class's attention, class by class.

    Channel ``3 k + j`` is ``I_j * (1 + W_k)``. Since the probabilities of a pixel sum to 1, I ≤ I_AM ≤ 2 I, and the n
    blocks sum to (n + 1) I.

    Reference: section III-B, Figure 2.

    Shape:
        - ``images``: ``(B, c, H, W)``, float32, at least 0.
        - ``attention``: ``(B, n, H, W)``, float32 in [0, 1], summing to 1 over n.
        - Returns: ``(B, n c, H, W)``, class-major.
    """
    return (images.unsqueeze(1) * (attention.unsqueeze(2) + 1)).flatten(1, 2)


def weighted_by_units(images: Tensor, probabilities: Tensor) -> Tensor:
    """The same as :func:`weighted_attention` of :func:`attention_map`, without making the map.

    Shape:
        - ``images``: ``(B, c, H, W)``, float32, at least 0. ``probabilities``: ``(B, n, h, w)``, in [0, 1].
        - Returns: ``(B, n c, H, W)``, class-major.

    Raises:
        ValueError: the photograph's size is no multiple of P's.
    """
    (batch, colours, height, width), (classes, rows, columns) = images.shape, probabilities.shape[1:]
    if height % rows or width % columns:
        raise ValueError(f"{height}x{width} pixels cannot be parted into {rows}x{columns} units")
    squares = images.contiguous().view(batch, 1, colours, rows, height // rows, columns, width // columns)
    weights = (probabilities.to(images.dtype).contiguous() + 1).view(batch, classes, 1, rows, 1, columns, 1)
    return (squares * weights).view(batch, classes * colours, height, width)
