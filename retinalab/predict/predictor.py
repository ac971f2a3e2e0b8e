"""The networks of a run on a stream of photographs: one answer each, in order, whatever their number."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice

import numpy as np
import torch

from retinalab.errors import RetinalabError
from retinalab.explain.framing import Framing
from retinalab.predict.finished import FinishedRun
from retinalab.predict.network import Given, Network
from retinalab.predict.photograph import Photograph
from retinalab.predict.prepare import Batches, Judged, Working, read_judged
from retinalab.predict.quality import GRADED, Flag
from retinalab.protocol import Scale
from retinalab.records import LESIONS
from retinalab.tasks.severity import severity_grades

__all__ = ["Answer", "LesionMaps", "Map", "Prediction", "Predictor"]

_PIXELS_AT_ONCE = 1 << 22
"""On a processor a larger batch takes memory and saves no time: four photographs of 1024 pixels."""


@dataclass(frozen=True)
class Answer:
    """The grade of one disease.

    Attributes:
        grade: on the protocol's scale.
        probabilities: of each grade; empty where the severity is regressed.
        score: the severity as one number; None where grades have probabilities.
    """

    grade: int
    probabilities: tuple[float, ...] = ()
    score: float | None = None

    @property
    def confidence(self) -> float | None:
        """Probability of the grade; a regression has none."""
        return self.probabilities[self.grade] if self.probabilities else None

    @property
    def finite(self) -> bool:
        """Whether it consists of numbers."""
        values = self.probabilities if self.score is None else (self.score,)
        return bool(np.isfinite(values).all())


@dataclass(frozen=True)
class Map:
    """A class activation map over the network's input, and how that lies in the photograph.

    Shape:
        - ``values``: ``(S, S)`` float32.
    """

    values: np.ndarray
    framing: Framing


@dataclass(frozen=True)
class LesionMaps:
    """Probabilities of lesions at every pixel of the network's input, and how that lies in the photograph.

    Attributes:
        values: lesion -> ``(S, S)`` float32 in [0, 1]; only of lesions that were taught.
        framing: of the input in the photograph.
    """

    values: Mapping[str, np.ndarray]
    framing: Framing


@dataclass(frozen=True)
class Prediction:
    """What is said of one photograph.

    Attributes:
        photograph: which.
        answers: disease -> its grade; empty where the photograph was not graded.
        reason: why it was not graded, else "".
        maps: disease -> class activation map of its grade, where they were asked for.
        lesions: lesion -> probability that the photograph shows it; only of lesions that were taught.
        lesion_maps: where, if that was asked for.
        quality: whether it is a photograph of the retina at all (:data:`retinalab.predict.quality.FLAGS`).
    """

    photograph: Photograph
    answers: Mapping[str, Answer] = field(default_factory=dict)
    reason: str = ""
    maps: Mapping[str, Map] = field(default_factory=dict)
    lesions: Mapping[str, float] = field(default_factory=dict)
    lesion_maps: LesionMaps | None = None
    quality: Flag = "good"


@dataclass
class _Told:
    """What the networks say of one photograph."""

    answers: dict[str, Answer] = field(default_factory=dict)
    maps: dict[str, Map] = field(default_factory=dict)
    lesions: dict[str, float] = field(default_factory=dict)
    lesion_maps: LesionMaps | None = None


def _framing(network: Network, work: Mapping[int, Working]) -> Framing:
    data = network.data
    if network.tiled:
        return Framing(work[data.size].fov, data.size, data.size, "whole")
    return Framing(work[data.size].fov, data.size, data.input_size, data.view)


class Predictor:
    """The networks of a finished run, loaded and tried.

    Folds and seeds are an ensemble: their probabilities (or severities) are averaged, those of lesions too, and so are
    their class activation maps before any scaling. One forward pass of a network gives its grades and its lesions.
    Photographs are decoded by threads while the networks compute; two batches are held.

    Args:
        run: as :func:`~retinalab.predict.finished.read_finished` gives it.
        device: to compute on; default: the GPU, where there is one.
        gated: whether a picture that looks like no fundus photograph is left ungraded.

    Raises:
        RetinalabError: a checkpoint that cannot be loaded, or a run that neither grades nor finds lesions.
    """

    def __init__(self, run: FinishedRun, device: torch.device | None = None, gated: bool = True) -> None:
        self.run, self.gated = run, gated
        self.device = device or torch.device("cuda" if torch.cuda.is_available() else "cpu")
        protocol = run.experiment.protocol
        stages = dict.fromkeys(member.stage for member in run.members)
        self.batches = {s: Batches(run.experiment.stages[s], protocol, self.device) for s in stages}
        self.networks = [Network(run, member, self.batches[member.stage]) for member in run.members]
        graded = dict.fromkeys(d for network in self.networks for d in network.diseases)
        named = any(network.names_lesions for network in self.networks)
        if not graded and not named and all(network.tiled for network in self.networks):
            raise RetinalabError(
                f"Run {run.path} judges windows of photographs (stage {', '.join(stages)}) and maps no lesions in "
                "them, so that nothing can be said of a photograph. Give a run without data.windows, or one that "
                "segments lesions."
            )
        if not graded and not named:
            raise RetinalabError(
                f"Run {run.path} neither grades photographs nor finds lesions in them (stage {', '.join(stages)}). "
                "Give a run that does."
            )
        self.lesions = tuple(x for x in LESIONS if x in run.taught) if named else ()
        self.scales: dict[str, Scale] = {d: scale for d, scale in protocol.scales.items() if d in graded}
        self.by_disease = {d: [n for n in self.networks if d in n.diseases] for d in self.scales}
        self.regressed = frozenset(d for network in self.networks for d in network.regressed)
        self.sizes = tuple(dict.fromkeys(network.data.size for network in self.networks))
        self.batch = self._batch_size()

    def check_maps(self) -> None:
        """Refuse at once where a network has no class activation map.

        Raises:
            RetinalabError: one has none.
        """
        for network in self.networks:
            network.check_maps()

    def check_lesion_maps(self) -> None:
        """Refuse at once where no network maps lesions.

        Raises:
            RetinalabError: none does.
        """
        if not any(network.maps_lesions for network in self.networks):
            raise RetinalabError(
                f"Run {self.run.path} maps no lesions: its networks only grade or name them. Leave out --masks and "
                "--overlays, or give a run that segments lesions."
            )

    def predict(
        self, photographs: Iterable[Photograph], maps: bool = False, lesion_maps: bool = False
    ) -> Iterator[Prediction]:
        """One prediction for each photograph, in order.

        Args:
            photographs: gone through once.
            maps: whether class activation maps of the predicted grades are wanted.
            lesion_maps: whether maps of lesions are wanted.
        """
        with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
            for chunk, read in self._ahead(pool, iter(photographs)):
                yield from self._graded(chunk, [future.result() for future in read], maps, lesion_maps)

    def _ahead(
        self, pool: ThreadPoolExecutor, photographs: Iterator[Photograph]
    ) -> Iterator[tuple[list[Photograph], list[Future[Judged]]]]:
        """Batches of photographs, one of them being read while another is graded."""
        waiting: deque[tuple[list[Photograph], list[Future[Judged]]]] = deque()
        while chunk := list(islice(photographs, self.batch)):
            waiting.append((chunk, [pool.submit(self._read, photograph) for photograph in chunk]))
            if len(waiting) > 1:
                yield waiting.popleft()
        yield from waiting

    def _read(self, photograph: Photograph) -> Judged:
        return read_judged(photograph.path, self.sizes)

    def _usable(self, judged: Judged) -> bool:
        return bool(judged.works) and (judged.quality.flag in GRADED or not self.gated)

    def _graded(
        self, chunk: Sequence[Photograph], read: Sequence[Judged], maps: bool, lesion_maps: bool
    ) -> Iterator[Prediction]:
        usable = [judged.works for judged in read if self._usable(judged)]
        told = iter(self._told(usable, maps, lesion_maps) if usable else ())
        for photograph, judged in zip(chunk, read, strict=True):
            flag = judged.quality.flag
            if not self._usable(judged):
                yield Prediction(photograph, reason=judged.quality.reason, quality=flag)
                continue
            one = next(told)
            finite = all(answer.finite for answer in one.answers.values())
            if finite and np.isfinite(list(one.lesions.values())).all():
                yield Prediction(photograph, one.answers, "", one.maps, one.lesions, one.lesion_maps, flag)
            else:
                yield Prediction(photograph, reason="The network's answer is no finite number.", quality=flag)

    def _told(self, works: Sequence[Mapping[int, Working]], maps: bool, lesion_maps: bool) -> list[_Told]:
        told = [_Told() for _ in works]
        batches = {
            stage: made.make(np.stack([work[made.data.size].pixels for work in works]))
            for stage, made in self.batches.items()
        }
        given = [network.given(batches[network.member.stage], lesion_maps) for network in self.networks]
        for disease, several in self.by_disease.items():
            values = [one.answers[disease] for one in given if disease in one.answers]
            mean = np.mean(np.stack(values).astype(np.float64), axis=0)
            answers = [self._answer(disease, value) for value in mean]
            for entry, answer in zip(told, answers, strict=True):
                entry.answers[disease] = answer
            if not maps:
                continue
            grades = np.array([answer.grade for answer in answers])
            each = [network.maps(batches[network.member.stage], disease, grades) for network in several]
            for entry, work, one in zip(told, works, np.mean(np.stack(each), axis=0), strict=True):
                entry.maps[disease] = Map(one, _framing(several[0], work))
        if self.lesions:
            self._tell_lesions(told, works, given, lesion_maps)
        return told

    def _tell_lesions(
        self,
        told: Sequence[_Told],
        works: Sequence[Mapping[int, Working]],
        given: Sequence[Given],
        lesion_maps: bool,
    ) -> None:
        chances = [one.present for one in given if one.present is not None]
        for entry, row in zip(told, np.mean(np.stack(chances).astype(np.float64), axis=0), strict=True):
            entry.lesions.update({x: float(row[LESIONS.index(x)]) for x in self.lesions})
        if not lesion_maps:
            return
        mapping = [network for network in self.networks if network.maps_lesions]
        mapped = [one.lesions for one in given if one.lesions is not None]
        mean = mapped[0] if len(mapped) == 1 else np.mean(np.stack(mapped), axis=0)
        for entry, work, maps in zip(told, works, mean, strict=True):
            values = {x: maps[LESIONS.index(x)] for x in self.lesions}
            entry.lesion_maps = LesionMaps(values, _framing(mapping[0], work))

    def _answer(self, disease: str, value: np.ndarray) -> Answer:
        if disease not in self.regressed:
            return Answer(int(value.argmax()), tuple(map(float, value)))
        grades = severity_grades(torch.from_numpy(value), self.scales[disease].size)
        return Answer(int(grades[0]), score=float(value[0]))

    def _batch_size(self) -> int:
        data = [made.data for made in self.batches.values()]
        size = min(section.batch_size for section in data)
        if self.device.type == "cuda":
            return size
        sides = (section.input_size if section.windows is None else section.size for section in data)
        return max(1, min(size, _PIXELS_AT_ONCE // max(sides) ** 2))
