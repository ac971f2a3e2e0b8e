"""The command that shows a finished run its test photographs changed, and holds its grades against each other."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from retinalab.cli.arguments import whole
from retinalab.cli.other_set import add_other_set_arguments, other_set
from retinalab.cli.robustness_summary import WIDTH, about_lines, print_robustness
from retinalab.errors import RetinalabError

if TYPE_CHECKING:
    import pandas as pd

    from retinalab.metrics.measure import Metric
    from retinalab.robustness.answers import Settings, Trial

__all__ = ["add_robustness_arguments", "robustness"]

_ALL_SEVERITIES = "1,2,3,4,5"


def add_robustness_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of ``retinalab robustness``."""
    parser.add_argument(
        "run", type=Path, metavar="RUN", help="folder of a finished run; its latest link will do"
    )
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="folder to write to; default: RUN")
    parser.add_argument(
        "--stage", help="stage whose network is tested; default: the last that grades photographs"
    )
    parser.add_argument(
        "--only",
        metavar="LIST",
        help="views,flip,colours,defocus,haze,light,lash,jpeg,crop,camera or some of them; default: all",
    )
    parser.add_argument(
        "--severities", default=_ALL_SEVERITIES, metavar="LIST", help=f"of faults; default: {_ALL_SEVERITIES}"
    )
    parser.add_argument("--seed", type=whole, default=0, metavar="N", help="of what is drawn; default: 0")
    parser.add_argument(
        "--limit",
        type=whole,
        metavar="N",
        help="at most N photographs, those of a patient together, chosen by lot",
    )
    add_other_set_arguments(parser, "a data set in the place of the run's own", "task=grading")


def robustness(known: argparse.Namespace) -> int:
    """Grade changed photographs, and write table, figures and page."""
    try:
        return _tested(known)
    except KeyboardInterrupt:
        print("retinalab: interrupted; nothing was written", file=sys.stderr)
        return 130


def _tested(known: argparse.Namespace) -> int:
    settings = _settings(known)
    other = other_set(known)
    if not known.run.is_dir():
        raise RetinalabError(f"No run folder {known.run}. Give the folder of a finished run, below runs/.")
    out = known.out or known.run
    _check_out(out)

    import torch

    from retinalab.predict.explained import explained_runs
    from retinalab.robustness.agreement import evaluate_robustness
    from retinalab.robustness.answers import Trial
    from retinalab.robustness.conditions import VIEWS

    runs, _ = explained_runs([(known.run, known.stage)], None)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    trial = Trial(runs[0], other, settings, device)
    names = _names(known.only)
    views = VIEWS in names
    if views and not trial.repeated:
        said = (
            "no eye was photographed twice, as far as patients and eyes are known: views cannot be compared"
        )
        if set(names) == {VIEWS}:
            raise RetinalabError(
                f"Nothing to test: {said}. Leave out --only, or name another set with --set."
            )
        trial.notes.append(said)
    with tqdm(total=len(trial), desc=runs[0].name, unit="photo", ncols=WIDTH, disable=None) as bar:
        table = trial.rows(bar.update)
    metrics = evaluate_robustness(table, trial.scales, views)
    about = about_lines(trial, table)
    _write(out, trial, table, metrics, about)
    print_robustness(about, metrics, trial)
    print(f"\nPage: {out / 'robustness.html'}; table: {out / 'robustness.parquet'}")
    print("\nResearch use only: not for diagnosis.")
    return 0


def _names(only: str | None) -> tuple[str, ...]:
    from retinalab.robustness.conditions import NAMES

    if only is None:
        return NAMES
    return tuple(dict.fromkeys(name.strip() for name in only.split(",") if name.strip()))


