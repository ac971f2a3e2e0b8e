"""From an experiment to a results folder: stages trained, evaluated once, gathered, reported."""

from __future__ import annotations

from retinalab.runner.pictures import pictures_of
from retinalab.runner.run import Result, run

__all__ = ["Result", "pictures_of", "run"]
