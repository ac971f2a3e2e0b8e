"""A further test set under a name of its own: one world, seen by another camera."""

from __future__ import annotations

from pathlib import Path

from retinalab.config import DataConfig, TestConfig
from retinalab.data.parts import load_parts
from retinalab.protocol import Protocol


def test_one_world_is_tested_under_two_names(tmp_path: Path) -> None:
    world = {"photographs": 24, "views": 1, "faults": 0.0}
    data = DataConfig(
        set="synthetic", options={**world, "cameras": ["clinic"]}, size=64, cache=tmp_path, overlap="exclude"
    )
    other = {**world, "set": "synthetic", "seed": 3, "photographs": 8}
    test = TestConfig(
        sets=("sharp", "near"),
        options={"sharp": {**other, "cameras": ["clinic"]}, "near": {**other, "cameras": ["screening"]}},
    )
    parts = load_parts(data, Protocol(), {}, test)
    assert list(parts.tests) == ["synthetic", "sharp", "near"]
    for name in ("sharp", "near"):
        part = parts.tests[name]
        assert part.records.table["set"].unique().tolist() == [name]
        assert list(part.records.info) == [name]
        assert part.records.info[name].synthetic
        assert all(group.startswith(f"{name}/") for group in part.records.groups)
    first, second = (parts.tests[name].records.table for name in ("sharp", "near"))
    assert first["dr"].tolist() == second["dr"].tolist()
    assert first["camera"].unique().tolist() != second["camera"].unique().tolist()
