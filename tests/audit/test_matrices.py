"""Figures of a matrix against scikit-learn; of a positive-or-negative test against every 2 x 2 table."""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, ROUND_HALF_UP, Decimal
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, cohen_kappa_score

from retinalab.audit import Check, judge
from retinalab.audit.matrices import figure, read_matrix
from retinalab.errors import RetinalabError

DENSENET = "6188 260 145 0 16 / 220 653 201 1 1 / 145 311 2580 173 40 / 4 0 286 378 24 / 12 0 93 58 307"
CLPI = "6258 212 128 7 4 / 218 655 202 0 1 / 139 207 2745 127 31 / 3 0 288 368 33 / 3 2 65 45 355"


def check(name: str, value: str, given: str, **more: object) -> Check:
    return Check(Path(), 2, "", "", name, value, given=given, **more)  # type: ignore[arg-type]


def labels(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    cells = np.argwhere(np.ones_like(matrix))
    return tuple(np.repeat(cells, matrix.ravel(), axis=0).T)  # type: ignore[return-value]


@pytest.mark.parametrize("words", [DENSENET, CLPI, "5 1 / 2 7", "3 0 1 / 0 4 2 / 1 1 9"])
def test_agreement_is_scikit_learns(words: str) -> None:
    matrix = read_matrix(words, Path())
    truth, answer = labels(matrix)
    for name, weights in (("kappa", "quadratic"), ("kappa_linear", "linear"), ("kappa_unweighted", None)):
        found = figure(name, matrix)
        assert found is not None
        assert float(found) == pytest.approx(cohen_kappa_score(truth, answer, weights=weights), abs=1e-9)
    accuracy = figure("accuracy", matrix)
    assert accuracy is not None
    assert float(accuracy) == pytest.approx(accuracy_score(truth, answer), abs=1e-12)
    assert figure("total", matrix) == truth.size


def test_clpis_table_vii_gives_what_the_paper_prints() -> None:
    for words, kappa, errors in ((DENSENET, "0.886", 34), (CLPI, "0.908", 20)):
        truth, answer = labels(read_matrix(words, Path()))
        counted = int((((truth <= 1) & (answer >= 3)) | ((truth >= 3) & (answer <= 1))).sum())
        assert counted == errors
        assert judge(check("kappa", kappa, f"matrix={words}")).verdict == "possible"
        assert judge(check("kappa_linear", kappa, f"matrix={words}")).verdict == "impossible"
        assert judge(check("unacceptable", str(errors), f"matrix={words}")).verdict == "possible"
        assert judge(check("unacceptable", str(errors + 1), f"matrix={words}")).verdict == "impossible"
        assert judge(check("total", "12,096", f"matrix={words}")).verdict == "possible"


def test_a_matrix_is_read_from_a_file_beside_the_table(tmp_path: Path) -> None:
    (tmp_path / "matrix.csv").write_text("5,1\n2,7\n", encoding="utf-8")
    one = Check(tmp_path, 2, "", "", "accuracy", "80.0", unit="%", given="matrix=matrix.csv")
    assert judge(one).verdict == "possible"


@pytest.mark.parametrize(
    ("name", "given", "message"),
    [
        ("kappa", "", "is matrix=FILE.csv or matrix=5 1 / 2 7, got ''"),
        ("kappa", "matrix=5 1 / 2", "is no square table of counts: 2 rows of 2, 1"),
        ("kappa", "matrix=5 1 / 2 x", "holds more than whole numbers"),
        ("kappa", "matrix=5 -1 / 2 3", "is no square table of counts"),
        ("kappa", "matrix=none.csv", "No matrix none.csv: No such file or directory"),
        ("unacceptable", "matrix=5 1 / 2 7", "five ICDR grades, the matrix has 2"),
        ("sensitivity", "matrix=5 1 / 2 7", "'sensitivity' is not taken from a matrix"),
    ],
)
def test_matrices_that_cannot_be_read_are_refused(name: str, given: str, message: str) -> None:
    with pytest.raises(RetinalabError) as caught:
        judge(check(name, "0.5", given))
    assert message in str(caught.value)


def test_kappa_of_one_and_the_same_grade_is_not_defined() -> None:
    answer = judge(check("kappa", "1.000", "matrix=9 0 / 0 0"))
    assert (answer.verdict, answer.why) == ("impossible", "kappa of this matrix is not defined")


def tables(positives: int, negatives: int) -> list[dict[str, set[str]]]:
    """What every 2 x 2 table prints, by the definitions in plain arithmetic and the decimal module's two roundings."""
    found = []
    for tp, tn in product(range(positives + 1), range(negatives + 1)):
        fp = negatives - tn
        pairs = {
            "sensitivity": (tp, positives),
            "specificity": (tn, negatives),
            "precision": (tp, tp + fp),
            "accuracy": (tp + tn, positives + negatives),
            "f1": (2 * tp, tp + positives + fp),
        }
        found.append({name: prints(*pair) for name, pair in pairs.items()})
    return found


def prints(over: int, under: int) -> set[str]:
    if under == 0:
        return set()
    exact = Decimal(over) / Decimal(under)
    return {str(exact.quantize(Decimal("0.01"), rounding=way)) for way in (ROUND_HALF_UP, ROUND_HALF_EVEN)}


@pytest.mark.parametrize("name", ["sensitivity", "specificity", "precision", "accuracy", "f1"])
@pytest.mark.parametrize("beside", [(), ("sensitivity",), ("specificity", "precision"), ("f1",)])
def test_figures_together_are_possible_where_one_table_gives_them(name: str, beside: tuple[str, ...]) -> None:
    every = tables(7, 12)
    draw = np.random.default_rng(0)
    others = [other for other in beside if other != name]
    for hundredth in range(0, 101, 3):
        shown = every[draw.integers(len(every))]
        if not all(shown[one] for one in (name, *others)):
            continue
        stated = {other: min(shown[other]) for other in others}
        given = "; ".join(["positives=7", "negatives=12", *(f"{o}={text}" for o, text in stated.items())])
        for value in (f"{hundredth / 100:.2f}", max(shown[name])):
            alike = any(value in one[name] and all(stated[o] in one[o] for o in others) for one in every)
            assert (judge(check(name, value, given)).verdict == "possible") == alike, (value, given)


def test_accuracy_is_determined_by_sensitivity_and_specificity() -> None:
    given = "positives=40; negatives=63; sensitivity=87.5; specificity=90.5"
    assert judge(check("accuracy", "89.3", given, unit="%")).verdict == "possible"  # (35 + 57) / 103
    answer = judge(check("accuracy", "90.3", given, unit="%"))
    assert answer.verdict == "impossible"
    assert "nearest is 89.320" in answer.why


@pytest.mark.parametrize(
    ("name", "given", "message"),
    [
        ("f1", "precision=0.5", "'from' lacks positives= and negatives="),
        ("accuracy", "sensitivity=0.5; specificity=0.5", "'from' lacks positives= and negatives="),
        ("f1", "precison=0.5; recall=0.5", "Unknown name in 'from' 'precison'. Did you mean 'precision'?"),
        ("f1", "0.5; 0.5", "'from' needs each of its parts named once for 'f1', got '0.5'"),
        ("f1", "precision=0.5; precision=0.6", "named once for 'f1', got 'precision'"),
        ("f1", "positives=2.5; negatives=3", "positives is a whole number of photographs, got '2.5'"),
    ],
)
def test_figures_that_lack_something_are_refused(name: str, given: str, message: str) -> None:
    with pytest.raises(RetinalabError) as caught:
        judge(check(name, "0.5", given))
    assert message in str(caught.value)


def test_means_over_folds_have_no_one_table() -> None:
    given = "positives=4; negatives=6; sensitivity=0.5"
    assert judge(check("accuracy", "0.5", given, averaged=10)).verdict == "untestable"
    assert judge(check("kappa", "0.5", "matrix=5 1 / 2 7", averaged=10)).verdict == "untestable"
