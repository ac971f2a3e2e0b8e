"""The protocol: the grade scales, what counts as referable and how photographs are assigned to parts."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from retinalab.errors import unknown

__all__ = ["SCALES", "Protocol", "Scale"]


@dataclass(frozen=True)
class Scale:
    """A grade scale of one disease.

    Attributes:
        name: the word used in an experiment file.
        levels: the meaning of grade 0, 1, ... in order.
        referable: the lowest grade that counts as referable (for a binary scale: 1).
        ordinal: whether distances between grades mean something (quadratic kappa).
        unacceptable: (low, high): a grade up to ``low`` taken for one from ``high`` on, or the reverse, is an
            unacceptable error; None where the scale knows none.
        vision_threatening: the lowest grade that threatens vision; None where the scale does not tell it from others.
    """

    name: str
    levels: tuple[str, ...]
    referable: int
    ordinal: bool = True
    unacceptable: tuple[int, int] | None = None
    vision_threatening: int | None = None

    @property
    def size(self) -> int:
        """Number of grades."""
        return len(self.levels)


SCALES: MappingProxyType[str, Scale] = MappingProxyType(
    {
        scale.name: scale
        for scale in (
            Scale(
                "icdr5",
                ("none", "mild", "moderate", "severe", "proliferative"),
                referable=2,
                unacceptable=(1, 3),
                vision_threatening=3,
            ),
            Scale("messidor4", ("grade 0", "grade 1", "grade 2", "grade 3"), referable=2),
            Scale("referable", ("not referable", "referable"), referable=1),
            Scale("any", ("no retinopathy", "retinopathy"), referable=1),
            Scale(
                "risk3", ("no exudate", "exudate far from the fovea", "exudate near the fovea"), referable=2
            ),
            Scale("binary", ("absent", "present"), referable=1),
        )
    }
)
"""ICDR severity 0-4 (``icdr5``), Messidor's own 0-3 (``messidor4``), the two-class readings of either
(``referable``: grade 2 and above; ``any``: grade 1 and above), risk of macular edema 0-2 (``risk3``) and
yes or no (``binary``). A Messidor grade is not an ICDR grade: the two never mix."""


class Protocol(BaseModel):
    """How a result was obtained; a result carries it, since a score without it is not comparable."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    diseases: dict[str, str] = Field(
        default={"dr": "icdr5"},
        description="disease -> grade scale; the order is the order of the network's outputs",
    )
    split: Literal["held-out", "folds", "as-published"] = Field(
        default="held-out",
        description="held-out: validation taken from training by patient, test used once; folds: k-fold by patient; "
        "as-published: the authors' own splits and selection, leaks included, labelled as such",
    )
    validation: float = Field(
        default=0.15, gt=0, lt=0.9, description="share of the training patients held out to choose"
    )
    test: float = Field(
        default=0.2,
        gt=0,
        lt=0.9,
        description="share of the patients tested on, where a set has no official test part",
    )
    lists: str | None = Field(
        default=None, description="folder of the authors' published split lists, read as they are"
    )
    select_on: Literal["val", "test"] = Field(
        default="val",
        description="the part that chooses the checkpoint; 'test' only under as-published (optimistic)",
    )
    ungradable: Literal["exclude", "include"] = Field(
        default="exclude", description="photographs marked ungradable"
    )
    split_seed: int = Field(
        default=0, ge=0, description="seed of derived splits, apart from the training seed"
    )

    @field_validator("diseases")
    @classmethod
    def _known_scales(cls, diseases: dict[str, str]) -> dict[str, str]:
        for scale in diseases.values():
            if scale not in SCALES:
                raise ValueError(str(unknown("grade scale", scale, SCALES)))
        return diseases

    @property
    def scales(self) -> dict[str, Scale]:
        """Disease -> its grade scale, in the order of the outputs."""
        return {disease: SCALES[name] for disease, name in self.diseases.items()}
