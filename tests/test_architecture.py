"""The rooms of the house: imports run one way, no paper's name in the core, public names are declared."""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
CORE = REPOSITORY / "retinalab"
MADE_UP = REPOSITORY / "tests/made_up/retinalab_madeup"
PLUGINS = [*sorted((REPOSITORY / "plugins").glob("*/retinalab_*")), MADE_UP]

LEVELS = {
    "counted": 0, "documents": 0, "errors": 0, "faults": 1, "option_errors": 0, "protocol": 0,
    "redacted": 0, "rounds": 0, "schema": 0,
    "records": 1, "units": 1, "config": 1, "overrides": 1, "registry": 1, "experiment": 2,
    "smoke": 2, "claims": 3, "synthetic": 3, "transforms": 3, "data": 4, "metrics": 4, "audit": 5, "code": 5,
    "runs": 5, "sweeps": 5, "testing": 5, "tasks": 5,
    "report": 6, "explain": 6,
    "leaderboard": 7, "reproduction": 7, "runner": 7, "export": 8, "predict": 8, "robustness": 8,
    "cli": 9, "__main__": 10,
}  # fmt: skip
"""A room imports its own level and those below; within a level only itself, but for the pairs in ``BESIDE``."""
BESIDE = {
    ("protocol", "errors"), ("schema", "errors"), ("records", "protocol"), ("records", "errors"),
    ("registry", "config"), ("config", "protocol"), ("metrics", "data"), ("data", "transforms"), ("report", "explain"),
    ("robustness", "predict"), ("export", "predict"),
}  # fmt: skip


def modules(folder: Path) -> Iterator[tuple[Path, ast.Module]]:
    for path in sorted(folder.rglob("*.py")):
        yield path, ast.parse(path.read_text(encoding="utf-8"))


def imported(tree: ast.Module, runtime: bool = True) -> Iterator[tuple[str, tuple[str, ...]]]:
    """(module, names) of every import; those under TYPE_CHECKING only where asked for."""
    hidden: set[int] = set()
    if runtime:
        for node in ast.walk(tree):
            if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
                hidden |= {id(inner) for inner in ast.walk(node)}
    for node in ast.walk(tree):
        if id(node) in hidden:
            continue
        if isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            yield node.module, tuple(alias.name for alias in node.names)
        elif isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, ()


def room(name: str) -> str:
    return name.split(".")[1] if "." in name else "__init__"


def test_imports_run_one_way() -> None:
    wrong = []
    for path, tree in modules(CORE):
        mine = room(".".join(path.relative_to(REPOSITORY).with_suffix("").parts))
        for module, _ in imported(tree):
            if not module.startswith("retinalab") or module.startswith("retinalab_"):
                continue
            theirs = room(module)
            if theirs == mine or "__init__" in (theirs, mine):
                continue
            same = LEVELS[theirs] == LEVELS[mine] and (mine, theirs) not in BESIDE
            if LEVELS[theirs] > LEVELS[mine] or same:
                wrong.append(f"{path.relative_to(REPOSITORY)} imports {module}")
    assert not wrong, "\n".join(wrong)


def test_every_room_has_a_level() -> None:
    rooms = {path.stem for path in CORE.iterdir() if path.suffix == ".py" or (path / "__init__.py").is_file()}
    assert rooms - {"__init__"} <= set(LEVELS), rooms - {"__init__"} - set(LEVELS)


def test_the_core_imports_no_plugin_and_holds_no_papers_name() -> None:
    papers = {path.parent.name for path in PLUGINS if path.parent.parent.name == "plugins"}
    papers |= {"canet", "clpi", "sian", "ellg"}
    pattern = re.compile(r"\b(" + "|".join(sorted(papers)) + r")\b", re.IGNORECASE)
    citing = {"errors.py"}  # an example of a mistyped name
    for path, tree in modules(CORE):
        for module, _ in imported(tree, runtime=False):
            assert not module.startswith("retinalab_"), f"{path} imports {module}"
        if path.name in citing:
            continue
        code = ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(code):  # docstrings may cite a paper; code may not know it
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node):
                node.body = node.body[1:]
            elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
                node.value = ast.Constant(0)
        for node in ast.walk(code):
            text = node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""
            name = (
                getattr(node, "id", None) or getattr(node, "attr", None) or getattr(node, "name", None) or ""
            )
            assert not pattern.search(f"{name if isinstance(name, str) else ''} {text}".replace("_", " ")), (
                f"{path.relative_to(REPOSITORY)}:{getattr(node, 'lineno', '?')}: {name} {text!r}"
            )


@pytest.mark.parametrize("folder", [CORE, *PLUGINS], ids=lambda folder: folder.name)
def test_every_module_declares_its_public_names(folder: Path) -> None:
    missing = []
    for path, tree in modules(folder):
        declared = [
            node
            for node in tree.body
            if isinstance(node, ast.Assign | ast.AnnAssign)
            and "__all__"
            in {getattr(t, "id", "") for t in getattr(node, "targets", [getattr(node, "target", None)])}
        ]
        empty = not tree.body or all(isinstance(node, ast.Expr) for node in tree.body)
        if not declared and not empty and path.name != "__main__.py":
            missing.append(str(path.relative_to(REPOSITORY)))
    assert not missing


@pytest.mark.parametrize("folder", [CORE, *PLUGINS], ids=lambda folder: folder.name)
def test_declared_names_exist(folder: Path) -> None:
    import sys

    if str(folder.parent) not in sys.path:
        sys.path.append(str(folder.parent))
    for path, _ in modules(folder):
        if path.name == "__main__.py":
            continue
        name = ".".join(path.relative_to(folder.parent).with_suffix("").parts).removesuffix(".__init__")
        module = importlib.import_module(name)
        for public in getattr(module, "__all__", []):
            assert hasattr(module, public), f"{name}.{public}"


@pytest.mark.parametrize("folder", PLUGINS, ids=lambda folder: folder.name)
def test_plugins_import_public_names_of_the_core_and_no_other_plugin(folder: Path) -> None:
    for path, tree in modules(folder):
        for module, names in imported(tree, runtime=False):
            if module.startswith("retinalab_"):
                assert module.split(".")[0] == folder.name, f"{path} imports {module}"
            elif module.startswith("retinalab"):
                public = getattr(importlib.import_module(module), "__all__", ())
                for name in names:
                    assert name in public, f"{path} imports {name} of {module}, which is not public"


def test_nothing_prints_but_the_command_line() -> None:
    for folder in (CORE, *PLUGINS):
        for path, tree in modules(folder):
            if "cli" in path.relative_to(folder).parts or path.name == "cli.py":
                continue
            calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
            assert not [c for c in calls if getattr(c.func, "id", "") == "print"], path


def test_networks_and_losses_know_no_lightning() -> None:
    for folder in (CORE, *PLUGINS):
        for path, tree in modules(folder):
            if path.stem in ("network", "loss", "attention", "backbone"):
                assert not [m for m, _ in imported(tree) if m.startswith("lightning")], path
