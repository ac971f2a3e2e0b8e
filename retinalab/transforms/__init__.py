"""Augmentation drawn as one warp and one colour map, applied once, and normalisation on the device."""

from __future__ import annotations

from retinalab.transforms.draw import draw_colour, draw_warp, evaluation_warp, generator

__all__ = ["draw_colour", "draw_warp", "evaluation_warp", "generator"]
