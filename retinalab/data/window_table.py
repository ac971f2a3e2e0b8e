"""The windows of a part: its lesions, places without any, and what training loses of the annotation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from retinalab.config import WindowConfig
from retinalab.data.part import Part
from retinalab.data.windows import Lesion, find_lesions, free_windows, grid_windows
from retinalab.errors import RetinalabError
from retinalab.records import LESIONS
from retinalab.transforms.draw import generator

__all__ = ["Windows", "discarded", "window_table"]

_DISCARD = 0xD15C
_NONE_AT_0 = ("icdr5", "messidor4", "any")
"""Grade scales on which grade 0 means no retinopathy; where referable DR is graded, 0 holds mild retinopathy too."""


@dataclass(frozen=True)
class Windows:
    """The windows of one part.

    Attributes:
        table: columns ``photograph`` (position in the part), ``x``, ``y``, ``label`` (-1 where the kind has none);
            the windows of one photograph follow one another.
        notes: how many there are of each class and where those without a lesion come from, for the report.
    """

    table: pd.DataFrame
    notes: tuple[str, ...] = ()


def window_table(
    config: WindowConfig, part: Part, seed: int, training: bool, circle: float | None = None
) -> Windows:
    """The windows of a part.

    Where training loses annotations (``config.discard``), a lost lesion gives no window. If windows without a lesion
    are cut from the same photographs, its place counts as free of lesions, as it would in practice; photographs
    without retinopathy stay right.

    Args:
        config: what windows.
        part: photographs, prepared with their masks where the kind is lesions.
        seed: of the places of windows without a lesion, and of what is lost.
        training: whether annotations are lost and every class must be there.
        circle: radius of the circle that photographs keep, as a share of half their side: a lesion whose centre lies
            outside gives no window, since nothing of it would be seen.

    Raises:
        RetinalabError: photographs smaller than a window, none without retinopathy where those are asked for, or a
            class without a window.
    """
    _check_sizes(config, part)
    if config.kind == "grid":
        side = part.cache.size
        return Windows(grid_windows(len(part), side, config.size, config.stride or config.size))
    planes = (part.cache.planes(part.rows[[i]])[0] for i in range(len(part)))
    marked = [(find_lesions(p[0], config.classes), not p[0].any()) for p in planes]
    lesions = [_seen(found, part.cache.size, circle) for found, _ in marked]
    lost = discarded([len(found) for found in lesions], config.discard if training else 0.0, seed)
    sources = _sources(config, part, np.array([free for _, free in marked], bool))
    frames = []
    for position, found in enumerate(lesions):
        kept = [
            (one.x, one.y, one.label) for one, gone in zip(found, lost[position], strict=True) if not gone
        ]
        gone_here = [one for one, gone in zip(found, lost[position], strict=True) if gone]
        free = _free(config, part, position, sources, gone_here, seed)
        frame = pd.DataFrame(
            [*kept, *((x, y, 0) for x, y in free)], columns=["x", "y", "label"], dtype=np.int64
        )
        frames.append(frame.assign(photograph=position))
    table = pd.concat(frames, ignore_index=True)[["photograph", "x", "y", "label"]]
    counts = _counts(config, table)
    _check_classes(config, part, counts, marked, training)
    note = f"windows of part {part.name} ({part.sets}, {len(part)} photographs): {counts}"
    note += f"{_published(config, part)}; {sources.words}"
    if hidden := sum(len(found) for found, _ in marked) - sum(map(len, lesions)):
        note += f"; {hidden} lesions outside the kept circle left out"
    if gone := sum(int(places.sum()) for places in lost):
        note += (
            f"; {gone} of {sum(map(len, lesions))} lesions lost their annotation (discard {config.discard:g})"
        )
        note += sources.same * ", and their places count as free of lesions"
    return Windows(table, (note,))


def discarded(lesions: Sequence[int], share: float, seed: int) -> list[np.ndarray]:
    """Which lesions lose their annotation: a share of all of them, of whatever photograph.

    Args:
        lesions: how many each photograph has.
        share: that is lost; what is lost at one share is lost at every higher one of the same seed.
        seed: of the draw.

    Returns:
        For each photograph ``(n,)`` bool.

    Example:
        >>> [int(lost.sum()) for lost in discarded([6, 0, 4], 0.0, seed=0)]
        [0, 0, 0]
        >>> sum(int(lost.sum()) for lost in discarded([6, 0, 4], 0.3, seed=0))
        3
    """
    total = sum(lesions)
    lost = generator(seed, _DISCARD).permutation(total) < round(share * total)
    return np.split(lost, np.cumsum(lesions)[:-1])


def _seen(lesions: Sequence[Lesion], side: int, circle: float | None) -> list[Lesion]:
    if circle is None:
        return list(lesions)
    centre, radius = (side - 1) / 2, circle * side / 2
    return [one for one in lesions if (one.x - centre) ** 2 + (one.y - centre) ** 2 <= radius**2]


@dataclass(frozen=True)
class _Sources:
    """How many windows without a lesion each photograph gives, and whether it is known to be healthy."""

    counts: np.ndarray
    healthy: np.ndarray
    same: bool
    words: str


def _sources(config: WindowConfig, part: Part, unmarked: np.ndarray) -> _Sources:
    """Each data set's own photographs, since those of another camera would be told apart by colour."""
    names = part.records.table["set"].to_numpy()
    healthy = unmarked & _without_retinopathy(config, part)
    counts, words, same = np.zeros(len(part), np.int64), [], False
    for name in dict.fromkeys(names):
        rows = np.flatnonzero(names == name)
        own = rows[healthy[rows]]
        if config.negatives_from == "healthy" and not len(own):
            raise RetinalabError(
                f"data.windows.negatives_from=healthy, and none of the {len(rows)} photographs of part {part.name} of "
                f"{name!r} is graded as without retinopathy and free of marked lesions. Add such photographs, or use "
                "negatives_from=same (or auto): windows free of lesions of the same photographs."
            )
        use_own = len(own) > 0 and config.negatives_from != "same"
        source = own if use_own else rows
        for position, chosen in enumerate(
            np.array_split(np.arange(config.negatives * len(rows)), len(source))
        ):
            counts[source[position]] = len(chosen)
        same |= not use_own
        words.append(
            f"those without a lesion from its {len(own)} photographs without retinopathy"
            if use_own
            else "those without a lesion from places of the same photographs that are free of them"
            + (not len(own)) * ", since none is known to be without retinopathy"
        )
    if len(words) > 1:
        words = [f"{name}: {each}" for name, each in zip(dict.fromkeys(names), words, strict=True)]
    return _Sources(counts, healthy, same, ", ".join(words))


