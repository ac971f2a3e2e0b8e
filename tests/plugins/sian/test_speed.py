"""The benchmark of SiAN's costs measures what it says, on a small network; no time is judged."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
import torch


def test_costs(
    benchmark: Callable[[str], ModuleType],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    module = benchmark("sian_speed")
    here = benchmark("measure").peak_here
    monkeypatch.setattr(module, "peak", here)  # a process of its own would only take time
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    out = tmp_path / "new/speed.json"
    module.main(["--size", "64", "--repeats", "1", "--backbone", "resnet10t", "--out", str(out)])
    found = json.loads(out.read_text(encoding="utf-8"))
    rows = found["tables"]["cpu, float32"]
    assert list(rows) == ["SiAN", "main branch alone"]
    assert all(row["seconds"] > 0 and row["MiB, whole"] > 0 for row in rows.values())
    said = capsys.readouterr().out
    assert "| SiAN |" in said
    assert "not measured, there is no GPU here" in said
    with pytest.raises(SystemExit):
        module.main(["--size", "100"])
    assert "multiple of 32" in capsys.readouterr().err
