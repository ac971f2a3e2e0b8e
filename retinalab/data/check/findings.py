"""The findings of a check: what is wrong, with which photographs, and how much it matters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from types import MappingProxyType
from typing import Any, Literal

__all__ = ["KINDS", "Check", "Finding", "Kind", "as_json"]


@dataclass(frozen=True)
class Kind:
    """One kind of finding.

    Attributes:
        title: as tables and pages print it.
        severity: fault: a result on these photographs would be wrong; warning: it has to be read with this in mind.
        meaning: why it matters and what to do, in a sentence or two.
    """

    title: str
    severity: Literal["fault", "warning"]
    meaning: str


KINDS: Mapping[str, Kind] = MappingProxyType(
    {
        "missing": Kind("listed, but absent", "fault", "Complete the copy, or remove the rows."),
        "unreadable": Kind(
            "unreadable", "fault", "No decoder opens the file, or it breaks off. Fetch it again."
        ),
        "damaged": Kind(
            "damaged",
            "fault",
            "The strict decoder refuses it; others show grey or shifted pixels without a word. Fetch it again.",
        ),
        "empty-field": Kind(
            "no field of view", "fault", "Nothing of a retina is to be seen. Leave it out or fetch it again."
        ),
        "label-conflict": Kind(
            "copies with different labels", "fault", "One picture, two labels: one of them is wrong."
        ),
        "split-duplicate": Kind(
            "copies on two sides of a split",
            "fault",
            "The test part holds photographs of the training part: its figures are too good.",
        ),
        "patient-split": Kind(
            "patients on two sides of a split",
            "fault",
            "Split by patient; a person's eyes resemble each other.",
        ),
        "duplicate": Kind(
            "exact copies", "fault", "The same file under several names counts more than once."
        ),
        "near-duplicate": Kind(
            "near copies", "fault", "The same picture, saved again in another size, quality or crop."
        ),
        "same-eye": Kind(
            "one eye under two names",
            "fault",
            "Two photographs that the labels give to two patients or two sides show one eye: a split can part them.",
        ),
        "overlap": Kind(
            "also in another set",
            "fault",
            "Training on one and testing on the other tests on training photographs.",
        ),
        "mask-size": Kind("mask of another size", "fault", "It was drawn on another picture or resized."),
        "mask-empty": Kind(
            "empty mask", "fault", "The file says nothing: the lesion is absent, or the export went wrong."
        ),
        "mask-outside": Kind(
            "mask outside the field",
            "fault",
            "A lesion where there is no retina: shifted, mirrored or of another eye.",
        ),
        "checksum": Kind(
            "changed since the manifest",
            "fault",
            "Other bytes than when the manifest was written: bit rot or an edit.",
        ),
        "count": Kind("differs from the published counts", "warning", "Another version, or half a download."),
        "lesion-size": Kind(
            "microaneurysms vanish",
            "warning",
            "Under two pixels they cannot be told from noise. Use a larger size.",
        ),
        "enlarged": Kind(
            "smaller than the size asked for",
            "warning",
            "They are enlarged, which shows nothing more. Use a smaller size, or read their figures apart.",
        ),
        "shortcut": Kind(
            "labels predicted without the retina",
            "warning",
            "A network can reach this without looking at a lesion. Read every figure beside it.",
        ),
    }
)
"""Kinds of finding in the order in which they are shown: the gravest first."""


@dataclass(frozen=True)
class Finding:
    """One thing found.

    Attributes:
        kind: a key of :data:`KINDS`.
        images: the photographs (or files) concerned, as the records name them, ``set:image`` for another set's.
        message: what was found, in a line, with figures.
    """

    kind: str
    images: tuple[str, ...]
    message: str


@dataclass(frozen=True)
class Check:
    """What ``retinalab data check`` found out about one data set.

    Attributes:
        set: its name. title: its published name. root: where it was read. synthetic: whether it is drawn.
        photographs: how many records. patients: how many are named; 0 unknown.
        notes: of the adapter: what was left out or repaired.
        findings: in the order of :data:`KINDS`.
        counts: rows of ``{"what", "published", "found"}``.
        cross: DR grade × DME grade -> photographs, "" where unknown; rows of
            ``{"dr", "dme", "photographs", "published"}``, the last None where nothing was published.
        facts: single figures by name, such as the views of a patient or the median width of the files.
        lesion_pixels: rows of ``{"size", "pixels", "source"}``: diameter of a microaneurysm at an input size.
        probe: rows as :class:`retinalab.metrics.shortcut.Row` has them.
        skipped: checks that were not made, with the reason.
        seconds: wall time.
    """

    set: str
    title: str
    root: str
    synthetic: bool
    photographs: int
    patients: int
    notes: Sequence[str] = ()
    findings: Sequence[Finding] = ()
    counts: Sequence[Mapping[str, Any]] = ()
    cross: Sequence[Mapping[str, Any]] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)
    lesion_pixels: Sequence[Mapping[str, Any]] = ()
    probe: Sequence[Mapping[str, Any]] = ()
    skipped: Sequence[str] = ()
    seconds: float = 0.0

    @property
    def faults(self) -> int:
        """Number of findings that are faults."""
        return sum(KINDS[finding.kind].severity == "fault" for finding in self.findings)


def as_json(check: Check) -> dict[str, Any]:
    """A check as plain JSON values; each finding carries its title, severity and meaning."""
    plain = asdict(check)
    plain["findings"] = [asdict(found) | asdict(KINDS[found.kind]) for found in check.findings]
    return {"schema": 1, "faults": check.faults, **plain}
