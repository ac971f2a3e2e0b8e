"""The base of every configuration, and the kinds of names and folders that its fields hold."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    model_validator,
)

from retinalab.config.class_weights import ClassWeights

__all__ = ["Folder", "Model", "Names", "PlainName", "SetName", "TaskConfig", "as_sets"]

Folder = Annotated[Path, PlainSerializer(str, return_type=str)]


def _folder_name(name: str) -> str:
    if not name.strip() or name.startswith(".") or any(sign in name for sign in "/\\\0\n"):
        raise ValueError("names a folder of the results: no slash, no dot at its beginning, not empty")
    return name


PlainName = Annotated[str, AfterValidator(_folder_name)]
SetName = Annotated[str, AfterValidator(lambda name: name.replace("-", "_"))]
Names = Annotated[tuple[str, ...], BeforeValidator(lambda one: (one,) if isinstance(one, str) else one)]


class Model(BaseModel):
    """Base of every configuration: immutable, unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class TaskConfig(Model):
    """Base of a task's own options; a plugin derives from it and keeps the paper's values as defaults.

    What stands here is offered by every task that is trained, for going on from weights that are there.
    """

    name: str = Field(description="the task, as registered in the entry-point group retinalab.tasks")
    freeze: Names = Field(
        (),
        description="parts of the network that keep their weights and running statistics: backbone, or names of its "
        "modules, such as backbone.layer1",
    )
    freeze_epochs: int | None = Field(
        None, ge=1, description="epochs after which they learn too; null: they never do"
    )
    layer_decay: float = Field(
        1.0,
        gt=0,
        le=1,
        description="factor of the learning rate from one block of the backbone to the one before it; what follows the "
        "backbone has the full rate",
    )
    class_weights: ClassWeights = Field(
        None,
        description="of the grades in the loss: balanced, effective (number of samples), {effective: beta}, one number "
        "for each grade, or a mapping of disease to any of these; default: all equal",
    )

    @model_validator(mode="after")
    def _thaws_what_is_frozen(self) -> TaskConfig:
        if self.freeze_epochs is not None and not self.freeze:
            raise ValueError("freeze_epochs needs freeze, which names what is frozen until then")
        return self

    def unused(self) -> frozenset[str]:
        """Options of this base, none of its own, that are as if they were not there: they change no result."""
        return frozenset(name for name in self._inherited() if not self._given(name))

    def of_training(self) -> dict[str, Any]:
        """Options of this base, none of its own, that were given: they speak of training, and mean nothing without."""
        return {name: self.model_dump(mode="json")[name] for name in self._inherited() if self._given(name)}

    def _given(self, name: str) -> bool:
        return bool(getattr(self, name) != TaskConfig.model_fields[name].default)

    def _inherited(self) -> list[str]:
        own = {
            name for kind in type(self).__mro__ if issubclass(kind, TaskConfig) and kind is not TaskConfig
            for name in vars(kind).get("__annotations__", {})
        }  # fmt: skip
        return [name for name in TaskConfig.model_fields if name != "name" and name not in own]

    def smoke(self) -> TaskConfig:
        """The same options reduced for a run of two steps; the default changes nothing."""
        return self


def as_sets(value: Any) -> Any:
    """A plain list of data sets, as the section that names them."""
    return {"sets": value} if isinstance(value, list | tuple) else value
