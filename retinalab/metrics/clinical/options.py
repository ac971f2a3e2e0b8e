"""What a clinical reading supposes: prevalence, operating points, subgroups."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from retinalab.errors import RetinalabError

__all__ = ["DEFAULT_SUBGROUPS", "PREVALENCE_SOURCE", "Options"]

PREVALENCE_SOURCE = (
    "default: 10.2 % of people with diabetes have vision-threatening DR, Yau et al., Diabetes Care 2012"
)
DEFAULT_SUBGROUPS = ("camera", "quality", "eye", "view")


@dataclass(frozen=True)
class Options:
    """What the figures of a clinical reading suppose.

    Attributes:
        prevalence: share of diseased at which predictive values and referrals are told, besides the set's own.
        specificity: that validation has to reach, where sensitivity is asked for.
        sensitivity: that validation has to reach, where specificity is asked for.
        subgroups: columns of the table; empty: those of :data:`DEFAULT_SUBGROUPS` that take several values.
        ungradable: (column, value) of the photographs that count as ungradable; None: those marked as such.
        fewest: patients (or photographs of unknown patients) below which a subgroup says nothing.
        resamples, seed: of the bootstrap.

    Raises:
        RetinalabError: a share outside its range.

    Reference: Yau et al., Diabetes Care 35(3), 2012 (the default prevalence); operating points with one of the two
    rates fixed: Gulshan et al., JAMA 2016.
    """

    prevalence: float = 0.10
    specificity: float = 0.90
    sensitivity: float = 0.95
    subgroups: Sequence[str] = ()
    ungradable: tuple[str, str] | None = None
    fewest: int = 20
    resamples: int = 2000
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("prevalence", "specificity", "sensitivity"):
            value = getattr(self, name)
            if not 0 < value < 1:
                raise RetinalabError(
                    f"{name} is {value:g}, not a share between 0 and 1. Write 0.9 for 90 %, for example."
                )
        if self.fewest < 1:
            raise RetinalabError(f"fewest is {self.fewest}. Give at least one patient.")

    @property
    def prevalence_source(self) -> str:
        """Where the stated prevalence comes from."""
        return PREVALENCE_SOURCE if self.prevalence == Options.prevalence else "as given"
