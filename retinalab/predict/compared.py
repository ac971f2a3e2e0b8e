"""Two runs on test photographs with lesion masks that neither has learned from: what a paper's figure compares."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property

from retinalab.data.module import FundusDataModule
from retinalab.data.parts import Part
from retinalab.errors import RetinalabError, unknown
from retinalab.explain.framing import Framing
from retinalab.predict.finished import FinishedRun
from retinalab.predict.network import Network
from retinalab.predict.predictor import Predictor
from retinalab.records import photograph_name
from retinalab.runner.maps import extent_of

__all__ = ["Grading", "named_photographs", "shared_disease", "unlearned_photographs"]


class Grading:
    """The networks of the last evaluated stage of a run, on working images; those of several seeds are averaged.

    Args:
        run: that was finished.

    Attributes:
        stage: that grades.
        task, data: its options.
        scales: disease -> its scale, of the diseases that it grades.

    Raises:
        RetinalabError: the run has several folds.
    """

    def __init__(self, run: FinishedRun) -> None:
        experiment = run.experiment
        if experiment.folds > 1 and experiment.fold is None:
            raise RetinalabError(
                f"Run {run.path} has {experiment.folds} folds, whose networks have learned from every photograph. Give "
                "a run of one split, or of one fold (fold=0)."
            )
        self.run = run
        self.stage = [name for name in experiment.stages if any(name == m.stage for m in run.members)][-1]
        described = experiment.stages[self.stage]
        self.task, self.data = described.task, described.data
        diseases = described.diseases or tuple(experiment.protocol.diseases)
        self.scales = {disease: experiment.protocol.scales[disease] for disease in diseases}

    @cached_property
    def predictor(self) -> Predictor:
        """All networks of the run, loaded when first asked for."""
        return Predictor(self.run)

    @property
    def networks(self) -> list[Network]:
        """Those that grade."""
        return [network for network in self.predictor.networks if network.member.stage == self.stage]

    @property
    def framing(self) -> Framing:
        """How the networks' input lies in the working image."""
        return Framing.of_working(self.data.size, extent_of(self.data))


def shared_disease(first: Grading, second: Grading) -> str:
    """The first disease that both grade.

    Raises:
        RetinalabError: there is none, or they see photographs at different sizes.
    """
    if first.data.size != second.data.size:
        raise RetinalabError(
            f"The runs grade photographs of {first.data.size} and of {second.data.size} pixels. Give two runs of one "
            "data.size."
        )
    shared = [disease for disease in first.scales if disease in second.scales]
    if not shared:
        raise RetinalabError(
            f"The runs grade different diseases ({', '.join(first.scales)}; {', '.join(second.scales)}). Give two runs "
            "of one protocol."
        )
    return shared[0]


def unlearned_photographs(
    first: Grading, second: Grading, stage: str, lesions: Sequence[str], called: str
) -> dict[str, tuple[Part, int]]:
    """Test photographs in which at least one lesion was looked for, and which neither run has learned from.

    Args:
        first: whose photographs they are, at the size at which it grades.
        second: the other run.
        stage: of the first, whose photographs have masks.
        lesions: of which one must have been looked for.
        called: these lesions' masks in words, for the error.

    Returns:
        Name -> part, and position in it.

    Raises:
        RetinalabError: there is none.
    """
    learned = first.run.learned_from() | second.run.learned_from()
    found = {
        image: place
        for image, place in _with_masks(first, stage, lesions).items()
        if photograph_name(image) not in learned
    }
    if not found:
        raise RetinalabError(
            f"No test photograph of run {first.run.path} has {called} and is unknown to both runs. Give two runs with "
            "the same photographs and split."
        )
    return found


def named_photographs(photographs: Mapping[str, object], names: Sequence[str]) -> list[str]:
    """The photographs of some names; folder and suffix may be left out.

    Raises:
        RetinalabError: a name that none of them has.
    """
    known = {photograph_name(image): image for image in photographs}
    for name in names:
        if photograph_name(name) not in known:
            remedy = "Name test photographs with lesion masks that neither run has learned from."
            raise unknown("photograph", name, sorted(photographs)[:10], remedy, "The first of them")
    return [known[photograph_name(name)] for name in names]


def _with_masks(grading: Grading, stage: str, lesions: Sequence[str]) -> dict[str, tuple[Part, int]]:
    experiment = grading.run.experiment
    described = experiment.stages[stage]
    update = {"windows": None, "masks": True, "size": grading.data.size, "crop": None}
    module = FundusDataModule(
        described.data.model_copy(update=update),
        experiment.protocol,
        described.diseases,
        experiment.seed,
        experiment.roots,
        fold=experiment.fold,
        folds=experiment.folds,
    )
    annotated = [f"annotated_{lesion}" for lesion in lesions]
    return {
        str(image): (part, position)
        for part in module.parts.tests.values()
        for position, (image, known) in enumerate(
            zip(part.records.table["image"], part.records.table[annotated].any(axis=1), strict=True)
        )
        if known
    }
