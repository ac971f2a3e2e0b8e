"""Digests of code change with what the code does, and with nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from retinalab.code import code_digests, digest_of
from retinalab.experiment import load_experiment

SOURCE = '''
"""What it is."""

def double(x):
    """Twice."""
    return 2 * x  # a comment


class Empty:
    """Nothing."""
'''


def digest(
    folder: Path, source: str, room: str = "tasks", name: str = "tasks/a.py", **options: frozenset[str]
) -> str:
    folder.mkdir()
    (folder / name).parent.mkdir(parents=True)
    (folder / name).write_text(source, encoding="utf-8")
    return digest_of(folder, room, **options)


def test_words_and_layout_are_no_code(tmp_path: Path) -> None:
    plain = digest(tmp_path / "a", SOURCE)
    rewritten = (
        SOURCE.replace("Twice.", "Two times.").replace("  # a comment", "").replace("2 * x", "(\n2*x)")
    )
    rewritten = rewritten.replace("What it is", "Other words").replace("Nothing.", "None.")
    assert digest(tmp_path / "b", rewritten) == plain


@pytest.mark.parametrize(
    "change",
    [
        ("2 * x", "3 * x"),
        ("2 * x", "x * 2"),
        ("double", "twice"),
        ("(x)", "(x, y=0)"),
        ("class Empty", "class E"),
    ],
)
def test_any_other_operation_number_or_name_is(tmp_path: Path, change: tuple[str, str]) -> None:
    assert digest(tmp_path / "a", SOURCE) != digest(tmp_path / "b", SOURCE.replace(*change))


def test_the_name_of_a_module_counts(tmp_path: Path) -> None:
    assert digest(tmp_path / "a", SOURCE) != digest(tmp_path / "b", SOURCE, name="tasks/b.py")


def test_adapters_of_other_sets_and_modules_beside_the_figures_do_not_count(tmp_path: Path) -> None:
    mine = frozenset({"idrid"})
    base = digest(tmp_path / "a", SOURCE, "data", "data/sets/idrid.py", sets=mine)
    for name in ("data/sets/aptos.py", "data/check/counts.py"):
        place = tmp_path / "a" / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text("1\n", encoding="utf-8")
        assert digest_of(tmp_path / "a", "data", mine) == base
    (tmp_path / "a/data/sets/base.py").write_text("1\n", encoding="utf-8")
    assert digest_of(tmp_path / "a", "data", mine) != base


def test_rooms_are_those_that_an_experiment_uses() -> None:
    plain = code_digests(load_experiment("baseline", "dr600"))
    assert "synthetic" not in plain
    assert not any(name.startswith("retinalab") for name in plain)
    assert "synthetic" in code_digests(load_experiment("baseline", "synthetic"))


def test_rounds_count_the_maps_that_they_look_at() -> None:
    pytest.importorskip("retinalab_ellg")
    assert {"explain", "retinalab_ellg"} <= set(code_digests(load_experiment("ellg", "synthetic")))
