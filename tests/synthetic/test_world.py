"""The world keeps its promises: labels from masks, laterality, patients, determinism."""

from __future__ import annotations

import hashlib
import multiprocessing
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from retinalab.errors import RetinalabError
from retinalab.records import LESIONS
from retinalab.synthetic import (
    CAMERAS,
    DEVELOPMENT_CAMERAS,
    HELD_OUT_CAMERA,
    WORLD_VERSION,
    Photograph,
    World,
    WorldOptions,
    grade_masks,
)

SIZE = 256
indices = st.integers(0, 399)
seeds = st.integers(0, 10_000)
few = settings(deadline=None, max_examples=10)


def _world(seed: int, **options: object) -> World:
    return World(WorldOptions.model_validate({"photographs": 400, "seed": seed, **options}))


def _digest(photograph: Photograph) -> str:
    parts = (photograph.image, photograph.masks, photograph.field, photograph.disc, photograph.vessels)
    return hashlib.sha256(b"".join(np.ascontiguousarray(part).tobytes() for part in parts)).hexdigest()


@few
@given(seeds, indices, st.sampled_from(sorted(CAMERAS)))
def test_masks_lie_inside_the_field_and_give_the_recorded_grades(seed: int, index: int, camera: str) -> None:
    world = _world(seed, cameras=(camera,))
    scene, photograph = world.scene(index), world.render(index, SIZE)
    assert not (photograph.masks & ~photograph.field).any()
    assert not ((photograph.disc | photograph.vessels) & ~photograph.field).any()
    graded = grade_masks(
        photograph.masks,
        fovea=photograph.fovea,
        disc=photograph.disc_centre,
        disc_diameter=photograph.disc_diameter,
    )
    assert (graded.dr, graded.dme) == (scene.dr, scene.dme)
    kinds = {lesion.kind for lesion in scene.lesions}
    assert {name for name, mask in zip(LESIONS, photograph.masks, strict=True) if mask.any()} == kinds


@few
@given(seeds, indices)
def test_edema_is_the_distance_rule(seed: int, index: int) -> None:
    """By brute force on the exudates' outlines, which are in disc diameters from the fovea."""
    scene = _world(seed).scene(index)
    corners = [outline for lesion in scene.lesions if lesion.kind == "EX" for outline in lesion.polygons]
    nearest = min((float(np.hypot(*outline.T).min()) for outline in corners), default=np.inf)
    expected = 0 if not corners else 2 if nearest <= 1 else 1
    assert scene.dme == expected


@few
@given(seeds, indices)
def test_the_disc_is_on_the_nasal_side(seed: int, index: int) -> None:
    scene = _world(seed).scene(index)
    (fovea_x, fovea_y), (disc_x, disc_y) = scene.position(SIZE, "fovea"), scene.position(SIZE, "disc")
    assert (disc_x > fovea_x) == (scene.eye == "right")
    apart = np.hypot(disc_x - fovea_x, disc_y - fovea_y) / scene.frame(SIZE).scale
    assert 2.1 < apart < 3.1


@few
@given(seeds, st.integers(0, 99))
def test_views_of_one_eye_show_the_same_eye(seed: int, patient: int) -> None:
    world = _world(seed)
    first, second, other = (world.scene(4 * patient + k) for k in (0, 1, 2))
    assert (first.eye, second.eye, other.eye) == ("left", "left", "right")
    assert first.person == other.person
    assert first.camera == other.camera
    assert first.anatomy == second.anatomy != other.anatomy
    assert first.pose != second.pose
    assert len(first.lesions) == len(second.lesions)
    for one, two in zip(first.lesions, second.lesions, strict=True):
        assert (one.kind, one.x, one.y) == (two.kind, two.x, two.y)
    assert (first.dr, first.dme) == (second.dr, second.dme)


def test_eyes_of_one_patient_are_alike_in_severity() -> None:
    world = World(WorldOptions(photographs=200, views=1))
    grades = np.array([world.scene(index).dr for index in range(200)]).reshape(100, 2)
    assert np.corrcoef(grades.T)[0, 1] > 0.5


def test_cameras_change_neither_eyes_nor_labels() -> None:
    plain = _world(5)
    for camera in CAMERAS:
        world = _world(5, cameras=(camera,), faults=1.0)
        for index in (0, 3, 17, 101):
            one, two = plain.scene(index), world.scene(index)
            assert (one.dr, one.dme, one.person, one.pose) == (two.dr, two.dme, two.person, two.pose)
            assert two.camera == camera
            assert two.fault


def test_the_held_out_camera_must_be_asked_for() -> None:
    assert HELD_OUT_CAMERA in CAMERAS
    assert HELD_OUT_CAMERA not in DEVELOPMENT_CAMERAS
    assert {_world(1).scene(index).camera for index in range(0, 200, 4)} == set(DEVELOPMENT_CAMERAS)


