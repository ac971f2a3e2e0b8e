"""A file of weights that asks to run code is refused in one line wherever one is read, and its code is never run."""

from __future__ import annotations

import io
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

import retinalab.runner.stage
from retinalab.config import StartFrom
from retinalab.errors import RetinalabError
from retinalab.runner.trained import load_task
from retinalab.runner.weights import load_weights
from retinalab.tasks.network import timm_model
from retinalab.tasks.segmenter import _load
from retinalab.tasks.stored import read_stored


class Touches:
    """Unpickled, it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return os.mkdir, (str(self.path),)


def as_zip(value: object, path: Path) -> None:
    torch.save(value, path)


def as_old(value: object, path: Path) -> None:
    torch.save(value, path, _use_new_zipfile_serialization=False)


def as_pickle(value: object, path: Path) -> None:
    path.write_bytes(pickle.dumps(value))


def as_array(value: object, path: Path) -> None:
    buffer = io.BytesIO()
    np.save(buffer, np.array([value], dtype=object), allow_pickle=True)
    path.write_bytes(buffer.getvalue())


def begin_with(path: Path) -> None:
    place = path.parent / "early"
    place.mkdir(exist_ok=True)
    (place / "best.ckpt").write_bytes(path.read_bytes())
    load_weights(torch.nn.Linear(2, 2), path.parent, StartFrom(stage="early"))  # type: ignore[arg-type]


PLACES: dict[str, Callable[[Path], object]] = {
    "a run's checkpoint": lambda path: load_task(path, "baseline"),
    "an earlier stage": begin_with,
    "a backbone's weights": lambda path: timm_model("resnet18", str(path)),
    "an encoder's weights": lambda path: _load(torch.nn.Linear(2, 2), "resnet18", path),
}


@pytest.mark.parametrize("suffix", [".ckpt", ".pth", ".safetensors", ".npz", ".bin"])
@pytest.mark.parametrize("write", [as_zip, as_old, as_pickle, as_array])
@pytest.mark.parametrize("place", PLACES)
def test_code_in_weights_is_never_run(
    tmp_path: Path, place: str, write: Callable[[object, Path], None], suffix: str
) -> None:
    touched = tmp_path / "touched"
    for value in (
        Touches(touched),
        {"state_dict": {"weight": torch.zeros(2, 2), "bias": Touches(touched)}},
        {
            "state_dict": {},
            "hyper_parameters": {"config": Touches(touched)},
            "callbacks": {"a": Touches(touched)},
        },
    ):
        path = tmp_path / f"weights{suffix}"
        write(value, path)
        with pytest.raises(RetinalabError) as caught:
            PLACES[place](path)
        assert not touched.exists()
        assert "\n" not in str(caught.value)
        assert str(tmp_path) in str(caught.value)
        assert "weights_only=False" not in str(caught.value)


def test_what_is_refused_would_have_run(tmp_path: Path) -> None:
    """Else nothing is shown by its refusal."""
    torch.save({"a": Touches(tmp_path / "touched")}, tmp_path / "a.ckpt")
    with pytest.raises(RetinalabError, match="more than plain data and is not read, since it could run code"):
        read_stored(tmp_path / "a.ckpt", "")
    assert not (tmp_path / "touched").exists()
    torch.load(tmp_path / "a.ckpt", weights_only=False)
    assert (tmp_path / "touched").is_dir()


def test_no_class_is_allowed_beyond_torchs_own() -> None:
    assert retinalab.runner.stage
    allowed = [getattr(one, "__module__", "") for one in torch.serialization.get_safe_globals()]
    assert all(name.split(".")[0] == "torch" for name in allowed)


def test_plain_data_are_read(tmp_path: Path) -> None:
    value = {
        "state_dict": {"a": torch.arange(6.0).view(2, 3)},
        "hyper_parameters": {"rate": [1, 0.5, None, "x", True]},
    }
    torch.save(value, tmp_path / "a.ckpt")
    found = read_stored(tmp_path / "a.ckpt", "")
    torch.testing.assert_close(found["state_dict"]["a"], value["state_dict"]["a"])
    assert found["hyper_parameters"] == value["hyper_parameters"]


def altered(tmp_path: Path, compress: int, extra: bytes = b"", name: str = "a/data/bomb") -> Path:
    torch.save({"a": torch.zeros(3)}, tmp_path / "a.ckpt")
    path = tmp_path / "b.ckpt"
    with zipfile.ZipFile(tmp_path / "a.ckpt") as old, zipfile.ZipFile(path, "w", compress) as bomb:
        for one in old.infolist():
            bomb.writestr(one.filename, old.read(one))
        if extra:
            bomb.writestr(name, extra)
    return path


def test_an_archive_that_unpacks_to_more_than_itself(tmp_path: Path) -> None:
    path = altered(tmp_path, zipfile.ZIP_DEFLATED, bytes(50_000_000))
    assert path.stat().st_size < 100_000
    for place, read in PLACES.items():
        with pytest.raises(RetinalabError, match=r"unpacks to more than its \d+ bytes") as caught:
            read(path)
        assert "\n" not in str(caught.value), place


def test_names_in_an_archive_lead_nowhere(tmp_path: Path) -> None:
    """Nothing is unpacked to disk, so that a name with steps upwards writes no file."""
    (tmp_path / "in").mkdir()
    path = altered(tmp_path / "in", zipfile.ZIP_STORED, b"x", "../../escaped")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(RetinalabError, match=r"not in a subdirectory"):
        read_stored(path, "")
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    "content", [b"", b"text", b"PK\x03\x04" + bytes(50), bytes(1000), pickle.dumps([1, 2])]
)
def test_what_is_no_file_of_weights(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "weights.pth"
    path.write_bytes(content)
    for place, read in PLACES.items():
        with pytest.raises(RetinalabError) as caught:
            read(path)
        assert "\n" not in str(caught.value), place


def test_weights_cut_off_anywhere(tmp_path: Path) -> None:
    torch.save({"a": torch.rand(100, 100)}, tmp_path / "a.ckpt")
    whole = (tmp_path / "a.ckpt").read_bytes()
    for kept in range(0, len(whole), 1511):
        (tmp_path / "b.ckpt").write_bytes(whole[:kept])
        with pytest.raises(RetinalabError, match=r"b\.ckpt"):
            read_stored(tmp_path / "b.ckpt", "")
