"""Each fault grows with its severity, keeps to the field of view, and does what it is named after."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from retinalab.errors import RetinalabError
from retinalab.predict.prepare import read_working
from retinalab.robustness.corruptions import CORRUPTIONS, SEVERITIES, corrupt
from retinalab.robustness.field import Field
from retinalab.robustness.recording import CAMERAS, Tones, tones_of
from retinalab.transforms import generator

Retina = tuple[np.ndarray, Field]
PLACED = ("haze", "light", "lash", "crop")


def under(retina: Retina, name: str, severity: int, seed: int = 0) -> np.ndarray:
    return corrupt(*retina, name, severity, generator(seed))


def change(retina: Retina, name: str, severity: int, seed: int = 0) -> float:
    image, field = retina
    after = under(retina, name, severity, seed).astype(float)
    return float(np.abs(after - image)[field.inside].mean())


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_a_fault_grows_and_keeps_to_the_field(retina: Retina, name: str) -> None:
    image, field = retina
    kept = image.copy()
    untouched = under(retina, name, 0)
    assert untouched is not image
    np.testing.assert_array_equal(untouched, image)
    for seed in range(3):
        steps = [change(retina, name, severity, seed) for severity in (0, *SEVERITIES)]
        assert (np.diff(steps) > 0).all(), (name, seed, steps)
    for severity in SEVERITIES:
        after = under(retina, name, severity)
        assert after.dtype == np.uint8
        assert after.shape == image.shape
        assert not after[~field.inside].any()
        np.testing.assert_array_equal(after, under(retina, name, severity))
    np.testing.assert_array_equal(image, kept)


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_what_is_drawn_follows_from_the_seed(name: str) -> None:
    image = _disc()
    drawn = [corrupt(*image, name, 4, generator(seed)) for seed in range(4)]
    different = any((one != drawn[0]).any() for one in drawn[1:])
    assert different == (name in (*PLACED, "camera"))


@pytest.mark.parametrize("name", [name for name in CORRUPTIONS if name != "crop"])
def test_marks_beyond_the_field_stay(name: str) -> None:
    image, field = _disc()
    image[2:5, 2:5] = 200
    after = corrupt(image, field, name, 5, generator(1))
    np.testing.assert_array_equal(after[~field.inside], image[~field.inside])


def test_a_cut_field_loses_its_marks() -> None:
    image, field = _disc()
    image[2:5, 2:5] = 200
    assert not corrupt(image, field, "crop", 1, generator(1))[2:5, 2:5].any()


def _disc(side: int = 161, value: tuple[int, int, int] = (180, 90, 40)) -> Retina:
    """One colour with grain, so that nothing but the fault gives it structure."""
    y, x = np.mgrid[:side, :side] - side // 2
    inside = np.hypot(x, y) <= side / 2 - 5
    grain = np.random.default_rng(5).integers(-3, 4, (side, side, 3))
    return ((np.array(value) + grain) * inside[..., None]).astype(np.uint8), Field.of(inside)


def test_defocus_spreads_a_point_over_the_circle_of_confusion() -> None:
    _, field = _disc()
    image = np.full((161, 161, 3), 100, np.uint8) * field.inside[..., None].astype(np.uint8)
    flat = corrupt(image, field, "defocus", 5, generator(0))
    np.testing.assert_array_equal(flat, image)  # no dark rim
    image[80, 80] = 255
    for severity, level in zip(SEVERITIES, CORRUPTIONS["defocus"].levels, strict=True):
        radius = level * 2 * field.radius
        after = corrupt(image, field, "defocus", severity, generator(0))[..., 0]
        y, x = np.nonzero(after != np.where(field.inside, 100, 0))
        assert np.hypot(y - 80, x - 80).max() <= radius + np.sqrt(2)
        if radius > 2:
            assert np.hypot(y - 80, x - 80).max() >= radius - 1
        light = (after / 255.0) ** 2.2
        spread = (light - (100 / 255) ** 2.2)[field.inside].sum()
        assert spread == pytest.approx(1 - (100 / 255) ** 2.2, rel=0.25)  # whole levels of 255


def test_defocus_is_a_mean_over_a_disc() -> None:
    image, field = _disc()
    rng = np.random.default_rng(0)
    image = np.where(field.inside[..., None], rng.integers(60, 200, image.shape), 0).astype(np.uint8)
    radius = CORRUPTIONS["defocus"].levels[4] * 2 * field.radius
    fine = np.arange(17 * 8) / 8 - 8.5 + 1 / 16  # eight points of each pixel
    points = np.hypot(*np.meshgrid(fine, fine)) <= radius
    kernel = points[:, :, None].reshape(17, 8, 17, 8).sum((1, 3)) / points.sum()
    light = ndimage.convolve((image[..., 1] / 255.0) ** 2.2, kernel)
    after = corrupt(image, field, "defocus", 5, generator(0))[..., 1]
    middle = np.s_[60:100, 60:100]
    np.testing.assert_allclose(after[middle], 255 * light[middle] ** (1 / 2.2), atol=4)


def test_haze_brightens_and_takes_contrast(retina: Retina) -> None:
    image, field = retina
    before = [image[field.inside].mean(), image[field.inside].std(0).mean()]
    for severity in SEVERITIES:
        inside = under(retina, "haze", severity)[field.inside]
        after = [inside.mean(), inside.std(0).mean()]
        assert after[0] > before[0]
        assert after[1] < before[1]
        before = after


def test_uneven_light_takes_the_stated_share_at_one_rim() -> None:
    image, field = _disc()
    for severity, level in zip(SEVERITIES, CORRUPTIONS["light"].levels, strict=True):
        after = corrupt(image, field, "light", severity, generator(3)).astype(float)
        share = ndimage.uniform_filter(after.sum(2), 5) / np.maximum(
            ndimage.uniform_filter(image.sum(2, dtype=float), 5), 1
        )
        y, x = np.mgrid[:161, :161] - 80
        ring = (np.abs(np.hypot(x, y) - field.radius + 5) < 1.5) & field.inside
        assert share[ring].min() == pytest.approx(1 - level, abs=0.03)
        assert share[ring].max() > 1
        darkest = np.flatnonzero(ring.ravel())[share[ring].argmin()]
        brightest = np.flatnonzero(ring.ravel())[share[ring].argmax()]
        ends = [np.array(np.unravel_index(one, ring.shape)) - 80 for one in (darkest, brightest)]
        assert ends[0] @ ends[1] < 0  # on opposite sides


def test_lashes_only_darken_and_come_from_one_rim() -> None:
    image, field = _disc()
    for seed in range(4):
        after = corrupt(image, field, "lash", 3, generator(seed)).astype(int)
        assert (after <= image).all()
        hidden = (image.sum(2) - after.sum(2)) > 60
        y, x = np.nonzero(hidden)
        centre = np.array([y.mean() - 80, x.mean() - 80]) / field.radius
        assert np.abs(centre[0]) > 0.5  # above or below
        reach = 2 * CORRUPTIONS["lash"].levels[2] + 0.2
        assert (np.hypot(y - 80, x - 80) > (1 - 1.2 * reach) * field.radius).all()


def test_jpeg_is_that_of_another_encoder(retina: Retina) -> None:
    image, field = retina
    for severity, quality in zip(SEVERITIES, CORRUPTIONS["jpeg"].levels, strict=True):
        file = io.BytesIO()
        Image.fromarray(image).save(file, "JPEG", quality=int(quality), subsampling="4:2:0")
        other = np.asarray(Image.open(file)).astype(float)
        ours = under(retina, "jpeg", severity).astype(float)
        assert np.abs(ours - other)[field.inside].mean() < 1.5


def test_a_cut_field_keeps_the_stated_share() -> None:
    image, field = _disc()
    for severity, level in zip(SEVERITIES, CORRUPTIONS["crop"].levels, strict=True):
        after = corrupt(image, field, "crop", severity, generator(2))
        kept = after.any(2)
        assert kept.sum() / field.inside.sum() == pytest.approx((1 - level) ** 2, abs=0.04)
        inner = ndimage.binary_erosion(kept, iterations=2)
        np.testing.assert_array_equal(after[inner], image[inner])


def test_another_camera_gives_the_colours_of_another_set() -> None:
    colours = np.random.default_rng(0).normal((150, 80, 40), (12, 8, 5), (161, 161, 3))
    _, field = _disc()
    image = (colours * field.inside[..., None]).astype(np.uint8)
    own, names = np.array(tones_of(image, field).mean), set()
    for seed in range(12):
        found = tones_of(corrupt(image, field, "camera", 5, generator(seed)), field)
        distances = {name: _apart(found, tones) for name, tones in CAMERAS.items()}
        nearest = min(distances, key=lambda name: distances[name])
        assert distances[nearest] < 0.05
        names.add(nearest)
        halfway = tones_of(corrupt(image, field, "camera", 2, generator(seed)), field)
        wanted = own + CORRUPTIONS["camera"].levels[1] * (np.array(CAMERAS[nearest].mean) - own)
        np.testing.assert_allclose(halfway.mean, wanted, atol=0.02)
    assert len(names) == len(CAMERAS) - 1  # not the nearest to the photograph


def _apart(a: Tones, b: Tones) -> float:
    return float(np.abs(np.array(a.mean) - b.mean).max())


def test_unknown_faults_and_severities() -> None:
    image, field = _disc()
    with pytest.raises(RetinalabError, match=r"Unknown corruption 'defokus'. Did you mean 'defocus'"):
        corrupt(image, field, "defokus", 1, generator(0))
    with pytest.raises(RetinalabError, match=r"Severity 6 of haze is none. Give one of 0 to 5"):
        corrupt(image, field, "haze", 6, generator(0))


@pytest.mark.parametrize("name", ["dr600", "hei_med"])
def test_on_real_photographs(shared_data: Path, name: str) -> None:
    working = [
        read_working(file, 128).pixels for file in sorted((shared_data / name / "images").iterdir())[:5]
    ]
    fields = [Field.seen(image) for image in working]
    means = [tones_of(image, field).mean for image, field in zip(working, fields, strict=True)]
    apart = np.abs(np.median(means, 0) - CAMERAS[name].mean)
    assert apart[0] < 0.4  # as bright as photographs of one camera are alike
    assert (apart[1:] < 0.12).all()
    image, field = working[0], fields[0]
    for fault in CORRUPTIONS:
        steps = [change((image, field), fault, severity) for severity in SEVERITIES]
        assert (np.diff(steps) > 0).all(), (fault, steps)
        assert (under((image, field), fault, 5)[~field.inside] <= image[~field.inside]).all()
