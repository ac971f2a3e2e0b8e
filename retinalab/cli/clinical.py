"""The clinical reading on a terminal: what it is asked with, and where it goes."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from retinalab.cli.arguments import share
from retinalab.cli.clinical_text import clinical_lines
from retinalab.cli.written import check_output, write_output
from retinalab.errors import RetinalabError
from retinalab.protocol import Scale

if TYPE_CHECKING:
    import pandas as pd

    from retinalab.metrics.clinical import Options

__all__ = ["add_clinical_arguments", "clinical", "clinical_options"]

_SHARES = ("prevalence", "specificity", "sensitivity")


def add_clinical_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the clinical reading."""
    group = parser.add_argument_group("clinical reading")
    group.add_argument(
        "--clinical", action="store_true",
        help="referrals, operating points fixed on validation, calibration, worse eye, ungradable, lesions, subgroups",
    )  # fmt: skip
    told = {
        "prevalence": "share of diseased at which predictive values and referrals are told; default 0.10, "
        "vision-threatening DR among people with diabetes (Yau et al. 2012)",
        "specificity": "that validation has to reach, for sensitivity; default 0.90",
        "sensitivity": "that validation has to reach, for specificity; default 0.95",
    }
    for name in _SHARES:
        group.add_argument(f"--{name}", type=share, metavar="SHARE", help=told[name])
    group.add_argument(
        "--subgroup", action="append", default=[], metavar="COLUMN",
        help="column that tells subgroups apart; may be repeated; default: camera, quality, eye, view",
    )  # fmt: skip
    group.add_argument(
        "--ungradable", metavar="COLUMN=VALUE",
        help="photographs that count as ungradable, such as quality=0; default: those marked",
    )  # fmt: skip
    group.add_argument("--json", type=Path, metavar="FILE", help="write the clinical reading as JSON too")


def clinical_options(known: argparse.Namespace) -> Options | None:
    """What was asked for; None without ``--clinical``.

    Raises:
        RetinalabError: a value that is none, or an option of the clinical reading without it.
    """
    given = {name: getattr(known, name) for name in _SHARES if getattr(known, name) is not None}
    used = [f"--{name}" for name in (*given, "subgroup", "ungradable", "json") if getattr(known, name)]
    if not known.clinical:
        if used:
            raise RetinalabError(
                f"{used[0]} belongs to the clinical reading. Add --clinical, or leave it out."
            )
        return None
    from retinalab.metrics.clinical import Options

    check_output(known.json, known.file)
    marked = None
    if known.ungradable is not None:
        column, equal, value = known.ungradable.partition("=")
        if not equal:
            raise RetinalabError(
                f"--ungradable {known.ungradable!r} is not of the form COLUMN=VALUE, such as quality=0."
            )
        marked = (column, value)
    return Options(subgroups=tuple(dict.fromkeys(known.subgroup)), ungradable=marked, **given)


def clinical(
    predictions: pd.DataFrame,
    scales: Mapping[str, Scale],
    options: Options,
    lesions: pd.DataFrame | None,
    ungradable: pd.DataFrame | None,
    primary_set: str | None,
    file: Path | None,
) -> int:
    """Print the clinical reading, and write it where asked to."""
    from dataclasses import asdict

    from retinalab.metrics.clinical import read_clinically

    reading = read_clinically(predictions, scales, options, lesions, ungradable, primary_set)
    print("\n".join(clinical_lines(reading)))
    if file is not None:
        text = json.dumps(asdict(reading), indent=1, ensure_ascii=False, allow_nan=False)
        write_output(file, text + "\n")
    print("\nResearch use only: not for diagnosis.")
    return 0
