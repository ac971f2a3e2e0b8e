"""The tables on the page of a check, as its template takes them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from typing import Any

import numpy as np

from retinalab.data.check.lesion_size import FEWEST_PIXELS
from retinalab.metrics.shortcut import WARN_ABOVE
from retinalab.report.numbers import interval, known, number, plain

__all__ = ["count_row", "cross_table", "lesion_table", "probe_tables", "sentence"]


def count_row(row: Mapping[str, Any]) -> Mapping[str, Any]:
    """A row of ``Check.counts`` in words, with the difference where there is one."""
    published, found = row["published"], row["found"]
    difference = 0 if published is None else found - published
    return {
        "what": _what(str(row["what"])),
        "published": "–" if published is None else f"{published:,}",
        "found": f"{found:,}",
        "difference": f"{difference:+,}".replace("-", "−") if difference else "",
    }


def _what(count: str) -> str:
    """The key of a published count in words: ``train dr=0`` is "train, DR 0"."""
    words = [word for word in count.split() if word != "photographs"] or ["photographs"]
    named = [(word.partition("=")[0].upper(), word.partition("=")[2]) for word in words if "=" in word]
    grades = [f"{disease} {'unknown' if grade == '-1' else grade}" for disease, grade in named]
    return ", ".join([word for word in words if "=" not in word] + grades)


def sentence(text: str) -> str:
    """The text with a capital first letter, all else as it is.

    Example:
        >>> sentence("under 125 µm, ETDRS"), sentence("a DME grade")
        ('Under 125 µm, ETDRS', 'A DME grade')
    """
    return f"{text[:1].upper()}{text[1:]}"


def cross_table(rows: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """Rows of DR grades with one cell per DME grade: photographs, share of all, published where it differs."""
    if not rows:
        return None
    cells = {(row["dr"], row["dme"]): row for row in rows}
    total = sum(int(row["photographs"]) for row in rows)
    grades = {axis: sorted({row[axis] for row in rows}, key=lambda g: (g == "", g)) for axis in ("dr", "dme")}

    def cell(dr: Any, dme: Any) -> tuple[int, float, int | None]:
        row = cells.get((dr, dme), {})
        count, published = int(row.get("photographs", 0)), row.get("published")
        return count, count / total if total else 0.0, None if published == count else published

    table = [(_grade(dr), [cell(dr, dme) for dme in grades["dme"]]) for dr in grades["dr"]]
    return {
        "columns": [_grade(dme) for dme in grades["dme"]],
        "rows": [(name, line, sum(count for count, _, _ in line)) for name, line in table],
        "totals": [sum(line[k][0] for _, line in table) for k in range(len(grades["dme"]))],
        "total": total,
        "published": any(row.get("published") is not None for row in rows),
    }


def _grade(grade: Any) -> str:
    return "unknown" if grade == "" else str(grade)


def lesion_table(rows: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """Sizes with bars, ``share`` of the longest; ``mark`` is where the fewest pixels lie on the same axis."""
    if not rows:
        return None
    longest = max(FEWEST_PIXELS, *(float(row["pixels"]) for row in rows))
    return {
        "origins": [sentence(f"{origin}.") for origin in dict.fromkeys(str(row["source"]) for row in rows)],
        "mark": FEWEST_PIXELS / longest,
        "rows": [
            {
                "size": row["size"],
                "pixels": f"{row['pixels']:.1f}",
                "share": row["pixels"] / longest,
                "under": row["pixels"] < FEWEST_PIXELS,
            }
            for row in rows
        ],
    }


def probe_tables(rows: Sequence[Mapping[str, Any]], patients: bool) -> list[Mapping[str, Any]]:
    """One table per disease and target, on an axis that holds every interval; ``patients``: whether they are named."""
    ends = [float(row["low"]) for row in rows if known(row.get("low"))]
    left = min(0.4, np.floor(10 * min(ends, default=0.4)) / 10)

    def at(value: Any) -> float | None:
        return (min(1.0, max(left, float(value))) - left) / (1 - left) if known(value) else None

    tables: list[Mapping[str, Any]] = []
    for (disease, target), group in groupby(rows, lambda row: (row["disease"], row.get("target", ""))):
        members = list(group)
        tables.append(
            {
                "title": f"{str(disease).upper()}{f': {target}' if target else ''}",
                "axis": f"{left:.1f} to 1",
                "chance": at(0.5),
                "warn": at(WARN_ABOVE),
                "rows": [_probe_row(row, at, patients) for row in members],
            }
        )
    return tables


def _probe_row(
    row: Mapping[str, Any], at: Callable[[Any], float | None], patients: bool
) -> Mapping[str, Any]:
    auc = row["auc"]
    return {
        "features": "all together" if row["features"] == "all" else row["features"],
        "text": interval({"value": auc, "low": row["low"], "high": row["high"]}),
        "at": at(auc),
        "span": (at(row["low"]), at(row["high"])) if known(row["low"]) and known(row["high"]) else None,
        "high": known(auc) and auc > WARN_ABOVE,
        "kappa": number(row["kappa"]) if known(row.get("kappa")) else "",
        "counted": f"{row['n']:,} of {row['n_groups']:,} patient{'s' * (row['n_groups'] != 1)}"
        if patients
        else f"{row['n']:,}",
        "strongest": plain(row["strongest"]),
        "note": plain(row.get("note")),
    }
