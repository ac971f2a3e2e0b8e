"""Files, folders and globs: every photograph once, in a fixed order, and a clear line where there is none."""

from __future__ import annotations

import contextlib
import glob
import os
import tracemalloc
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from retinalab.errors import RetinalabError
from retinalab.predict.inputs import Inputs
from retinalab.predict.sorting import sorted_names

SUFFIXES = (".jpg", ".jpeg", ".png", ".tif", ".webp")
TREE = (
    "b/2.PNG",
    "b/10.jpg",
    "a.tif",
    "c/d/x.jpeg",
    "c/y.webp",
    "notes.txt",
    "c/labels.csv",
    ".hidden/z.jpg",
    "._a.tif",
)


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in TREE:
        path = tmp_path / "set" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def images(*words: str) -> list[str]:
    return [photograph.image for photograph in Inputs(words)]


def refused(*words: str) -> str:
    with pytest.raises(RetinalabError) as error:
        Inputs(words).survey()
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_folder_with_everything_below_it(tree: Path) -> None:
    expected = ["set/a.tif", "set/b/10.jpg", "set/b/2.PNG", "set/c/d/x.jpeg", "set/c/y.webp"]
    assert images("set") == expected
    assert images("set") == images("set")
    survey = Inputs(["set"]).survey()
    assert (survey.count, survey.passed) == (5, 2)
    assert survey.data == (tree / "set",)
    around = {
        name: Inputs(["set"]).survey(Path(name)).around
        for name in ("set", "set/c/d", ".", "out", "set/.hidden")
    }
    assert around == {"set": True, "set/c/d": True, ".": False, "out": False, "set/.hidden": False}


def test_files_and_globs_in_the_order_of_the_words(tree: Path) -> None:
    assert images("set/c/y.webp", "set/b/*") == ["set/c/y.webp", "set/b/10.jpg", "set/b/2.PNG"]
    assert images("set/**/*.jp*g") == ["set/b/10.jpg", "set/c/d/x.jpeg"]
    assert images(str(tree / "set/b")) == [str(tree / "set/b/10.jpg"), str(tree / "set/b/2.PNG")]
    assert Inputs(["set/*", "set/b/2.PNG"]).survey().passed == 1  # the glob's notes.txt


def test_brackets_in_a_name_are_no_pattern_where_the_file_is_there(tree: Path) -> None:
    Path("set/[1].jpg").touch()
    assert images("set/[1].jpg") == ["set/[1].jpg"]


def test_links_are_followed_once(tree: Path) -> None:
    os.symlink(tree / "set", "set/c/loop")
    os.symlink(tree / "set/b", "elsewhere")
    assert [name for name in images("set") if "loop" in name] == []
    assert images("elsewhere") == ["elsewhere/10.jpg", "elsewhere/2.PNG"]


def test_links_that_double_at_every_step_do_not_grow_without_bound(tree: Path) -> None:
    """Forty folders, each with two links to the next: 2^40 ways to one photograph."""
    for k in range(40):
        Path(f"steps/{k}").mkdir(parents=True)
    Path("steps/39/eye.jpg").touch()
    for k in range(39):
        for name in ("left", "right"):
            os.symlink(tree / f"steps/{k + 1}", f"steps/{k}/{name}")
    assert len(images("steps/0")) == 1


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["sett"], ["Unknown file or folder 'sett'", "Did you mean 'set'?"]),
        (["no/such/a.jpg"], ["No file or folder no/such/a.jpg", "no folder no/such"]),
        (["set/*.xyz"], ["'set/*.xyz' matches no photograph (0 other files)"]),
        (["set/c/*.csv"], ["matches no photograph (1 other files)"]),
        (["set/.hidden/none"], ["Unknown file or folder 'none'"]),
        (
            ["set/a.tif", "set"],
            ["Photographs are named more than once: 'set/a.tif'", "(1 in all)", "Keep one"],
        ),
        (["set/b", "set/b/../b/*.jpg"], ["named more than once", "'set/b/10.jpg'"]),
        (["set", "set"], ["named more than once", "(5 in all)"]),
    ],
)
def test_words_that_name_nothing_or_something_twice(
    tree: Path, words: list[str], expected: list[str]
) -> None:
    said = refused(*words)
    for part in expected:
        assert part in said


def test_a_folder_without_photographs(tree: Path) -> None:
    Path("empty/below").mkdir(parents=True)
    assert "Folder empty holds no photograph" in refused("empty")
    assert "Folder empty holds no photograph" in refused("set", "empty")


def digest(*words: str) -> str:
    return Inputs(words).survey().digest


def test_photographs_are_told_from_others_of_the_same_names(tree: Path) -> None:
    before = digest("set")
    assert digest("set") == before
    assert digest("set/b", "set/a.tif") != digest("set/a.tif", "set/b")
    Path("set/a.tif").write_bytes(b"another")
    changed = digest("set")
    assert changed != before
    Path("set/c/z.png").touch()
    assert digest("set") != changed


def test_dicom_files_are_photographs_too(tree: Path) -> None:
    Path("set/b/eye.DCM").touch()
    assert images("set/b") == ["set/b/10.jpg", "set/b/2.PNG", "set/b/eye.DCM"]
    assert images("set/b/*.D*") == ["set/b/eye.DCM"]


def test_a_pattern_matches_what_the_shell_would(tree: Path) -> None:
    for word in ("set/*", "set/b/*", "set/[ab]*", "*/a.tif", "set/.*", "set/*/*"):
        expected = sorted(name for name in glob.glob(word) if Path(name).suffix.lower() in SUFFIXES)
        found = [p.image for p in Inputs([word])] if expected else []
        assert found == expected, word


def test_a_listing_takes_eight_bytes_of_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder of drawn entries, since making as many files takes long."""
    count = 40_000

    class Entry:
        def __init__(self, name: str) -> None:
            self.name = name

        def is_dir(self) -> bool:
            return False

    @contextlib.contextmanager
    def scandir(folder: str) -> Iterator[Iterator[Entry]]:
        yield (Entry(f"{k * 7919 % count:012d}.jpg") for k in range(count))

    inputs = Inputs([str(tmp_path)])
    monkeypatch.setattr(os, "scandir", scandir)
    monkeypatch.setattr("retinalab.predict.inputs.sorted_names", partial(sorted_names, most=1_000))
    inputs.survey()  # what is imported on the way does not count
    peaks = []
    for _ in range(
        3
    ):  # the interpreter's own tables grow now and then, by more than this, but not every time
        tracemalloc.start()
        try:
            assert inputs.survey().count == count
            peaks.append(tracemalloc.get_traced_memory()[1])
        finally:
            tracemalloc.stop()
    assert min(peaks) < 4e6 < count * 150  # a path alone takes 150 bytes and more
