"""Which differences between a file and its networks are let pass."""

from __future__ import annotations

import numpy as np
import pytest

from retinalab.export.compare import by_pieces, compare


def one(name: str, wanted: list[float], found: list[float], **lengths: int) -> bool:
    compared = compare({name: np.array(wanted)}, {name: np.array(found)}, lengths)
    return compared[0].passed


def test_another_grade_is_never_let_pass() -> None:
    assert one("dr_grade", [0, 4], [0, 4])
    assert not one("dr_grade", [0, 4], [0, 3])


def test_probabilities_may_differ_by_a_ten_thousandth() -> None:
    assert one("dr_probabilities", [0.5, 0.5], [0.50009, 0.49991])
    assert not one("dr_probabilities", [0.5, 0.5], [0.50011, 0.49989])


def test_severities_may_differ_by_a_ten_thousandth_of_the_scale() -> None:
    assert one("dr_severity", [3.0], [3.00039], dr_severity=4)
    assert not one("dr_severity", [3.0], [3.00041], dr_severity=4)
    assert not one("dme_severity", [1.0], [1.00021], dme_severity=2)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_no_number_fails(bad: float) -> None:
    assert not one("dr_probabilities", [0.5], [bad])


def test_what_is_absent_or_of_another_shape_fails() -> None:
    wanted = {"dr_grade": np.array([1]), "dr_probabilities": np.zeros((1, 5))}
    compared = compare(wanted, {"dr_probabilities": np.zeros((1, 3))})
    assert [found.passed for found in compared] == [False, False]


def test_batches_of_changing_sizes_come_back_in_order() -> None:
    sizes = []

    def ask(pixels: np.ndarray) -> dict[str, np.ndarray]:
        sizes.append(len(pixels))
        return {"first": pixels[:, 0]}

    found = by_pieces(ask, np.arange(20).reshape(10, 2), (1, 3, 4))
    assert found["first"].tolist() == list(range(0, 20, 2))
    assert sizes == [1, 3, 4, 2]
