"""Plugins are found without torch; a broken one is named and hides no other; a name belongs to one plugin."""

from __future__ import annotations

import shutil
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from retinalab import registry
from retinalab.cli import main
from retinalab.errors import RetinalabError
from retinalab.registry import (
    Broken,
    Paper,
    experiment_file,
    installed_papers,
    paper,
    task_class,
    task_config,
)

GOOD = """
from pathlib import Path
from retinalab.registry import Paper
paper = Paper("{name}", "A title", "Someone, 2001", "https://example.org", Path(__file__).parent / "experiments",
              {{"{name}": "{module}:Config"}})
"""


def write_plugin(folder: Path, name: str, source: str, registers: str | None = None) -> None:
    """A distribution ``dist-<name>`` with one module, which registers a paper and a task."""
    module = f"plugin_{name}"
    (folder / f"{module}.py").write_text(source.format(name=registers or name, module=module))
    info = folder / f"dist_{name}-0.1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: dist-{name}\nVersion: 0.1\n")
    (info / "entry_points.txt").write_text(
        f"[retinalab.papers]\n{registers or name} = {module}:paper\n\n"
        f"[retinalab.tasks]\n{registers or name} = {module}:Task\n"
    )


@pytest.fixture
def plugins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder on the import path; its modules are forgotten afterwards."""
    before = set(sys.modules)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    for name in set(sys.modules) - before:
        if name.startswith("plugin_"):
            del sys.modules[name]


@pytest.mark.parametrize("words", [["papers"], ["show", "baseline"], ["--help"], ["exp", "--help"]])
def test_listing_imports_neither_torch_nor_its_like(words: list[str]) -> None:
    program = (
        "import sys\nfrom retinalab.cli import main\n"
        f"try:\n    main({words!r})\nexcept SystemExit:\n    pass\n"
        "heavy = {'torch', 'lightning', 'timm', 'cv2', 'pandas', 'scipy', 'matplotlib', 'wandb'}\n"
        "print('IMPORTED', sorted(heavy & set(sys.modules)))"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ran.stdout.splitlines()[-1] == "IMPORTED []"


def test_installed_papers_are_described(plugins: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_plugin(plugins, "good", GOOD)
    (plugins / "experiments").mkdir()
    for name in ("synthetic", "sweep", "claims"):
        (plugins / "experiments" / f"{name}.yaml").write_text("")
    assert main(["papers"]) == 0
    said = capsys.readouterr().out
    assert "good\n  A title\n  Someone, 2001\n  tasks: good\n  experiments: synthetic\n" in said
    assert "baseline\n" in said


@pytest.mark.parametrize(
    ("source", "cause"),
    [
        ("import nowhere_to_be_found", "ModuleNotFoundError: No module named 'nowhere_to_be_found'"),
        ("def broken(:", "SyntaxError"),
        ("raise RuntimeError('sick')", "RuntimeError: sick"),
        ("paper = 'a word'", "is no retinalab.registry.Paper"),
    ],
)
def test_a_broken_plugin_is_named_with_its_cause_and_hides_no_other(
    plugins: Path, capsys: pytest.CaptureFixture[str], source: str, cause: str
) -> None:
    write_plugin(plugins, "sick", source)
    write_plugin(plugins, "good", GOOD)
    found = installed_papers()
    assert isinstance(found["good"], Paper)
    sick = found["sick"]
    assert isinstance(sick, Broken)
    assert sick.distribution == "dist-sick"
    assert cause in sick.cause
    assert main(["papers"]) == 0
    assert "sick\n  cannot be imported (dist-sick): " in capsys.readouterr().out
    with pytest.raises(RetinalabError, match=r"Paper 'sick' of dist-sick cannot be imported: .*Reinstall"):
        paper("sick")


def test_two_plugins_of_one_name_are_both_named(plugins: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_plugin(plugins, "one", GOOD, registers="twin")
    write_plugin(plugins, "two", GOOD, registers="twin")
    assert main(["papers"]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    for word in ("'twin'", "dist-one", "dist-two", "plugin_one:paper", "plugin_two:paper"):
        assert word in said


def test_entry_points_are_read_once_and_again_where_a_plugin_comes_or_goes(
    plugins: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: list[str] = []

    def counted(group: str) -> object:
        reads.append(group)
        return entry_points(group=group)

    monkeypatch.setattr(registry, "entry_points", counted)
    registry._registered.cache_clear()
    assert "late" not in installed_papers()
    assert "late" not in installed_papers()
    assert reads == ["retinalab.papers"]
    write_plugin(plugins, "late", GOOD)
    assert isinstance(installed_papers()["late"], Paper)
    assert len(reads) == 2
    shutil.rmtree(plugins / "dist_late-0.1.dist-info")
    assert "late" not in installed_papers()
    another = plugins / "another"
    monkeypatch.syspath_prepend(str(another))
    another.mkdir()
    write_plugin(another, "elsewhere", GOOD)
    assert isinstance(paper("elsewhere"), Paper)
    sys.path.remove(str(another))
    with pytest.raises(RetinalabError, match="Unknown paper 'elsewhere'"):
        paper("elsewhere")


def test_a_task_that_cannot_be_imported_names_its_distribution(plugins: Path) -> None:
    write_plugin(plugins, "good", GOOD)
    with pytest.raises(RetinalabError, match=r"Task 'good' of dist-good cannot be imported: .*Task"):
        task_class("good")


def test_options_that_cannot_be_imported_are_an_error_of_one_line(plugins: Path) -> None:
    write_plugin(plugins, "good", GOOD)
    with pytest.raises(
        RetinalabError, match=r"Options of task 'good' \(plugin_good:Config\) cannot be impor"
    ):
        task_config("good")


def test_near_names_are_offered() -> None:
    with pytest.raises(
        RetinalabError, match=r"Unknown paper 'baselin'\. Did you mean 'baseline'\? Installed: "
    ):
        paper("baselin")
    with pytest.raises(RetinalabError, match=r"Did you mean 'baseline'\?"):
        task_config("baselne")
    with pytest.raises(RetinalabError, match=r"Did you mean 'baseline'\?"):
        task_class("baselne")


def test_experiments_are_found_by_name_with_either_hyphen_or_by_path(tmp_path: Path) -> None:
    (tmp_path / "two-words.yaml").write_text("")
    of = Paper("p", "", "", "", tmp_path)
    assert experiment_file(of, "two_words") == experiment_file(of, "two-words") == tmp_path / "two-words.yaml"
    assert experiment_file(of, str(tmp_path / "two-words.yaml")) == tmp_path / "two-words.yaml"
    with pytest.raises(RetinalabError, match=r"Unknown experiment 'two'.*Did you mean 'two-words'"):
        experiment_file(of, "two")
    with pytest.raises(RetinalabError, match=r"Experiment file .*gone\.yaml does not exist"):
        experiment_file(of, str(tmp_path / "gone.yaml"))
    with pytest.raises(
        RetinalabError, match=r"two-words\.yml does not exist\. Did you mean '.*two-words\.yaml'\? Give"
    ):
        experiment_file(of, str(tmp_path / "two-words.yml"))
