"""What ``retinalab predict`` prints, on a terminal of 80 columns."""

from __future__ import annotations

import argparse
import textwrap
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from retinalab.cli.figures import print_figures
from retinalab.predict.text import one_line

if TYPE_CHECKING:
    from retinalab.predict.inputs import Survey
    from retinalab.predict.labels import Judged
    from retinalab.predict.opened import Opened
    from retinalab.predict.predictor import Answer, Prediction, Predictor
    from retinalab.protocol import Scale

__all__ = ["Tally", "print_agreement", "print_header", "print_places"]

WIDTH = 80
_FEW = 20
_REASONS = 5
_PRESENT = 0.5
_HEADLINE = ("kappa", "auc_referable", "auc", "accuracy")


@dataclass
class Tally:
    """Counts of all predictions, and the first of them.

    Attributes:
        scales: disease -> its scale.
        judged: those that have a label, where labels were given.
        lesions: that are looked for.
    """

    scales: Mapping[str, Scale]
    judged: Judged | None = None
    lesions: Sequence[str] = ()
    first: list[Prediction] = field(default_factory=list)
    grades: dict[str, Counter[int]] = field(default_factory=dict)
    shown: Counter[str] = field(default_factory=Counter)
    total: int = 0
    refused: int = 0
    reasons: list[str] = field(default_factory=list)
    flags: Counter[str] = field(default_factory=Counter)
    enlarged: int = 0
    most_enlarged: float = 1.0

    def add(self, prediction: Prediction) -> None:
        """Count one photograph."""
        self.total += 1
        self.flags[prediction.quality] += 1
        self.enlarged += prediction.enlarged > 1
        self.most_enlarged = max(self.most_enlarged, prediction.enlarged)
        if len(self.first) <= _FEW:
            self.first.append(prediction)
        if prediction.reason:
            self.refused += 1
            if len(self.reasons) < _REASONS:
                self.reasons.append(one_line(prediction.reason))
        for disease, answer in prediction.answers.items():
            self.grades.setdefault(disease, Counter())[answer.grade] += 1
        self.shown.update(x for x, chance in prediction.lesions.items() if chance >= _PRESENT)
        if self.judged is not None:
            self.judged.add(prediction)

    def show(self) -> None:
        """Print a row for each of a few photographs, or how many have each grade."""
        print()
        if self.total <= _FEW:
            self._table()
        else:
            self._summary()
        if self.lesions:
            looked = self.total - self.refused
            counts = ", ".join(f"{lesion} {self.shown[lesion]}" for lesion in self.lesions)
            print(
                _wrapped(
                    f"lesions with a probability of at least {_PRESENT:g}, in photographs of {looked}: {counts}"
                )
            )
        odd = ", ".join(f"{flag} {count}" for flag, count in sorted(self.flags.items()) if flag != "good")
        if odd:
            print(_wrapped(f"quality, of {self.total}: {odd}"))
        if self.enlarged:
            times = f"up to {self.most_enlarged:.2f} times, which shows nothing more"
            print(_wrapped(f"enlarged to the networks' size, of {self.total}: {self.enlarged}, {times}"))
        if self.refused:
            print(f"\nnot graded: {self.refused} of {self.total}")
            for reason in self.reasons:
                print(_wrapped(reason))
            if self.refused > len(self.reasons):
                print(
                    f"  … and {self.refused - len(self.reasons)} more, each with its reason in predictions.csv"
                )

    def _table(self) -> None:
        if not self.scales:
            for prediction in self.first:
                chances = prediction.lesions.items()
                found = " ".join(f"{x} {p:.2f}" for x, p in chances if p >= _PRESENT) or "no lesion"
                said = "not looked at" if prediction.reason else found
                print(f"{_end(one_line(prediction.photograph.image), 28):28s}  {said}"[:WIDTH])
            return
        cell = max(14, min(26, (WIDTH - 24) // len(self.scales) - 2))
        image = WIDTH - (cell + 2) * len(self.scales)
        print("image".ljust(image) + "".join("  " + disease.ljust(cell) for disease in self.scales))
        for prediction in self.first:
            cells = (_cell(prediction.answers.get(d), scale, cell) for d, scale in self.scales.items())
            print(
                _end(one_line(prediction.photograph.image), image).ljust(image)
                + "".join("  " + text for text in cells)
            )

    def _summary(self) -> None:
        for disease, scale in self.scales.items():
            counts = self.grades.get(disease, Counter())
            print(f"{disease + ' on ' + scale.name:44s}{'photographs':>12s}{'share':>10s}")
            for grade, level in enumerate(scale.levels):
                share = counts[grade] / max(1, counts.total())
                print(f"  {grade} {level:40s}{counts[grade]:12d}{share:10.1%}")


def print_header(predictor: Predictor, which: str, survey: Survey, flattered: int) -> list[str]:
    """Print which networks are applied to what; the same lines go beside the table."""
    labels = dict.fromkeys(label for one in predictor.opened for label in one.labels)
    lines = [
        *_networks(predictor, which),
        *(f"the run is labelled {label!r}" for label in labels),
    ]
    passed = f"; {_counted(survey.passed, 'other file')} passed over" * (survey.passed > 0)
    lines.append(_counted(survey.count, "photograph") + passed)
    if flattered:
        lines.append(
            f"{flattered} of them bear the name of one that the run was trained on or chosen by: figures on them would "
            "flatter it"
        )
    for line in lines:
        print("\n".join(textwrap.wrap(line, WIDTH, subsequent_indent="  ", break_on_hyphens=False)))
    return lines


def _networks(predictor: Predictor, which: str) -> list[str]:
    graded = [f"{disease} on {scale.name}" for disease, scale in predictor.scales.items()]
    graded += ["lesions " + " ".join(predictor.lesions)] * bool(predictor.lesions)
    lines = [f"{_opened(one, which)}; {', '.join(graded)}" for one in predictor.opened[:1]]
    lines += [f"with {_opened(one, which)}" for one in predictor.opened[1:]]
    members = len(predictor.voices) * len(predictor.views)
    if members > 1:
        views = f" in {len(predictor.views)} views (turned and mirrored)" * (len(predictor.views) > 1)
        what = "severities" if predictor.regressed else "probabilities"
        lines.append(
            f"an ensemble of {members} members: {_counted(len(predictor.voices), 'network')}{_folds(predictor)}"
            f"{views}; their {what} are averaged"
        )
    if which == "last" and predictor.networks:
        lines.append("the last checkpoint is not the one that the run's figures were measured with")
    return [*lines, *dict.fromkeys(_precisions(predictor))]


def _folds(predictor: Predictor) -> str:
    """The folds and seeds of a single run."""
    children = list(dict.fromkeys(network.member.child for network in predictor.networks))
    return f" ({children[0]} to {children[-1]})" if len(predictor.opened) == 1 and len(children) > 1 else ""


def _opened(one: Opened, which: str) -> str:
    """A run or an exported file in a few words."""
    from retinalab.predict.exported import ExportedFile

    if isinstance(one, ExportedFile):
        mean = f", the mean of {one.averaged} networks" * (one.averaged > 1)
        rounding = "; it resizes as a GPU does, so that a processor's run differs a little" * (not one.exact)
        evaluated = {str(known) for known in one.metadata["precision"]["evaluated"].values()} - {"32-true"}
        rounding += f"; it computes in float32, the run in {', '.join(sorted(evaluated))}" * bool(evaluated)
        return f"exported file {one.path} ({one.title}){mean}; it does not say what it learned from{rounding}"
    alone = one.members[0].checkpoint.stem if len(one.members) == 1 else which
    count = _counted(len(one.members), "network")
    return f"run {one.path} ({one.title}), {count}, {alone} checkpoint"


def _precisions(predictor: Predictor) -> Iterator[str]:
    for network in predictor.networks:
        recorded = network.recorded
        if recorded and network.precision != recorded:
            yield f"computed in {network.precision} on {predictor.device.type}; the run was evaluated in {recorded}"


def print_places(known: argparse.Namespace) -> None:
    """Print where everything was written."""
    wanted = {"maps": known.cam, "masks": known.masks, "overlays": known.overlays, "gallery": known.gallery}
    print(f"\nTable: {known.out / 'predictions.csv'} and .parquet")
    for kind, there in wanted.items():
        if there:
            print(f"{kind}: {known.out / (f'{kind}.html' if kind == 'gallery' else kind)}")


def _counted(count: int, what: str) -> str:
    return f"{count} {what}{'s' * (count != 1)}"


def print_agreement(judged: Judged, figures: Mapping[str, Any], matched: int, total: int) -> None:
    """Print kappa and the area under the curve on the photographs that have a label."""
    labels = judged.labels
    used = ", ".join(f"{disease} from column {column!r}" for disease, column in labels.columns.items())
    unit = "patients" if labels.patients else "photographs, each taken as independent (no column of patients)"
    left = len(labels) - matched
    text = f"Against {labels.path} ({used}): {matched} of {_counted(total, 'photograph')} with a label"
    text += f", of which {judged.ungraded} were not graded" * (judged.ungraded > 0)
    text += f"; {_counted(left, 'label')} of no photograph given" * (left > 0)
    print("\n" + "\n".join(textwrap.wrap(f"{text}. Intervals resample {unit}.", WIDTH)))
    chosen = {key.removeprefix("test/"): metric for key, metric in figures.items() if _headline(key, figures)}
    if any(metric["value"] is not None for metric in chosen.values()):
        print_figures(chosen)
    for key, metric in chosen.items():
        if metric["value"] is None:
            said = f"{key}: {metric.get('note', 'undefined')}"
            print("\n".join(textwrap.wrap(said, WIDTH, subsequent_indent="  ")))
    if not chosen:
        print("No photograph has both a label and a grade of one disease.")


def _headline(key: str, figures: Mapping[str, Any]) -> bool:
    room, _, name = key.rpartition("/")
    return name in _HEADLINE and not (name == "auc" and f"{room}/auc_referable" in figures)


def _cell(answer: Answer | None, scale: Scale, width: int) -> str:
    if answer is None:
        return "not graded".ljust(width)
    number = answer.score if answer.score is not None else answer.confidence
    level = f"{answer.grade} {scale.levels[answer.grade]}"
    room = width - 5
    return (level if len(level) <= room else level[: room - 1] + "…").ljust(room) + f"{number:5.2f}"


def _end(text: str, width: int) -> str:
    """The end of a path, which tells photographs apart, where the whole does not fit."""
    return text if len(text) <= width else "…" + text[1 - width :]


def _wrapped(text: str) -> str:
    lines = textwrap.wrap(text, WIDTH - 2, break_long_words=False, break_on_hyphens=False)
    return "\n".join(f"  {line}" for line in lines)
