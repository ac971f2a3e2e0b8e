"""Wheels of the core and of a plugin: what they carry, and that they work away from the checkout."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import zipfile
from collections.abc import Callable
from email.parser import Parser
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
PLUGINS = sorted(path.parent.name for path in REPOSITORY.glob("plugins/*/pyproject.toml"))
pytest.importorskip("hatchling", reason="hatchling, which builds the wheels, is not installed: make install")

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with a wheel and an sdist of the core and of every plugin."""
    out = tmp_path_factory.mktemp("dist")
    for project in (REPOSITORY, *(REPOSITORY / "plugins" / name for name in PLUGINS)):
        words = ["build", "-t", "sdist", "-t", "wheel", "-d", str(out)]
        ran = subprocess.run(
            [sys.executable, "-m", "hatchling", *words],
            cwd=project,
            capture_output=True,
            text=True,
            check=False,
        )
        assert ran.returncode == 0, ran.stderr
    return out


def wheel(built: Path, distribution: str) -> zipfile.ZipFile:
    (found,) = built.glob(f"{distribution.replace('-', '_')}-[0-9]*.whl")
    return zipfile.ZipFile(found)


def metadata(archive: zipfile.ZipFile) -> dict[str, list[str]]:
    (name,) = [n for n in archive.namelist() if n.endswith(".dist-info/METADATA")]
    parsed = Parser().parsestr(archive.read(name).decode())
    return {key: parsed.get_all(key, []) for key in parsed}


def experiments(paper: str) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (REPOSITORY / "experiments" / paper).glob("*.yaml")}


def test_the_cores_wheel_carries_its_experiments_templates_and_types(built: Path) -> None:
    archive = wheel(built, "retinalab")
    names = set(archive.namelist())
    tree = {str(path.relative_to(REPOSITORY)) for path in REPOSITORY.glob("retinalab/**/*.py")}
    tree |= {str(path.relative_to(REPOSITORY)) for path in REPOSITORY.glob("retinalab/report/templates/*")}
    assert tree | {"retinalab/py.typed"} <= names
    for name, content in experiments("baseline").items():
        assert archive.read(f"retinalab/tasks/experiments/{name}") == content
    for name, content in experiments("leaderboard").items():
        assert archive.read(f"retinalab/leaderboard/boards/{name}") == content
    assert not [name for name in names if name.startswith(("tests/", "experiments/", "plugins/", "runs/"))]


@pytest.mark.parametrize("plugin", PLUGINS)
def test_a_plugins_wheel_carries_its_experiments_as_files(built: Path, plugin: str) -> None:
    archive = wheel(built, f"retinalab-{plugin}")
    package = f"retinalab_{plugin}"
    assert f"{package}/py.typed" in archive.namelist()
    for name, content in experiments(plugin).items():
        info = archive.getinfo(f"{package}/experiments/{name}")
        assert (info.external_attr >> 28) != 0xA, "a link, not a file"
        assert archive.read(info) == content


@pytest.mark.parametrize("project", ["", *(f"plugins/{name}" for name in PLUGINS)])
def test_entry_points_and_bounds_are_those_of_the_project_file(built: Path, project: str) -> None:
    described = tomllib.loads((REPOSITORY / project / "pyproject.toml").read_text(encoding="utf-8"))[
        "project"
    ]
    archive = wheel(built, described["name"])
    (name,) = [n for n in archive.namelist() if n.endswith(".dist-info/entry_points.txt")]
    text = archive.read(name).decode()
    for group, points in described["entry-points"].items():
        assert f"[{group}]" in text
        for point, target in points.items():
            assert f"{point} = {target}" in text
            assert target.partition(":")[0].replace(".", "/") + ".py" in archive.namelist()
    lower, upper = re.fullmatch(r">=(\d\.\d+),<(\d\.\d+)", described["requires-python"]).groups()  # type: ignore[union-attr]
    assert (lower, upper) == ("3.11", "3.14")
    assert metadata(archive)["Requires-Python"] == ["<3.14,>=3.11"]


@pytest.mark.parametrize("project", ["", *(f"plugins/{name}" for name in PLUGINS)])
def test_an_sdist_holds_what_its_wheel_needs(built: Path, project: str) -> None:
    described = tomllib.loads((REPOSITORY / project / "pyproject.toml").read_text(encoding="utf-8"))[
        "project"
    ]
    (found,) = built.glob(f"{described['name'].replace('-', '_')}-[0-9]*.tar.gz")
    with tarfile.open(found) as archive:
        members = {member.name.partition("/")[2]: member for member in archive.getmembers()}
    assert not [name for name, member in members.items() if member.issym() or member.islnk()]
    carried = [name for name in wheel(built, described["name"]).namelist() if ".dist-info/" not in name]
    assert set(carried) <= set(members)


