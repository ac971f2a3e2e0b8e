"""The page of a check of a data set: what was found, gravest first, with the photographs beside each other."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from retinalab.data.check.findings import KINDS, Check, Finding, Kind
from retinalab.data.check.lesion_size import FEWEST_PIXELS
from retinalab.errors import RetinalabError
from retinalab.metrics.shortcut import WARN_ABOVE
from retinalab.report.check_tables import count_row, cross_table, lesion_table, probe_tables, sentence
from retinalab.report.gallery import thumbnail
from retinalab.report.numbers import duration, plain
from retinalab.report.render import write_page

__all__ = ["write_check_page"]

Pictures = Mapping[str, npt.NDArray[np.uint8]]

_PICTURED = 12  # findings of a kind that are shown with pictures
_SIDE_BY_SIDE = 4  # photographs of one finding
_LISTED = 200  # findings of a kind that are named


def write_check_page(check: Check, folder: Path, thumbnails: Pictures) -> Path:
    """Write ``check.html``: one file, no script, no request to any network.

    Args:
        check: what was found out.
        folder: an existing folder outside the data set.
        thumbnails: image as a finding names it -> picture; findings whose photographs are not among them are
            shown in words.

    Shape:
        - ``thumbnails``: each ``(H, W, 3)``, uint8, RGB.

    Raises:
        RetinalabError: the page cannot be written.
    """
    folder = Path(folder)
    try:
        return write_page(
            "check.html", _context(check, thumbnails, folder / "check.json"), folder / "check.html"
        )
    except OSError as error:
        raise RetinalabError(
            f"Cannot write check.html into {folder}: {error.strerror or error}. Name another folder."
        ) from error


@dataclass(frozen=True)
class _Shown:
    """One finding as the page shows it: pictures (name and data URI, "" where there is none), more names, words."""

    tiles: list[tuple[str, str]]
    more: list[str]
    message: str


@dataclass(frozen=True)
class _Group:
    """The findings of one kind: with pictures, in words, and how many are in neither."""

    name: str
    title: str
    kind: Kind
    count: int
    pictured: list[_Shown]
    listed: list[_Shown]
    omitted: int

    @property
    def single(self) -> bool:
        """Whether every finding is about one photograph."""
        return all(len(shown.tiles) < 2 for shown in self.pictured)


def _context(check: Check, thumbnails: Pictures, beside: Path) -> Mapping[str, Any]:
    groups = [
        _group(name, list(found), thumbnails)
        for name, found in groupby(_gravest_first(check.findings), lambda one: one.kind)
    ]
    return {
        "check": check,
        "banners": _banners(check),
        "whose": f"of {_counted(check.patients, 'patient')}" if check.patients else "of unnamed patients",
        "verdict": _verdict(check),
        "took": duration(check.seconds),
        "facts": [(name, f"{v:g}" if isinstance(v, float) else plain(v)) for name, v in check.facts.items()],
        "groups": groups,
        "all_in": beside.name if beside.is_file() else "",
        "counts": [count_row(row) for row in check.counts],
        "cross": cross_table(check.cross),
        "lesions": lesion_table(check.lesion_pixels),
        "fewest": FEWEST_PIXELS,
        "probes": probe_tables(check.probe, check.patients > 0),
        "warn_above": WARN_ABOVE,
    }


def _gravest_first(findings: Iterable[Finding]) -> list[Finding]:
    order = list(KINDS)
    return sorted(findings, key=lambda one: (KINDS[one.kind].severity != "fault", order.index(one.kind)))


def _banners(check: Check) -> list[tuple[str, str]]:
    out = [("Research use only", "not a medical device; nothing here supports the care of a patient.")]
    if check.synthetic:
        out.append(
            ("Drawn (synthetic) photographs", "no photographs of people; nothing here is about patients.")
        )
    return out


def _verdict(check: Check) -> str:
    warnings = len(check.findings) - check.faults
    if not check.findings:
        return "Nothing found"
    return f"{_counted(check.faults, 'fault')} and {_counted(warnings, 'warning')}"


def _counted(count: int, word: str) -> str:
    return f"{count:,} {word}{'' if count == 1 else 's'}"


def _group(name: str, findings: Sequence[Finding], thumbnails: Pictures) -> _Group:
    pictured = [one for one in findings if any(image in thumbnails for image in one.images)][:_PICTURED]
    chosen = {id(one) for one in pictured}
    listed = [one for one in findings if id(one) not in chosen]
    return _Group(
        name=name,
        title=sentence(KINDS[name].title),
        kind=KINDS[name],
        count=len(findings),
        pictured=[_shown(one, thumbnails) for one in pictured],
        listed=[_shown(one, {}) for one in listed[:_LISTED]],
        omitted=max(0, len(listed) - _LISTED),
    )


def _shown(finding: Finding, thumbnails: Pictures) -> _Shown:
    beside = finding.images[:_SIDE_BY_SIDE]
    tiles = [(image, thumbnail(thumbnails[image]) if image in thumbnails else "") for image in beside]
    return _Shown(tiles, list(finding.images[_SIDE_BY_SIDE:]), finding.message)
