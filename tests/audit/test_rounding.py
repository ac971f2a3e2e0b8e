"""What rounds to a printed number, against the decimal module's own rounding."""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, ROUND_HALF_UP, Decimal, localcontext
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retinalab.audit import printed
from retinalab.audit.rounding import decimal
from retinalab.errors import RetinalabError


@given(st.integers(-4000, 4000), st.sampled_from([1, 2, 3, 7, 8, 16, 40, 103, 200, 2000]), st.integers(0, 4))
def test_a_value_is_rounded_to_what_decimal_prints_of_it(over: int, under: int, digits: int) -> None:
    value, step = Fraction(over, under), Decimal(1).scaleb(-digits)
    with localcontext(prec=60):
        exact = Decimal(over) / Decimal(under)
        texts = {exact.quantize(step, rounding=way) for way in (ROUND_HALF_UP, ROUND_HALF_EVEN)}
    for text in texts:
        assert printed(str(text), "").rounded_from(value), (text, value)
        for other in (text - step, text + step):
            assert printed(str(other), "").rounded_from(value) == (other in texts), (other, value)


@pytest.mark.parametrize(
    ("text", "unit", "value", "step"),
    [
        ("65.1", "%", Fraction(651, 1000), Fraction(1, 1000)),
        ("65.1%", "%", Fraction(651, 1000), Fraction(1, 1000)),
        ("0.780", "", Fraction(78, 100), Fraction(1, 1000)),
        (".5", "", Fraction(1, 2), Fraction(1, 10)),
        ("36,270", "", Fraction(36270), Fraction(1)),
        ("23.52 M", "M", Fraction(23_520_000), Fraction(10_000)),
        ("−0.03", "", Fraction(-3, 100), Fraction(1, 100)),
        ("12k", "k", Fraction(12_000), Fraction(1000)),
    ],
)
def test_printed_numbers_keep_the_step_of_their_last_digit(
    text: str, unit: str, value: Fraction, step: Fraction
) -> None:
    one = printed(text, unit)
    assert (one.value, one.step) == (value, step)


@pytest.mark.parametrize(
    ("text", "unit", "message"),
    [
        ("about 65", "%", "'about 65' is no printed number"),
        ("65.1", "percent", "Unknown unit 'percent'. Choices: %, 1, M, k."),
        ("65.1 %", "", "ends in '%', but the unit is 'none'"),
        ("23 M", "%", "ends in 'M', but the unit is '%'"),
        ("", "", "'' is no printed number"),
        ("1,20", "", "'1,20' is no printed number"),
    ],
)
def test_what_is_no_number_is_refused(text: str, unit: str, message: str) -> None:
    with pytest.raises(RetinalabError) as caught:
        printed(text, unit)
    assert message in str(caught.value)


def test_slips_are_named_as_they_came_about() -> None:
    assert printed("65.1", "%").slip(Fraction(67, 103)) == "rounded twice"  # 65.0485, 65.05, 65.1
    assert printed("4.6", "%").slip(Fraction(24, 516)) == "cut off, not rounded"  # 4.651
    assert printed("23.52", "M").slip(Fraction(23_512_130)) == ""


def test_values_are_shown_with_digits_to_spare() -> None:
    assert decimal(Fraction(23_512_130), printed("23.52", "M"), "M") == "23.5121"
    assert decimal(Fraction(12_096), printed("7,254", "")) == "12,096"
    assert decimal(Fraction(1, 3), printed("0.3", "")) == "0.333"
