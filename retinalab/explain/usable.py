"""Which maps a network has."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from retinalab.errors import RetinalabError
from retinalab.explain.saliency import METHODS, Method, Recipe, maps_of
from retinalab.tasks.base import Task

__all__ = ["chosen_methods", "usable_methods"]


def usable_methods(
    task: Task, images: Tensor, disease: str, methods: Sequence[Method] = METHODS, t: float = 1.0
) -> tuple[tuple[Method, ...], dict[Method, str]]:
    """Try every method.

    Args:
        task: whose network.
        images: normalised photographs to try it on; one will do.
        disease: whose grade is explained.
        methods: to be tried.
        t: floor of ``gmsm``.

    Returns:
        The methods that the network has maps for, and why it has none for the others.
    """
    usable: list[Method] = []
    reasons: dict[Method, str] = {}
    for method in methods:
        try:
            maps_of(task, images, disease, [Recipe(method, t=t)])
        except RetinalabError as error:
            reasons[method] = str(error)
        else:
            usable.append(method)
    return tuple(usable), reasons


def chosen_methods(
    name: str, task: Task, images: Tensor, disease: str, methods: Sequence[Method] | None, t: float
) -> tuple[tuple[Method, ...], list[str]]:
    """The methods that are asked for, or all that the network has maps for; and what is said of those without.

    Args:
        name: of the network, for what is said.
        task, images, disease, t: as in :func:`usable_methods`.
        methods: None where all are wanted that there are.

    Raises:
        RetinalabError: the network lacks one that is asked for, or has none at all.
    """
    usable, reasons = usable_methods(task, images, disease, methods or METHODS, t)
    if reasons and (methods is not None or not usable):
        method, reason = next(iter(reasons.items()))
        raise RetinalabError(f"No {method} map of {name}: {reason}")
    alike: dict[str, list[str]] = {}
    for method, reason in reasons.items():
        alike.setdefault(reason.split(". ")[0].split(": ", 1)[-1], []).append(method)
    return usable, [f"no {', '.join(those)} of {name}: {reason}" for reason, those in alike.items()]
