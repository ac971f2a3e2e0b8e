"""Differences of two networks on a terminal and on a page: what rounds to zero has no sign and is not told apart."""

from __future__ import annotations

import pytest

from retinalab.cli.explained_summary import print_differences
from retinalab.metrics.compare import Difference
from retinalab.report.saliency import _comparison

SMALL = Difference(a=0.5, b=0.5002, difference=-0.0002, low=-0.0004, high=-0.0001, n=9, n_groups=9)
LARGE = Difference(a=0.4, b=0.5, difference=-0.1, low=-0.2, high=-0.05, n=9, n_groups=9)


def test_a_difference_below_the_third_digit_is_zero(capsys: pytest.CaptureFixture[str]) -> None:
    found = {"test/pointing": SMALL, "test/mass": LARGE}
    print_differences(["one", "two"], {"cam": found})
    said = capsys.readouterr().out
    assert "-0.000" not in said
    assert "+0.000  [+0.000, +0.000]" in said
    assert "-0.100  [-0.200, -0.050]" in said
    rows = {row[0]: row for row in _comparison("one against two", found)["rows"]}
    assert rows["maximum on a lesion"][3:] == ("0.000 [0.000, 0.000]", False)
    assert rows["saliency on lesions"][4] is True
