"""A leaderboard as data: which experiments, what they share, and how much each may train."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import yaml
from pydantic import Field

from retinalab.config import DataConfig, Experiment
from retinalab.config.base import Model, PlainName
from retinalab.documents import read_yaml
from retinalab.errors import RetinalabError, unknown
from retinalab.experiment import load_experiment, resolve_model
from retinalab.protocol import Protocol

__all__ = ["BOARDS", "Board", "Candidate", "Entry", "candidates", "figure_diseases", "read_board"]

BOARDS = Path(__file__).parent / "boards"
"""The boards that come with retinalab."""


class Entry(Model):
    """One method."""

    title: str = Field(description="as the table calls it")
    learns_from: str = Field(description="the labels that it is trained with, in words")
    paper: PlainName
    experiment: PlainName
    overrides: tuple[str, ...] = Field(
        (), description="key.path=value, laid over the experiment and what all share"
    )


class Board(Model):
    """Methods on one data set under one protocol.

    The budget is in megapixels that networks are shown while they train: photographs and patches by their input's
    pixels, each as often as it is shown, all stages together. It needs no clock and no machine, and it holds whatever a
    method's working size is. What it does not hold equal is the cost of a pixel: the table gives the minutes beside.
    """

    title: str
    figure: str = Field("dr/kappa", description="by which methods are ordered and compared")
    beside: tuple[str, ...] = Field(
        ("dr/auc_referable", "dr/accuracy"), description="figures shown beside it"
    )
    budget: float = Field(gt=0, description="megapixels that an entry may be trained on, per seed")
    reference: PlainName = Field(description="the entry that every other is compared with")
    shared: tuple[str, ...] = Field((), description="overrides of every entry")
    entries: dict[PlainName, Entry] = Field(min_length=2)


@dataclass(frozen=True)
class Candidate:
    """An entry, resolved.

    Attributes:
        key: in the board.
        entry: as written.
        experiment: what is run.
        command: that runs it.
    """

    key: str
    entry: Entry
    experiment: Experiment
    command: tuple[str, ...]

    @property
    def typed(self) -> str:
        """The command as one line."""
        return shlex.join(self.command)


def read_board(name: str) -> tuple[str, Board]:
    """A board by its name or by the path of a YAML file, and its short name.

    Raises:
        RetinalabError: no such board, no YAML, or one line for each wrong entry.
    """
    path = Path(name)
    if path.suffix not in (".yaml", ".yml"):
        names = sorted(file.stem for file in BOARDS.glob("*.yaml"))
        path = BOARDS / f"{name.replace('_', '-')}.yaml"
        if path.stem not in names:
            raise unknown("leaderboard", name, names, "Or give the path of a YAML file.")
    try:
        raw = read_yaml(path)
    except (OSError, ValueError, yaml.YAMLError) as error:
        reason = str(error).splitlines()[0]
        raise RetinalabError(f"Leaderboard {path} cannot be read: {reason}. Correct it.") from error
    if not isinstance(raw, dict):
        raise RetinalabError(
            f"Leaderboard {path} holds no mapping. It needs title, budget, reference and entries."
        )
    board = resolve_model(Board, raw, path.name)
    if board.reference not in board.entries:
        raise unknown("reference", board.reference, board.entries, f"Correct {path.name}.")
    return path.stem, board


def candidates(name: str, board: Board, given: Iterable[str] = ()) -> list[Candidate]:
    """Every entry as an experiment, held to one protocol and one data set before anything is run.

    Args:
        name: of the board; its runs are named after it.
        board: what is compared.
        given: further overrides of every entry: folders of data sets, ``output``, ``seeds``.

    Raises:
        RetinalabError: an override is wrong, or two entries differ in protocol, test photographs or seeds.
    """
    found = []
    for key, entry in board.entries.items():
        words = [f"name=leaderboard-{name}-{key}", *board.shared, *entry.overrides, *given]
        experiment = load_experiment(entry.paper, entry.experiment, words)
        command = ("retinalab", "exp", entry.paper, entry.experiment, *words)
        found.append(Candidate(key, entry, experiment, command))
    reference = next(one for one in found if one.key == board.reference)
    faults = [fault for one in found for fault in _differences(reference, one, board.figure)]
    if faults:
        raise RetinalabError(*faults)
    return found


def _differences(first: Candidate, second: Candidate, figure: str) -> list[str]:
    """One line for each thing that makes two entries incomparable."""
    one, other = first.experiment, second.experiment
    pairs = [
        (f"protocol.{name}", getattr(one.protocol, name), getattr(other.protocol, name))
        for name in Protocol.model_fields
        if name != "diseases"
    ]
    pairs += [
        (f"protocol.diseases.{disease}", one.protocol.diseases[disease], other.protocol.diseases.get(disease))
        for disease in figure_diseases(figure, one)
    ]
    pairs += [
        ("data.set", _tested(one).set, _tested(other).set),
        ("data.options", _tested(one).options, _tested(other).options),
        ("test.sets", one.test.sets, other.test.sets),
        ("folds", one.folds, other.folds),
        ("seeds", (one.seed, one.seeds), (other.seed, other.seeds)),
    ]
    return [
        f"Entries {first.key} and {second.key} cannot be compared: {what} is {a} in the first and {b} in the second. "
        "Set it for both in the board's shared overrides."
        for what, a, b in pairs
        if a != b
    ]


def figure_diseases(figure: str, experiment: Experiment) -> tuple[str, ...]:
    """The diseases that a figure is of: all of the protocol's for ``joint``.

    Raises:
        RetinalabError: the protocol does not have it.
    """
    target = figure.partition("/")[0]
    if target == "joint":
        return tuple(experiment.protocol.diseases)
    if target not in experiment.protocol.diseases:
        raise unknown(
            "disease",
            target,
            [*experiment.protocol.diseases, "joint"],
            f"Correct the board's figure {figure}.",
        )
    return (target,)


def _tested(experiment: Experiment) -> DataConfig:
    """The data section of the stage whose test photographs are the result's."""
    return experiment.stages[experiment.evaluated[-1]].data
