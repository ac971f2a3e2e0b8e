"""Every message on the page is one that the code can say; every command, option and setting named there exists."""

from __future__ import annotations

import argparse
import ast
import os
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from retinalab.cli import _parser
from retinalab.config import Experiment, Stage
from retinalab.registry import task_config

REPOSITORY = Path(__file__).resolve().parents[2]
PAGE = (REPOSITORY / "docs/troubleshooting.md").read_text(encoding="utf-8")
MESSAGES = re.findall(r"^> `(.+)`$", PAGE, flags=re.M)
REMEDIES = sorted(set(re.findall(r"`([^`\n]+)`", re.sub(r"^>.*$", "", PAGE, flags=re.M))))
ENVIRONMENT = {"OMP_NUM_THREADS"}
PLACEHOLDERS = {"key=value", "…", "latest", "config.py"}


def text_of(node: ast.AST, known: dict[str, str]) -> str:
    """What a piece of code says, ``…`` for what is not known before it runs."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(text_of(part, known) for part in node.values)
    if isinstance(node, ast.FormattedValue) and isinstance(node.value, ast.Name):
        return known.get(node.value.id, "…")
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return text_of(node.left, known) + text_of(node.right, known)
    return "…"


def of_unknown(call: ast.Call) -> str:
    """What ``unknown(kind, got, choices, remedy, label)`` says."""
    given = [text_of(one, {}) for one in call.args] + [""] * 5
    named = {one.arg: text_of(one.value, {}) for one in call.keywords}
    remedy, label = named.get("remedy", given[3]), named.get("label", given[4]) or "Choices"
    return f"Unknown {given[0]} '…'. Did you mean '…'? {label}: …. {remedy}".strip()


def of_sources() -> Iterator[str]:
    for path in sorted((REPOSITORY / "retinalab").rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for function in [one for one in ast.walk(tree) if isinstance(one, ast.FunctionDef)] or [tree]:
            known = {
                one.targets[0].id: text_of(one.value, {})
                for one in ast.walk(function)
                if isinstance(one, ast.Assign) and isinstance(one.targets[0], ast.Name)
            }
            for node in ast.walk(function):
                if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "unknown":
                    yield of_unknown(node)
                elif isinstance(node, ast.Constant | ast.JoinedStr | ast.BinOp):
                    yield text_of(node, known)


@cache
def said() -> tuple[str, ...]:
    """Every text in the core that is long enough for a message."""
    found = {" ".join(text.split()) for text in of_sources()}
    return tuple(sorted(text for text in found if len(text.replace("…", "")) > 12))


def is_said(message: str) -> bool:
    """Whether some text of the code holds the message, of which ``…`` stands for anything."""
    pattern = re.compile(".*".join(map(re.escape, message.split("…"))))
    return any(pattern.search(text) for text in said())


@pytest.mark.parametrize("message", MESSAGES)
def test_a_message_is_one_that_the_code_says(message: str) -> None:
    literal = message.replace("…", "").strip()
    assert len(re.findall(r"\w+", literal)) >= 3, "too little of the message is quoted to know it by"
    assert is_said(message), f"no text of the code is {message!r}"


def test_a_message_that_nothing_says_is_found_out() -> None:
    assert is_said("No folder … for data set …. Check data.root (make: DATA=PATH)")
    assert not is_said("No folder … for data set …. Check data.folder (make: DATA=PATH)")
    assert not is_said("Unknown paper '…'. Did you mean '…'? Known: ….")
    assert not is_setting("data.fodler=PATH")
    assert not is_setting("train.trainer.max_epoch=5")
    assert not is_command("retinalab runs tidy")
    assert not is_command("retinalab compare --matrices")


def subparsers(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    found: dict[str, argparse.ArgumentParser] = {}
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            found.update(action.choices)
    return found


def options(parser: argparse.ArgumentParser) -> set[str]:
    """Of a command and of all below it."""
    own = {name for action in parser._actions for name in action.option_strings}
    return own.union(*map(options, subparsers(parser).values()))


def is_command(text: str) -> bool:
    """Whether ``retinalab …`` names a command and options that it has."""
    parser: argparse.ArgumentParser = _parser()
    words = text.split()[1:]
    while words and (below := subparsers(parser)):
        if words[0] not in below:
            return False
        parser = below[words.pop(0)]
    if parser.prog.endswith("data cache") and words and words[0] in ("list", "prune"):
        words.pop(0)
    placeholders = all(word.startswith(("--", "<")) for word in words)
    return placeholders and {word for word in words if word.startswith("--")} <= options(parser)


def is_setting(text: str) -> bool:
    """Whether every ``path.to.key=value`` is one of an experiment's, a stage's name standing first or not at all."""
    return all(
        _walks(Experiment, word.partition("=")[0].split("."))
        for word in text.strip("'").split(" ")
        if "=" in word or "." in word
    )


def _walks(model: Any, path: list[str]) -> bool:
    if not path:
        return True
    if model is Experiment and path[0] in ("data", "start_from"):
        return _walks(Stage, path)
    if model is Experiment and path[0] not in Experiment.model_fields:
        return len(path) > 1 and _walks(Stage, path[1:])
    if model is Stage and path[0] == "task":
        return _walks(task_config("baseline"), path[1:])
    if not (isinstance(model, type) and issubclass(model, BaseModel)):
        return model is dict or len(path) == 0
    if path[0] not in model.model_fields:
        return False
    return _walks(_inner(model.model_fields[path[0]].annotation), path[1:])


def _inner(annotation: Any) -> Any:
    """The model or mapping within ``X | None``, ``Annotated[X, …]`` and the like."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    origin = getattr(annotation, "__origin__", annotation)
    if origin is dict:
        return dict
    for one in getattr(annotation, "__args__", ()):
        found = _inner(one)
        if found is dict or (isinstance(found, type) and issubclass(found, BaseModel)):
            return found
    return None


def is_file(text: str) -> bool:
    """Whether the code writes or reads a file or folder of that name."""
    sources = (path.read_text(encoding="utf-8") for path in (REPOSITORY / "retinalab").rglob("*.py"))
    wanted = re.escape(text.rstrip("/")).replace("<stage>", r"\{\w+\}")
    return any(re.search(wanted, source) for source in sources)


@pytest.mark.parametrize("remedy", [one for one in REMEDIES if one not in PLACEHOLDERS])
def test_what_a_remedy_names_exists(remedy: str) -> None:
    if remedy.startswith("retinalab "):
        assert is_command(remedy)
    elif remedy.startswith("make "):
        assert re.search(rf"^{remedy.split()[1]}:", (REPOSITORY / "Makefile").read_text(), flags=re.M)
    elif remedy.startswith("pip install"):
        assert set(re.findall(r"--\S+", remedy)) <= {"--upgrade"}
    elif remedy.startswith("--"):
        assert remedy in options(_parser())
    elif remedy.partition("=")[0] in ENVIRONMENT:
        assert remedy.partition("=")[0] in os.environ
    elif "=" in remedy or re.fullmatch(r"(data|test|protocol|train)\.\w+(\.\w+)*", remedy):
        assert is_setting(remedy)
    else:
        assert is_file(remedy)


def test_the_page_covers_the_ways_of_going_wrong() -> None:
    headings = re.findall(r"^## (.+)$", PAGE, flags=re.M)
    assert len(headings) >= 6
    assert len(MESSAGES) == PAGE.count("\n> ")
    assert len(MESSAGES) >= 40
    for heading, text in zip(headings, re.split(r"^## .+$", PAGE, flags=re.M)[1:], strict=True):
        assert "> `" in text, heading
