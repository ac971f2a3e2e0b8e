"""Experiments for diabetic retinopathy and macular edema that anyone can run, compare and trust."""

from __future__ import annotations

__all__ = ["__version__"]

__version__ = "0.1.0"
