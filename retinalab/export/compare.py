"""An exported file's answers held against those of the run's networks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from retinalab.data.batch import Batch
from retinalab.data.module import FundusDataModule
from retinalab.predict.finished import FinishedRun, Member
from retinalab.predict.network import Given, Network
from retinalab.predict.prepare import Batches
from retinalab.records import LESIONS
from retinalab.tasks.severity import severity_grades
from retinalab.transforms.draw import IDENTITY_COLOUR, evaluation_warp

__all__ = ["TOLERANCE", "Answers", "Compared", "by_pieces", "compare", "reference_answers"]

TOLERANCE = 1e-4
"""Largest difference of a probability that is let pass; of a severity, as a share of its scale's length."""

Answers = Mapping[str, np.ndarray]
"""Name of an output -> its values for all photographs."""


@dataclass(frozen=True)
class Compared:
    """One output on the check set.

    Attributes:
        name: of the output.
        differing: photographs whose grade is another one; None where the output is no grade.
        largest: largest absolute difference.
        photographs: compared.
        allowed: difference that is let pass.
    """

    name: str
    differing: int | None
    largest: float
    photographs: int
    allowed: float = TOLERANCE

    @property
    def passed(self) -> bool:
        """Whether every grade is the same, and every number within the tolerance."""
        return self.differing == 0 if self.differing is not None else self.largest <= self.allowed


def compare(reference: Answers, found: Answers, lengths: Mapping[str, int] | None = None) -> list[Compared]:
    """Output by output; one that is absent, of another shape or no number fails.

    Args:
        reference: what the networks say.
        found: what the file says.
        lengths: of the scales of severities, by output; 1 where none is given.

    Example:
        >>> one, two = {"dr_grade": np.array([1, 2])}, {"dr_grade": np.array([1, 3])}
        >>> compare(one, two)[0].differing
        1
    """
    out = []
    for name, wanted in reference.items():
        given = found.get(name)
        count, grade = len(wanted), name.endswith("_grade")
        allowed = TOLERANCE * (lengths or {}).get(name, 1)
        if given is None or given.shape != wanted.shape:
            out.append(Compared(name, count if grade else None, np.inf, count, allowed))
            continue
        gap = np.abs(given.astype(np.float64) - wanted.astype(np.float64))
        largest = float(gap.max(initial=0.0)) if np.isfinite(gap).all() else np.inf
        out.append(Compared(name, int((gap != 0).sum()) if grade else None, largest, count, allowed))
    return out


def reference_answers(
    run: FinishedRun, members: Sequence[Member], pixels: np.ndarray, names: Sequence[str]
) -> dict[str, np.ndarray]:
    """What the networks say in single precision on the processor.

    Photographs are prepared by the data module, as it prepares them on a GPU: resized in floating point.

    Args:
        run: that the networks belong to.
        members: which of them.
        pixels: working images.
        names: of the outputs that are wanted.

    Shape:
        - ``pixels``: ``(N, S, S, 3)`` uint8 RGB.
    """
    single = replace(run, precision=dict.fromkeys(run.precision, "32-true"))
    said: list[Given] = []
    maps = "lesion_maps" in names
    for member in members:
        stage = run.experiment.stages[member.stage]
        batches = Batches(stage, run.experiment.protocol, torch.device("cpu"))
        network = Network(single, member, batches)
        module = FundusDataModule(stage.data, run.experiment.protocol, stage.diseases)
        pieces = [
            network.given(_batch(batches, module, piece), maps)
            for piece in _pieces(pixels, stage.data.batch_size)
        ]
        said.append(_joined(pieces))
    return _averaged(run, said, names)


def by_pieces(
    ask: Callable[[np.ndarray], Answers], pixels: np.ndarray, sizes: Sequence[int]
) -> dict[str, np.ndarray]:
    """What a file says of photographs that are given to it in batches of changing sizes.

    Args:
        ask: runs the file on a batch.
        pixels: working images.
        sizes: of the first batches; the last of them goes on.
    """
    found: list[Answers] = []
    start = 0
    for k in range(len(pixels)):
        if start >= len(pixels):
            break
        size = sizes[min(k, len(sizes) - 1)]
        found.append(ask(pixels[start : start + size]))
        start += size
    return {name: np.concatenate([one[name] for one in found]) for name in found[0]}


def _pieces(pixels: np.ndarray, size: int) -> Iterator[np.ndarray]:
    for start in range(0, len(pixels), size):
        yield pixels[start : start + size]


def _batch(batches: Batches, module: FundusDataModule, pixels: np.ndarray) -> Batch:
    """As :meth:`Batches.make`, with the warp left to the device."""
    count, data = len(pixels), batches.data
    batch = batches.make(pixels)
    warps = torch.from_numpy(
        np.repeat(evaluation_warp(data.size, data.input_size, data.view)[None], count, 0)
    )
    images = torch.from_numpy(np.ascontiguousarray(pixels)).permute(0, 3, 1, 2)
    given = Batch(
        image=images, warp=warps, colour=torch.from_numpy(np.repeat(IDENTITY_COLOUR[None], count, 0))
    )
    if data.background is not None and data.background.circle is not None:
        given["place"] = warps
    batch["image"] = module.on_after_batch_transfer(given, 0)["image"]
    return batch


def _joined(pieces: Sequence[Given]) -> Given:
    answers = {d: np.concatenate([one.answers[d] for one in pieces]) for d in pieces[0].answers}
    present = [one.present for one in pieces if one.present is not None]
    lesions = [one.lesions for one in pieces if one.lesions is not None]
    return Given(
        answers,
        np.concatenate(present) if present else None,
        np.concatenate(lesions) if lesions else None,
    )


def _averaged(run: FinishedRun, said: Sequence[Given], names: Sequence[str]) -> dict[str, np.ndarray]:
    """The means over folds and seeds, in double precision."""
    rows = [LESIONS.index(lesion) for lesion in run.taught]
    out: dict[str, np.ndarray] = {}
    for name in names:
        disease, _, kind = name.rpartition("_")
        if name == "lesion_probabilities":
            out[name] = _mean([one.present for one in said])[:, rows]
        elif name == "lesion_maps":
            out[name] = _mean([one.lesions for one in said])[:, rows]
        else:
            mean = _mean([one.answers.get(disease) for one in said])
            regressed = f"{disease}_severity" in names
            if kind == "grade" and regressed:
                size = run.experiment.protocol.scales[disease].size
                out[name] = severity_grades(torch.from_numpy(mean[:, 0]), size).numpy()
            elif kind == "grade":
                out[name] = mean.argmax(1)
            else:
                out[name] = mean[:, 0] if regressed else mean
    return out


def _mean(several: Sequence[np.ndarray | None]) -> np.ndarray:
    known = [one.astype(np.float64) for one in several if one is not None]
    return np.asarray(np.mean(np.stack(known), axis=0))
