"""Messidor's published errata: corrected grades, pictures that it holds twice, and those with two labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from retinalab.records import photograph_name

__all__ = ["DUPLICATES", "GRADE_ERRATA", "INCONSISTENT_DUPLICATES", "correct", "without_copies"]

GRADE_ERRATA: dict[str, int] = {
    "20051020_64007_0100_PP": 3,
    "20051020_63936_0100_PP": 1,
    "20051020_63045_0100_PP": 0,
    "20060523_48477_0100_PP": 3,
}
"""Retinopathy grades that the owners corrected after publication (three in Base11, one in Base13)."""

DUPLICATES: tuple[tuple[str, str], ...] = tuple(
    (f"{first}_0400_PP", f"{second}_0400_PP")
    for first, second in (
        ("20051202_54744", "20051202_55582"),
        ("20051202_40508", "20051202_41076"),
        ("20051202_41238", "20051202_48287"),
        ("20051202_41260", "20051202_48586"),
        ("20051202_54530", "20051202_55457"),
        ("20051202_55607", "20051202_54783"),
        ("20051202_41034", "20051202_48575"),
        ("20051202_54555", "20051202_55484"),
        ("20051202_54611", "20051202_55562"),
        ("20051202_55498", "20051202_54547"),
        ("20051205_33025", "20051202_55626"),
        ("20051205_35099", "20051205_32966"),
        ("20051205_35110", "20051205_32981"),
    )
)
"""Photographs of Base33 that are the same picture under two names. The pairing was put together from two
published lists; the owners' text confirms two pairs. Twelve of the thirteen lie on two sides of CANet's
published folds."""

INCONSISTENT_DUPLICATES: tuple[tuple[str, str], ...] = (DUPLICATES[8], DUPLICATES[10])
"""Pairs whose two copies carry different labels."""


def correct(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Set the corrected retinopathy grades in the rows, whether the annotation files have them already or not.

    Returns:
        Notes that name each photograph.
    """
    errata = {photograph_name(name): grade for name, grade in GRADE_ERRATA.items()}
    changed: list[str] = []
    right: list[str] = []
    for row in rows:
        name = photograph_name(row["image"])
        if name not in errata:
            continue
        if row["dr"] == errata[name]:
            right.append(_name(row))
        else:
            changed.append(f"{_name(row)} {row['dr']} → {errata[name]}")
            row["dr"] = errata[name]
    notes = []
    if changed:
        notes.append(
            f"{len(changed)} retinopathy grades corrected by the owners' errata (options.errata=true): "
            f"{', '.join(changed)}"
        )
    if right:
        notes.append(
            f"{len(right)} grades of the owners' errata stand in the annotation files already: {', '.join(right)}"
        )
    return notes


def without_copies(
    rows: Sequence[dict[str, Any]], duplicates: str, inconsistent: str
) -> tuple[list[dict[str, Any]], list[str]]:
    """Leave out copies as the options of the set say.

    Args:
        rows: all photographs.
        duplicates: group, drop or ignore; only drop leaves something out here.
        inconsistent: drop or keep, for the pairs whose copies carry different labels.

    Returns:
        The rows that stay, and notes that name every photograph concerned.
    """
    of = {photograph_name(row["image"]): row for row in rows}
    pairs, odd = _pairs(of, DUPLICATES), _pairs(of, INCONSISTENT_DUPLICATES)
    notes = []
    gone: set[str] = set()
    if inconsistent == "drop" and odd:
        pairs = [pair for pair in pairs if pair not in odd]
        gone |= {photograph_name(row["image"]) for pair in odd for row in pair}
        notes.append(
            f"{2 * len(odd)} photographs of {len(odd)} pairs of copies with different labels left out "
            f"(options.inconsistent=drop): {_shown(odd, labels=True)}"
        )
    if duplicates == "drop" and pairs:
        gone |= {photograph_name(second["image"]) for _, second in pairs}
        notes.append(
            f"the second of {len(pairs)} pairs of copies left out (options.duplicates=drop): {_shown(pairs)}"
        )
    elif pairs:
        how = "share a patient" if duplicates == "group" else "count as different photographs"
        notes.append(f"{len(pairs)} pairs of copies {how} (options.duplicates={duplicates}): {_shown(pairs)}")
    return [row for row in rows if photograph_name(row["image"]) not in gone], notes


_Pair = tuple[dict[str, Any], dict[str, Any]]


def _pairs(of: dict[str, dict[str, Any]], pairs: Sequence[tuple[str, str]]) -> list[_Pair]:
    named = [(photograph_name(first), photograph_name(second)) for first, second in pairs]
    return [(of[first], of[second]) for first, second in named if first in of and second in of]


def _shown(pairs: Sequence[_Pair], labels: bool = False) -> str:
    def one(row: dict[str, Any]) -> str:
        return f"{_name(row)} (dr {row['dr']}, dme {row['dme']})" if labels else _name(row)

    return ", ".join(" = ".join(one(row) for row in pair) for pair in pairs)


def _name(row: dict[str, Any]) -> str:
    return str(row["image"]).rsplit("/", 1)[-1].rsplit(".", 1)[0]
