"""Which disease's features help which: the directed pairs of the disease-dependent attention."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations

from retinalab.errors import unknown

__all__ = ["dependence_pairs"]


def dependence_pairs(dependence: str | Sequence[str], diseases: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """Resolve a dependence option to pairs (source, target): the source's features help to grade the target.

    Reference: Table IV. ``dr2dme`` is DR⇒DME, ``dme2dr`` DR⇐DME, ``both`` the final model, ``none`` d-S only.

    Differs from the paper: any number n of diseases; ``all`` (or ``both``) means the n(n-1) ordered pairs,
    as the paper's discussion proposes.

    Args:
        dependence: ``all``, ``both``, ``none``, a pair such as ``dr2dme`` (or ``dr->dme``), or several.
        diseases: the diseases that are graded, in the order of the outputs.

    Raises:
        RetinalabError: a pair that names a disease which is not graded.

    Example:
        >>> dependence_pairs("both", ["dr", "dme"])
        (('dr', 'dme'), ('dme', 'dr'))
        >>> dependence_pairs(["dr->dme"], ["dr", "dme"])
        (('dr', 'dme'),)
    """
    pairs = {f"{source}2{target}": (source, target) for source, target in permutations(diseases, 2)}
    if dependence in ("all", "both"):
        return tuple(pairs.values())
    if dependence == "none":
        return ()
    words = [dependence] if isinstance(dependence, str) else list(dependence)
    names = [word.replace("->", "2") for word in words]
    for name in names:
        if name not in pairs:
            raise unknown(
                "dependence",
                name,
                ["all", "none", *pairs],
                f"The diseases graded here: {', '.join(diseases)}.",
            )
    return tuple(pairs[name] for name in dict.fromkeys(names))
