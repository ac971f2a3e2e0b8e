"""Command-line overrides: ``train.task.learning_rate=1e-4`` laid over an experiment file's mapping."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from typing import Any

import yaml

from retinalab.documents import parse_yaml
from retinalab.errors import RetinalabError
from retinalab.rounds import each_stage

__all__ = ["merged", "overridden", "parse_override"]


def parse_override(text: str) -> tuple[tuple[str, ...], Any]:
    """Split ``key.path=value`` (also ``--key.path=value``, as a W&B agent writes it).

    Lists and mappings are read as YAML; everything else stays text, which the configuration converts: YAML would read
    ``1e-3`` as text and ``on`` as a truth value. ``null`` (or Python's ``None``) is no value; ``none`` stays a
    word, which
    several options have among their choices.

    Example:
        >>> parse_override("--train.task.learning_rate=1e-4")
        (('train', 'task', 'learning_rate'), '1e-4')
        >>> parse_override("test.sets=[a, b]")
        (('test', 'sets'), ['a', 'b'])
    """
    key, equals, value = text.removeprefix("--").partition("=")
    path = tuple(key.strip().split("."))
    if not equals or not all(path):
        raise RetinalabError(
            f"Override {text!r} is not of the form key.path=value, such as train.task.learning_rate=1e-4."
        )
    value = value.strip()
    if value.startswith(("[", "{")):
        try:
            return path, parse_yaml(value)
        except yaml.YAMLError as error:
            raise RetinalabError(
                f"Override {text!r}: the list or mapping cannot be read ({error})."
            ) from error
    return path, None if value in ("null", "None") else value


def overridden(raw: Mapping[str, Any], overrides: Iterable[str]) -> dict[str, Any]:
    """Lay overrides over an experiment's mapping.

    A first word that is a stage is short for ``stages.<stage>``. ``data.x`` reaches every stage, whatever its own data
    section says, because whoever types it means the run; ``train.data.x`` reaches one.
    """
    result: dict[str, Any] = _apart(dict(raw))
    for text in overrides:
        path, value = parse_override(text)
        stages = result.get("stages")
        names = tuple(stages) if isinstance(stages, Mapping) else ()
        if path[0] in names:
            path = ("stages", *path)
        _put(result, path, value, text)
        if path[0] == "data" and isinstance(stages, Mapping):
            for stage in each_stage(stages):
                _remove(stage, path)
    return result


def merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """``base`` with ``over`` laid on it, mapping by mapping.

    Example:
        >>> merged({"a": {"b": 1, "c": 2}}, {"a": {"b": 3}})
        {'a': {'b': 3, 'c': 2}}
    """
    result: dict[str, Any] = copy.deepcopy(dict(base))
    for key, value in over.items():
        both = isinstance(value, Mapping) and isinstance(result.get(key), Mapping)
        result[key] = merged(result[key], value) if both else copy.deepcopy(value)
    return result


def _apart(value: Any) -> Any:
    """A copy in which no mapping stands at two places, as YAML's aliases make them: what is set here stays here."""
    if isinstance(value, Mapping):
        return {key: _apart(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_apart(one) for one in value]
    return value


def _put(tree: dict[str, Any], path: tuple[str, ...], value: Any, text: str) -> None:
    for depth, key in enumerate(path[:-1]):
        if tree.get(key) is None:
            tree[key] = {}
        if not isinstance(tree[key], dict):
            raise _no_mapping(path, depth + 1, value, text)
        tree = tree[key]
    tree[path[-1]] = value


def _no_mapping(path: tuple[str, ...], depth: int, value: Any, text: str) -> RetinalabError:
    place, whole = ".".join(path[:depth]), "null" if value is None else str(value)
    for key in reversed(path[depth:]):
        whole = f"{{{key}: {whole}}}"
    return RetinalabError(
        f"Override {text!r}: {place} is a value and holds no {path[depth]!r}. Set {place}=VALUE or, where it takes a "
        f"mapping, the whole of it: '{place}={whole}'."
    )


def _remove(tree: Any, path: tuple[str, ...]) -> None:
    for key in path[:-1]:
        if not isinstance(tree, dict) or key not in tree:
            return
        tree = tree[key]
    if isinstance(tree, dict):
        tree.pop(path[-1], None)
