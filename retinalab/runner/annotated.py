"""Which lesions a stage's photographs are annotated for; a stage that could learn or judge none is refused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from retinalab.config import Experiment
from retinalab.data.part import Part
from retinalab.data.parts import Parts
from retinalab.errors import RetinalabError
from retinalab.records import LESIONS

__all__ = ["annotated", "check_lesions", "named"]


def annotated(part: Part) -> list[str]:
    """Lesions that are drawn, or known to be absent, in any photograph of a part."""
    return [lesion for lesion in LESIONS if part.records.table[f"annotated_{lesion}"].any()]


def named(part: Part) -> list[str]:
    """Lesions of which a part says anything: where they are, or whether a photograph shows them."""
    table = part.records.table
    return [x for x in LESIONS if table[f"annotated_{x}"].any() or (table[f"present_{x}"] >= 0).any()]


def check_lesions(
    experiment: Experiment, parts: Mapping[str, Parts], before: Mapping[str, Sequence[str]]
) -> None:
    """Refuse, before anything is trained, masks that no lesion can be learned from or judged by.

    Args:
        experiment: what will be run.
        parts: stage -> its photographs.
        before: stage -> the stages whose weights it descends from.

    Raises:
        RetinalabError: a stage asks for masks and neither its training photographs nor those of the stages before it
            are annotated for any lesion; or a test set's annotated lesions have none in common with theirs.
    """
    for name, stage in experiment.stages.items():
        if not stage.data.masks:
            continue
        learned = [parts[one].train for one in (name, *before[name])]
        taught = [lesion for lesion in LESIONS if any(lesion in annotated(part) for part in learned)]
        if not taught:
            raise RetinalabError(
                f"Stage {name!r} asks for lesion masks (data.masks), but no training photograph of "
                f"{', '.join(dict.fromkeys(part.sets for part in learned))} is annotated for any of "
                f"{', '.join(LESIONS)}. Train on a set with masks, or set data.masks=false."
            )
        if name not in experiment.evaluated:
            continue
        for tested in parts[name].tests.values():
            there = annotated(tested)
            if not set(there) & set(taught) and (there or not _graded(tested, experiment)):
                raise RetinalabError(
                    f"Test set {tested.sets!r} is annotated for {', '.join(there) or 'no lesion'}, and stage {name!r} "
                    f"was taught {', '.join(taught)}: none in common, so that no lesion could be judged. Leave the set "
                    "out, or train on photographs annotated for its lesions."
                )


def _graded(part: Part, experiment: Experiment) -> bool:
    return any((part.records.table[d] >= 0).any() for d in experiment.protocol.diseases)