@pytest.mark.parametrize(
    ("prevalence", "shares"),
    [("balanced", (0.2, 0.2, 0.2, 0.2, 0.2)), ("eyepacs", (0.735, 0.07, 0.15, 0.025, 0.02))],
)
def test_prevalence_is_a_setting(prevalence: str, shares: tuple[float, ...]) -> None:
    world = World(WorldOptions.model_validate({"photographs": 400, "views": 1, "prevalence": prevalence}))
    found = np.bincount([world.scene(index).dr for index in range(400)], minlength=5) / 400
    assert np.abs(found - shares).max() < 0.07


def test_label_noise_moves_a_share_of_the_grades_by_one() -> None:
    clean, noisy = _world(2), _world(2, label_noise=0.3)
    apart = np.array([noisy.scene(index).dr - clean.scene(index).dr for index in range(200)])
    assert set(np.abs(apart)) == {0, 1}
    assert 0.2 < np.mean(apart != 0) < 0.4
    assert noisy.scene(7).grading == clean.scene(7).grading


def _render(index: int) -> str:
    return _digest(_world(9).render(index, 96))


def test_a_photograph_is_the_same_in_any_order_and_process() -> None:
    wanted = [0, 5, 2, 11]
    here = {index: _render(index) for index in wanted}
    again = {index: _render(index) for index in reversed(wanted)}
    with multiprocessing.get_context("fork").Pool(2) as pool:
        there = dict(zip(wanted, pool.map(_render, wanted), strict=True))
    assert here == again == there
    assert len(set(here.values())) == len(wanted)
    shorter = World(WorldOptions(photographs=12, seed=9))
    assert _digest(shorter.render(5, 96)) == here[5]


def test_positions_scale_with_the_size() -> None:
    scene = _world(0).scene(8)
    small, large = np.array(scene.position(128, "disc")), np.array(scene.position(512, "disc"))
    assert large / 4 == pytest.approx(small, abs=2.5)
    photograph = _world(0).render(8, 512)
    rows, columns = np.nonzero(photograph.disc)
    assert (columns.mean(), rows.mean()) == pytest.approx(photograph.disc_centre, abs=2)
    assert np.sqrt(4 / np.pi * len(rows)) == pytest.approx(photograph.disc_diameter, rel=0.03)


def test_a_photograph_is_the_same_scene_at_every_size() -> None:
    world = World(WorldOptions(photographs=12, seed=9, faults=1.0))
    for index in (1, 7):
        small, large = world.render(index, 160).image, world.render(index, 640).image
        reduced = cv2.resize(large, small.shape[1::-1], interpolation=cv2.INTER_AREA)
        apart = cv2.blur(small, (7, 7)).astype(float) - cv2.blur(reduced, (7, 7))
        assert np.abs(apart).mean() < 2


def test_records_carry_what_the_scenes_say(tmp_path: Path) -> None:
    world = World(WorldOptions(photographs=24, seed=3, faults=0.5))
    records = world.records(tmp_path, size=128)
    assert len(records) == 24
    assert records.info["synthetic"].synthetic
    for index, row in records.table.iterrows():
        scene = world.scene(int(index))
        assert (row["dr"], row["dme"], row["eye"], row["camera"]) == (
            scene.dr,
            scene.dme,
            scene.eye,
            scene.camera,
        )
        assert (row["fovea_x"], row["fovea_y"]) == scene.position(128, "fovea")
        kinds = {lesion.kind for lesion in scene.lesions}
        assert {name for name in LESIONS if row[f"present_{name}"] == 1} == kinds
    image = world.render(5, 128).image
    assert image.shape[:2] == (records.table.at[5, "height"], records.table.at[5, "width"])
    assert len(set(records.groups)) == 6


def test_microaneurysms_are_under_125_micrometres() -> None:
    world = World(WorldOptions(photographs=100, views=1))
    spots = [lesion for index in range(100) for lesion in world.scene(index).lesions if lesion.kind == "MA"]
    assert len(spots) > 200
    assert max(spot.extent for spot in spots) * 1800 < 125


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"cameras": ("klinic",)}, "Did you mean 'clinic'"),
        ({"photographs": 0}, "photographs"),
        ({"sead": 1}, "sead"),
        ({"faults": 1.5}, "faults"),
    ],
)
def test_wrong_options_are_named(options: dict[str, object], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        WorldOptions.model_validate(options)


def test_wrong_numbers_are_named() -> None:
    world = World(WorldOptions(photographs=3))
    with pytest.raises(RetinalabError, match="No photograph 3: this world has 3"):
        world.scene(3)
    with pytest.raises(RetinalabError, match="ask for 32 or more"):
        world.render(0, 8)


def test_the_world_of_this_version_is_frozen() -> None:
    """Whoever changes what is drawn gives it another WORLD_VERSION: results on one version stay comparable."""
    world = World(WorldOptions(photographs=60, seed=0))
    scenes = [world.scene(index) for index in range(60)]
    facts = [(s.patient, s.eye, s.dr, s.dme, s.camera, len(s.lesions)) for s in scenes]
    digest = hashlib.sha256(repr(facts).encode()).hexdigest()[:16]
    assert (WORLD_VERSION, digest) == ("1", "68f5adc945f11d11")
