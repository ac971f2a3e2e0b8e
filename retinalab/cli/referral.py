"""The referral curve on a terminal and as a page."""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from retinalab.cli.clinical_text import value
from retinalab.cli.written import check_output
from retinalab.counted import counted
from retinalab.errors import RetinalabError
from retinalab.protocol import Scale
from retinalab.units import told_units

if TYPE_CHECKING:
    import pandas as pd

    from retinalab.metrics.referral_curve import ReferralCurve

__all__ = ["add_referral_arguments", "check_referral", "referral"]

_WIDTH = 80
_NAMES = {"kappa": "quadratic kappa", "accuracy": "accuracy", "auc_referable": "AUC, referable"}


def add_referral_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the referral curve."""
    group = parser.add_argument_group("referral curve")
    group.add_argument(
        "--referral", action="store_true",
        help="figures of the rest where the most uncertain photographs (entropy) are handed to a person",
    )  # fmt: skip
    group.add_argument("--page", type=Path, metavar="FILE", help="write the referral curve as HTML too")


def check_referral(known: argparse.Namespace) -> None:
    """Refuse options that do not belong together, and a page that cannot be written.

    Raises:
        RetinalabError: they do not, or it cannot.
    """
    if known.page is not None and not known.referral:
        raise RetinalabError("--page belongs to the referral curve. Add --referral, or leave it out.")
    if known.referral and known.clinical:
        raise RetinalabError("--referral and --clinical are two readings. Give one of them at a time.")
    check_output(known.page, known.file)


def referral(
    predictions: pd.DataFrame,
    scales: Mapping[str, Scale],
    primary_set: str | None,
    labels: Sequence[str],
    known: argparse.Namespace,
) -> int:
    """Print the curves, and write the page where it was asked for."""
    from retinalab.metrics.referral_curve import read_referral_curves

    curves = read_referral_curves(predictions, scales, primary_set=primary_set)
    print("\n".join(referral_lines(curves)))
    if known.page is not None:
        from retinalab.report.referral import write_referral

        write_referral(curves, str(known.file), known.page, labels)
        print(f"\nPage: {known.page}")
    print("\nResearch use only: not for diagnosis.")
    return 0


def referral_lines(curves: Sequence[ReferralCurve]) -> Iterator[str]:
    """The curves in lines of at most 80 columns."""
    for curve in curves:
        yield ""
        text = (
            f"{curve.prefix}/{curve.disease} on {curve.scale}: {counted(curve.photographs, 'photograph')}, "
            f"{told_units(curve.units, curve.unit)}. The most uncertain ({curve.uncertainty}) are handed to a person; "
            "the figures are those of the rest, beside what an order by lot and a perfect one (worst errors first) "
            "would leave."
        )
        yield from textwrap.wrap(text, _WIDTH)
        for name, words in _NAMES.items():
            yield ""
            yield f"{words:16s}{'left':>6s}  {'by entropy [95 % interval]':28s}{'by lot':>8s}{'perfect':>9s}"
            notes: dict[str, None] = {}
            for level in curve.levels:
                metric = level.figures[name]
                lot, perfect = (_cell(one[name]) for one in (level.random, level.perfect))
                handed = f"  hand over {level.share:4.0%}"
                yield f"{handed:16s}{level.kept:6d}  {value(metric):28s}{lot:>8s}{perfect:>9s}"
                if metric["value"] is None:
                    notes[f"  ! {level.share:.0%}: {metric.get('note', 'undefined')}"] = None
            for note in notes:
                yield from textwrap.wrap(note, _WIDTH, subsequent_indent="    ")


def _cell(number: Any) -> str:
    return "–" if number is None else f"{number:.3f}"
