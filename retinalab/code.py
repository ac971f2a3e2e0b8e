"""What code a result comes from: a digest of each part of it that may change a figure."""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from retinalab.config import Experiment
from retinalab.data.sets import set_names
from retinalab.registry import Paper, installed_papers

__all__ = ["changed_code", "code_digests", "digest_of"]

_CORE = ("data", "metrics", "protocol", "records", "runner", "tasks", "transforms")
_BESIDE = ("children", "folder", "history", "jobs", "pictures", "provenance", "saliency", "trained", "wandb")
_ASIDE = ("data/check", *(f"runner/{one}" for one in _BESIDE))
"""Modules that check, lock, log and draw: they change no figure."""


def code_digests(experiment: Experiment) -> dict[str, str]:
    """Room of the core, or plugin -> digest of its code without comments, docstrings and layout.

    Only what the experiment uses: the adapters of its own data sets, the world where photographs are drawn, and the
    packages of its tasks.
    """
    used = set(_sets(experiment))
    core = Path(__file__).parent
    makes = any(stage.kind == "make_data" for stage in experiment.stages.values())
    rooms = [*_CORE, *["synthetic"] * ("synthetic" in used), *["explain"] * makes]
    found = {room: digest_of(core, room, frozenset(used)) for room in rooms}
    for package in sorted(_packages(experiment)):
        spec = find_spec(package)
        if spec is not None and spec.origin is not None and package != "retinalab":
            found[package] = digest_of(Path(spec.origin).parent, "")
    return found


def changed_code(then: Mapping[str, str], now: Mapping[str, str]) -> tuple[str, ...]:
    """Rooms and plugins whose digest is another one, or that only one side has.

    Example:
        >>> changed_code({"data": "a", "tasks": "b"}, {"data": "a", "tasks": "c", "metrics": "d"})
        ('metrics', 'tasks')
    """
    return tuple(sorted(name for name in {*then, *now} if then.get(name) != now.get(name)))


def digest_of(package: Path, room: str, sets: frozenset[str] = frozenset()) -> str:
    """Digest of a package's room, a folder or a module.

    Args:
        package: folder of the package.
        room: in it; empty: all of it.
        sets: data sets whose adapters count; those of others do not.
    """
    digest = hashlib.sha256()
    for name, file in _modules(package, room, sets):
        digest.update(f"{name} {_digest_of_file(file)}\n".encode())
    return digest.hexdigest()[:16]


def _modules(package: Path, room: str, sets: Iterable[str]) -> Iterator[tuple[str, Path]]:
    place = package / room if room else package
    files = sorted(place.rglob("*.py")) if place.is_dir() else [place.with_suffix(".py")]
    for file in files:
        name = file.relative_to(package).with_suffix("").as_posix()
        foreign = name.startswith("data/sets/") and file.stem in set_names() and file.stem not in sets
        if foreign or any(name == one or name.startswith(f"{one}/") for one in _ASIDE):
            continue
        if file.is_file():
            yield name, file


@lru_cache(maxsize=2048)
def _digest_of_file(file: Path) -> str:
    tree = _without_docstrings(ast.parse(file.read_bytes()))
    return hashlib.sha256(_shape(tree).encode()).hexdigest()


def _shape(node: Any) -> str:
    """A syntax tree as text that no version of Python writes otherwise: empty fields are left out."""
    if isinstance(node, ast.AST):
        fields = (
            (name, value)
            for name, value in ast.iter_fields(node)
            if value not in (None, []) and name != "kind"
        )
        return f"{type(node).__name__}({','.join(f'{name}={_shape(value)}' for name, value in fields)})"
    if isinstance(node, list):
        return f"[{','.join(map(_shape, node))}]"
    return repr(node)


def _without_docstrings(tree: ast.Module) -> ast.Module:
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and node.body:
            node.body = [one for one in node.body if not _is_text(one)]
    return tree


def _is_text(node: ast.stmt) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


def _sets(experiment: Experiment) -> Iterator[str]:
    for stage in experiment.stages.values():
        yield stage.data.set
        yield from stage.data.mix.sets
    for name in experiment.test.sets:
        yield str(experiment.test.options.get(name, {}).get("set", name))


def _packages(experiment: Experiment) -> set[str]:
    tasks = {stage.task.name for stage in experiment.stages.values()}
    targets = (found.tasks for found in installed_papers().values() if isinstance(found, Paper))
    mine = (target for each in targets for name, target in each.items() if name in tasks)
    return {target.partition(":")[0].partition(".")[0] for target in mine}
