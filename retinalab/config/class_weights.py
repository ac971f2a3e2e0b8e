"""Weights of grades in a loss: as a user writes them, and as tasks read them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import PlainValidator

__all__ = ["ALL", "ClassWeights"]

ALL = "all"
"""Stands for every disease where the weights name none."""

_BETA = 0.999
_CHOICES = (
    "give balanced, effective, {effective: beta} with 0 < beta < 1, one number for each grade, or a mapping of disease "
    "to any of these"
)


def _one(given: Any, of: str) -> str | dict[str, float] | tuple[float, ...]:
    """How one disease's grades are weighted."""
    if given == "balanced":
        return "balanced"
    if given == "effective":
        return {"effective": _BETA}
    if isinstance(given, Mapping) and set(given) == {"effective"}:
        beta = _number(given["effective"])
        if not 0 < beta < 1:
            raise ValueError(f"effective must lie between 0 and 1, got {given['effective']}")
        return {"effective": beta}
    if isinstance(given, list | tuple):
        weights = tuple(_number(one) for one in given)
        if not weights or min(weights) < 0 or max(weights) == 0:
            named = "" if of == ALL else f" of {of!r}"
            raise ValueError(f"the weights{named} must be at least 0 and not all 0, got {list(given)}")
        return weights
    raise ValueError(_CHOICES)


def _class_weights(given: Any) -> Any:
    if given is None:
        return None
    if isinstance(given, Mapping) and "effective" not in given:
        if not given:
            raise ValueError(_CHOICES)
        return {str(disease): _one(one, str(disease)) for disease, one in given.items()}
    return {ALL: _one(given, ALL)}


def _number(given: Any) -> float:
    try:
        value = float(given)
    except (TypeError, ValueError):
        raise ValueError(_CHOICES) from None
    if value != value or abs(value) == float("inf"):
        raise ValueError(f"weights must be finite numbers, got {given}")
    return value


ClassWeights = Annotated[Any, PlainValidator(_class_weights)]
"""Disease (or ``ALL``) -> ``"balanced"``, ``{"effective": beta}`` or a number for each grade; None: all weigh alike."""
