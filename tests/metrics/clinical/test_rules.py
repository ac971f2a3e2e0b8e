"""Bounds that lesions set on grades: against the engine that grades masks, exhaustively; contradictions by hand."""

from __future__ import annotations

from itertools import product

import numpy as np
import pandas as pd
import pytest

from retinalab.metrics.clinical.contradictions import read_rules
from retinalab.metrics.clinical.rules import Allowed, allowed_dr, known_lesions, segmented_lesions
from retinalab.metrics.measure import Measure
from retinalab.protocol import SCALES
from retinalab.records import LESIONS
from retinalab.synthetic.rules import grade_masks

ICDR = SCALES["icdr5"]
NOTHING = dict.fromkeys(LESIONS, False)


def masks(present: dict[str, bool], haemorrhages: int) -> np.ndarray:
    """One spot of each lesion that is present, and so many haemorrhages in every quadrant around the middle."""
    planes = np.zeros((8, 60, 60), bool)
    for k, lesion in enumerate(LESIONS):
        planes[k, 3, 3] = present[lesion]
    if present["HE"]:
        spots = [(2 * (k % 6) + 1, 2 * (k // 6) + 1) for k in range(haemorrhages)]
        for x, y in spots:
            for dx, dy in product((0, 30), repeat=2):
                planes[LESIONS.index("HE"), y + dy + 8, x + dx + 8] = True
    return planes


def test_every_grade_that_the_engine_gives_lies_within_the_bounds() -> None:
    met: dict[tuple[bool, ...], set[int]] = {}
    for cells in product((False, True), repeat=8):
        present = dict(zip(LESIONS, cells, strict=True))
        bounds = allowed_dr(present)
        for haemorrhages in (0, 22) if present["HE"] else (0,):
            grade = grade_masks(masks(present, haemorrhages), fovea=(30, 30)).dr
            assert grade is not None
            assert bounds.low <= grade <= bounds.high, (present, haemorrhages, grade)
            met.setdefault(cells, set()).add(grade)
    haemorrhage = tuple(lesion == "HE" for lesion in LESIONS)
    assert met[haemorrhage] == {2, 3}


def test_an_unknown_lesion_only_widens_the_bounds_to_what_it_might_be() -> None:
    for cells in product((0, 1, -1), repeat=8):
        if cells.count(-1) not in (1, 2):
            continue
        known = {x: cell == 1 for x, cell in zip(LESIONS, cells, strict=True) if cell >= 0}
        unknown = [x for x, cell in zip(LESIONS, cells, strict=True) if cell < 0]
        each = [
            allowed_dr(known | dict(zip(unknown, fill, strict=True)))
            for fill in product((False, True), repeat=len(unknown))
        ]
        found = allowed_dr(known)
        assert found.low == min(one.low for one in each)
        assert found.high == max(one.high for one in each)


@pytest.mark.parametrize(
    ("lesions", "bounds"),
    [
        ("", (0, 0)), ("MA", (1, 1)), ("HE", (2, 3)), ("MA EX", (2, 3)), ("EX", (0, 3)), ("MA SE", (1, 3)),
        ("HE SE", (2, 3)), ("NV", (4, 4)), ("VH", (4, 4)), ("PH", (4, 4)), ("FP", (0, 4)), ("FP MA", (4, 4)),
    ],
)  # fmt: skip
def test_bounds_by_hand(lesions: str, bounds: tuple[int, int]) -> None:
    assert allowed_dr(NOTHING | dict.fromkeys(lesions.split(), True)) == Allowed(*bounds)


def table() -> pd.DataFrame:
    """Five photographs of five patients whose lesions are known, and whose network finds others."""
    given = [("MA", 1, 1), ("HE", 2, 0), ("NV", 4, 2), ("", 0, 3), ("", 0, 0)]
    rows = []
    for k, (lesions, reference, grade) in enumerate(given):
        row: dict[str, object] = {"image": f"{k}.png", "group": f"s/{k}", "dr": reference, "dr_grade": grade}
        row |= {f"lesion_{x}": int(x in lesions.split()) for x in LESIONS}
        row |= {f"lesion_{x}_p": 0.1 for x in LESIONS} | {"lesion_HE_p": 0.5 + 0.1 * (k == 4) - 0.2 * (k < 4)}
        row |= {f"lesion_{x}_annotated": not (k == 4 and x == "NV") for x in LESIONS}
        rows.append(row)
    return pd.DataFrame(rows).assign(set="s", part="test", fold=-1, seed=0, patient="p")


def test_contradictions_are_counted_and_listed_worst_first() -> None:
    network, found, reference = _rules(table(), None)
    assert (network.judged, network.lesions) == ("network", "annotated")
    # 4.png may be anything up to 4, since neovascularisation was not annotated: it is bounded by nothing
    assert network.photographs == 4
    assert network.share["contradicted"]["value"] == pytest.approx(3 / 4)
    assert network.share["below"]["value"] == pytest.approx(2 / 4)
    assert network.share["above"]["value"] == pytest.approx(1 / 4)
    assert network.share["contradicted"]["low"] is not None
    listed = [
        (one.image, one.grade, (one.low, one.high), one.reference, list(one.lesions))
        for one in network.listed
    ]
    assert listed == [
        ("3.png", 3, (0, 0), 0, []), ("1.png", 0, (2, 3), 2, ["HE"]), ("2.png", 2, (4, 4), 4, ["NV"]),
    ]  # fmt: skip
    # the network finds a haemorrhage in 4.png and nothing elsewhere
    assert {one.image: (one.low, one.high) for one in found.listed} == {
        "0.png": (0, 0), "2.png": (0, 0), "3.png": (0, 0), "4.png": (2, 3),
    }  # fmt: skip
    assert (reference.judged, reference.share["contradicted"]["value"], list(reference.listed)) == (
        "reference",
        0,
        [],
    )


def test_the_table_of_lesions_stands_in_where_presence_was_not_predicted() -> None:
    rows = table()[["image", "set", "part", "fold", "seed", "group", "patient", "dr", "dr_grade"]]
    counts = pd.DataFrame(
        [("0.png", "MA", 5, 0, 3, 1, 0), ("0.png", "HE", 0, 9, 0, 0, 2), ("1.png", "HE", 0, 0, 7, 0, 0)],
        columns=["image", "lesion", "tp", "fp", "fn", "hits", "false_components"],
    ).assign(set="s", part="test", fold=-1, seed=0)
    known, found = known_lesions(rows, counts), segmented_lesions(rows, counts)
    assert known is not None
    assert found is not None
    assert known.loc[:2].to_numpy().tolist() == [[1, 0], [-1, 1], [-1, -1]]
    assert found.loc[:2].to_numpy().tolist() == [[1, 1], [-1, 0], [-1, -1]]


def test_it_says_where_no_rule_or_no_lesion_is_known() -> None:
    measure = Measure(0, 0)
    assert read_rules(table(), None, "dr", SCALES["messidor4"], measure) == (
        "no rule leads from lesions to DR on scale messidor4"
    )
    bare = table()[["image", "set", "part", "fold", "seed", "group", "dr", "dr_grade"]]
    assert "no lesion is annotated" in str(read_rules(bare, None, "dr", ICDR, measure))


def test_exudates_bound_the_risk_of_macular_edema() -> None:
    rows = table().assign(dme=[0, 1, 2, 0, 0], dme_grade=[1, 0, 0, 0, 0], lesion_EX=[0, 1, 1, 0, 0])
    network, *_ = read_rules(rows, None, "dme", SCALES["risk3"], Measure(50, 0))
    assert not isinstance(network, str)
    assert [(one.image, one.grade, (one.low, one.high)) for one in network.listed] == [
        ("0.png", 1, (0, 0)), ("1.png", 0, (1, 2)), ("2.png", 0, (1, 2)),
    ]  # fmt: skip


def _rules(rows: pd.DataFrame, lesions: pd.DataFrame | None) -> list:
    found = read_rules(rows, lesions, "dr", ICDR, Measure(200, 0))
    assert not isinstance(found, str), found
    return found
