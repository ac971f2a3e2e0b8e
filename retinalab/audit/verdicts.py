"""Every row of a table of printed values judged, and the whole summed up."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from retinalab.audit import binary, matrices, relations, shares
from retinalab.audit.finding import Answer
from retinalab.audit.table import Check, read_checks
from retinalab.errors import RetinalabError

__all__ = ["Finding", "as_json", "audit", "judge", "summed"]

_SIDES = re.compile(r"\d+(?:\.\d+)?")


@dataclass(frozen=True)
class Finding:
    """A printed value and the verdict on it."""

    check: Check
    answer: Answer

    @property
    def wrong(self) -> bool:
        """Whether the value is impossible, under the row's assumption if it has one."""
        return self.answer.verdict == "impossible"


def audit(path: Path) -> tuple[Finding, ...]:
    """Judge every row of a CSV file of printed values.

    Raises:
        RetinalabError: a file or row that cannot be read; a row's message names its line.
    """
    faults: list[str] = []
    found: list[Finding] = []
    for check in read_checks(path):
        try:
            found.append(Finding(check, judge(check)))
        except RetinalabError as error:
            faults.append(f"{path} line {check.line}: {error}")
    if faults:
        raise RetinalabError(*faults)
    return tuple(found)


def judge(check: Check) -> Answer:
    """The verdict on one row.

    Raises:
        RetinalabError: a value, n or 'from' that does not fit the check.
    """
    if "matrix" in (part.partition("=")[0].strip() for part in check.parts):
        if check.check not in matrices.FIGURES:
            raise RetinalabError(
                f"{check.check!r} is not taken from a matrix. These are: {', '.join(matrices.FIGURES)}."
            )
        return matrices.from_matrix(check)
    return _BY_NAME[check.check](check)


def _same(check: Check) -> Answer:
    """Two printed statements of one thing: equal numbers, or equal words where there are none."""
    here, there = (_SIDES.findall(text.replace(",", "")) for text in (check.value, check.given))
    if not check.given:
        raise RetinalabError("'from' of 'same' is what is printed elsewhere.")
    alike = (
        [float(x) for x in here] == [float(x) for x in there] if here or there else check.value == check.given
    )
    return Answer.of(alike, f"{check.given} elsewhere too" if alike else f"but {check.given} elsewhere")


def _square(check: Check) -> Answer:
    sides = _SIDES.findall(check.value.replace(",", ""))
    if len(sides) != 2:
        raise RetinalabError(f"A size has two sides, such as 448 × 448, got {check.value!r}.")
    alike = float(sides[0]) == float(sides[1])
    return Answer.of(alike, "equal sides" if alike else f"sides of {sides[0]} and {sides[1]}")


_BY_NAME: Mapping[str, Callable[[Check], Answer]] = {
    "share": shares.share,
    "ratio": shares.ratio,
    "count": shares.count,
    **dict.fromkeys(("sum", "mean", "difference", "weighted"), relations.linear),
    "change": relations.change,
    "joint": relations.joint,
    **dict.fromkeys(binary.FIGURES, binary.binary),
    **dict.fromkeys([name for name in matrices.FIGURES if name != "accuracy"], matrices.from_matrix),
    "same": _same,
    "square": _square,
}


def as_json(findings: Sequence[Finding]) -> dict[str, Any]:
    """Findings and their numbers, as plain JSON."""
    return {
        "checks": [
            {
                **{name: getattr(one.check, name) for name in _FIELDS},
                "from": one.check.given,
                "verdict": one.answer.verdict,
                "telling": one.answer.telling,
                "why": one.answer.why,
            }
            for one in findings
        ],
        "summary": summed(findings),
    }


_FIELDS = ("table", "row", "check", "value", "unit", "n", "averaged", "assumes", "line")


def summed(findings: Iterable[Finding]) -> dict[str, int]:
    """Numbers of checks by verdict; of the possible ones those that nothing could have contradicted.

    Keys: ``checks``, ``possible``, ``not_telling``, ``impossible``, ``impossible_if_assumed``, ``untestable``.
    """
    every = list(findings)
    return {
        "checks": len(every),
        "possible": sum(one.answer.verdict == "possible" for one in every),
        "not_telling": sum(one.answer.verdict == "possible" and not one.answer.telling for one in every),
        "impossible": sum(one.wrong and not one.check.assumes for one in every),
        "impossible_if_assumed": sum(one.wrong and bool(one.check.assumes) for one in every),
        "untestable": sum(one.answer.verdict == "untestable" for one in every),
    }