def test_the_core_requires_no_plugin_and_a_plugin_no_other(built: Path) -> None:
    def required(distribution: str) -> list[str]:
        lines = metadata(wheel(built, distribution)).get("Requires-Dist", [])
        return [line for line in lines if line.startswith("retinalab") and "extra ==" not in line]

    assert required("retinalab") == []
    for plugin in PLUGINS:
        assert [line.partition("<")[0] for line in required(f"retinalab-{plugin}")] == ["retinalab"]


def test_the_lock_names_every_dependency_and_no_host() -> None:
    text = (REPOSITORY / "requirements.lock").read_text(encoding="utf-8")
    assert "://" not in text
    assert "index" not in re.sub(r"^\S*index\S*==.*", "", text, flags=re.MULTILINE)
    locked = set(re.findall(r"^([a-z0-9.-]+)==", text, flags=re.MULTILINE))
    described = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = [
        *described["dependencies"],
        *described["optional-dependencies"]["dev"],
        *described["optional-dependencies"]["wandb"],
    ]
    names = {re.match(r"[A-Za-z0-9._-]+", line)[0].lower() for line in wanted}  # type: ignore[index]
    assert names - {"retinalab"} <= locked


@pytest.fixture(scope="session")
def clean(tmp_path_factory: pytest.TempPathFactory, built: Path) -> tuple[Path, Run]:
    """An environment with the packages of this one but ours, and a way to run a command there."""
    pytest.importorskip(
        "pip", reason="pip is not in this environment, and nothing else installs a wheel without a network"
    )
    folder = tmp_path_factory.mktemp("clean")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder / "env")], check=True)
    target = next((folder / "env").glob("lib/python3*/site-packages"))
    for entry in Path(sysconfig.get_path("purelib")).iterdir():
        if "retinalab" not in entry.name.lower() and entry.suffix != ".pth":
            (target / entry.name).symlink_to(entry)
    away = folder / "away"
    away.mkdir()

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        program = folder / "env/bin" / words[0]
        kept = {
            key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "VIRTUAL_ENV"))
        }
        return subprocess.run(
            [program, *words[1:]], cwd=away, env=kept, capture_output=True, text=True, check=False
        )

    return away, run


def install(run: Run, built: Path, distribution: str) -> None:
    words = [
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--no-index",
        "--find-links",
        str(built),
        distribution,
    ]
    ran = run("python", "-m", "pip", *words)
    assert ran.returncode == 0, ran.stderr


def test_wheels_work_in_a_clean_environment(
    clean: tuple[Path, Run], built: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    away, run = clean
    install(run, built, "retinalab")
    listed = run("retinalab", "papers")
    assert (listed.returncode, listed.stderr) == (0, "")
    assert re.findall(r"^\S+", listed.stdout, flags=re.MULTILINE) == ["baseline"]
    refused = run("retinalab", "exp", "canet")
    assert refused.returncode == 2
    assert refused.stderr.startswith(
        "retinalab: Unknown paper 'canet'. Installed: baseline. Install one with: "
    )
    packages = [f"retinalab_{plugin}" for plugin in PLUGINS]
    absent = f"import importlib.util as u; print([n for n in {packages} if u.find_spec(n)])"
    assert run("python", "-c", absent).stdout.strip() == "[]"

    install(run, built, "retinalab-canet")
    listed = run("retinalab", "papers")
    assert re.findall(r"^\S+", listed.stdout, flags=re.MULTILINE) == ["baseline", "canet"]
    places = [f"output={away / 'runs'}", f"data.cache={tmp_path_factory.getbasetemp() / 'prepared'}"]
    ran = run("retinalab", "exp", "canet", "--smoke", *places)
    assert ran.returncode == 0, ran.stderr[-2000:]
    (report,) = away.glob("runs/canet/synthetic-smoke/*-1/report.html")
    assert "<html" in report.read_text(encoding="utf-8")
    where = run(
        "python", "-c", "import retinalab, retinalab_canet as c; print(retinalab.__file__, c.__file__)"
    ).stdout
    assert str(REPOSITORY / "retinalab") not in where
    assert str(REPOSITORY / "plugins") not in where
