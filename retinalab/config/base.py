"""The base of every configuration, and the kinds of names and folders that its fields hold."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PlainSerializer

__all__ = ["Folder", "Model", "PlainName", "SetName", "TaskConfig", "as_sets"]

Folder = Annotated[Path, PlainSerializer(str, return_type=str)]


def _folder_name(name: str) -> str:
    if not name.strip() or name.startswith(".") or any(sign in name for sign in "/\\\0\n"):
        raise ValueError("names a folder of the results: no slash, no dot at its beginning, not empty")
    return name


PlainName = Annotated[str, AfterValidator(_folder_name)]
SetName = Annotated[str, AfterValidator(lambda name: name.replace("-", "_"))]


class Model(BaseModel):
    """Base of every configuration: immutable, unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class TaskConfig(Model):
    """Base of a task's own options; a plugin derives from it and keeps the paper's values as defaults."""

    name: str = Field(description="the task, as registered in the entry-point group retinalab.tasks")

    def smoke(self) -> TaskConfig:
        """The same options reduced for a run of two steps; the default changes nothing."""
        return self


def as_sets(value: Any) -> Any:
    """A plain list of data sets, as the section that names them."""
    return {"sets": value} if isinstance(value, list | tuple) else value