def _settings(known: argparse.Namespace) -> Settings:
    from retinalab.robustness.answers import Settings
    from retinalab.robustness.conditions import conditions

    words = [word.strip() for word in known.severities.split(",") if word.strip()]
    if not all(word.isdecimal() for word in words):
        raise RetinalabError(
            f"--severities {known.severities!r} is no list of numbers. Give some of {_ALL_SEVERITIES}."
        )
    if known.limit is not None and known.limit < 1:
        raise RetinalabError(f"--limit {known.limit} leaves no photograph. Give at least 1.")
    if known.seed < 0:
        raise RetinalabError(f"--seed {known.seed} is below 0. Give a whole number from 0 up.")
    wanted = conditions(_names(known.only), [int(word) for word in words])
    return Settings(wanted, known.seed, known.limit, everything=known.only is None)


def _check_out(out: Path) -> None:
    if out.exists() and not out.is_dir():
        raise RetinalabError(f"--out {out} is a file. Name a folder.")
    nearest = out if out.is_dir() else out.absolute().parent
    if not nearest.is_dir():
        raise RetinalabError(f"--out {out}: there is no folder {nearest}. Make it, or name another.")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise RetinalabError(f"Cannot write to {nearest}: permission denied. Name another folder with --out.")


def _write(
    out: Path,
    trial: Trial,
    table: pd.DataFrame,
    metrics: dict[str, Metric],
    about: Sequence[tuple[str, str]],
) -> None:
    """Write the three files beside their places, then put them there; those of an earlier call are replaced."""
    from retinalab.metrics.tables import write_table
    from retinalab.robustness.page import RobustnessPage, write_robustness_page
    from retinalab.runner.folder import write_json

    settings = trial.settings
    page = RobustnessPage(
        trial.run.name, about, _banners(trial), trial.unit, trial.scales, trial.regressed, metrics,
        trial.shown(0), settings.seed,
    )  # fmt: skip
    try:
        out.mkdir(exist_ok=True)
        made = Path(tempfile.mkdtemp(prefix=".robustness.", dir=out))
    except OSError as error:
        raise RetinalabError(
            f"Cannot write to {out}: {error.strerror or error}. Name another folder with --out."
        ) from error
    try:
        write_table(table, made / "robustness.parquet", "robustness", {"seed": settings.seed})
        write_json(made / "robustness.json", _content(trial, metrics, about))
        write_robustness_page(page, made / "robustness.html")
        for file in sorted(made.iterdir()):
            os.replace(file, out / file.name)
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _banners(trial: Trial) -> list[tuple[str, str]]:
    banners = [("Research use only", "not a medical device; nothing here supports the care of a patient.")]
    drawn = any(one.synthetic for one in trial.part.records.info.values())
    if drawn:
        banners.append(
            ("Drawn (synthetic) photographs", "no photographs of people; nothing here is about patients.")
        )
    labels = [one for one in trial.run.run.labels if not (drawn and one.startswith("synthetic"))]
    return [*banners, *((label, "of the run that is tested.") for label in labels)]


def _content(trial: Trial, metrics: dict[str, Metric], about: Sequence[tuple[str, str]]) -> dict[str, Any]:
    from retinalab.robustness.conditions import DONORS
    from retinalab.robustness.corruptions import CORRUPTIONS
    from retinalab.runner.provenance import made_by

    run, settings = trial.run, trial.settings
    tested = dict.fromkeys(one.name for one in settings.conditions)
    return {
        "use": "research use only: not for diagnosis",
        "provenance": made_by(),
        "run": {
            "path": str(run.run.path.resolve()),
            "paper": run.run.experiment.paper,
            "experiment": run.run.experiment.name,
            "stage": run.stage,
            "networks": [member.child for member in run.members],
            "labels": list(run.run.labels),
        },
        "about": dict(about),
        "settings": {
            "seed": settings.seed,
            "limit": settings.limit,
            "donors": DONORS,
            "severities": sorted({one.severity for one in settings.conditions}),
        },
        "faults": {
            name: {"imitates": one.imitates, "parameter": one.parameter, "levels": list(one.levels)}
            for name, one in CORRUPTIONS.items()
            if name in tested
        },
        "data": trial.digests,
        "unit": trial.unit,
        "scales": {disease: scale.name for disease, scale in trial.scales.items()},
        "metrics": metrics,
    }
