"""Maps over one's own photographs: what is refused, and several runs beside each other."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from retinalab.errors import RetinalabError
from retinalab.explain.saliency import SaliencyMaps
from retinalab.predict.beside import aligned, told_apart
from retinalab.predict.explained import Explained, explained_runs
from retinalab.predict.finished import FinishedRun
from retinalab.predict.photograph import Photograph
from retinalab.predict.pictured import Pictures
from retinalab.predict.prepare import Judged, read_judged
from retinalab.predict.quality import Quality


def test_what_is_no_photograph_of_the_retina_says_so(graded: FinishedRun, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (300, 300, 3), np.uint8)
    cv2.imwrite(str(tmp_path / "noise.png"), noise)
    (tmp_path / "text.png").write_text("no picture")
    runs, disease = explained_runs([(graded.path, None)], None)
    pictures = Pictures(runs, disease, None, 1.0, torch.device("cpu"))
    assert any("lesions of" in note for note in pictures.notes)
    given = [Photograph(name, tmp_path / name) for name in ("noise.png", "text.png")]
    for one in pictures.shown(iter(given)):
        assert one.group == "Not explained"
        assert not one.maps
        assert one.said[0]


def test_a_map_lies_over_the_pixels_that_it_was_made_of(
    graded: FinishedRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the place of a map the brightness of what the network is given: the spot lies where it is."""

    def brightness(
        task: Any, images: torch.Tensor, disease: str, recipes: Any, grades: Any
    ) -> list[SaliencyMaps]:
        return [SaliencyMaps(images.mean(1), (1, 1)) for _ in recipes]

    monkeypatch.setattr("retinalab.predict.pictured.maps_of", brightness)
    y, x = np.mgrid[:240, :300]
    eye = np.where((x - 150) ** 2 + (y - 120) ** 2 < 110**2, 90, 0).astype(np.uint8)
    eye = np.stack([eye // 4, eye // 2, eye], axis=2)
    cv2.circle(eye, (190, 70), 14, (200, 230, 250), -1)
    cv2.line(eye, (90, 40), (140, 200), (10, 20, 60), 3)
    cv2.imwrite(str(tmp_path / "eye.png"), eye)
    runs, disease = explained_runs([(graded.path, None)], None)
    pictures = Pictures(runs, disease, None, 1.0, torch.device("cpu"))
    monkeypatch.setattr("retinalab.predict.pictured.read_judged", ungated)
    (shown,) = pictures.shown(iter([Photograph("eye.png", tmp_path / "eye.png")]))
    whole = runs[0].run.experiment.stages["train"].data.size
    for seen in shown.maps:
        side = seen.picture.shape[0]
        assert seen.values.shape == (side, side)
        cut = (whole - side) / 2  # the network sees the middle of the working image
        spot = ((70 - 10) / 220 * whole - cut - 0.5, (190 - 40) / 220 * whole - cut - 0.5)
        for bright in (seen.picture.mean(2), seen.values):
            found = np.argwhere(bright >= np.quantile(bright, 0.99)).mean(0)
            assert np.abs(found - spot).max() < 1


def ungated(path: Path, sizes: Any) -> Judged:
    return replace(read_judged(path, sizes), quality=Quality("good", ""))


def run_of(name: str, folder: str, *children: str, stage: str = "train") -> Explained:
    run: Any = SimpleNamespace(path=Path(folder))
    return Explained(name, run, stage, tuple(SimpleNamespace(child=one) for one in children))  # type: ignore[arg-type, misc]


def test_networks_of_several_runs_beside_each_other() -> None:
    three = run_of("a", "/a", "seed-0", "seed-1", "seed-2")
    two, one = run_of("b", "/b", "seed-0", "seed-1"), run_of("c", "/c", "")
    assert aligned([three, three]) == ([("seed-0",) * 2, ("seed-1",) * 2, ("seed-2",) * 2], [])
    rows, notes = aligned([three, two, one])
    assert rows == [("seed-0", "seed-0", ""), ("seed-1", "seed-1", None), ("seed-2", None, None)]
    assert notes == [
        "networks of different seeds are held beside each other: a seed-0, seed-1, seed-2; b seed-0, seed-1; "
        "c its single one"
    ]
    assert aligned([one, three])[0] == [("", "seed-0")]
    with pytest.raises(RetinalabError, match=r"Runs of different folds \(a: seed-0.*d: fold-0"):
        aligned([three, run_of("d", "/d", "fold-0_seed-0", "fold-1_seed-0")])


def test_runs_are_told_apart_by_stage_and_by_folder() -> None:
    a, later = run_of("a", "/x/1"), run_of("a", "/x/1", stage="later")
    other, b = run_of("a", "/x/2"), run_of("b", "/x/3")
    assert [run.name for run in told_apart([a, b])] == ["a", "b"]
    assert [run.name for run in told_apart([a, later, b])] == ["a train", "a later", "b"]
    assert [run.name for run in told_apart([a, other, b])] == ["a 1", "a 2", "b"]
    assert [run.name for run in told_apart([a, later, other])] == ["a train", "a later", "a 2"]
    assert replace(a, name="a train") == told_apart([a, later])[0]
