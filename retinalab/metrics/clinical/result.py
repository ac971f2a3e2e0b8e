"""What a clinical reading holds, ready for JSON (:func:`dataclasses.asdict`), the terminal and the report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from retinalab.metrics.measure import Metric

__all__ = [
    "Bin",
    "Calibration",
    "ClinicalReading",
    "Contradiction",
    "DiseaseReading",
    "Point",
    "Rules",
    "SetReading",
    "Subgroup",
    "TargetReading",
    "Ungradable",
    "WorseEye",
]

Metrics = Mapping[str, Metric]


@dataclass(frozen=True)
class Point:
    """One operating point.

    Attributes:
        name: grade, specificity or sensitivity.
        text: in words.
        figures: those of :data:`retinalab.metrics.clinical.screening.FIGURES`; empty where ``missing`` says why.
        missing: why the point could not be chosen; "" where it could.
        thresholds: of each network, by fold and seed.
        validation: photographs, positive, sensitivity and specificity where the threshold was chosen.
        note: what makes the choice doubtful.
    """

    name: str
    text: str
    figures: Metrics = field(default_factory=dict)
    missing: str = ""
    thresholds: Sequence[float] = ()
    validation: Mapping[str, float] = field(default_factory=dict)
    note: str = ""


@dataclass(frozen=True)
class Bin:
    """One bin of a reliability diagram: photographs, mean probability, and the share of positive ones as observed."""

    photographs: float | None
    predicted: float | None
    observed: Metric


@dataclass(frozen=True)
class Calibration:
    """Calibration before and after temperature scaling.

    Attributes:
        missing, missing_after: why there is none at all, or none after scaling.
        temperatures: of each network, by fold and seed; ``note`` what makes them doubtful.
        before, after: intercept, slope, Brier score and adaptive ECE.
        bins_before, bins_after: for a reliability diagram.
    """

    missing: str = ""
    missing_after: str = ""
    temperatures: Sequence[float] = ()
    note: str = ""
    before: Metrics = field(default_factory=dict)
    after: Metrics = field(default_factory=dict)
    bins_before: Sequence[Bin] = ()
    bins_after: Sequence[Bin] = ()


@dataclass(frozen=True)
class TargetReading:
    """One target on one test set."""

    name: str
    lowest: int
    photographs: int
    positive: int
    auc: Metric | None
    points: Sequence[Point]
    calibration: Calibration


@dataclass(frozen=True)
class WorseEye:
    """Per patient, the highest of all photographs; ``left_out`` photographs have no known patient.

    Attributes:
        positive: target -> how many of the patients are positive.
        points: target -> its operating points.
    """

    patients: int
    left_out: int
    missing: str = ""
    figures: Metrics = field(default_factory=dict)
    positive: Mapping[str, int] = field(default_factory=dict)
    points: Mapping[str, Sequence[Point]] = field(default_factory=dict)


@dataclass(frozen=True)
class Ungradable:
    """Ungradable photographs under each policy; ``policies`` maps target, then policy, to figures.

    Attributes:
        marked: photographs marked ungradable, among ``photographs``.
        known: how many of them have a reference grade, without which they count for referrals only.
        point: the operating point at which the others are read.
    """

    marked: int
    photographs: int
    known: int = 0
    missing: str = ""
    point: str = ""
    policies: Mapping[str, Mapping[str, Metrics]] = field(default_factory=dict)


@dataclass(frozen=True)
class Contradiction:
    """A photograph whose grade the lesions do not allow, of the first seed."""

    image: str
    set: str
    grade: int
    low: int
    high: int
    reference: int
    lesions: Sequence[str]


@dataclass(frozen=True)
class Rules:
    """Grades against the bounds that lesions set.

    Attributes:
        judged: whose grades: network or reference.
        lesions: whose lesions: annotated, or found by the network.
        photographs: that the lesions bound at all.
        share: of them, with a grade outside; ``below`` and ``above`` the bounds apart.
        listed: those photographs, farthest outside first.
    """

    judged: str
    lesions: str
    photographs: int
    share: Metrics
    listed: Sequence[Contradiction]


@dataclass(frozen=True)
class Subgroup:
    """The figures of one subgroup; ``warning`` says why it is too small, "" where it is not."""

    column: str
    value: str
    photographs: int
    units: int
    unit: str
    positive: int
    figures: Metrics
    warning: str


@dataclass(frozen=True)
class DiseaseReading:
    """One disease on one test set.

    Attributes:
        graded: quadratic kappa, accuracy and share of unacceptable errors, where the scale has them.
        point: the operating point at which the subgroups are read.
        rules_missing: why the lesions were not held against the grades.
    """

    disease: str
    scale: str
    levels: Sequence[str]
    photographs: int
    graded: Metrics
    targets: Sequence[TargetReading]
    worse_eye: WorseEye
    ungradable: Ungradable
    point: str
    subgroups: Sequence[Subgroup]
    rules: Sequence[Rules]
    rules_missing: str = ""


@dataclass(frozen=True)
class SetReading:
    """One test set."""

    prefix: str
    set: str
    photographs: int
    units: int
    unit: str
    diseases: Sequence[DiseaseReading]


@dataclass(frozen=True)
class ClinicalReading:
    """Everything, with what it supposes and what could not be told."""

    options: Mapping[str, Any]
    seeds: int
    notes: Sequence[str]
    sets: Sequence[SetReading]
    by_set: Mapping[str, Sequence[Subgroup]] = field(default_factory=dict)
