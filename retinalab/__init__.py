"""Experiments for diabetic retinopathy and macular edema that anyone can run, compare and trust."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from retinalab.config import Experiment
    from retinalab.experiment import load_experiment
    from retinalab.runner import run

__all__ = ["Experiment", "__version__", "load_experiment", "run"]

__version__ = "0.1.0"

_HOMES = {
    "Experiment": "retinalab.config",
    "load_experiment": "retinalab.experiment",
    "run": "retinalab.runner",
}


def __getattr__(name: str) -> Any:
    """The names above are imported when they are used, so that listing papers imports no torch."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
