"""YAML and JSON made to run code, or to take all memory or time, are refused wherever a command reads them."""

from __future__ import annotations

import json
import os
import resource
import time
from pathlib import Path

import pytest
import yaml

from retinalab.cli import main
from retinalab.documents import MAX_JSON, MAX_YAML, parse_yaml, read_json, read_yaml

LAUGHS = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{k}: &a{k} [{', '.join([f'*a{k - 1}'] * 10)}]\n" for k in range(1, 10)
)
BAD = {
    "billion laughs": (LAUGHS, "aliases counted"),
    "merged laughs": (
        LAUGHS.replace("[x", "[{x: 1}").replace("a9: ", "<<: "),
        "aliases counted|merging|values",
    ),
    "holds itself": ("a: &a [1, *a]", "stands within what it names"),
    "deep flow": ("a: " + "[" * 100_000, "within one another"),
    "deep blocks": ("".join("  " * k + f"k{k}:\n" for k in range(400)), "within one another"),
    "no month": ("a: 2001-13-45", "cannot be read"),
    "long number": ("a: " + "9" * 5000, "cannot be read"),
    "empty number": ("a: !!int ''", "cannot be read"),
    "long": ("a: " + "x" * MAX_YAML, "longer than"),
}
CODE = (
    "!!python/object/apply:os.mkdir ['{}']",
    "!!python/object/new:os.mkdir ['{}']",
    "!!python/name:os.mkdir",
    "!!python/module:os",
    "!!python/object/apply:subprocess.check_call [['mkdir', '{}']]",
    "!!python/tuple [1]",
    "!custom {{a: 1}}",
)


@pytest.mark.parametrize("name", BAD)
def test_what_has_no_end(name: str, tmp_path: Path) -> None:
    text, words = BAD[name]
    began = time.process_time()
    with pytest.raises(yaml.YAMLError, match=words):
        parse_yaml(text)
    (tmp_path / "a.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(yaml.YAMLError, match=words):
        read_yaml(tmp_path / "a.yaml")
    assert time.process_time() - began < 60
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < 8 << 20


@pytest.mark.parametrize("code", CODE)
def test_python_objects_are_refused_and_nothing_runs(code: str, tmp_path: Path) -> None:
    touched = tmp_path / "touched"
    with pytest.raises(yaml.YAMLError):
        parse_yaml(f"a: {code.format(touched)}")
    assert not touched.exists()


def test_plain_values_and_aliases_are_read_as_pyyaml_reads_them() -> None:
    text = "a: &a {b: [1, 2.5, yes, null, 2001-01-02, x]}\nc: *a\nd: {<<: *a, e: [*a, *a]}\nf: |\n  text\n"
    assert parse_yaml(text) == yaml.safe_load(text)
    assert parse_yaml("") is None


def test_json(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps({"a": [1, None]}))
    assert read_json(path) == {"a": [1, None]}
    path.write_text("[" * 100_000)
    with pytest.raises(ValueError, match="within one another"):
        read_json(path)
    with path.open("wb") as file:
        file.truncate(MAX_JSON + 1)
    with pytest.raises(ValueError, match="longer than"):
        read_json(path)
    os.mkfifo(tmp_path / "pipe")
    for read in (read_json, read_yaml):
        with pytest.raises(OSError, match="no regular file"):
            read(tmp_path / "pipe")


@pytest.mark.parametrize(
    "content", [LAUGHS, "a: &a [*a]", "a: 2001-13-45", "- 1", CODE[0], "\x00", "[" * 5000]
)
def test_commands_say_it_in_a_line(tmp_path: Path, content: str, capsys: pytest.CaptureFixture[str]) -> None:
    """An experiment, a sweep, a kept run, claims and a leaderboard, each from a file of another person."""
    run = tmp_path / "run"
    run.mkdir()
    touched = tmp_path / "touched"
    for name in ("experiment.yaml", "metrics.json", "provenance.json", "state.json"):
        (run / name).write_text(content.format(touched) if "{}" in content else content, encoding="utf-8")
    file = str(run / "experiment.yaml")
    for words in (
        ["exp", "baseline", file],
        ["exp", "baseline", "synthetic", "--reuse", str(run)],
        ["predict", str(run), str(tmp_path), "--out", str(tmp_path / "out")],
        ["report", str(run)],
        ["leaderboard", file],
        ["table", "canet", "4", "--claims", file],
        ["evaluate", str(run)],
        ["compare", str(run), str(run)],
        ["explain", str(run)],
    ):
        assert main(words) == 2, words
        lines = capsys.readouterr().err.splitlines()
        assert [line for line in lines if line.startswith("retinalab: ")], (words, lines)
        assert not [line for line in lines if "Traceback" in line]
        assert not touched.exists()
