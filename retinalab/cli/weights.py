"""Commands on pretrained weights: what an experiment needs, fetch it for another machine, check what was brought."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from retinalab.errors import RetinalabError

if TYPE_CHECKING:
    from retinalab.tasks.pretrained import WeightsFile

__all__ = ["add_weights_arguments", "weights_check", "weights_fetch", "weights_list"]


def add_weights_arguments(parser: argparse.ArgumentParser, action: str) -> None:
    """Declare the arguments of ``retinalab weights list``, ``fetch`` or ``check``."""
    if action == "check":
        parser.add_argument("folder", type=Path, help="folder that fetch filled")
        return
    parser.set_defaults(overrides_allowed=True)
    parser.add_argument("paper", help="as retinalab papers lists it")
    parser.add_argument("rest_words", nargs="*", default=[], metavar="experiment key=value", help="as of exp")
    if action == "fetch":
        parser.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="folder to fill")


def weights_list(known: argparse.Namespace) -> int:
    """Print the files that an experiment's backbones have weights in."""
    from retinalab.tasks.pretrained import described

    for wanted, uses in _needed(known).items():
        told = described(wanted)
        print(f"{told.model} ({told.library})")
        for weights in dict.fromkeys(uses.values()):
            stages = ", ".join(stage for stage, given in uses.items() if given == weights)
            print(f"  {'not ' * (weights not in ('timm', 'hub'))}used by {stages} (weights: {weights})")
        print(f"  file    {told.file}")
        print(f"  from    {told.repository or told.source}{f' @ {told.revision[:12]}' * bool(told.revision)}")
        print(f"  size    {f'{told.size / 1e6:.1f} MB' if told.size else 'told when fetched'}")
        print(f"  sha256  {told.sha256 or 'told when fetched'}")
    return 0


def weights_fetch(known: argparse.Namespace) -> int:
    """Fetch them into a folder."""
    from retinalab.tasks.pretrained import VARIABLE, fetch

    for one, now in fetch(_needed(known), known.out):
        print(f"{'fetched' if now else 'there already'}: {known.out / one.file} ({one.size / 1e6:.1f} MB)")
        print(f"  sha256 {one.sha256}")
    print(f"Bring the folder along and set {VARIABLE}=FOLDER there, or task.weights=FOLDER/FILE.")
    return 0


def weights_check(known: argparse.Namespace) -> int:
    """Hold the files of a folder against their checksums."""
    from retinalab.tasks.pretrained import check_folder

    found = check_folder(known.folder)
    for name, wrong in found:
        print(f"{name} {wrong or 'ok'}")
    return 1 if any(wrong for _, wrong in found) else 0


def _needed(known: argparse.Namespace) -> dict[WeightsFile, dict[str, str]]:
    """The file of each backbone -> stages that have it -> what their ``task.weights`` says."""
    from retinalab.experiment import load_experiment
    from retinalab.tasks.pretrained import needed

    words = [*known.rest_words, *known.rest]
    names = [word for word in words if "=" not in word]
    if len(names) > 1:
        raise RetinalabError(f"Unexpected {names[1]!r}. Give one experiment, then overrides as key=value.")
    experiment = load_experiment(
        known.paper, names[0] if names else "synthetic", [w for w in words if "=" in w]
    )
    found: dict[WeightsFile, dict[str, str]] = {}
    for name, stage in experiment.stages.items():
        encoder, backbone = getattr(stage.task, "encoder", None), getattr(stage.task, "backbone", None)
        if encoder:
            file = needed("smp", encoder)
        elif backbone:
            file = needed("timm", backbone)
        else:
            continue
        found.setdefault(file, {})[name] = getattr(stage.task, "weights", "none")
    if not found:
        raise RetinalabError(
            f"Experiment {experiment.name!r} of {experiment.paper!r} has no backbone with pretrained weights. Name "
            "one, such as train.task.backbone=resnet18."
        )
    return found
