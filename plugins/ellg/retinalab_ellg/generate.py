"""Generate photographs with lesions: cut, shift, transfer colours, blend; whole batches on one device."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
import torch
from torch import Tensor

from retinalab.errors import RetinalabError
from retinalab.tasks.severity import severity_grades
from retinalab.transforms import generator
from retinalab.transforms.reinhard import Statistics, from_lab, of_one_colour, statistics, to_lab, transferred
from retinalab_ellg.blend import blended, blended_severity
from retinalab_ellg.cut import Patches, connected_patches, lesion_masks
from retinalab_ellg.generation_config import GenerationConfig
from retinalab_ellg.select import Pair
from retinalab_ellg.shift import Placed, placed

__all__ = ["Generated", "OneColourError", "Record", "generate"]

_THRESHOLD, _SHIFTS = 1, 2  # streams of a photograph's random numbers; the choice of its pair is 0


class OneColourError(RetinalabError):
    """A photograph of one colour has no tones to transfer.

    Attributes:
        row: of the training part.
    """

    def __init__(self, row: int) -> None:
        super().__init__(
            f"Training photograph {row} (from 0) is of one colour throughout its field of view: it has no tones to "
            "transfer. Look at it; remove it from the list or mark it ungradable."
        )
        self.row = row


@dataclass(frozen=True)
class Record:
    """How one photograph was generated; with the key and the number, all that is needed to generate it again.

    Attributes:
        number, attempt: in the plan; with the plan's key they decide everything that was drawn.
        source, target: rows of the training part that lesions were cut from and blended into.
        threshold: tau of equation 4.
        ratio: r of equations 5 and 6.
        source_severity, target_severity: what equation 6 averaged.
        label: the grade that equation 6 gives; the target's own where nothing was pasted.
        patches: cut from the source and pasted, wholly or in part.
        patches_left_out: those beyond the most that are allowed, and those of which no pixel was pasted.
        unplaced: patches that found no place without overlap.
        shifts: (rows down, columns right) of each patch that was cut, from the largest to the smallest.
        share: of the target's field of view that was pasted over.
    """

    number: int
    attempt: int
    source: int
    target: int
    threshold: float
    ratio: float
    source_severity: float
    target_severity: float
    label: int
    patches: int
    patches_left_out: int
    unplaced: int
    shifts: tuple[tuple[int, int], ...]
    share: float

    @property
    def pasted(self) -> bool:
        """Whether any lesion came from the source."""
        return self.patches > 0

    def as_row(self) -> dict[str, object]:
        """For a table: plain values, the shifts as text ``down,right;...``."""
        row = asdict(self)
        row["shifts"] = ";".join(f"{down},{right}" for down, right in self.shifts)
        return row


@dataclass(frozen=True)
class Generated:
    """A batch of generated photographs.

    Shape:
        - ``photographs``: ``(B, 3, H, W)``, uint8.
        - ``labels``: ``(B,)``, int64.
        - ``cut``: ``(B, H, W)``, bool: pixels of the source in a patch.
        - ``pasted``: ``(B, H, W)``, bool: pixels of the result that lesions were blended into.
    """

    photographs: Tensor
    labels: Tensor
    cut: Tensor
    pasted: Tensor
    records: tuple[Record, ...]


def generate(
    sources: Tensor,
    source_fields: Tensor,
    saliency: Tensor,
    targets: Tensor,
    target_fields: Tensor,
    pairs: Sequence[Pair],
    config: GenerationConfig,
    key: Sequence[int],
    grades: int = 5,
) -> Generated:
    """Cut lesions out of the sources and blend them into the targets.

    What is drawn follows from the key and the pair's number and attempt alone: the same photograph comes out bit for
    bit in a batch of any size, in any process, on any number of threads of one kind of device.

    Reference: section 2.3, equations 4 to 6.

    Args:
        sources: correctly classified training photographs with lesions, one of each pair.
        source_fields: their fields of view.
        saliency: where the network sees their lesions, at any size.
        targets: photographs to blend into, one of each pair.
        target_fields: their fields of view; nothing is pasted outside them.
        pairs: what is drawn from what, and with what ratio.
        config: the options.
        key: numbers that the random draws follow from, such as (seed, round).
        grades: of the disease's scale.

    Shape:
        - ``sources``, ``targets``: ``(B, 3, H, W)``, uint8. ``source_fields``, ``target_fields``: ``(B, H, W)``, bool.
        - ``saliency``: ``(B, h, w)``, floating.

    Raises:
        RetinalabError: sizes that do not fit.
        OneColourError: a photograph of one colour, where colours are transferred.
    """
    _check(sources, source_fields, saliency, targets, target_fields, pairs)
    device = sources.device
    thresholds = _thresholds(pairs, config, key)
    cut = lesion_masks(saliency.to(device), source_fields, torch.tensor(thresholds, dtype=torch.float32))
    patches = connected_patches(cut, config.patches)
    tries = _tries(pairs, patches.counts().tolist(), config, key).to(device) if config.shift else None
    place = placed(patches, target_fields, tries, config.unplaced)
    colours = sources[patches.photograph, :, patches.row, patches.column].float()
    if config.colour_transfer:
        of, to = (
            _tones(sources, source_fields, pairs, "source"),
            _tones(targets, target_fields, pairs, "target"),
        )
        lab = transferred(to_lab(colours / 255), of.of(patches.photograph), to.of(patches.photograph))
        colours = from_lab(lab) * 255
    ratios = torch.tensor([pair.ratio for pair in pairs], dtype=torch.float64, device=device)
    photograph, row, column = (value[place.kept] for value in (patches.photograph, place.row, place.column))
    made = blended(targets, colours[place.kept], photograph, row, column, ratios)
    pasted = torch.zeros_like(target_fields)
    pasted[photograph, row, column] = True
    records = _records(pairs, thresholds, patches, place, pasted, target_fields, grades)
    labels = torch.tensor([record.label for record in records], dtype=torch.int64, device=device)
    return Generated(made, labels, cut, pasted, records)


def _check(
    sources: Tensor,
    source_fields: Tensor,
    saliency: Tensor,
    targets: Tensor,
    target_fields: Tensor,
    pairs: Sequence[Pair],
) -> None:
    shape = (len(pairs), 3, *sources.shape[2:])
    flat = (shape[0], *shape[2:])
    for name, given in (("Sources", sources), ("Targets", targets)):
        if given.shape != shape or given.dtype != torch.uint8:
            raise RetinalabError(
                f"{name} are {given.dtype} {tuple(given.shape)} for {len(pairs)} pairs. Give uint8 photographs of one "
                "size, (B, 3, H, W), one for every pair."
            )
    if (
        source_fields.shape != flat
        or target_fields.shape != flat
        or saliency.dim() != 3
        or len(saliency) != len(pairs)
    ):
        raise RetinalabError(
            f"Fields of view {tuple(source_fields.shape)} and {tuple(target_fields.shape)} and saliency "
            f"{tuple(saliency.shape)} do not fit photographs {shape}. Give fields (B, H, W) and saliency (B, h, w)."
        )


def _thresholds(pairs: Sequence[Pair], config: GenerationConfig, key: Sequence[int]) -> list[float]:
    return [float(np.float32(_rng(pair, key, _THRESHOLD).uniform(*config.threshold))) for pair in pairs]


def _tries(pairs: Sequence[Pair], counts: list[int], config: GenerationConfig, key: Sequence[int]) -> Tensor:
    drawn = [
        _rng(pair, key, _SHIFTS).random((count, config.tries, 2), np.float32)
        for pair, count in zip(pairs, counts, strict=True)
    ]
    return torch.from_numpy(np.concatenate(drawn))


def _rng(pair: Pair, key: Sequence[int], stream: int) -> np.random.Generator:
    return generator(*key, pair.number, pair.attempt, stream)


def _tones(photographs: Tensor, fields: Tensor, pairs: Sequence[Pair], which: str) -> Statistics:
    flat = of_one_colour(photographs, fields)
    if bool(flat.any()):
        pair = pairs[int(flat.nonzero()[0, 0])]
        raise OneColourError(pair.source if which == "source" else pair.target)
    return statistics(to_lab(photographs.float().div_(255)), fields)


def _records(
    pairs: Sequence[Pair],
    thresholds: list[float],
    patches: Patches,
    place: Placed,
    pasted: Tensor,
    fields: Tensor,
    grades: int,
) -> tuple[Record, ...]:
    count = len(patches.owner)
    seen = torch.zeros(count, dtype=torch.bool, device=fields.device)
    seen[patches.patch[place.kept]] = True
    owner, shifts = patches.owner.tolist(), place.shift.tolist()
    used, free = seen.tolist(), place.free.tolist()
    covered, whole = pasted.sum((1, 2)).tolist(), fields.sum((1, 2)).tolist()
    beyond = patches.left_out.tolist()
    severities = torch.tensor(
        [[pair.ratio, pair.source_severity, pair.target_severity] for pair in pairs], dtype=torch.float64
    )
    labels = severity_grades(blended_severity(*severities.unbind(1)), grades).tolist()
    mine: list[list[int]] = [[] for _ in pairs]
    for patch, photograph in enumerate(owner):
        mine[photograph].append(patch)
    records = []
    for index, pair in enumerate(pairs):
        pieces = mine[index]
        shown = sum(used[piece] for piece in pieces)
        records.append(
            Record(
                pair.number, pair.attempt, pair.source, pair.target, thresholds[index], pair.ratio,
                pair.source_severity, pair.target_severity,
                labels[index] if shown else pair.target_grade,
                shown, beyond[index] + len(pieces) - shown,
                sum(not free[piece] for piece in pieces),
                tuple((int(down), int(right)) for down, right in (shifts[piece] for piece in pieces)),
                covered[index] / max(1, whole[index]),
            )
        )  # fmt: skip
    return tuple(records)
