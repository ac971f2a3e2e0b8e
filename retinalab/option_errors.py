"""What is wrong with an option, in a line: where it stands, what was given, the nearest match, the choices."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any, get_args

from pydantic import BaseModel

__all__ = ["option_error"]


def option_error(
    error: Any, root: type[BaseModel], prefix: tuple[str, ...], stages: Iterable[str] = ()
) -> str:
    """One of pydantic's errors as a line.

    Args:
        error: as ``ValidationError.errors()`` lists it.
        root: the model that was to be validated.
        prefix: where its section stands in the experiment.
        stages: names that an option's first word may be, beside the model's own.
    """
    location = tuple(str(part) for part in error["loc"])
    shown = ".".join((*prefix, *location))
    if error["type"] == "extra_forbidden":
        names = [*_fields(root, location[:-1]), *(() if location[:-1] else dict.fromkeys(stages))]
        near = difflib.get_close_matches(location[-1], names, n=1, cutoff=0.5)
        hint = f"; did you mean {'.'.join((*prefix, *location[:-1], near[0]))}?" if near else ";"
        return f"{shown}={error['input']!r}: unknown option{hint} Choices: {', '.join(sorted(names))}"
    if error["type"] == "missing":
        return f"{shown}: required and not given"
    message = error["msg"].removeprefix("Value error, ")
    if not location:  # of several options together
        return f"{shown}: {message}" if shown and not message.startswith(shown) else message
    near = difflib.get_close_matches(str(error["input"]), _expected(error), n=1, cutoff=0.5)
    if error["input"] == "none" and not near:
        near = ["null"]
    guess = f" (did you mean {near[0]!r}?)" if near else ""
    return f"{shown}={error['input']!r}: {message}{guess}"


def _expected(error: Any) -> list[str]:
    text = str(error.get("ctx", {}).get("expected", ""))
    return [part.strip("' ") for part in text.replace(" or ", ", ").split(",")]


def _fields(root: type[BaseModel], path: tuple[str, ...]) -> list[str]:
    """Names of the options at a path of nested models; mappings of models count one step for their key."""
    kinds: list[Any] = [root]
    for part in path:
        step: list[Any] = []
        for kind in kinds:
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                if part in kind.model_fields:
                    step.extend(_models(kind.model_fields[part].annotation))
            else:
                step.extend(_models(kind.annotation))
        kinds = step
    return [
        name
        for kind in kinds
        if isinstance(kind, type) and issubclass(kind, BaseModel)
        for name in kind.model_fields
    ]


def _models(annotation: Any) -> list[Any]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    inner = get_args(annotation)
    if annotation is not None and getattr(annotation, "__origin__", None) is dict:
        return [_Values(inner[1])]
    return [model for part in inner for model in _models(part)]


class _Values:
    """Marks the values of a mapping, which its key steps into."""

    def __init__(self, annotation: Any) -> None:
        self.annotation = annotation
