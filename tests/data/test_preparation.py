"""A data section says how photographs are prepared; windows about lesions need the masks that nobody asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from retinalab.config import DataConfig
from retinalab.data import space
from retinalab.data.preparation import Preparation


@pytest.mark.parametrize(
    ("given", "masks"),
    [
        ({}, False),
        ({"masks": True}, True),
        ({"windows": {"kind": "lesions"}}, True),
        ({"windows": {"kind": "grid", "size": 64}}, False),
    ],
)
def test_every_field_follows_from_the_data_section(
    tmp_path: Path, given: dict[str, Any], masks: bool
) -> None:
    own = {"size": 96, "mask_coverage": 0.5, "cache": tmp_path, "codec": "jpeg"}
    found = Preparation.of(DataConfig.model_validate(own | given))
    assert found == Preparation(96, masks, 0.5, tmp_path, "jpeg")
    assert found.parent == tmp_path


def test_defaults_are_those_of_the_data_section() -> None:
    assert Preparation.of(DataConfig()) == Preparation(DataConfig().size)


def test_the_users_folder_is_taken_where_none_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert Preparation(64).parent == tmp_path / "retinalab"


def test_the_codec_is_the_one_asked_for_else_what_memory_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = 10 * 100 * 100 * 3
    preparation = Preparation(100, folder=tmp_path)
    assert preparation.needed(10).bytes_in("raw") == raw
    for memory, codec in ((2 * raw, "raw"), (2 * raw - 2, "delta")):
        monkeypatch.setattr(space, "available_memory", lambda memory=memory: memory)
        assert preparation.written(10) == codec
        assert Preparation(100, folder=tmp_path, codec="jpeg").written(10) == "jpeg"
