"""Copies of a picture are found and other pictures are not; distances are those of counted bits."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from retinalab.data.decode import decode
from retinalab.data.fov import crop_to_square, field_of_view
from retinalab.data.likeness import NEAR, likeness, likeness_hash, near_pairs, same_picture

SIDE = 320


def retina(seed: int, angle: float = 0.0) -> np.ndarray:
    """A disc on black with vessel-like noise in it; ``angle`` turns the eye behind the disc, in degrees."""
    generator = np.random.default_rng(seed)
    noise = np.zeros((SIDE, SIDE), np.float32)
    for sigma in (2, 4, 8):
        layer = cv2.GaussianBlur(generator.normal(size=(SIDE, SIDE)).astype(np.float32), (0, 0), sigma)
        noise += layer / layer.std()
    turn = cv2.getRotationMatrix2D((SIDE / 2, SIDE / 2), angle, 1.0)
    noise = cv2.warpAffine(noise, turn, (SIDE, SIDE), borderMode=cv2.BORDER_REFLECT)
    image = np.stack([170 + 12 * noise, 90 + 15 * noise, 45 + 5 * noise], axis=-1)
    disc = np.zeros((SIDE, SIDE), np.uint8)
    cv2.circle(disc, (SIDE // 2, SIDE // 2), SIDE // 2 - 6, 1, cv2.FILLED)
    return np.clip(image, 0, 255).astype(np.uint8) * disc[..., None]


def working(image: np.ndarray, size: int = 160) -> np.ndarray:
    return crop_to_square(image, field_of_view(image), size)


def bits(first: np.ndarray, second: np.ndarray) -> int:
    differing = likeness_hash(first) ^ likeness_hash(second)
    return sum(int(word).bit_count() for word in differing)


def compressed(image: np.ndarray, quality: int) -> np.ndarray:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=quality)
    return np.array(Image.open(file))


COPIES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "smaller": lambda image: cv2.resize(image, None, fx=0.6, fy=0.6, interpolation=cv2.INTER_AREA),
    "larger": lambda image: cv2.resize(image, None, fx=1.7, fy=1.7, interpolation=cv2.INTER_CUBIC),
    "compressed": lambda image: compressed(image, 60),
    "cut all round": lambda image: image[10:-10, 10:-10],
    "cut on two sides": lambda image: image[16:, :-16],
    "in a black frame": lambda image: cv2.copyMakeBorder(image, 5, 5, 60, 60, cv2.BORDER_CONSTANT),
    "darker": lambda image: (image * 0.7).astype(np.uint8),
    "brighter": lambda image: np.clip(image * 1.2, 0, 255).astype(np.uint8),
}


@pytest.mark.parametrize("change", COPIES.values(), ids=COPIES)
def test_a_copy_is_near_and_the_same(change: Callable[[np.ndarray], np.ndarray]) -> None:
    for seed in range(3):
        original, copy = working(retina(seed)), working(change(retina(seed)), 200)
        assert bits(original, copy) <= NEAR
        assert same_picture(original, copy)


def test_other_pictures_are_neither() -> None:
    pictures = [working(retina(seed)) for seed in range(12)]
    hashes = np.stack([likeness_hash(picture) for picture in pictures])
    assert near_pairs(hashes, within=80) == []
    assert not same_picture(pictures[0], pictures[1])


def test_an_eye_that_turned_between_two_photographs_is_another_picture() -> None:
    assert likeness(working(retina(0)), working(retina(0, 0.0))) == 1.0
    assert not same_picture(working(retina(0)), working(retina(0, 2.0)))


def test_a_reflex_on_the_lens_makes_no_copy() -> None:
    """The same bright spots on two eyes correlate more than anything else in them."""
    eyes = [retina(seed) for seed in (0, 1)]
    for eye in eyes:
        for x in (140, 180):
            cv2.circle(eye, (x, 160), 14, (255, 230, 220), cv2.FILLED)
    assert not same_picture(*(working(eye) for eye in eyes))


def test_a_mirrored_copy_does_not_count() -> None:
    image = working(retina(3))
    assert bits(image, image[:, ::-1]) > 2 * NEAR
    assert not same_picture(image, np.ascontiguousarray(image[:, ::-1]))


def test_black_resembles_nothing() -> None:
    black = np.zeros((64, 64, 3), np.uint8)
    assert not likeness_hash(black).any()
    assert not same_picture(black, black)
    hashes = np.stack([likeness_hash(black)] * 2)
    assert near_pairs(hashes) == []
    assert near_pairs(hashes, hashes) == []


def test_a_hash_has_256_bits_half_of_them_set() -> None:
    found = likeness_hash(working(retina(0)))
    assert (found.shape, found.dtype) == ((4,), np.uint64)
    assert sum(int(word).bit_count() for word in found) == 128


def _brute(first: np.ndarray, second: np.ndarray, within: int) -> set[tuple[int, int, int]]:
    found = set()
    for row, one in enumerate(first):
        for place, other in enumerate(second):
            distance = sum(int(a ^ b).bit_count() for a, b in zip(one, other, strict=True))
            if distance <= within:
                found.add((row, place, distance))
    return found


def test_near_pairs_are_those_of_counted_bits() -> None:
    """More rows than one tile holds, against Python's own counting."""
    generator = np.random.default_rng(0)
    first = generator.integers(1, 2**63, (300, 4)).astype(np.uint64)
    second = generator.integers(1, 2**63, (270, 4)).astype(np.uint64)
    for row, place, changed in ((0, 269, 0), (299, 0, 7), (257, 256, 40), (5, 5, 41)):
        second[place] = first[row]
        for bit in generator.permutation(256)[:changed]:
            second[place, bit // 64] ^= np.uint64(1 << (int(bit) % 64))
    found = near_pairs(first, second)
    assert set(found) == _brute(first, second, NEAR)
    assert [pair[2] for pair in found] == [0, 7, 40]
    whole = np.concatenate([first, second])
    assert {(a, b, d) for a, b, d in _brute(whole, whole, 60) if a < b} == set(near_pairs(whole, within=60))


def test_real_originals_and_their_reduced_copies(shared_data: Path) -> None:
    folder = shared_data / "dr600"
    names = sorted(path.name for path in (folder / "full").iterdir())[:3]
    originals = [working(decode(folder / "full" / name, 256), 256) for name in names]
    copies = [working(decode(folder / "images" / name, 256), 256) for name in names]
    hashes = [np.stack([likeness_hash(image) for image in images]) for images in (originals, copies)]
    assert {pair[:2] for pair in near_pairs(*hashes)} == {(row, row) for row in range(3)}
    assert all(same_picture(*pair) for pair in zip(originals, copies, strict=True))


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        ("27_r1", "27_r2", True),  # one picture, saved twice
        ("67_r1", "67_r2", False),  # two shots of one eye
        ("229_l1", "229_l2", False),  # within 40 bits, and the eye has turned
        ("115_r2", "256_r2", False),  # two patients, one reflex
    ],
)
def test_real_views_of_one_eye(shared_data: Path, first: str, second: str, same: bool) -> None:
    images = [
        working(decode(shared_data / "deepdrid/images" / f"{name}.jpg", 256), 256) for name in (first, second)
    ]
    near = bits(*images) <= NEAR
    assert (near and same_picture(*images)) is same


@pytest.mark.parametrize("alone", [True, False])
def test_near_pairs_are_all_that_counting_every_bit_finds(alone: bool) -> None:
    generator = np.random.default_rng(3)
    first = generator.integers(0, 2**64, (70, 4), dtype=np.uint64)
    second = first if alone else generator.integers(0, 2**64, (1100, 4), dtype=np.uint64)
    for row in range(0, 60, 2):  # copies that differ in 0 to 58 bits
        changed = np.unpackbits(first[row].view(np.uint8))
        changed[generator.choice(256, row, replace=False)] ^= 1
        second[row + 1] = np.packbits(changed).view(np.uint64)
    first[69] = 0
    bits = [np.unpackbits(np.ascontiguousarray(side).view(np.uint8), axis=1) for side in (first, second)]
    wanted = [
        (distance, row, other)
        for row, one in enumerate(bits[0])
        for other, two in enumerate(bits[1])
        if (not alone or row < other) and one.any() and two.any()
        if (distance := int((one != two).sum())) <= 40
    ]
    assert len(wanted) >= 20
    expected = [(row, other, distance) for distance, row, other in sorted(wanted)]
    assert near_pairs(first, None if alone else second) == expected
