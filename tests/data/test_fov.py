"""Fields drawn with known centre and radius must be found, and points and masks must follow the crop."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from retinalab.data.decode import decode, read_mask
from retinalab.data.fov import COVERAGE, crop_mask, crop_to_square, field_of_view
from retinalab.data.outline import Ellipse, fit_outline
from retinalab.errors import RetinalabError


def draw(
    shape: tuple[int, int],
    centre: tuple[int, int],
    axes: tuple[int, int],
    background: int = 0,
    colour: tuple[int, int, int] = (180, 90, 40),
    noise: float = 3.0,
) -> np.ndarray:
    image = np.full((*shape, 3), background, np.uint8)
    cv2.ellipse(image, centre, axes, 0, 0, 360, colour, cv2.FILLED)
    rough = image + np.random.default_rng(0).normal(0, noise, image.shape)
    return np.clip(rough, 0, 255).astype(np.uint8)


CASES = {
    "black": draw((600, 800), (400, 300), (270, 270)),
    "white": draw((600, 800), (400, 300), (270, 270), background=255),
    "off-centre": draw((600, 800), (300, 290), (270, 270)),
    "dim": draw((600, 800), (400, 300), (270, 270), colour=(46, 22, 12)),
    "grey haze": draw((600, 800), (400, 300), (270, 270), background=24),
}
CENTRES = {"off-centre": (300, 290)}


@pytest.mark.parametrize("name", list(CASES))
def test_circle_is_found(name: str) -> None:
    fov = field_of_view(CASES[name])
    x, y = CENTRES.get(name, (400, 300))
    assert fov.ellipse is not None
    assert abs(fov.ellipse.cx - x) < 4
    assert abs(fov.ellipse.cy - y) < 4
    assert abs(fov.ellipse.rx - 270) < 5
    assert fov.ellipse.rx == pytest.approx(fov.ellipse.ry, rel=0.01)
    assert abs(fov.side - 540) < 9
    assert abs(fov.x0 - (x - 270)) < 5
    assert abs(fov.y0 - (y - 270)) < 5
    assert fov.background == ("white" if name == "white" else "black")


def test_circle_cut_at_top_and_bottom_reaches_beyond_the_image() -> None:
    fov = field_of_view(draw((500, 900), (440, 250), (320, 320)))
    assert abs(fov.side - 640) < 10
    assert abs(fov.x0 - 120) < 6
    assert abs(fov.y0 + 70) < 6
    crop = crop_to_square(draw((500, 900), (440, 250), (320, 320)), fov, 128)
    assert crop[:12].max() <= 8
    assert crop[-12:].max() <= 8
    assert crop[64, 4, 0] > 120


def test_circle_cut_at_the_top_only_keeps_its_centre() -> None:
    fov = field_of_view(draw((560, 900), (440, 260), (300, 300)))
    assert fov.ellipse is not None
    assert abs(fov.ellipse.cy - 260) < 5
    assert abs(fov.y0 + 40) < 8


def test_ellipse_of_a_squeezed_photograph() -> None:
    fov = field_of_view(draw((512, 512), (256, 256), (244, 205)))
    assert fov.ellipse is not None
    assert abs(fov.ellipse.rx - 244) < 4
    assert abs(fov.ellipse.ry - 205) < 4
    assert abs(fov.side - 488) < 7
    assert abs(fov.y0 - 12) < 5


@pytest.mark.parametrize("background", [0, 255])
def test_text_in_the_corner_changes_nothing_and_is_removed(background: int) -> None:
    image = draw((600, 800), (400, 300), (270, 270), background)
    plain = field_of_view(image)
    ink = 255 - background
    cv2.putText(image, "OD 12/03/2009 ID 4711", (4, 590), cv2.FONT_HERSHEY_SIMPLEX, 0.9, (ink, ink, ink), 2)
    cv2.putText(image, "45 deg", (6, 40), cv2.FONT_HERSHEY_SIMPLEX, 1.2, (ink, ink, ink), 3)
    cv2.rectangle(image, (700, 0), (799, 60), (128, 128, 128), cv2.FILLED)
    fov = field_of_view(image)
    assert abs(fov.side - plain.side) < 6
    assert abs(fov.x0 - plain.x0) < 4
    crop = crop_to_square(image, fov, 200)
    yy, xx = np.mgrid[:200, :200]
    outside = np.hypot(xx - 99.5, yy - 99.5) > 104
    assert crop[outside].max() == 0


def test_notch_and_dark_sector_do_not_move_the_circle() -> None:
    image = draw((600, 800), (400, 300), (270, 270))
    cv2.fillConvexPoly(image, np.array([[660, 290], [695, 275], [695, 325]]), (180, 90, 40))
    cv2.ellipse(image, (400, 300), (271, 271), 0, 30, 75, (2, 2, 2), cv2.FILLED)
    fov = field_of_view(image)
    assert abs(fov.side - 540) < 12
    assert abs(fov.x0 - 130) < 6


def test_dim_field_with_a_large_reflection_is_found_whole() -> None:
    image = draw((600, 800), (400, 300), (270, 270), colour=(13, 8, 6), noise=0).astype(float)
    image[180:420, 280:530] = 250
    rough = image + np.abs(np.random.default_rng(0).normal(0, 0.7, image.shape))
    fov = field_of_view(np.clip(rough, 0, 255).astype(np.uint8))
    assert fov.ellipse is not None
    assert abs(fov.x0 - 130) < 8
    assert abs(fov.side - 540) < 14


def test_field_that_fills_the_picture_keeps_everything() -> None:
    image = draw((400, 600), (300, 200), (900, 900))
    fov = field_of_view(image)
    assert fov.ellipse is None
    assert fov.background == "none"
    assert fov.side == pytest.approx(600, abs=1)
    assert crop_to_square(image, fov, 60)[30].min() > 20


@pytest.mark.parametrize("level", [0, 12, 255])
def test_picture_without_a_field_is_refused(level: int) -> None:
    image = np.full((300, 400, 3), level, np.uint8)
    if level == 12:
        image = np.clip(image + np.random.default_rng(0).normal(0, 2, image.shape), 0, 255).astype(np.uint8)
    with pytest.raises(RetinalabError, match=r"eye\.jpg shows no field of view"):
        field_of_view(image, "eye.jpg")


def test_same_image_same_answer() -> None:
    assert field_of_view(CASES["black"]) == field_of_view(CASES["black"].copy())


def test_scale_invariance() -> None:
    image = draw((1200, 1600), (820, 600), (540, 540))
    large = field_of_view(image)
    small = field_of_view(cv2.resize(image, (400, 300), interpolation=cv2.INTER_AREA)).rescale(1200, 1600)
    assert abs(large.x0 - small.x0) < 12
    assert abs(large.side - small.side) < 16


def test_white_background_becomes_black_without_a_rim() -> None:
    image = CASES["white"]
    crop = crop_to_square(image, field_of_view(image), 256)
    yy, xx = np.mgrid[:256, :256]
    distance = np.hypot(xx - 127.5, yy - 127.5)
    assert crop[distance > 131].max() == 0
    assert crop[..., 2].max() < 80


def test_points_follow_the_crop() -> None:
    image = draw((600, 800), (380, 310), (270, 270), noise=0)
    for x, y in ((300, 250), (500, 400), (380, 310)):
        cv2.circle(image, (x, y), 6, (20, 250, 250), cv2.FILLED)
    fov = field_of_view(image)
    crop = crop_to_square(image, fov, 300)
    marked = (crop[..., 0] < 80) & (crop[..., 1] > 200)
    _, _, _, centroids = cv2.connectedComponentsWithStats(marked.astype(np.uint8))
    found = centroids[1:][np.lexsort((centroids[1:, 1], centroids[1:, 0]))]
    points = np.array([[300.0, 250], [380, 310], [500, 400]])
    mapped = fov.map_points(points, 300)
    np.testing.assert_allclose(found, mapped, atol=0.4)
    np.testing.assert_allclose(fov.unmap_points(mapped, 300), points, atol=1e-9)
    assert np.isnan(fov.map_points(np.array([np.nan, 3.0]), 300)[0])


def test_affine_agrees_with_the_resampling_of_opencv() -> None:
    yy, xx = np.mgrid[:300, :300]
    waves = 128 + 60 * np.sin(xx / 6) + 60 * np.cos(yy / 6)
    image = np.repeat(waves[..., None], 3, axis=2).astype(np.uint8)
    fov = field_of_view(draw((300, 300), (150, 150), (145, 145)))
    size = fov.box[2] - 7
    warped = cv2.warpAffine(image, fov.affine(size), (size, size), flags=cv2.INTER_CUBIC)
    crop = crop_to_square(image, fov, size)
    inside = np.hypot(*(np.mgrid[:size, :size] - size / 2)) < 0.9 * size / 2
    assert np.abs(crop.astype(int) - warped)[inside].max() <= 3


def test_crop_is_antialiased_and_keeps_microaneurysms() -> None:
    image = draw((2000, 2000), (1000, 1000), (980, 980), noise=0)
    generator = np.random.default_rng(1)
    spots = [(int(x), int(y)) for x, y in generator.uniform(600, 1400, (40, 2))]
    for spot in spots:
        cv2.circle(image, spot, 4, (90, 20, 15), cv2.FILLED)
    fov = field_of_view(image)
    crop = crop_to_square(image, fov, 512)
    for spot in spots:
        x, y = np.round(fov.map_points(np.array(spot, float), 512)).astype(int)
        assert crop[y - 1 : y + 2, x - 1 : x + 2, 1].min() < 60


def test_mask_pixels_are_marked_by_coverage() -> None:
    fov = field_of_view(draw((400, 400), (200, 200), (196, 196)))
    x0, y0, side = fov.box
    size = side // 4
    mask = np.zeros((400, 400), bool)
    step = side / size
    corner = (round(x0 + 40 * step), round(y0 + 30 * step))
    mask[corner[1] : corner[1] + 2, corner[0] : corner[0] + 2] = True
    area = np.zeros((size, size))
    yy, xx = np.nonzero(mask)
    for y, x in zip(yy, xx, strict=True):  # brute force: area of each source pixel within each crop pixel
        for cy in range(29, 33):
            for cx in range(39, 43):
                height = min(y + 1 - y0, (cy + 1) * step) - max(y - y0, cy * step)
                width = min(x + 1 - x0, (cx + 1) * step) - max(x - x0, cx * step)
                area[cy, cx] += max(0, height) * max(0, width) / step**2
    for coverage in (0.1, COVERAGE / 1.2, 0.5):
        expected = np.argwhere(area >= coverage - 0.004)
        np.testing.assert_array_equal(np.argwhere(crop_mask(mask, fov, size, coverage)), expected)


def test_mask_at_full_size_follows_a_photograph_decoded_smaller() -> None:
    image = draw((600, 800), (400, 300), (270, 270))
    fov = field_of_view(cv2.resize(image, (400, 300), interpolation=cv2.INTER_AREA))
    mask = np.zeros((600, 800), bool)
    mask[295:305, 495:505] = True
    yy, xx = np.nonzero(crop_mask(mask, fov, 270))
    expected = fov.rescale(600, 800).map_points(np.array([499.5, 299.5]), 270)
    np.testing.assert_allclose([xx.mean(), yy.mean()], expected, atol=0.6)


def test_mask_and_crop_are_black_outside_the_picture() -> None:
    fov = field_of_view(draw((500, 900), (440, 250), (320, 320)))
    mask = crop_mask(np.ones((500, 900), bool), fov, 128)
    assert not mask[:12].any()
    assert mask[64].all()


def test_ellipse_is_drawn_where_it_lies() -> None:
    ellipse = Ellipse(50.5, 40.0, 30.0, 20.0)
    yy, xx = np.mgrid[:80, :100] + 0.5
    distance = np.hypot((xx - 50.5) / 30, (yy - 40.0) / 20)
    drawn = ellipse.draw(80, 100) > 0
    assert drawn[distance < 1 - 1 / 20].all()
    assert not drawn[distance > 1 + 1 / 20].any()
    assert ellipse.shift(1, 2).rescale(2, 1) == Ellipse(103.0, 42.0, 60.0, 20.0)


def test_too_little_outline_gives_no_shape() -> None:
    assert fit_outline(np.ones((50, 60), bool)) == (None, 0.0)


@pytest.mark.parametrize(
    ("folder", "pattern", "ratio", "least"),
    [
        ("deepdrid", "images/*0_*.jpg", 1.3, 100),
        ("dr600", "images/*5_L.jpg", 1.01, 20),
        ("hei_med", "images/*1*.jpg", 1.01, 20),
    ],
)
def test_real_fields_are_found(
    shared_data: Path, folder: str, pattern: str, ratio: float, least: int
) -> None:
    files = sorted((shared_data / folder).glob(pattern))[:150]
    assert len(files) >= least
    for file in files:
        image = decode(file, 128)
        fov = field_of_view(image)
        assert fov.ellipse is not None, file
        assert 1 / ratio < fov.ellipse.rx / fov.ellipse.ry < ratio, file
        assert 0.85 < fov.side / min(image.shape[:2]) < 1.4, file


def test_real_white_backgrounds_become_black(shared_data: Path) -> None:
    for name in ("120_l1", "130_r2", "27_l1", "330_r1", "96_l2"):
        image = decode(shared_data / "deepdrid" / "images" / f"{name}.jpg")
        fov = field_of_view(image)
        assert fov.background == "white"
        crop = crop_to_square(image, fov, 128)
        assert crop[:8, :8].max() == 0
        assert crop[64, 64].max() > 40


def test_real_lesions_survive_the_crop(shared_data: Path) -> None:
    folder = shared_data / "idrid" / "A. Segmentation"
    image = decode(folder / "1. Original Images" / "a. Training Set" / "IDRiD_01.jpg", 512)
    masks = folder / "2. All Segmentation Groundtruths" / "a. Training Set"
    mask = read_mask(masks / "1. Microaneurysms" / "IDRiD_01_MA.tif", (2848, 4288), binary=True)
    fov = field_of_view(image)
    small = crop_mask(mask, fov, 512)
    pieces = cv2.connectedComponentsWithStats(mask.view(np.uint8))[3][1:]
    points = fov.rescale(*mask.shape).map_points(pieces, 512)
    near = cv2.dilate(small.view(np.uint8), np.ones((3, 3), np.uint8))
    found = [near[y, x] for x, y in np.clip(np.round(points).astype(int), 0, 511)]
    assert np.mean(found) > 0.97


@pytest.mark.parametrize("shift", [0, 1, 2, 3, 5, 7])
def test_a_mask_of_the_whole_photograph_lies_on_one_decoded_smaller(tmp_path: Path, shift: int) -> None:
    """Wherever the field begins: half a pixel of the smaller photograph would be a whole one of the mask."""
    image = draw((1000, 1400), (690 + shift, 500 + shift), (460, 460), noise=0)
    mask = np.zeros(image.shape[:2], np.uint8)
    cv2.circle(mask, (600, 470), 40, 1, cv2.FILLED)
    image[mask > 0] = (250, 240, 200)
    cv2.imwrite(str(tmp_path / "a.jpg"), image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 98])
    decoded = decode(tmp_path / "a.jpg", 300)
    assert decoded.shape[0] == 500
    field = field_of_view(decoded)
    working = crop_to_square(decoded, field, 300)[..., 1].astype(float)
    marked = crop_mask(mask.astype(bool), field, 300, 0.5)
    bright = np.clip((working - 90) / 150, 0, 1) * cv2.dilate(marked.astype(np.uint8), np.ones((7, 7)))
    places = np.mgrid[:300, :300]
    own = (places * bright).sum((1, 2)) / bright.sum()
    theirs = (places * marked).sum((1, 2)) / marked.sum()
    np.testing.assert_allclose(own, theirs, atol=0.1)
