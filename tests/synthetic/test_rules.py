"""Every clinical rule against a case worked by hand, and the engine on real masks."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from retinalab.errors import RetinalabError
from retinalab.records import LESIONS, SetInfo, make_records
from retinalab.synthetic import Grading, grade_masks, grade_record, quadrant_counts

FOVEA = (100.0, 100.0)
DISC = (150.0, 100.0)


def _masks(**spots: list[tuple[int, int]]) -> np.ndarray:
    """Masks of 200 x 200 with a 2 x 2 spot at each (x, y)."""
    masks = np.zeros((8, 200, 200), bool)
    for name, places in spots.items():
        for x, y in places:
            masks[LESIONS.index(name), y : y + 2, x : x + 2] = True
    return masks


def _grade(**spots: list[tuple[int, int]]) -> Grading:
    return grade_masks(_masks(**spots), fovea=FOVEA, disc=DISC, disc_diameter=20)


def _block(x: int, y: int, count: int) -> list[tuple[int, int]]:
    """Separate spots, row by row from (x, y)."""
    return [(x + 6 * (k % 6), y + 6 * (k // 6)) for k in range(count)]


@pytest.mark.parametrize(
    ("present", "grade"),
    [
        ((), 0),
        (("MA",), 1),
        (("HE",), 2),
        (("MA", "HE"), 2),
        (("MA", "EX"), 2),
        (("HE", "EX"), 2),
        (("HE", "SE"), 3),
        (("MA", "EX", "SE"), 3),
        (("NV",), 4),
        (("VH",), 4),
        (("PH",), 4),
        (("FP", "MA"), 4),
        (("FP", "HE"), 4),
        (("NV", "HE", "SE"), 4),
        (("EX",), 0),
        (("SE",), 0),
        (("FP",), 0),
        (("EX", "SE", "FP"), 0),
        (("MA", "SE"), 1),
    ],
)
def test_severity_follows_from_which_lesions_are_there(present: tuple[str, ...], grade: int) -> None:
    found = _grade(**{name: [(20, 20)] for name in present})
    assert found.dr == grade
    assert found.fired[0].startswith(f"DR {grade}:")
    assert not found.at_least


@pytest.mark.parametrize(("last", "grade"), [(20, 2), (21, 3)])
def test_more_than_twenty_haemorrhages_in_each_of_four_quadrants_is_severe(last: int, grade: int) -> None:
    spots = _block(10, 10, 25) + _block(120, 10, 25) + _block(10, 120, 25) + _block(120, 120, last)
    found = _grade(HE=spots)
    assert found.dr == grade
    # disc on the right: nasal is right
    assert quadrant_counts(_masks(HE=spots)[1], FOVEA, DISC) == (25, 25, last, 25)


def test_quadrants_turn_with_the_axis_from_fovea_to_disc() -> None:
    mask = _masks(HE=[(100, 40)])[1]  # straight above the fovea
    assert quadrant_counts(mask, FOVEA, (150.0, 130.0)) == (
        0,
        1,
        0,
        0,
    )  # axis falls to the right: the spot is behind
    assert quadrant_counts(mask, FOVEA, (150.0, 70.0)) == (1, 0, 0, 0)
    assert quadrant_counts(mask, FOVEA, (50.0, 130.0)) == (0, 1, 0, 0)  # left eye, mirrored
    assert quadrant_counts(_masks(HE=[(40, 160)])[1], FOVEA, (50.0, 100.0)) == (0, 0, 1, 0)


def test_touching_spots_are_one_haemorrhage() -> None:
    assert sum(quadrant_counts(_masks(HE=[(20, 20), (22, 22)])[1], FOVEA)) == 1


@pytest.mark.parametrize(
    ("beading", "irma", "grade"), [(None, None, 0), (1, 0, 0), (2, None, 3), (0, 1, 3), (None, 1, 3)]
)
def test_beading_and_irma_count_when_given(beading: int | None, irma: int | None, grade: int) -> None:
    found = grade_masks(_masks(), venous_beading=beading, irma=irma)
    assert found.dr == grade
    assert any("venous beading" in words for words in found.not_evaluable) == (beading is None)
    assert any("IRMA" in words for words in found.not_evaluable) == (irma is None)


@pytest.mark.parametrize(("x", "grade"), [(81, 2), (79, 2), (78, 1), (20, 1)])
def test_edema_is_a_matter_of_one_disc_diameter(x: int, grade: int) -> None:
    # the spot covers columns x and x + 1, so its nearest column is x + 1 at 100 - (x + 1); the disc is 20 wide
    found = _grade(EX=[(x, 100)])
    assert found.dme == grade


def test_no_exudate_is_no_edema_and_needs_no_fovea() -> None:
    assert grade_masks(_masks(HE=[(5, 5)])).dme == 0


def test_edema_needs_a_fovea_and_a_disc() -> None:
    masks = _masks(EX=[(20, 20)])
    without = grade_masks(masks, disc_diameter=20)
    assert without.dme is None
    assert "DME: hard exudates, but no fovea" in without.not_evaluable
    assert grade_masks(masks, fovea=FOVEA).dme is None
    # fovea and disc 50 pixels apart: a diameter of 20 is inferred and said
    inferred = grade_masks(_masks(EX=[(79, 100)]), fovea=FOVEA, disc=DISC)
    assert inferred.dme == 2
    assert any("disc diameter: not given" in words for words in inferred.not_evaluable)


def test_what_is_not_annotated_is_not_absent() -> None:
    four = {"MA", "HE", "EX", "SE"}
    found = grade_masks(_masks(HE=[(20, 20)], NV=[(5, 5)]), fovea=FOVEA, annotated=four)
    assert found.dr == 2  # the plane of NV is not looked at
    assert found.at_least
    assert "NV: not annotated" in found.not_evaluable
    nothing = grade_masks(_masks(), annotated=four)
    assert nothing.dr is None
    only = grade_masks(_masks(EX=[(20, 20)]), fovea=FOVEA, disc_diameter=20, annotated={"EX"})
    assert (only.dr, only.dme) == (None, 1)


def test_quadrants_without_a_fovea_are_not_evaluable() -> None:
    found = grade_masks(_masks(HE=[(20, 20)]))
    assert found.dr == 2
    assert found.at_least
    assert "haemorrhages by quadrant: no fovea" in found.not_evaluable


def test_errors_name_what_was_given() -> None:
    with pytest.raises(RetinalabError, match=r"\(3, 4, 4\).*MA, HE, EX"):
        grade_masks(np.zeros((3, 4, 4)))
    with pytest.raises(RetinalabError, match="Did you mean 'HE'"):
        grade_masks(np.zeros((8, 4, 4)), annotated={"HEM"})


def test_a_record_is_graded_from_its_mask_files(tmp_path: Path) -> None:
    info = SetInfo("made", "", "", "", lesions=("MA", "EX"))
    cv2.imwrite(str(tmp_path / "ma.png"), _masks(MA=[(20, 20)])[0].astype(np.uint8) * 255)
    cv2.imwrite(str(tmp_path / "ex.png"), _masks(EX=[(90, 100)])[2].astype(np.uint8) * 255)
    place = {"fovea_x": 100.0, "fovea_y": 100.0, "disc_x": 150.0, "disc_y": 100.0}
    rows = [
        {"image": "a.png", "masks": {"MA": "ma.png", "EX": "ex.png"}, **place},
        {"image": "b.png", "masks": {"MA": "lost.png"}},
    ]
    records = make_records(rows, info, tmp_path, "the test")
    found = grade_record(records, 0)
    assert (found.dr, found.dme, found.at_least) == (2, 2, True)
    with pytest.raises(RetinalabError, match=r"lost\.png"):
        grade_record(records, 1)


def test_runs_on_the_masks_of_idrid(shared_data: Path) -> None:
    root = shared_data / "idrid" / "A. Segmentation"
    truth = root / "2. All Segmentation Groundtruths" / "a. Training Set"
    photographs = sorted((root / "1. Original Images" / "a. Training Set").glob("*.jpg"))[:3]
    assert photographs
    for path in photographs:
        planes = {m.stem.split("_")[-1]: m for m in truth.rglob(f"{path.stem}_*.tif")}
        shape = cv2.imread(str(planes["OD"]), cv2.IMREAD_REDUCED_GRAYSCALE_4).shape
        masks = np.zeros((8, *shape), bool)
        for name in ("MA", "HE", "EX", "SE"):
            if name in planes:
                masks[LESIONS.index(name)] = cv2.imread(str(planes[name]), cv2.IMREAD_REDUCED_GRAYSCALE_4) > 0
        found = grade_masks(masks, annotated=("MA", "HE", "EX", "SE"))
        assert found.dr == (3 if "SE" in planes else 2)  # each of them has haemorrhages
        assert found.at_least
        assert found.dme is None
        for words in (
            "NV: not annotated",
            "haemorrhages by quadrant: no fovea",
            "DME: hard exudates, but no fovea",
        ):
            assert words in found.not_evaluable


def test_runs_on_the_masks_of_hei_med(shared_data: Path) -> None:
    for path in sorted((shared_data / "hei_med" / "exudates").glob("*.png"))[:5]:
        plane = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
        assert plane is not None
        masks = np.zeros((8, *plane.shape), bool)
        masks[LESIONS.index("EX")] = plane > 0
        found = grade_masks(masks, annotated=("EX",))
        assert found.dr is None  # exudates alone tell no grade
        assert found.dme is None
        assert "MA: not annotated" in found.not_evaluable
        assert "grade 0: a direct sign of retinopathy is not annotated" in found.not_evaluable
