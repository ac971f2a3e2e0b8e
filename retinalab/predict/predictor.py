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
from retinalab.predict.network import Network
from retinalab.predict.photograph import Photograph
from retinalab.predict.prepare import Batches, Working, read_working
from retinalab.protocol import Scale

__all__ = ["Answer", "Map", "Prediction", "Predictor"]

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
    """A class activation map, at the resolution of the features, and how it lies in the photograph.

    Shape:
        - ``values``: ``(h, w)`` float32.
    """

    values: np.ndarray
    framing: Framing


@dataclass(frozen=True)
class Prediction:
    """What is said of one photograph.

    Attributes:
        photograph: which.
        answers: disease -> its grade; empty where the photograph was not graded.
        reason: why it was not graded, else "".
        maps: disease -> class activation map of its grade, where they were asked for.
    """

    photograph: Photograph
    answers: Mapping[str, Answer] = field(default_factory=dict)
    reason: str = ""
    maps: Mapping[str, Map] = field(default_factory=dict)


class Predictor:
    """The networks of a finished run, loaded and tried.

    Folds and seeds are an ensemble: their probabilities (or severities) are averaged, and so are their class activation
    maps before any scaling. Photographs are decoded by threads while the networks compute; two batches are held.

    Args:
        run: as :func:`~retinalab.predict.finished.read_finished` gives it.
        device: to compute on; default: the GPU, where there is one.

    Raises:
        RetinalabError: a checkpoint that cannot be loaded, or a run that grades no photograph.
    """

    def __init__(self, run: FinishedRun, device: torch.device | None = None) -> None:
        self.run = run
        self.device = device or torch.device("cuda" if torch.cuda.is_available() else "cpu")
        protocol = run.experiment.protocol
        stages = dict.fromkeys(member.stage for member in run.members)
        self.batches = {s: Batches(run.experiment.stages[s], protocol, self.device) for s in stages}
        self.networks = [Network(run, member, self.batches[member.stage]) for member in run.members]
        graded = dict.fromkeys(d for network in self.networks for d in network.diseases)
        if not graded:
            raise RetinalabError(
                f"Run {run.path} grades no photograph (stage {', '.join(stages)} maps lesions). Give a run that grades "
                "photographs."
            )
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

    def predict(self, photographs: Iterable[Photograph], maps: bool = False) -> Iterator[Prediction]:
        """One prediction for each photograph, in order.

        Args:
            photographs: gone through once.
            maps: whether class activation maps of the predicted grades are wanted.
        """
        with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
            for chunk, read in self._ahead(pool, iter(photographs)):
                yield from self._graded(chunk, [future.result() for future in read], maps)

    def _ahead(
        self, pool: ThreadPoolExecutor, photographs: Iterator[Photograph]
    ) -> Iterator[tuple[list[Photograph], list[Future[dict[int, Working] | str]]]]:
        """Batches of photographs, one of them being read while another is graded."""
        waiting: deque[tuple[list[Photograph], list[Future[dict[int, Working] | str]]]] = deque()
        while chunk := list(islice(photographs, self.batch)):
            waiting.append((chunk, [pool.submit(self._read, photograph) for photograph in chunk]))
            if len(waiting) > 1:
                yield waiting.popleft()
        yield from waiting

    def _read(self, photograph: Photograph) -> dict[int, Working] | str:
        """The photograph at each working size, or why it cannot be used."""
        try:
            return {size: read_working(photograph.path, size) for size in self.sizes}
        except RetinalabError as error:
            return str(error)

    def _graded(
        self, chunk: Sequence[Photograph], read: Sequence[dict[int, Working] | str], maps: bool
    ) -> Iterator[Prediction]:
        usable = [works for works in read if not isinstance(works, str)]
        graded = iter(self._answers(usable, maps) if usable else ())
        for photograph, works in zip(chunk, read, strict=True):
            if isinstance(works, str):
                yield Prediction(photograph, reason=works)
                continue
            answers, found = next(graded)
            if all(answer.finite for answer in answers.values()):
                yield Prediction(photograph, answers, maps=found)
            else:
                yield Prediction(photograph, reason="The network's answer is no finite number.")

    def _answers(
        self, works: Sequence[dict[int, Working]], maps: bool
    ) -> list[tuple[dict[str, Answer], dict[str, Map]]]:
        given: list[tuple[dict[str, Answer], dict[str, Map]]] = [({}, {}) for _ in works]
        batches = {
            stage: made.make(np.stack([work[made.data.size].pixels for work in works]))
            for stage, made in self.batches.items()
        }
        values: dict[str, list[np.ndarray]] = {disease: [] for disease in self.scales}
        for network in self.networks:
            for disease, value in network.answers(batches[network.member.stage]).items():
                values[disease].append(value)
        for disease, several in self.by_disease.items():
            mean = np.mean(np.stack(values[disease]).astype(np.float64), axis=0)
            answers = [self._answer(disease, value) for value in mean]
            for entry, answer in zip(given, answers, strict=True):
                entry[0][disease] = answer
            if not maps:
                continue
            grades = np.array([answer.grade for answer in answers])
            each = [network.maps(batches[network.member.stage], disease, grades) for network in several]
            data = several[0].data
            for entry, work, one in zip(given, works, np.mean(np.stack(each), axis=0), strict=True):
                fov = work[data.size].fov
                entry[1][disease] = Map(one, Framing(fov, data.size, data.input_size, data.view))
        return given

    def _answer(self, disease: str, value: np.ndarray) -> Answer:
        if disease not in self.regressed:
            return Answer(int(value.argmax()), tuple(map(float, value)))
        edges = np.arange(self.scales[disease].size - 1) + 0.5
        return Answer(int(np.searchsorted(edges, value[0], side="right")), score=float(value[0]))

    def _batch_size(self) -> int:
        data = [made.data for made in self.batches.values()]
        size = min(section.batch_size for section in data)
        if self.device.type == "cuda":
            return size
        return max(1, min(size, _PIXELS_AT_ONCE // max(section.input_size for section in data) ** 2))
