"""A made-up paper that asks for everything that a plugin may ask of the core; it stands for those that come."""

from __future__ import annotations

__all__: list[str] = []
