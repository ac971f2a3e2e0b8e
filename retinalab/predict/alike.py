"""Whether networks can be averaged: what each grades on which scale, and what of a photograph their maps cover."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from retinalab.errors import RetinalabError
from retinalab.predict.network import Network
from retinalab.predict.voice import Voice
from retinalab.protocol import Scale

if TYPE_CHECKING:
    from retinalab.predict.opened import Opened

__all__ = ["check_alike", "check_seen", "said_by"]


def said_by(one: Opened, voices: Sequence[Voice]) -> tuple[dict[str, Scale], frozenset[str]]:
    """What a run grades on which scale, and which of it as one number.

    Raises:
        RetinalabError: nothing, and no lesions either.
    """
    scales = {d: scale for d, scale in one.scales.items() if any(d in voice.scales for voice in voices)}
    if scales or any(voice.lesions for voice in voices):
        return scales, frozenset(d for voice in voices for d in voice.regressed)
    networks = [voice for voice in voices if isinstance(voice, Network)]
    stages = ", ".join(dict.fromkeys(network.member.stage for network in networks))
    if networks and all(network.tiled for network in networks):
        raise RetinalabError(
            f"Run {one.path} judges windows of photographs (stage {stages}) and maps no lesions in them, so that "
            "nothing can be said of a photograph. Give a run without data.windows, or one that segments lesions."
        )
    raise RetinalabError(
        f"Run {one.path} neither grades photographs nor finds lesions in them (stage {stages}). Give a run that does."
    )


def check_alike(opened: Sequence[Opened], said: Sequence[tuple[dict[str, Scale], frozenset[str]]]) -> None:
    """Members of an ensemble grade the same diseases on the same scales, and all of them by probabilities or none.

    Args:
        opened: runs and exported files.
        said: of each, what :func:`said_by` gives.

    Raises:
        RetinalabError: one grades otherwise than the first.
    """
    first, regressed = said[0]
    for one, (scales, own) in zip(opened[1:], said[1:], strict=True):
        if scales == first and own == regressed:
            continue
        raise RetinalabError(
            f"{one.path} gives {_in_words(scales, own)}, {opened[0].path} {_in_words(first, regressed)}: these cannot "
            "be averaged. Give runs that grade the same diseases on the same scales, all by probabilities or all by "
            "severity."
        )


def _in_words(scales: Mapping[str, Scale], regressed: frozenset[str]) -> str:
    kinds = ("probabilities", "severity")
    told = [f"{d} on {scale.name} ({kinds[d in regressed]})" for d, scale in scales.items()]
    return ", ".join(told) or "no grade"


def check_seen(voices: Sequence[Voice], option: str) -> None:
    """Maps are averaged pixel by pixel, so that all must cover the same part of a photograph.

    Raises:
        RetinalabError: they do not; ``option`` asked for them.
    """
    kinds = list(dict.fromkeys(voice.seen for voice in voices))
    if len(kinds) > 1:
        told = ", ".join(f"{one.side} pixels ({one.view} of {one.size})" for one in kinds)
        raise RetinalabError(
            f"The networks look at photographs at different sizes or views ({told}), so that their maps cannot be laid "
            f"over one another. Leave out {option}, or give runs that look at them alike."
        )
