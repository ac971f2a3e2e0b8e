"""Every mapping between grade scales that means something, by hand, and a refusal of the rest."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import pytest

from retinalab.data.scales import apply_scales
from retinalab.errors import RetinalabError
from retinalab.protocol import SCALES
from retinalab.records import Records, SetInfo, make_records

BY_HAND = {
    ("icdr5", "referable"): [-1, 0, 0, 1, 1, 1],
    ("icdr5", "any"): [-1, 0, 1, 1, 1, 1],
    ("messidor4", "referable"): [-1, 0, 0, 1, 1],
    ("messidor4", "any"): [-1, 0, 1, 1, 1],
    ("risk3", "binary"): [-1, 0, 1, 1],
    ("risk3", "referable"): [-1, 0, 0, 1],
}


def graded(scale: str, disease: str = "dr") -> Records:
    info = SetInfo("toy", "Toy", "here", "none", {disease: scale})
    rows = [{"image": f"{grade}.jpg", disease: grade} for grade in range(-1, SCALES[scale].size)]
    return make_records(rows, info, Path("nowhere"), "toy.csv")


@pytest.mark.parametrize(("given", "wanted"), list(product(SCALES, SCALES)))
def test_every_pair_of_scales(given: str, wanted: str) -> None:
    records = graded(given)
    if given == wanted:
        mapped = apply_scales(records, {"dr": wanted})
        assert mapped.table["dr"].tolist() == list(range(-1, SCALES[given].size))
    elif (given, wanted) in BY_HAND:
        mapped = apply_scales(records, {"dr": wanted})
        assert mapped.table["dr"].tolist() == BY_HAND[given, wanted]
        assert mapped.table["dr"].dtype == "int64"
        assert mapped.info["toy"].scales == {"dr": wanted}
        assert records.info["toy"].scales == {"dr": given}
        assert records.table["dr"].max() == SCALES[given].size - 1
    else:
        with pytest.raises(
            RetinalabError, match=f"dr of set 'toy' is graded on {given}, from which {wanted} cannot be had"
        ):
            apply_scales(records, {"dr": wanted})


def test_refusal_says_why_and_what_works() -> None:
    with pytest.raises(
        RetinalabError,
        match=r"it has 5 grades and the labels tell only 4 apart.*messidor4 or referable or any",
    ):
        apply_scales(graded("messidor4"), {"dr": "icdr5"})


def test_set_without_labels_keeps_minus_one_and_a_note() -> None:
    mapped = apply_scales(graded("icdr5"), {"dr": "icdr5", "dme": "risk3"})
    assert (mapped.table["dme"] == -1).all()
    assert "toy has no labels of dme" in mapped.notes


def test_other_diseases_are_left_alone() -> None:
    records = graded("risk3", "dme")
    assert apply_scales(records, {"dr": "icdr5"}).table["dme"].tolist() == [-1, 0, 1, 2]
