"""Pictures that are no fundus photographs are told from those that are, drawn and real, by fixed limits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_sample_images

from retinalab.data.decode import decode
from retinalab.data.fov import field_of_view
from retinalab.data.sets.fake import fake_image
from retinalab.errors import RetinalabError
from retinalab.predict.prepare import read_judged
from retinalab.predict.quality import FLAGS, GRADED, LIMITS, measured, quality_of
from retinalab.synthetic import World

Draw = Callable[[np.random.Generator], np.ndarray]


def flag(image: np.ndarray) -> str:
    try:
        return quality_of(image, field_of_view(image)).flag
    except RetinalabError:
        return "no fundus"


def grey(values: np.ndarray) -> np.ndarray:
    return np.repeat(np.clip(values, 0, 255).astype(np.uint8)[..., None], 3, axis=2)


def in_circle(image: np.ndarray) -> np.ndarray:
    height, width = image.shape[:2]
    mask = np.zeros((height, width), np.uint8)
    cv2.circle(mask, (width // 2, height // 2), int(0.47 * min(height, width)), 1, cv2.FILLED)
    return image * mask[..., None]


def document(generator: np.random.Generator) -> np.ndarray:
    page = np.full((500, 380, 3), 250, np.uint8)
    for line in range(40, 480, 20):
        text = "".join(chr(97 + int(c)) if c < 26 else " " for c in generator.integers(0, 31, 34))
        cv2.putText(page, text, (20, line), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (20, 20, 20), 1, cv2.LINE_AA)
    return page


def tomogram(generator: np.random.Generator) -> np.ndarray:
    """Bright layers with a pit, under speckle: a B-scan of optical coherence tomography."""
    height, width = 300, 460
    across, down = np.linspace(-1, 1, width), np.arange(height)[:, None]
    top = height * (0.4 + 0.1 * across**2 + 0.06 * np.exp(-((across / 0.12) ** 2)))
    values = np.full((height, width), 18.0)
    for depth, thick, bright in (
        (0, 0.03, 150),
        (0.06, 0.03, 70),
        (0.1, 0.03, 110),
        (0.22, 0.02, 220),
        (0.26, 0.05, 160),
    ):
        values += bright * np.exp(-(((down - top - height * depth) / (height * thick)) ** 2))
    return grey(values * generator.gamma(4, 0.25, values.shape))


def blobs(generator: np.random.Generator) -> np.ndarray:
    noise = generator.normal(size=(300, 400, 3)).astype(np.float32)
    layers = [cv2.GaussianBlur(noise, (0, 0), sigma) for sigma in (40, 15, 5, 2)]
    values = sum(layer / layer.std() * weight for layer, weight in zip(layers, (6, 4, 2, 1), strict=True))
    return np.asarray(np.clip(values / np.std(values) * 55 + 128, 0, 255), np.uint8)


def ball(generator: np.random.Generator) -> np.ndarray:
    y, x = np.mgrid[:300, :300]
    light = np.clip(1 - ((x - 110) ** 2 + (y - 100) ** 2) / 190**2, 0.05, 1) * (
        np.hypot(x - 150, y - 150) < 135
    )
    return np.asarray(255 * light[..., None] * np.array([0.9, generator.uniform(0.2, 0.5), 0.1]), np.uint8)


PICTURES: dict[str, Draw] = {
    "document": document,
    "document in negative": lambda g: 255 - document(g),
    "document in a circle": lambda g: in_circle(document(g)),
    "tomogram": tomogram,
    "tomogram in a circle": lambda g: in_circle(tomogram(g)),
    "noise": lambda g: g.integers(0, 256, (300, 400, 3)).astype(np.uint8),
    "grey noise": lambda g: grey(g.integers(0, 256, (300, 400))),
    "dark noise": lambda g: g.integers(0, 40, (300, 400, 3)).astype(np.uint8),
    "noise in a circle": lambda g: in_circle(g.integers(0, 256, (300, 300, 3)).astype(np.uint8)),
    "black": lambda g: np.zeros((300, 400, 3), np.uint8),
    "white": lambda g: np.full((300, 400, 3), 255, np.uint8),
    "orange": lambda g: np.full((300, 400, 3), (190, 95, 40), np.uint8),
    "orange disc": lambda g: in_circle(np.full((300, 400, 3), (190, 95, 40), np.uint8)),
    "ball": ball,
    "blobs": blobs,
    "blobs in a circle": lambda g: in_circle(blobs(g)),
}


@pytest.mark.parametrize("kind", PICTURES)
def test_what_is_no_fundus_photograph(kind: str) -> None:
    flags = Counter(flag(PICTURES[kind](np.random.default_rng(seed))) for seed in range(6))
    assert flags == {"no fundus": 6}


def test_scenes() -> None:
    """Two landscapes and a flower: whole, cut out of, and behind a round window. One in thirty may pass."""
    generator, flags = np.random.default_rng(0), Counter[str]()
    for scene in load_sample_images().images:
        assert flag(scene) == "no fundus"
        for _ in range(15):
            side = int(generator.integers(120, 400))
            y, x = (int(generator.integers(0, length - side)) for length in scene.shape[:2])
            part = np.ascontiguousarray(scene[y : y + side, x : x + side])
            flags[flag(part)] += 1
            flags[flag(in_circle(part))] += 1
    assert flags.total() == 60
    assert flags.total() - flags["no fundus"] <= 2


def test_drawn_fundus_photographs_pass() -> None:
    world = World()
    images = [fake_image(seed, seed % 5) for seed in range(20)]
    images += [world.render(k, size).image for k, size in enumerate((96, 192, 256) * 5)]
    assert {flag(image) for image in images} == {"good"}


def test_a_photograph_without_colour_is_graded_and_flagged() -> None:
    assert flag(grey(World().render(3, 256).image[..., 1])) == "grey"


def test_dark_and_blurred_photographs_are_flagged() -> None:
    image = World().render(3, 256).image
    assert flag((image * 0.2).astype(np.uint8)) == "dark"
    levels = [flag(cv2.GaussianBlur(image, (0, 0), sigma)) for sigma in (0.5, 6, 30)]
    assert levels[0] == "good"
    assert "good" not in levels[1:]


def test_measures_by_hand() -> None:
    """A disc of one colour, and the same with stripes: nothing in it, then the mean of what stands out."""
    plain = in_circle(np.full((256, 256, 3), (200, 100, 50), np.uint8))
    found = measured(plain, field_of_view(plain))
    assert found["red"] == pytest.approx(200 / 350)
    assert found["saturation"] == pytest.approx(0.75)
    assert found["level"] == pytest.approx(200)
    assert (found["ordered"], found["colours"], found["ground"]) == (1, pytest.approx(0), 0)
    assert (found["dark detail"], found["bright detail"], found["slope"]) == (0, 0, 0)
    striped = plain.copy()
    striped[::8][plain[::8].any(axis=2)] = (160, 60, 30)  # an eighth of the rows 40 levels darker in green
    found = measured(striped, field_of_view(striped))
    assert found["dark detail"] == pytest.approx(40 / 8 / (100 - 5 + 5), rel=0.02)
    assert found["bright detail"] == pytest.approx(40 * 7 / 8 / (100 - 5 + 5), rel=0.02)


def test_limits_hold_what_they_were_drawn_from() -> None:
    for limit in LIMITS.values():
        assert limit.least < limit.seen[0] < limit.seen[1] < limit.most
    assert set(GRADED) < set(FLAGS)


def real(root: Path) -> list[Path]:
    """Every 25th photograph that the limits were not drawn from, and all of IDRiD."""
    table = pd.read_csv(root / "deepdrid/records.csv")
    held_back = [root / "deepdrid" / name for name in table.loc[table["split"] == "test", "image"]]
    others = [path for name in ("dr600", "hei_med") for path in sorted((root / name).rglob("*.jpg"))]
    return [*held_back[::25], *others[::25], *sorted((root / "idrid").rglob("*.jpg"))[::4]]


def test_real_photographs_pass(shared_data: Path) -> None:
    flags = Counter(flag(decode(path, 256)) for path in real(shared_data))
    assert flags.total() > 40
    assert flags["no fundus"] == 0


def test_the_flag_hardly_depends_on_the_size_that_a_network_takes(shared_data: Path) -> None:
    for path in real(shared_data)[:6]:
        assert {read_judged(path, [size]).quality.flag for size in (48, 224, 512)} <= {
            "good",
            "dark",
            "blurred",
        }
        assert set(read_judged(path, [48, 224]).works) == {48, 224}


def test_reasons_name_the_file_and_the_limit(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "ball.png"), ball(np.random.default_rng(0))[..., ::-1])
    judged = read_judged(tmp_path / "ball.png", [64])
    assert judged.quality.flag == "no fundus"
    assert (
        "ball.png looks like no fundus photograph: no vessels stand out in it (dark detail"
        in judged.quality.reason
    )
    assert set(judged.works) == {64}
    gone = read_judged(tmp_path / "gone.png", [64])
    assert (gone.quality.flag, dict(gone.works)) == ("unreadable", {})
