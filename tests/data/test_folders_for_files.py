"""A folder that bears the name of a file of prepared photographs is said in a line, and removed by nobody else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from retinalab.data.cache import Cache
from retinalab.data.preparation import Preparation
from retinalab.data.prepare import prepare
from retinalab.data.sets import open_set
from retinalab.errors import RetinalabError
from retinalab.testing import write_fake_set

SIZE, COUNT = 32, 4


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_fake_set("idrid", tmp_path_factory.mktemp("sets") / "idrid", COUNT)


def made(root: Path, folder: Path, codec: str) -> Cache:
    source = open_set("idrid", root, {"task": "segmentation"})
    preparation = Preparation(SIZE, masks=True, folder=folder, codec=codec)  # type: ignore[arg-type]
    return prepare(source, source.records(), preparation)


def folder_for(path: Path) -> None:
    path.unlink()
    path.mkdir()


def said(error: pytest.ExceptionInfo[RetinalabError], path: Path) -> bool:
    told = str(error.value)
    remedy = "is a folder, where a file of prepared photographs should be. Remove that folder and try again."
    return told == f"{path} {remedy}"


@pytest.mark.parametrize("codec", ["raw", "delta"])
@pytest.mark.parametrize("kind", ["images", "planes"])
def test_in_the_place_of_photographs(root: Path, tmp_path: Path, codec: str, kind: str) -> None:
    cache = made(root, tmp_path, codec)
    rows = np.arange(cache.rows)
    before = cache.images(rows).copy(), cache.planes(rows).copy()
    (path,) = tmp_path.glob(f"*/00000.{kind}")
    folder_for(path)
    again = made(root, tmp_path, codec)  # names alone are looked at
    corners = np.zeros((1, 2), np.int64)
    whole, windows = again.images, again.image_windows
    if kind == "planes":
        whole, windows = again.planes, again.plane_windows
    for read in (lambda: whole(rows), lambda: whole(rows[:1]), lambda: windows(rows[:1], corners, SIZE // 2)):
        with pytest.raises(RetinalabError) as error:
            read()
        assert said(error, path)
    path.rmdir()
    mended = made(root, tmp_path, codec)
    assert np.array_equal(mended.images(rows), before[0])
    assert np.array_equal(mended.planes(rows), before[1])


def test_in_the_place_of_a_description(root: Path, tmp_path: Path) -> None:
    made(root, tmp_path, "raw")
    (path,) = tmp_path.glob("*/00000.json")
    folder_for(path)
    with pytest.raises(RetinalabError) as error:
        made(root, tmp_path, "raw")
    assert said(error, path)
    assert path.is_dir()
    path.rmdir()
    made(root, tmp_path, "raw")


@pytest.mark.parametrize("kind", ["images", "planes", "json"])
def test_where_a_file_is_to_be_written(root: Path, tmp_path: Path, kind: str) -> None:
    made(root, tmp_path, "raw")
    (folder,) = (path for path in tmp_path.iterdir() if path.is_dir())
    path = folder / f"00000.{kind}"
    for other in ("images", "planes", "json"):
        (folder / f"00000.{other}").unlink()
    path.mkdir()
    with pytest.raises(RetinalabError) as error:
        made(root, tmp_path, "raw")
    assert said(error, path)
    assert not list(folder.glob("*.tmp"))
