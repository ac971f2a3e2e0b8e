"""A window shows what the same place of its preprocessed photograph shows, augmented or not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import ndimage

from retinalab.config import DataConfig
from retinalab.data.batch import Batch
from retinalab.data.dataset import PartDataset
from retinalab.data.module import FundusDataModule
from retinalab.data.window_table import Windows
from retinalab.protocol import Protocol
from retinalab.testing import write_fake_set
from retinalab.transforms.background import local_average

SIDE, WINDOW = 96, 20
BACKGROUNDS: tuple[Any, ...] = (
    0.03,
    {"kind": "median"},
    {"scale": 0.04, "circle": 0.8, "outside": "black"},
    {"kind": "median", "scale": 0.07, "circle": None, "gain": 2, "outside": "mid"},
)
TURNED = {"rotation": 180, "zoom": [0.8, 1.2], "shift": 0.1, "flip_horizontal": 0.5}
COLOURED = {**TURNED, "brightness": 0.1, "contrast": 0.1, "saturation": 0.2}
Make = Callable[..., FundusDataModule]


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def module(fake_sets: Path, cache: Path) -> Make:
    def made(windows: bool = True, **options: Any) -> FundusDataModule:
        given = {
            "set": "idrid",
            "root": fake_sets / "idrid",
            "options": {"task": "segmentation"},
            "size": SIDE,
            "cache": cache,
            "normalise": "unit",
            "windows": {"kind": "lesions", "size": WINDOW, "negatives": 20} if windows else None,
            **options,
        }
        return FundusDataModule(DataConfig.model_validate(given), Protocol(diseases={"dr": "icdr5"}))

    return made


def whole_batch(module: FundusDataModule, dataset: PartDataset) -> Batch:
    batch = dataset.__getitems__([(0, i, i) for i in range(len(dataset))])
    return module.on_after_batch_transfer(batch, 0)


def places(module: FundusDataModule) -> np.ndarray:
    windows = module.dataset(module.parts.train).windows
    assert windows is not None
    return windows[["photograph", "x", "y"]].to_numpy()


@pytest.mark.parametrize("on_device", [False, True])
@pytest.mark.parametrize("background", [None, *BACKGROUNDS], ids=str)
def test_a_window_equals_its_place_in_the_preprocessed_photograph(
    module: Make, background: Any, on_device: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = module(background=background, masks=True)
    large = module(background=background, masks=True, windows=False)
    for one in (small, large):
        monkeypatch.setattr(one, "_on_gpu", lambda: on_device)
    windows = whole_batch(small, small.dataset(small.parts.train))
    photographs = whole_batch(large, large.dataset(large.parts.train))
    wide = (WINDOW,) * 4
    images = torch.nn.functional.pad(photographs["image"], wide, value=torch.nan)
    masks = torch.nn.functional.pad(photographs["mask"], wide, value=255)
    for position, (photograph, x, y) in enumerate(places(small)):
        rows = slice(y + WINDOW // 2, y + WINDOW // 2 + WINDOW)
        columns = slice(x + WINDOW // 2, x + WINDOW // 2 + WINDOW)
        expected = images[photograph, :, rows, columns]
        inside = ~expected.isnan()
        assert inside.any()
        assert (windows["image"][position] - expected)[inside].abs().max() < 0.25 / 255
        assert torch.equal(windows["mask"][position], masks[photograph, :, rows, columns])
    assert set(windows) == {"image", "mask", "index", "grades", "present", "label"}


def sampled(picture: np.ndarray, at: np.ndarray, mode: str) -> np.ndarray:
    """A picture between its pixels, ``at`` x and y."""
    return np.stack(
        [ndimage.map_coordinates(picture[..., c], at[::-1], order=1, mode=mode) for c in range(3)], 2
    )


@pytest.mark.parametrize("kind", ["gaussian", "median"])
def test_one_warp_and_one_colour_map_reach_the_window_and_its_average(module: Make, kind: str) -> None:
    """Against the working image, its whole average and the drawn map, sampled in float64."""
    made = module(
        background={"kind": kind, "scale": 0.06, "circle": None, "outside": "mid"}, augment=COLOURED
    )
    background = made.data.background
    assert background is not None
    part = made.parts.train
    dataset = made.dataset(part, training=True)
    keys = [(0, i, i) for i in range(len(dataset))]
    warps, colours = dataset._draw(keys, WINDOW, WINDOW)
    found = whole_batch(made, dataset)["image"].permute(0, 2, 3, 1).numpy()
    pixels = part.cache.images(part.rows)
    tensor = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255
    averages = local_average(tensor, background).permute(0, 2, 3, 1).numpy()
    reduction = SIDE / averages.shape[1]
    y, x = np.mgrid[:WINDOW, :WINDOW]
    errors = []
    for i, (photograph, centre_x, centre_y) in enumerate(places(made)):
        at = np.tensordot(warps[i].astype(np.float64), np.stack([x, y, np.ones_like(x)]), 1)
        at += np.array([centre_x, centre_y])[:, None, None] - WINDOW // 2
        seen = sampled(pixels[photograph] / 255, at, "grid-constant")
        around = sampled(averages[photograph], (at + 0.5) / reduction - 0.5, "nearest")
        matrix, offset = colours[i][:, :3], colours[i][:, 3]
        seen = np.where(seen.max(2, keepdims=True) > 0, seen @ matrix.T + offset, 0).clip(0, 1)
        around = (around @ matrix.T + offset).clip(0, 1)
        expected = (4 * (seen - around) + (0.5 if kind == "gaussian" else 128 / 255)).clip(0, 1)
        safe = seen.max(2) > 0.1  # away from the threshold of the field of view
        errors.append(np.abs(found[i] - expected)[safe].ravel())
    error = np.concatenate(errors) * 255
    # the gain is 4; OpenCV rounds the photograph and its colours to whole levels, and places to 1/32 of a pixel
    assert error.mean() < 4 * 0.4
    assert error.max() < 4 * 1.5


def test_lesions_move_with_their_window(module: Make) -> None:
    """Against the planes of the working image at the nearest pixel; beyond it nothing is to be judged."""
    made = module(augment=COLOURED, masks=True)
    part = made.parts.train
    dataset = made.dataset(part, training=True)
    warps, _ = dataset._draw([(0, i, i) for i in range(len(dataset))], WINDOW, WINDOW)
    found = whole_batch(made, dataset)["mask"].numpy()
    planes = part.cache.planes(part.rows)
    bits = np.arange(8)[:, None, None]
    y, x = np.mgrid[:WINDOW, :WINDOW]
    wrong = []
    for i, (photograph, centre_x, centre_y) in enumerate(places(made)):
        at = np.tensordot(warps[i].astype(np.float64), np.stack([x, y, np.ones_like(x)]), 1)
        column, row = np.rint(at + np.array([centre_x, centre_y])[:, None, None] - WINDOW // 2).astype(int)
        beyond = (column < 0) | (column >= SIDE) | (row < 0) | (row >= SIDE)
        present, unjudged = planes[photograph][:, row.clip(0, SIDE - 1), column.clip(0, SIDE - 1)]
        expected = np.where((unjudged >> bits & 1) | beyond, 255, present >> bits & 1)
        wrong.append(found[i] != expected)
    assert found.max() == 255
    assert (found == 1).any()
    assert np.mean(wrong) < 0.005  # where two pixels are equally near


def test_a_window_that_turns_or_zooms_out_shows_more_of_its_photograph(module: Make) -> None:
    plain = module(augment={"zoom": [0.5, 0.5], "rotation": 0})
    part = plain.parts.train
    dataset = plain.dataset(part, training=True)
    found = (
        dataset.__getitems__([(0, i, i) for i in range(len(dataset))])["image"].permute(0, 2, 3, 1).numpy()
    )
    pixels = part.cache.images(part.rows)
    for i, (photograph, x, y) in enumerate(places(plain)):
        image = np.pad(pixels[photograph], ((SIDE, SIDE), (SIDE, SIDE), (0, 0)))
        left, top = x + SIDE - WINDOW, y + SIDE - WINDOW  # twice the window about its middle
        twice = image[top : top + 2 * WINDOW, left : left + 2 * WINDOW].astype(float)
        # a pixel of the window is twice as wide: its middle lies between four pixels
        between = (twice[::2, ::2] + twice[1::2, ::2] + twice[::2, 1::2] + twice[1::2, 1::2]) / 4
        assert np.abs(found[i] - between).max() <= 1
    turned = module(augment={"rotation": 180})
    dataset = turned.dataset(turned.parts.train, training=True)
    batch = dataset.__getitems__([(0, i, i) for i in range(len(dataset))])
    inner = np.array([np.hypot(x - SIDE / 2, y - SIDE / 2) < 20 for _, x, y in places(turned)])
    assert inner.sum() > 10
    assert (batch["image"].amax(1) > 0)[torch.from_numpy(inner)].all()


@pytest.mark.parametrize("on_device", [False, True])
@pytest.mark.parametrize(
    ("background", "beyond"),
    [
        (None, 0),
        (0.03, 0.5),
        ({"scale": 0.03, "outside": "black"}, 0),
        ({"kind": "median"}, 0),
        ({"kind": "median", "circle": None, "outside": "mid"}, 128 / 255),
    ],
    ids=str,
)
def test_beyond_the_photograph_a_window_shows_what_lies_outside_the_field(
    module: Make, background: Any, beyond: float, on_device: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = module(background=background, masks=True)
    monkeypatch.setattr(made, "_on_gpu", lambda: on_device)
    whole = module(background=background, windows=False)
    photograph = whole_batch(whole, whole.dataset(whole.parts.train))["image"][0]
    centres = [(0, 0), (SIDE // 2, 2), (SIDE - 1, SIDE // 2), (SIDE - 3, SIDE - 1)]
    table = pd.DataFrame([(0, x, y, 0) for x, y in centres], columns=["photograph", "x", "y", "label"])
    dataset = PartDataset(made.parts.train, made.data, ("dr",), 0, False, on_device, Windows(table))
    windows = whole_batch(made, dataset)
    padded = torch.nn.functional.pad(photograph, (WINDOW,) * 4, value=beyond)
    for window, mask, (x, y) in zip(windows["image"], windows["mask"], centres, strict=True):
        left, top = x + WINDOW // 2, y + WINDOW // 2
        expected = padded[:, top : top + WINDOW, left : left + WINDOW]
        assert (window - expected).abs().max() < 0.25 / 255
        column, row = np.meshgrid(np.arange(left, left + WINDOW), np.arange(top, top + WINDOW))
        outside = (np.minimum(column, row) < WINDOW) | (np.maximum(column, row) >= SIDE + WINDOW)
        assert outside.any()
        assert (mask[:, torch.from_numpy(outside)] == 255).all()


@pytest.mark.parametrize("background", [*BACKGROUNDS[:3]], ids=str)
def test_both_roads_to_the_device_give_one_window(
    module: Make, background: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    near, far = (module(background=background, augment=COLOURED, masks=True) for _ in range(2))
    one = whole_batch(near, near.dataset(near.parts.train, training=True))
    monkeypatch.setattr(far, "_on_gpu", lambda: True)
    other = whole_batch(far, far.dataset(far.parts.train, training=True))
    assert set(one) == set(other)
    difference = (one["image"] - other["image"]).abs() * 255
    assert difference.mean() < 4 * 0.4  # the gain multiplies what the two roads may differ by
    assert np.percentile(difference.numpy(), 99) < 4 * 1.5
    assert (one["mask"] != other["mask"]).float().mean() < 0.005


def test_the_kept_circle_moves_with_the_photograph(module: Make) -> None:
    background = {"scale": 0.04, "circle": 0.5, "outside": "black"}
    made = module(windows=False, background=background, augment={"shift": 0.2})
    dataset = made.dataset(made.parts.train, training=True)
    keys = [(0, i, i) for i in range(len(dataset))]
    warps, _ = dataset._draw(keys, SIDE, SIDE)
    found = whole_batch(made, dataset)["image"]
    y, x = np.mgrid[:SIDE, :SIDE]
    for image, warp in zip(found, warps, strict=True):
        outside = np.hypot(x + warp[0, 2] - (SIDE - 1) / 2, y + warp[1, 2] - (SIDE - 1) / 2) > SIDE / 4 + 0.01
        assert not image[:, torch.from_numpy(outside)].any()
        assert image[:, torch.from_numpy(~outside)].mean() > 0.3


def test_averages_are_computed_once(fake_sets: Path, tmp_path: Path, module: Make) -> None:
    def made() -> FundusDataModule:
        made = module(background={"kind": "median"}, cache=tmp_path)
        whole_batch(made, made.dataset(made.parts.train))
        return made

    made()
    (file,) = tmp_path.glob("*/*.average-*[0-9a-f]")
    before = file.stat().st_mtime_ns
    made()
    assert [file] == list(tmp_path.glob("*/*.average-*[0-9a-f]"))
    assert file.stat().st_mtime_ns == before
    module(background=0.05, cache=tmp_path).dataset(made().parts.train)
    assert len(list(tmp_path.glob("*/*.average-*[0-9a-f]"))) == 2


def test_windows_of_a_mixture_take_their_own_photographs_averages(
    fake_sets: Path, cache: Path, tmp_path: Path
) -> None:
    root = write_fake_set("fgadr", tmp_path / "fgadr", 20, seed=5000)
    given = {
        "set": "idrid",
        "options": {"task": "segmentation"},
        "mix": ["fgadr"],
        "size": 48,
        "cache": cache,
        "normalise": "unit",
        "background": 0.04,
    }
    roots = {"idrid": fake_sets / "idrid", "fgadr": root}

    def made(**more: Any) -> FundusDataModule:
        data = DataConfig.model_validate({**given, **more})
        return FundusDataModule(data, Protocol(diseases={"dr": "icdr5"}), roots=roots)

    small, large = made(windows={"kind": "lesions", "size": 16, "negatives": 1}), made()
    windows = whole_batch(small, small.dataset(small.parts.train))["image"]
    photographs = whole_batch(large, large.dataset(large.parts.train))["image"]
    for window, (photograph, x, y) in zip(windows, places(small), strict=True):
        if 8 <= x <= 40 and 8 <= y <= 40:
            expected = photographs[photograph, :, y - 8 : y + 8, x - 8 : x + 8]
            assert (window - expected).abs().max() < 0.25 / 255
