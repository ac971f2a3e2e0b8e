"""How the field of view lies in the photograph's frame: its shape, where it is cut, what surrounds it."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from retinalab.data.fov import Fov

__all__ = ["FIELD", "Frame", "field_features", "frame_of"]

FIELD = (
    "share of the frame",
    "width in the frame",
    "height in the frame",
    "off centre horizontally",
    "off centre vertically",
    "ellipticity",
    "roundness",
    "cut top",
    "cut bottom",
    "cut left",
    "cut right",
    "background",
    "notch",
)

_THUMBNAIL = 256
_SIDE = 128
_DEPTH = 0.01
_CUT = 2.0
_FEWEST = 8
_TOLERANCE = 0.02
_RING = (1.03, 1.12)
_SURROUND = 1.15


@dataclass(frozen=True)
class Frame:
    """Where in a photograph its working image was cut out.

    Attributes:
        height: of the photograph in pixels, as its file has it; nan unknown.
        width: likewise.
        box: left, top and side of the square that was cut out, in those pixels.
        background: mean level outside the field, 0 black to 1 white; nan where there is no outside, or only the
            working image, in which it is blackened, is at hand.
        notch: share of a narrow ring around the field that is not background, as where a camera marks the eye's
            side with a tab; nan likewise.
    """

    height: float
    width: float
    box: tuple[float, float, float]
    background: float = np.nan
    notch: float = np.nan


def frame_of(
    photograph: npt.NDArray[np.uint8], fov: Fov, height: int | None = None, width: int | None = None
) -> Frame:
    """The frame of a photograph that is at hand as it was decoded.

    Args:
        photograph: at any scale.
        fov: its field of view.
        height: of the file in pixels, where the photograph was decoded at a reduced scale.
        width: likewise.

    Shape:
        - ``photograph``: ``(H, W, 3)``, uint8, RGB.
    """
    full = fov.rescale(height or photograph.shape[0], width or photograph.shape[1])
    background, notch = _surround(photograph, fov)
    return Frame(full.height, full.width, (full.x0, full.y0, full.side), background, notch)


def field_features(inside: npt.NDArray[np.bool_], frame: Frame) -> npt.NDArray[np.float64]:
    """Shape and border of the field of view, named by :data:`FIELD`.

    In order: area of the field over that of the frame, its width and height over the frame's, the distances of its
    centre from the frame's over the frame's width and height (all about 0 to 1, signed distances -0.5 to 0.5); half
    axes rx / ry of the outline (1 a circle) and the share of the outline that lies on it; for each side how long the
    field's outermost chord is, over the working image's side: 0.2 for a whole circle, up to 1 where it is cut; the
    background's level, 0 black to 1 white; the share of the ring around the field that is a notch.

    Args:
        inside: the field in the working image.
        frame: where that was cut out.

    Shape:
        - ``inside``: ``(S, S)``, bool.
        - Returns: ``(13,)``, float64; nan where unknown.
    """
    x0, y0, side = frame.box
    unknown = np.full(len(FIELD), np.nan)
    unknown[-2:] = frame.background, frame.notch
    small = cv2.resize(inside.astype(np.uint8) * 255, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
    piece = _piece(np.asarray(small) >= 128)
    if piece is None or not np.isfinite([frame.height, frame.width, side]).all():
        return unknown
    left, top, wide, high = cv2.boundingRect(piece)
    scale = side / _SIDE
    centre_x, centre_y = x0 + (left + wide / 2) * scale, y0 + (top + high / 2) * scale
    ellipticity, roundness = _outline(piece, frame)
    shape = [
        float(piece.sum()) * scale**2 / (frame.height * frame.width),
        wide * scale / frame.width,
        high * scale / frame.height,
        centre_x / frame.width - 0.5,
        centre_y / frame.height - 0.5,
        ellipticity,
        roundness,
    ]
    return np.array([*shape, *_chords(piece, left, top, wide, high), frame.background, frame.notch])


def _piece(field: npt.NDArray[np.bool_]) -> npt.NDArray[np.uint8] | None:
    """The largest connected piece with its holes filled."""
    contours, _ = cv2.findContours(field.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    if not contours:
        return None
    filled = np.zeros(field.shape, np.uint8)
    cv2.drawContours(filled, [max(contours, key=cv2.contourArea)], -1, 1, cv2.FILLED)
    return filled


def _outline(piece: npt.NDArray[np.uint8], frame: Frame) -> tuple[float, float]:
    """Half axes rx / ry of the upright ellipse through the outline, and the share of the outline that lies on it.

    Points where the frame cuts the field are left out. The crop is clean already, so that least squares will do.
    """
    contours, _ = cv2.findContours(piece, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    points = cv2.convexHull(contours[0])[:, 0, :] + 0.5
    x0, y0, side = frame.box
    low = (np.array([-x0, -y0]) * _SIDE / side) + _CUT
    high = (np.array([frame.width - x0, frame.height - y0]) * _SIDE / side) - _CUT
    x, y = (points[((points > low) & (points < high)).all(axis=1)] / _SIDE - 0.5).T
    if len(x) < _FEWEST:
        return np.nan, np.nan
    design = np.column_stack([x, y, np.ones_like(x), y**2])
    a, b, c, q = np.linalg.lstsq(design, -(x**2), rcond=None)[0]
    square = a**2 / 4 + b**2 / (4 * q) - c if q > 0 else -1.0
    if square <= 0:
        return np.nan, np.nan
    distance = np.hypot(x + a / 2, np.sqrt(q) * (y + b / (2 * q))) / np.sqrt(square)
    return float(np.sqrt(q)), float((np.abs(distance - 1) < _TOLERANCE).mean())


def _chords(piece: npt.NDArray[np.uint8], left: int, top: int, wide: int, high: int) -> list[float]:
    depth = round(_DEPTH * _SIDE)
    rows = (min(top + depth, top + high - 1), max(top + high - 1 - depth, top))
    columns = (min(left + depth, left + wide - 1), max(left + wide - 1 - depth, left))
    return [piece[row].sum() / _SIDE for row in rows] + [piece[:, c].sum() / _SIDE for c in columns]


def _surround(photograph: npt.NDArray[np.uint8], fov: Fov) -> tuple[float, float]:
    """Level of what surrounds the field, and the share of a ring around it that differs from that."""
    if fov.ellipse is None or fov.background == "none":
        return np.nan, np.nan
    step = max(1, max(photograph.shape[:2]) // _THUMBNAIL)
    small = np.ascontiguousarray(photograph[step // 2 :: step, step // 2 :: step])
    height, width = small.shape[:2]
    ellipse = fov.rescale(height, width).ellipse
    if ellipse is None:
        return np.nan, np.nan
    white = fov.background == "white"
    level = small.min(axis=2) if white else small.max(axis=2)
    outside = ellipse.draw(height, width, _SURROUND) == 0
    ring = (ellipse.draw(height, width, _RING[1]) > 0) & (ellipse.draw(height, width, _RING[0]) == 0)
    background = float(small[outside].mean()) / 255 if outside.any() else np.nan
    if not ring.any():
        return background, np.nan
    usual = float(np.median(level[outside])) if outside.any() else 255.0 * white
    return background, float((np.abs(level[ring].astype(np.float64) - usual) > 40).mean())
