"""The table and the two panels, and the script that makes them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import pytest
import torch
from retinalab_clpi.detection import Trial, draw_curves, lesion_boxes, markdown, points, unit_detections

from retinalab.errors import RetinalabError

pytest.importorskip("faster_coco_eval")

TRUTH = [lesion_boxes(np.array([[96, 96, 1 + i % 3], [32, 160, 1]]), 192) for i in range(6)]


def found(noise: float, seed: int) -> list[dict[str, torch.Tensor]]:
    """Units that know the truth as well as the noise lets them."""
    rng = np.random.default_rng(seed)
    out = []
    for boxes in TRUTH:
        probabilities = noise * rng.random((4, 3, 3))
        probabilities[int(boxes["labels"][0]), 1, 1] += 1
        probabilities[1, 2, 0] += 1
        out.append(unit_detections(torch.from_numpy(probabilities)))
    return out


def test_table_and_figure(tmp_path: Path) -> None:
    runs = {
        Trial(d, rate, s): found(10 * rate * (1 + (d == "ssd")), s)
        for d in ("clpi", "ssd")
        for rate in (0.0, 0.3)
        for s in (0, 1)
    }
    drawn = points(runs, TRUTH, np.arange(6), 50)
    assert [(p.detector, p.rate) for p in drawn] == [("clpi", 0), ("clpi", 0.3), ("ssd", 0), ("ssd", 0.3)]
    assert np.array(drawn[0].ap) == pytest.approx(np.ones((2, 2)))
    assert drawn[0].classes["HE"] == pytest.approx((1, 1))
    for point in drawn:
        for name, mean in zip(("ap50", "ap75"), np.mean(point.ap, 0), strict=True):
            assert point.figures[name].value == pytest.approx(mean, abs=1e-6)
    assert drawn[1].figures["share50"].value < 1
    table = markdown(drawn, {"by chance": (0.125, 0.0)}).splitlines()
    assert len(table) == 2 + 4 + 1 + 1
    assert len({line.count("|") for line in table}) == 1
    assert table[2] == "| CLPI's generator | 0% | 1.000 | 1.00 | 1.000 | 1.00 |"
    assert table[6] == "| by chance | | 0.125 | | 0.000 | |"
    assert table[7].startswith("| YOLO-V3 | | not run: ")
    draw_curves(drawn, tmp_path / "figure.png", "made up")
    picture = cv2.imread(str(tmp_path / "figure.png"))
    assert picture is not None
    assert picture.shape[1] > 1.8 * picture.shape[0]
    left, right = np.array_split(picture, 2, axis=1)
    assert all((half < 128).any(2).sum() > 1000 for half in (left, right))


def test_what_cannot_be_drawn() -> None:
    with pytest.raises(RetinalabError, match="'ssd' has no run on all annotations"):
        points({Trial("ssd", 0.1, 0): found(0, 0)}, TRUTH, np.arange(6), 10)
    with pytest.raises(RetinalabError, match="No test photograph has a lesion"):
        points({}, [lesion_boxes(np.zeros((0, 3), np.int64), 192)], np.arange(1), 10)


def test_the_script(
    benchmark: Callable[[str], ModuleType],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    script = benchmark("clpi_detection")
    words = "--size 128 --steps 1 --batch 2 --patch-steps 1 --patch-batch 8 --rates 0.5 --resamples 20 --detectors"
    options = ["--options", '{"photographs": 12}', "--out", str(tmp_path / "sub/out.json")]
    threads = torch.get_num_threads()
    script.main([*words.split(), "clpi", "ssd", *options])
    torch.set_num_threads(threads)
    content = json.loads((tmp_path / "sub/out.json").read_text())
    assert [(p["detector"], p["rate"]) for p in content["points"]] == [
        ("clpi", 0), ("clpi", 0.5), ("ssd", 0), ("ssd", 0.5)
    ]  # fmt: skip
    lost, kept = content["annotations"]["0.5 seed 0"], content["annotations"]["0 seed 0"]
    assert kept == content["lesions"]["train"]
    assert sum(lost.values()) == sum(kept.values()) - round(0.5 * sum(kept.values()))
    assert set(content["not run"]) == {"YOLO-V3"}
    assert "photographs without retinopathy" in content["negatives"][0]
    assert (tmp_path / "sub/out.png").stat().st_size > 10_000
    assert capsys.readouterr().out.strip().split("\n\n")[1] in (tmp_path / "sub/out.md").read_text()
    with pytest.raises(SystemExit) as stopped:
        script.main([*words.split(), "ssd", *options, "--size", "100"])
    assert stopped.value.code == 2
    assert "multiple of 64 pixels, got 100" in capsys.readouterr().err
