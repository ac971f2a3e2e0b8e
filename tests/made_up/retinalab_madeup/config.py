"""Options of the tasks."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from retinalab.config import TaskConfig

__all__ = ["MarksConfig", "MirrorConfig", "PatchesConfig", "SeverityConfig"]


class _Shared(TaskConfig):
    width: int = Field(8, ge=1, description="channels of the encoder")
    dropout: float = Field(0.1, ge=0, lt=1)
    learning_rate: float = Field(1e-2, gt=0)


class MarksConfig(_Shared):
    """Lesion maps, and presence as their largest value."""

    name: Literal["madeup-marks"] = "madeup-marks"


class SeverityConfig(_Shared):
    """Severity as one number per disease."""

    name: Literal["madeup-severity"] = "madeup-severity"


class PatchesConfig(_Shared):
    """Classes of windows."""

    name: Literal["madeup-patches"] = "madeup-patches"


class MirrorConfig(TaskConfig):
    """Photographs turned upside down."""

    name: Literal["madeup-mirror"] = "madeup-mirror"
    count: int = Field(10, ge=0, description="photographs to make")