def _without_retinopathy(config: WindowConfig, part: Part) -> np.ndarray:
    """Photographs of grade 0; where that holds mild retinopathy too, those annotated for every class asked for."""
    table = part.records.table
    if "dr" not in table:
        return np.zeros(len(part), bool)
    scales = {name: info.scales.get("dr") for name, info in part.records.info.items()}
    told = table["set"].map(scales).isin(_NONE_AT_0).to_numpy()
    annotated = table[[f"annotated_{lesion}" for lesion in config.classes]].to_numpy(bool).all(1)
    return np.asarray((table["dr"].to_numpy() == 0) & (told | annotated))


def _free(
    config: WindowConfig,
    part: Part,
    position: int,
    sources: _Sources,
    gone: Sequence[Lesion],
    seed: int,
) -> list[tuple[int, int]]:
    count = int(sources.counts[position])
    if not count:
        return []
    row = int(part.rows[position])
    planes = part.cache.planes(part.rows[[position]])[0]
    for lesion in gone:
        lesion.erased(planes[0])
    return free_windows(planes, config, count, seed, row, healthy=bool(sources.healthy[position]))


def _published(config: WindowConfig, part: Part) -> str:
    """What the paper counts in a part of that name, in brackets."""
    given = [counts for name, counts in config.published.items() if name == part.name and counts]
    told = ", ".join(f"{number} {name}" for counts in given for name, number in counts.items())
    return f" (published: {told})" if told else ""


@dataclass(frozen=True)
class _Counts:
    classes: tuple[str, ...]
    numbers: tuple[int, ...]

    def __str__(self) -> str:
        return ", ".join(f"{number} {name}" for name, number in zip(self.classes, self.numbers, strict=True))


def _counts(config: WindowConfig, table: pd.DataFrame) -> _Counts:
    numbers = np.bincount(table["label"].to_numpy(), minlength=len(config.classes) + 1).tolist()
    return _Counts((*config.classes, "none"), (*numbers[1:], numbers[0]))


def _check_sizes(config: WindowConfig, part: Part) -> None:
    if config.size > part.cache.size:
        raise RetinalabError(
            f"Windows of {config.size} pixels are larger than the photographs of part {part.name} of {part.sets}, "
            f"{part.cache.size} pixels at the working size. Raise data.size or lower data.windows.size."
        )
    sides = part.cache.boxes[part.rows, 2]
    if (small := np.flatnonzero(sides < config.size)).size:
        first = int(small[0])
        raise RetinalabError(
            f"{len(small)} of {len(part)} photographs of part {part.name} are smaller than a window of {config.size} "
            f"pixels, the first {part.records.table['image'].iloc[first]!r}, whose field of view is "
            f"{sides[first]:.0f} pixels wide in the file. Replace them, or lower data.windows.size."
        )


def _check_classes(
    config: WindowConfig,
    part: Part,
    counts: _Counts,
    marked: Sequence[tuple[Sequence[Lesion], bool]],
    training: bool,
) -> None:
    wanted = counts.classes if config.negatives else counts.classes[:-1]
    empty = [name for name in wanted if not counts.numbers[counts.classes.index(name)]]
    if not empty or (not training and any(counts.numbers)):
        return
    shown = sum(1 for found, _ in marked if found)
    lesions = [name for name in empty if name in LESIONS]
    remedy = (
        "Add photographs whose masks show it, raise data.size or lower data.mask_coverage (small lesions vanish at a "
        "small size), or name other data.windows.classes."
        if lesions
        else "Add photographs without retinopathy, or lower data.windows.size."
    )
    lost = f" after data.windows.discard={config.discard:g}" if config.discard and training else ""
    raise RetinalabError(
        f"Part {part.name} of {part.sets} has no window of class {', '.join(empty)}{lost}: {len(part)} photographs, "
        f"{shown} of them with a marked lesion of {', '.join(config.classes)}, give {counts}. {remedy}"
    )
