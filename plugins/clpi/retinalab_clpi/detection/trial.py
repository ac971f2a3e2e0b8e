"""One run of the comparison: a detector trained after a share of the annotations was lost, and what it then finds."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from retinalab_clpi.detection.detectors import DetectorScale, build_detector
from retinalab_clpi.detection.discard import annotated
from retinalab_clpi.detection.patches import training_patches
from retinalab_clpi.detection.photographs import Photographs
from retinalab_clpi.detection.training import Recipe, detect, detect_units, train_detector, train_generator
from retinalab_clpi.detection.truth import Boxes
from retinalab_clpi.generator import LesionAttentionGenerator, Widths

__all__ = ["GENERATOR", "Outcome", "Settings", "Trial", "run_trial"]

GENERATOR = "clpi"
"""The name of the generator among the detectors."""


@dataclass(frozen=True)
class Settings:
    """What all runs share.

    Attributes:
        patches: how the generator is trained.
        photographs: how the other detectors are trained.
        widths: of the generator.
        negatives: patches without a lesion for each lesion of the full annotation.
        scale, weights: of the other detectors.
    """

    patches: Recipe
    photographs: Recipe
    widths: Widths = "paper"
    negatives: float = 1.0
    scale: DetectorScale = "paper"
    weights: bool = False


@dataclass(frozen=True)
class Trial:
    """A detector, the share of the lesions that lose their annotation, and a seed: of the loss and of the training."""

    detector: str
    rate: float
    seed: int


@dataclass(frozen=True)
class Outcome:
    """What a run found on each test photograph, and what it was trained on.

    Attributes:
        found: detections of each test photograph.
        annotations: lesions of each class still annotated.
        negatives: where the generator's patches without a lesion come from; empty for the others.
        parameters: of the network.
    """

    found: list[Boxes]
    annotations: dict[str, int]
    negatives: str
    parameters: int


def run_trial(trial: Trial, settings: Settings, train: Photographs, test: Photographs) -> Outcome:
    """Discard, train, detect.

    Raises:
        RetinalabError: no such detector, a rate outside [0, 1), or no annotation left.
    """
    kept = annotated(train.lesions, trial.rate, trial.seed)
    torch.manual_seed(trial.seed)
    network: torch.nn.Module
    negatives = ""
    if trial.detector == GENERATOR:
        patches = training_patches(train, kept, settings.negatives, trial.seed)
        network = LesionAttentionGenerator(settings.widths)
        train_generator(network, patches, settings.patches, trial.seed)
        found = detect_units(network, test, settings.patches.device)
        negatives = patches.negatives
    else:
        recipe = settings.photographs
        network = build_detector(
            trial.detector, train.size, settings.scale, settings.weights, recipe.bfloat16
        )
        train_detector(network, train, kept, recipe, trial.seed)
        found = detect(network, test, recipe.device)
    parameters = sum(parameter.numel() for parameter in network.parameters())
    return Outcome(found, train.counts(kept), negatives, parameters)
