"""Whether a picture is a fundus photograph at all, and a flag for those that can hardly be graded.

A network answers on anything: on a cat too. What it was never shown is told by properties that every colour photograph
of the retina shares: a round field on an even dark or white ground; red above green above blue nearly everywhere;
darker lines and spots in it, but little bright detail; most of its contrast coarse. Each is a number with a limit,
a quarter beyond the extreme value in the 1,200 photographs of DeepDRiD's training part; but for that of the ground,
which leaves room for the noise of a camera, since DeepDRiD's has been cleaned. What the limits cannot tell is a picture
made to look like a fundus, such as a blotchy reddish disc on black.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

import cv2
import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:  # the field of view is found with torch, and tables are read without it
    from retinalab.data.fov import Fov

__all__ = ["FLAGS", "GRADED", "LIMITS", "Flag", "Limit", "Quality", "measured", "quality_of"]

Flag = Literal["good", "grey", "dark", "blurred", "no fundus", "unreadable"]

FLAGS: Mapping[Flag, str] = MappingProxyType(
    {
        "good": "nothing of note",
        "grey": "a photograph without colour, as of a red-free or monochrome camera",
        "dark": "mean red under 45 of 255",
        "blurred": "dark detail under 0.0105, below which 1 % of DeepDRiD's training photographs lie",
        "no fundus": "no photograph of the retina, by its limits or for want of any field of view; not graded",
        "unreadable": "no image could be read; not graded",
    }
)
"""What the ``quality`` of a table may be."""

GRADED: tuple[Flag, ...] = ("good", "grey", "dark", "blurred")

_SIDE = 256
_DETAIL = 11  # pixels: wider than the widest vessel
_GREY = 0.05
_DARK = 45.0
_BLURRED = 0.0105
_FEWEST = 400  # pixels of a field that measures can be taken from


@dataclass(frozen=True)
class Limit:
    """The range of a measure in fundus photographs.

    Attributes:
        seen: its smallest and largest value in DeepDRiD's training part.
        below, above: what a picture does whose value lies beyond them by more than a quarter, in words; "" where that
            says nothing.
        coloured: whether it says nothing of a grey picture.
    """

    seen: tuple[float, float]
    below: str = ""
    above: str = ""
    coloured: bool = False

    @property
    def least(self) -> float:
        """Smallest value that is let pass."""
        return self.seen[0] / _MARGIN if self.below else -np.inf

    @property
    def most(self) -> float:
        """Largest value that is let pass."""
        return self.seen[1] * _MARGIN if self.above else np.inf


_MARGIN = 1.25
_GROUND = 12 / _MARGIN
_NOISY, _PLAIN = "its detail is that of noise, print or a scene", "no vessels stand out in it"
_COLOUR = "its colours are not those of a retina"

LIMITS: Mapping[str, Limit] = MappingProxyType(
    {
        "ground": Limit((0.0, _GROUND), "", "what surrounds its field is not even"),
        "ordered": Limit((0.708, 1.0), _COLOUR, "", True),
        "red": Limit((0.350, 0.769), _COLOUR, _COLOUR, True),
        "colours": Limit((0.018, 0.237), "", _COLOUR, True),
        "dark detail": Limit((0.0069, 0.112), _PLAIN),
        "bright detail": Limit((0.0067, 0.119), "", _NOISY),
        "slope": Limit((0.047, 0.571), _PLAIN, _NOISY),
        "fine": Limit((0.145, 1.569), _PLAIN, _NOISY),
        "middle": Limit((0.116, 1.207), _PLAIN, _NOISY),
        "coarse": Limit((0.014, 0.106), "", _NOISY),
    }
)
"""Measure -> its range. See :func:`measured` for what they are."""


@dataclass(frozen=True)
class Quality:
    """What is thought of a picture.

    Attributes:
        flag: one of :data:`FLAGS`.
        reason: why it is no fundus photograph, else "".
    """

    flag: Flag
    reason: str = ""


def quality_of(image: npt.NDArray[np.uint8], fov: Fov) -> Quality:
    """Judge a decoded picture by the limits.

    Args:
        image: as it was decoded, at any size from about 200 pixels on.
        fov: its field of view.

    Shape:
        - ``image``: ``(H, W, 3)``, uint8, RGB.
    """
    if fov.ellipse is None:
        return Quality("no fundus", "it shows no round field of view")
    found = measured(image, fov)
    if not found:
        return Quality("no fundus", "its field of view is too small to judge")
    grey = found["saturation"] < _GREY
    for name, limit in LIMITS.items():
        value = found[name]
        if (grey and limit.coloured) or limit.least <= value <= limit.most:
            continue
        said = limit.below if value < limit.least else limit.above
        bound = f"under {limit.least:.3g}" if value < limit.least else f"over {limit.most:.3g}"
        return Quality("no fundus", f"{said} ({name} {value:.3g}, {bound})")
    if grey:
        return Quality("grey")
    if found["level"] < _DARK:
        return Quality("dark")
    return Quality("blurred" if found["dark detail"] < _BLURRED else "good")


def measured(image: npt.NDArray[np.uint8], fov: Fov) -> dict[str, float]:
    """The measures of a picture at 256 pixels on its longer side; empty where its field is too small.

    - ground: standard deviation of the brightness outside the field.
    - ordered: share of the field's pixels with red ≥ green ≥ blue, 6 levels to spare.
    - red: mean of red / (red + green + blue); colours: its standard deviation over its mean.
    - saturation: mean of (largest − smallest) / largest channel; level: mean red, of 255.
    - dark, bright detail: mean closing minus image, and image minus opening, of green with an 11 pixel disc.
    - slope: mean length of the Sobel gradient of green.
    - fine, middle: contrast finer than 1, and between 1 and 2 pixels (Gaussians), over that between 4 and 8;
      coarse: the last.

    Details, slope and coarse are relative to the mean of green, 5 levels added for the darkest.

    Shape:
        - ``image``: ``(H, W, 3)``, uint8, RGB.
    """
    small = _reduced(image)
    height, width = small.shape[:2]
    outline = fov.rescale(height, width).ellipse
    assert outline is not None
    inner = outline.draw(height, width, 0.95)
    if cv2.countNonZero(inner) < _FEWEST:
        return {}
    outside = outline.draw(height, width, 1.04) == 0
    ground = small.max(axis=2)[outside]
    found = {"ground": float(ground.std()) if ground.size > 20 else 0.0}
    return found | _colour(small[inner > 0]) | _detail(small[..., 1].astype(np.float32), inner)


def _reduced(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    height, width = image.shape[:2]
    factor = _SIDE / max(height, width)
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    method = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, size, interpolation=method), np.uint8)


def _colour(pixels: npt.NDArray[np.uint8]) -> dict[str, float]:
    values = pixels.astype(np.float64)
    red, green, blue = values.T
    share = red / (values.sum(axis=1) + 1e-6)
    largest = values.max(axis=1)
    return {
        "ordered": float(((red >= green - 6) & (green >= blue - 6)).mean()),
        "red": float(share.mean()),
        "colours": float(share.std() / max(share.mean(), 1e-6)),
        "saturation": float(((largest - values.min(axis=1)) / (largest + 1e-6)).mean()),
        "level": float(red.mean()),
    }


def _detail(green: npt.NDArray[np.float32], inner: npt.NDArray[Any]) -> dict[str, float]:
    core = cv2.erode(inner, np.ones((9, 9), np.uint8), borderType=cv2.BORDER_CONSTANT, borderValue=0)
    core = core if cv2.countNonZero(core) else inner
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (_DETAIL, _DETAIL))
    across, down = cv2.Sobel(green, cv2.CV_32F, 1, 0), cv2.Sobel(green, cv2.CV_32F, 0, 1)
    one, two, four, eight = (cv2.GaussianBlur(green, (0, 0), sigma) for sigma in (1, 2, 4, 8))
    coarse = _deviation(four - eight, core)
    level = cv2.mean(green, core)[0] + 5
    return {
        "dark detail": cv2.mean(cv2.morphologyEx(green, cv2.MORPH_CLOSE, disc) - green, core)[0] / level,
        "bright detail": cv2.mean(green - cv2.morphologyEx(green, cv2.MORPH_OPEN, disc), core)[0] / level,
        "slope": cv2.mean(cv2.magnitude(across, down), core)[0] / level,
        "fine": _deviation(green - one, core) / (coarse + 0.1),
        "middle": _deviation(one - two, core) / (coarse + 0.1),
        "coarse": coarse / level,
    }


def _deviation(values: npt.NDArray[Any], core: npt.NDArray[Any]) -> float:
    return float(cv2.meanStdDev(values, mask=core)[1].item())
