"""Whole numbers of units, against every k tried."""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, ROUND_HALF_UP, Decimal, localcontext
from fractions import Fraction
from itertools import product
from pathlib import Path

import pytest

from retinalab.audit import Check, judge, possible_counts, printed
from retinalab.errors import RetinalabError


def check(name: str, value: str, **more: object) -> Check:
    return Check(Path(), 2, "", "", name, value, **more)  # type: ignore[arg-type]


def prints(value: Fraction, digits: int) -> set[str]:
    """What a share is printed as, in percent."""
    with localcontext(prec=60):
        exact = 100 * Decimal(value.numerator) / Decimal(value.denominator)
        step = Decimal(1).scaleb(-digits)
        return {str(exact.quantize(step, rounding=way)) for way in (ROUND_HALF_UP, ROUND_HALF_EVEN)}


@pytest.mark.parametrize("n", [1, 7, 8, 40, 103, 120])
@pytest.mark.parametrize("digits", [0, 1, 2])
def test_the_counts_are_those_that_trying_all_of_them_finds(n: int, digits: int) -> None:
    of: dict[str, list[int]] = {}
    for k in range(n + 1):
        for text in prints(Fraction(k, n), digits):
            of.setdefault(text, []).append(k)
    for tenth in range(0, 100 * 10**digits + 1, 41 if digits == 2 else 3):
        text = f"{tenth / 10**digits:.{digits}f}"
        assert list(possible_counts(printed(text, "%"), n)) == of.get(text, []), text
        verdict = judge(check("share", text, unit="%", n=str(n))).verdict
        assert verdict == ("possible" if text in of else "impossible")


def test_a_mean_of_folds_is_a_share_of_all_their_units() -> None:
    reached = {
        text
        for ks in product(range(6), repeat=3)
        for text in prints(sum((Fraction(k, 5) for k in ks), Fraction(0)) / 3, 1)
    }
    for tenth in range(1001):
        text = f"{tenth / 10:.1f}"
        answer = judge(check("share", text, unit="%", n="5", averaged=3))
        assert (answer.verdict == "possible") == (text in reached), text


def test_a_range_of_sizes_is_possible_where_one_of_them_is() -> None:
    alone = {n for n in range(335, 390) if any("82.69" in prints(Fraction(k, n), 2) for k in range(n))}
    assert alone == {335, 364, 387}
    for low in range(335, 388):
        expected = "possible" if {low, low + 1} & alone else "impossible"
        assert judge(check("share", "0.8269", n=f"{low}-{low + 1}")).verdict == expected
    assert judge(check("share", "0.8269", n="300-400", averaged=2)).verdict == "untestable"


def test_idrids_65_1_is_no_share_of_103_and_the_others_are() -> None:
    answer = judge(check("share", "65.1", unit="%", n="103"))
    assert answer.verdict == "impossible"
    assert "67/103 = 65.049 % (rounded twice?)" in answer.why
    assert "68/103 = 66.019 %" in answer.why
    for text in ("63.1", "55.3", "51.5", "47.6", "40.8", "59.2", "60.2", "62.1", "65.0"):
        assert judge(check("share", text, unit="%", n="103")).verdict == "possible"


def test_a_check_that_nothing_could_fail_says_so() -> None:
    every = [judge(check("share", f"{t / 10:.1f}", unit="%", n="1200")) for t in range(1001)]
    assert {(one.verdict, one.telling) for one in every} == {("possible", False)}
    some = [judge(check("share", f"{t / 10:.1f}", unit="%", n="999")) for t in range(1001)]
    assert {one.telling for one in some if one.verdict == "possible"} == {True}
    assert any(one.verdict == "impossible" for one in some)


def test_shares_outside_0_and_1_are_impossible() -> None:
    assert judge(check("share", "100.1", unit="%", n="5000")).verdict == "impossible"
    assert judge(check("share", "1.2", n="10")).verdict == "impossible"
    assert judge(check("share", "100.0", unit="%", n="7")).verdict == "possible"


@pytest.mark.parametrize(
    ("name", "value", "unit", "given", "verdict"),
    [
        ("ratio", "73.48", "%", "25810; 35126", "possible"),
        ("ratio", "22.4", "%", "116; 516", "impossible"),
        ("ratio", "22.5", "%", "116; 516", "possible"),
        ("ratio", "12.5", "%", "1; 8", "possible"),
        ("ratio", "0.12", "", "1; 8", "possible"),  # 0.125 to the even digit
        ("ratio", "0.13", "", "1; 8", "possible"),  # or up
        ("count", "23.52", "M", "23,512,130", "impossible"),
        ("count", "23.51", "M", "23512130", "possible"),
        ("count", "29", "M", "29032082", "possible"),
    ],
)
def test_ratios_and_counts(name: str, value: str, unit: str, given: str, verdict: str) -> None:
    assert judge(check(name, value, unit=unit, given=given)).verdict == verdict


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (check("share", "65.1", unit="%"), "'' is no n. Write the number of units"),
        (check("share", "65.1", unit="%", n="many"), "'many' is no n"),
        (check("share", "65.1", unit="%", n="9-3"), "counts nothing"),
        (check("share", "65.1", unit="%", n="0"), "counts nothing"),
        (check("ratio", "0.5", given="3"), "'from' of a ratio is two numbers"),
        (check("ratio", "0.5", given="3; 0"), "'from' of a ratio is two numbers"),
        (check("count", "5", given="5; 6"), "'from' of a count is the number counted"),
    ],
)
def test_rows_that_lack_something_are_refused(made: Check, message: str) -> None:
    with pytest.raises(RetinalabError) as caught:
        judge(made)
    assert message in str(caught.value)
