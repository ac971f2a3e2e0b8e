"""What a check found, on a terminal of 80 columns."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

from retinalab.counted import counted

if TYPE_CHECKING:
    from retinalab.data.check import Check, Finding

__all__ = ["print_check"]

_WIDTH = 80
_EXAMPLES = 3


def print_check(check: Check) -> None:
    """Print a check: what was read, findings gravest first, counts, lesion size, shortcuts, what was left out."""
    _print_head(check)
    _print_findings(check.findings)
    _print_counts(check.counts)
    _print_cross(check.cross)
    _print_lesions(check.lesion_pixels)
    _print_probe(check.probe)
    for title, lines in (("Notes", check.notes), ("Not checked", check.skipped)):
        if lines:
            print(f"\n{title}")
            for line in lines:
                _wrapped(line, "  ")


def _print_head(check: Check) -> None:
    drawn = " (drawn, no photographs of people)" if check.synthetic else ""
    print(f"{check.set}  {check.title}{drawn}")
    print(check.root)
    whose = f"of {counted(check.patients, 'patient')}" if check.patients else "of unnamed patients"
    print(f"{counted(check.photographs, 'photograph')} {whose}, checked in {check.seconds:.0f} s")
    for name, value in check.facts.items():
        shown = f"{value:g}" if isinstance(value, float) else f"{value}"
        print(f"  {name + ' ':.<44} {shown}")


def _print_findings(findings: Sequence[Finding]) -> None:
    from retinalab.data.check import KINDS

    if not findings:
        print("\nNothing found.")
        return
    faults = sum(KINDS[found.kind].severity == "fault" for found in findings)
    print(f"\nFindings: {_counted(faults, 'fault')}, {_counted(len(findings) - faults, 'warning')}")
    for name, group in groupby(findings, lambda found: found.kind):
        members = list(group)
        kind = KINDS[name]
        print(f"{len(members):7d}  {kind.title + ' ':.<60} {kind.severity}")
        for found in members[:_EXAMPLES]:
            _wrapped(_line(found), " " * 9)
        if len(members) > _EXAMPLES:
            print(f"{'':9}and {len(members) - _EXAMPLES} more")


def _line(found: Finding) -> str:
    shown = ", ".join(found.images[:3]) + f" and {len(found.images) - 3} more" * (len(found.images) > 3)
    return f"{shown}: {found.message}" if shown else found.message


def _print_counts(rows: Sequence[Mapping[str, Any]]) -> None:
    print(f"\n{'Counts':40}{'found':>10}{'published':>12}")
    for row in rows:
        published = "" if row["published"] is None else row["published"]
        mark = "  differs" if published not in ("", row["found"]) else ""
        print(f"  {row['what']:38}{row['found']:>10}{published:>12}{mark}")


def _print_cross(rows: Sequence[Mapping[str, Any]]) -> None:
    if not rows:
        return
    beside = any(row["published"] is not None for row in rows)
    cells = {(row["dr"], row["dme"]): row for row in rows}
    columns = sorted({row["dr"] for row in rows}, key=str)
    print("\nDR across, DME down" + (" (published in brackets)" if beside else ""))
    print(" " * 13 + "".join(f"{_grade('DR', dr):>11}" for dr in columns))
    for dme in sorted({row["dme"] for row in rows}, key=str):
        shown = [_cell(cells.get((dr, dme)), beside) for dr in columns]
        print(f"  {_grade('DME', dme):11}" + "".join(f"{cell:>11}" for cell in shown))


def _grade(disease: str, grade: object) -> str:
    return f"{disease} {'unknown' if grade == '' else grade}"


def _cell(row: Mapping[str, Any] | None, beside: bool) -> str:
    count = row["photographs"] if row else 0
    if not beside:
        return str(count)
    return f"{count} ({row['published'] if row else 0})"


def _print_lesions(rows: Sequence[Mapping[str, Any]]) -> None:
    from retinalab.data.check.lesion_size import FEWEST_PIXELS

    if not rows:
        return
    print("\nDiameter of a microaneurysm in pixels, by input size (under 2: !)")
    print("  " + "".join(f"{row['size']:>9}" for row in rows))
    shown = (f"{row['pixels']:.1f}" + ("!" if row["pixels"] < FEWEST_PIXELS else " ") for row in rows)
    print("  " + "".join(f"{cell:>10}" for cell in shown).removeprefix(" "))
    _wrapped(str(rows[0]["source"]), "  ")


def _print_probe(rows: Sequence[Mapping[str, Any]]) -> None:
    from retinalab.metrics.shortcut import WARN_ABOVE

    if not rows:
        return
    print("\nLabels predicted without looking at the retina")
    print(f"  {'':24}{'AUC':>6}  {'95 % interval':16}{'n':>7}{'patients':>10}")
    for row in rows:
        what = f"{row['disease']} {row['target']}, {row['features']}"
        if row["auc"] is None:
            _wrapped(f"{what}: {row['note']}", "  ")
            continue
        interval = "" if row["low"] is None else f"[{row['low']:.3f}, {row['high']:.3f}]"
        mark = "  warning" if row["auc"] > WARN_ABOVE else ""
        print(f"  {what:24}{row['auc']:6.3f}  {interval:16}{row['n']:>7}{row['n_groups']:>10}{mark}")
        if row["features"] == "all":
            _wrapped(row["strongest"], "    ")


def _counted(count: int, word: str) -> str:
    return f"{count} {word}{'' if count == 1 else 's'}"


def _wrapped(text: str, indent: str) -> None:
    print(textwrap.fill(text, _WIDTH, initial_indent=indent, subsequent_indent=indent + "  "))
