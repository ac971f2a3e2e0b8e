"""Finished runs of a board's entries, held to the same photographs and the budget, and ordered."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from retinalab.counted import counted
from retinalab.documents import read_yaml
from retinalab.errors import RetinalabError
from retinalab.experiment import experiment_id, resolve
from retinalab.leaderboard.board import Board, Candidate, figure_diseases
from retinalab.leaderboard.spent import megapixels
from retinalab.metrics.baselines import BASELINES, figure_beside
from retinalab.metrics.comparable import check_fingerprints
from retinalab.metrics.compare import Difference, compare
from retinalab.metrics.paired import holm
from retinalab.metrics.tables import diseases_of
from retinalab.report.folder import RunFolder, read_run

__all__ = ["Baseline", "Row", "Standings", "newest", "standings"]

_OVER = 1.01
"""A last batch that was smaller counts as a whole one: so much may be spent beyond the budget."""


@dataclass(frozen=True)
class Row:
    """One method in the table.

    Attributes:
        key, title, learns_from: of the entry.
        command: that runs it.
        run: folder of its newest finished run; None where there is none, and then nothing below is known.
        figures: figure -> entry of ``metrics.json``, of the board's figures.
        difference: of the board's first figure, this method minus the reference; None for the reference itself.
        p: of that difference, corrected for the number of methods (Holm); None where it is not tested.
        megapixels: trained on, per seed.
        minutes: that the whole run took, all seeds and their evaluation.
        resumed: whether the run was interrupted, so that minutes that led to nothing are not among them.
        commit: of the code.
    """

    key: str
    title: str
    learns_from: str
    command: str
    run: Path | None = None
    figures: Mapping[str, Mapping[str, Any]] | None = None
    difference: Difference | None = None
    p: float | None = None
    megapixels: float | None = None
    minutes: float | None = None
    resumed: bool = False
    commit: str = ""


@dataclass(frozen=True)
class Baseline:
    """What is reached without a method: the majority grade, the shortcut probe, colours alone.

    Attributes:
        title: in words.
        figures: figure -> entry of ``metrics.json``; figures that it does not have are left out.
    """

    title: str
    figures: Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Standings:
    """A board, filled.

    Attributes:
        name: of the board.
        board: as written.
        rows: measured ones by their first figure, the best first; then those that are missing.
        baselines: beside them, from the reference's run.
        about: term and text: photographs, protocol, seeds, budget.
        labels: what must be said beside every figure.
    """

    name: str
    board: Board
    rows: tuple[Row, ...]
    baselines: tuple[Baseline, ...]
    about: tuple[tuple[str, str], ...]
    labels: tuple[str, ...]

    @property
    def missing(self) -> tuple[Row, ...]:
        """Entries without a finished run."""
        return tuple(row for row in self.rows if row.run is None)

    @property
    def figures(self) -> tuple[str, ...]:
        """What is shown of each, the ordering one first."""
        return (self.board.figure, *self.board.beside)


def standings(name: str, board: Board, found: Sequence[Candidate], resamples: int = 2000) -> Standings:
    """Read the newest finished run of every entry, and put them in order.

    Args:
        name: of the board.
        board: as written.
        found: its entries (:func:`~retinalab.leaderboard.board.candidates`).
        resamples: of the bootstrap behind the differences.

    Raises:
        RetinalabError: runs that were tested on other photographs or labels, or one that was trained beyond the budget.
    """
    folders = {one.key: newest(one) for one in found}
    runs = {one.key: read_run(folder) for one in found if (folder := folders[one.key]) is not None}
    experiments = {one.key: one.experiment for one in found}
    spent = {key: megapixels(run, experiments[key]) for key, run in runs.items()}
    _check_budget(board, spent)
    _check_same(runs, board.reference)
    differences = _differences(runs, experiments, board, resamples)
    values = {key: value for key, one in differences.items() if (value := one.get("p")) is not None}
    p = dict(zip(values, holm(list(values.values())), strict=True))
    rows = []
    for one in found:
        row = Row(one.key, one.entry.title, one.entry.learns_from, one.typed)
        if one.key in runs:
            run = runs[one.key]
            seconds = run.provenance.get("seconds")
            row = Row(
                row.key, row.title, row.learns_from, row.command, run.path, _figures(run, board),
                differences.get(one.key), p.get(one.key), spent[one.key],
                None if seconds is None else float(seconds) / 60, bool(run.provenance.get("resumed")),
                str(run.provenance.get("commit", "")),
            )  # fmt: skip
        rows.append(row)
    rows.sort(key=lambda row: _order(row, board.figure))
    reference = runs.get(board.reference) or next(iter(runs.values()), None)
    labels = dict.fromkeys(label for run in runs.values() for label in run.provenance.get("labels", ()))
    return Standings(
        name, board, tuple(rows), _baselines(reference, board), _about(board, experiments, reference), tuple(labels)
    )  # fmt: skip


def newest(candidate: Candidate) -> Path | None:
    """The newest finished run of the same experiment below the output folder, whatever its name."""
    experiment = candidate.experiment
    wanted = experiment_id(experiment)
    found = []
    for file in (experiment.output / experiment.paper).glob("*/*/experiment.yaml"):
        place = file.parent.resolve()
        if (place / "metrics.json").is_file() and _identity(file, experiment.name) == wanted:
            found.append(place)
    return max(found, key=_finished, default=None)


def _identity(file: Path, name: str) -> str:
    """Of a run under another name; "" where it cannot be read as an experiment."""
    try:
        raw = read_yaml(file)
        return experiment_id(resolve({**raw, "name": name}))
    except (RetinalabError, OSError, TypeError, ValueError, yaml.YAMLError):
        return ""


def _finished(place: Path) -> float:
    return (place / "metrics.json").stat().st_mtime


def _check_budget(board: Board, spent: Mapping[str, float | None]) -> None:
    over = {key: one for key, one in spent.items() if one is not None and one > board.budget * _OVER}
    if over:
        told = ", ".join(f"{key} on {one:.0f}" for key, one in over.items())
        raise RetinalabError(
            f"Trained on more than the board's budget of {board.budget:g} megapixels: {told}. Give these entries fewer "
            "epochs, or the board a larger budget, and run them again."
        )


def _check_same(runs: Mapping[str, RunFolder], reference: str) -> None:
    """The same files and labels in the sets that are tested; that the rows agree is checked when they are compared."""
    prints = {key: _tested_prints(run) for key, run in runs.items()}
    first = prints.get(reference) or next(iter(prints.values()), {})
    for other in prints.values():
        check_fingerprints(first, other)


def _tested_prints(run: RunFolder) -> dict[str, list[str]]:
    """Data set -> fingerprint, of the stage that was tested last."""
    stages = run.provenance.get("data", {})
    last = list(stages)[-1:] if stages else []
    return {name: [entry.get("fingerprint", "")] for stage in last for name, entry in stages[stage].items()}


def _differences(
    runs: Mapping[str, RunFolder], experiments: Mapping[str, Any], board: Board, resamples: int
) -> dict[str, Difference]:
    if board.reference not in runs:
        return {}
    reference, experiment = _tested(runs[board.reference]), experiments[board.reference]
    diseases = figure_diseases(board.figure, experiment)
    scales = {disease: experiment.protocol.scales[disease] for disease in diseases}
    out = {}
    for key, run in runs.items():
        if key != board.reference:
            sides = [_of(table, diseases) for table in (_tested(run), reference)]
            found = compare(sides[0], sides[1], scales, resamples=resamples)
            out[key] = found[f"test/{board.figure}"]
    return out


def _tested(run: RunFolder) -> pd.DataFrame:
    if run.predictions is None:
        raise RetinalabError(f"{run.path} graded no photograph. An entry must be an experiment that grades.")
    return run.predictions[run.predictions["part"] == "test"]


def _of(table: pd.DataFrame, diseases: Sequence[str]) -> pd.DataFrame:
    """Without other diseases, which only some methods grade."""
    others = [other for other in diseases_of(table) if other not in diseases]
    columns = map(str, table.columns)
    return table.drop(columns=[c for c in columns if any(c == x or c.startswith(f"{x}_") for x in others)])


def _figures(run: RunFolder, board: Board) -> dict[str, Mapping[str, Any]]:
    names = (board.figure, *board.beside)
    return {name: run.metrics[f"test/{name}"] for name in names if f"test/{name}" in run.metrics}


def _order(row: Row, figure: str) -> tuple[bool, float]:
    value = (row.figures or {}).get(figure, {}).get("value")
    if value is None or not math.isfinite(value):
        return True, 0.0
    return False, -float(value)


def _baselines(run: RunFolder | None, board: Board) -> tuple[Baseline, ...]:
    if run is None:
        return ()
    rows = []
    for baseline, title in BASELINES.items():
        figures = {}
        for name in (board.figure, *board.beside):
            beside = figure_beside(run.metrics, f"test/{name}", baseline)
            if beside is not None:
                figures[name] = beside
        if figures:
            rows.append(Baseline(title, figures))
    return tuple(rows)


def _about(
    board: Board, experiments: Mapping[str, Any], run: RunFolder | None
) -> tuple[tuple[str, str], ...]:
    experiment = experiments[board.reference]
    data = experiment.stages[experiment.evaluated[-1]].data
    options = ", ".join(f"{key} {value}" for key, value in data.options.items())
    about = [("Data set", f"{data.set}{f' ({options})' if options else ''}")]
    if run is not None and run.predictions is not None:
        rows = _tested(run)
        whose = "patients" if (rows["patient"] != "").all() else "photographs or patients"
        about.append(
            (
                "Tested on",
                f"{counted(rows['image'].nunique(), 'photograph')} of {rows['group'].nunique()} {whose}",
            )
        )
    diseases = ", ".join(f"{name} on {scale}" for name, scale in experiment.protocol.diseases.items())
    about.append(
        (
            "Protocol",
            f"{experiment.protocol.split} split; {diseases}; chosen on {experiment.protocol.select_on}",
        )
    )
    about.append(("Seeds", str(experiment.seeds)))
    about.append(("Budget", f"{board.budget:g} megapixels shown in training, per seed"))
    return tuple(about)
