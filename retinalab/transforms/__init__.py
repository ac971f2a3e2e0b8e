"""Augmentation drawn as one warp and one colour map, applied once, and normalisation on the device."""

from __future__ import annotations

from retinalab.transforms.draw import draw_colours, draw_warps, evaluation_warp, generator

__all__ = ["draw_colours", "draw_warps", "evaluation_warp", "generator"]
