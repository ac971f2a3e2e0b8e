"""The networks of a run on a stream of photographs: one answer each, in order, whatever their number."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import numpy as np
import torch

from retinalab.errors import RetinalabError
from retinalab.explain.framing import Framing
from retinalab.metrics.uncertainty import entropy, mutual_information
from retinalab.predict.alike import check_alike, check_seen, said_by
from retinalab.predict.network import Network
from retinalab.predict.opened import Opened
from retinalab.predict.photograph import Photograph
from retinalab.predict.prepare import Judged, Working, read_judged
from retinalab.predict.quality import GRADED, Flag
from retinalab.predict.views import PLAIN, View
from retinalab.predict.voices import voices_of
from retinalab.predict.votes import Mean, Votes
from retinalab.records import LESIONS
from retinalab.tasks.severity import severity_grades

__all__ = ["Answer", "LesionMaps", "Map", "Prediction", "Predictor"]


@dataclass(frozen=True)
class Answer:
    """The grade of one disease.

    Attributes:
        grade: on the protocol's scale.
        probabilities: of each grade; empty where the severity is regressed.
        score: the severity as one number; None where grades have probabilities.
        mutual_information: what the members of an ensemble disagree about, in nats, from 0 to the entropy; None for a
            single network in a single view, and where the severity is regressed.
        sd: standard deviation of the severity between the members (all of them: n, not n - 1); None likewise.
    """

    grade: int
    probabilities: tuple[float, ...] = ()
    score: float | None = None
    mutual_information: float | None = None
    sd: float | None = None

    @property
    def entropy(self) -> float | None:
        """Entropy of the mean probabilities, in nats: 0 to ln K for K grades; a regression has none."""
        return float(entropy(self.probabilities)) if self.probabilities else None

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
        enlarged: how many times its field of view was enlarged to the working size of a network; at most 1 where it
            was not.
    """

    photograph: Photograph
    answers: Mapping[str, Answer] = field(default_factory=dict)
    reason: str = ""
    maps: Mapping[str, Map] = field(default_factory=dict)
    lesions: Mapping[str, float] = field(default_factory=dict)
    lesion_maps: LesionMaps | None = None
    quality: Flag = "good"
    enlarged: float = 1.0


@dataclass
class _Told:
    """What the networks say of one photograph."""

    answers: dict[str, Answer] = field(default_factory=dict)
    maps: dict[str, Map] = field(default_factory=dict)
    lesions: dict[str, float] = field(default_factory=dict)
    lesion_maps: LesionMaps | None = None


class Predictor:
    """The networks of one run or of several, loaded and tried.

    Folds, seeds and runs are an ensemble in which every network counts alike: their probabilities (or severities) are
    averaged, those of lesions too, and so are their class activation maps before any scaling. With several views
    (test-time augmentation) each view of each network is one member of that average; maps are turned back before. One
    forward pass of a network gives its grades and its lesions. A photograph is decoded once for each size of working
    image, and prepared once for all networks that take it prepared alike. Threads decode while the networks compute;
    two batches are held.

    Args:
        run: as :func:`~retinalab.predict.opened.open_all` gives it.
        device: to compute on; default: the GPU, where there is one.
        gated: whether a picture that looks like no fundus photograph is left ungraded.
        others: further runs and exported files that grade the same.
        views: of each photograph.

    Attributes:
        opened: all runs and files.
        voices: all networks; ``networks`` those of runs.
        batches: stage -> what prepares photographs for it, of the first run that has such a stage.

    Raises:
        RetinalabError: a checkpoint that cannot be loaded, a run that neither grades nor finds lesions, or members of
            an ensemble that grade other diseases or on other scales.
    """

    def __init__(
        self,
        run: Opened,
        device: torch.device | None = None,
        gated: bool = True,
        others: Sequence[Opened] = (),
        views: Sequence[View] = (PLAIN,),
    ) -> None:
        self.run, self.gated, self.views = run, gated, tuple(views)
        self.opened = (run, *others)
        self.device = device or torch.device("cuda" if torch.cuda.is_available() else "cpu")
        groups = voices_of(self.opened, self.device)
        said = [said_by(one, voices) for one, voices in zip(self.opened, groups, strict=True)]
        check_alike(self.opened, said)
        self.scales, self.regressed = said[0]
        self.voices = [voice for voices in groups for voice in voices]
        self.networks = [voice for voice in self.voices if isinstance(voice, Network)]
        self.batches = {n.member.stage: n.batches for n in reversed(self.networks)}
        self.by_disease = {d: [v for v in self.voices if d in v.scales] for d in self.scales}
        self.lesions = tuple(x for x in LESIONS if any(x in voice.lesions for voice in self.voices))
        self.makers = list({id(voice.batches): voice.batches for voice in self.voices}.values())
        self.sizes = tuple(dict.fromkeys(maker.size for maker in self.makers))
        self.batch = min(voice.at_once for voice in self.voices)

    def check_maps(self) -> None:
        """Refuse at once where a network has no class activation map, or theirs cannot be laid over one another.

        Raises:
            RetinalabError: one has none, or they cover different parts of a photograph.
        """
        for voice in self.voices:
            voice.check_maps()
        for voices in self.by_disease.values():
            check_seen(voices, "--cam")

    def check_lesion_maps(self) -> None:
        """Refuse at once where no network maps lesions, or their maps cannot be laid over one another.

        Raises:
            RetinalabError: none does, or they cover different parts of a photograph.
        """
        mapping = [voice for voice in self.voices if voice.maps_lesions]
        if not mapping:
            raise RetinalabError(
                f"Run {self.run.path} maps no lesions: its networks only grade or name them. Leave out --masks and "
                "--overlays, or give a run that segments lesions."
            )
        check_seen(mapping, "--masks and --overlays")

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
            enlarged = round(max((size / work.fov.side for size, work in judged.works.items()), default=1), 2)
            if not self._usable(judged):
                yield Prediction(photograph, reason=judged.quality.reason, quality=flag, enlarged=enlarged)
                continue
            one = next(told)
            finite = all(answer.finite for answer in one.answers.values())
            if finite and np.isfinite(list(one.lesions.values())).all():
                yield Prediction(
                    photograph, one.answers, "", one.maps, one.lesions, one.lesion_maps, flag, enlarged
                )
            else:
                reason = "The network's answer is no finite number."
                yield Prediction(photograph, reason=reason, quality=flag, enlarged=enlarged)

    def _told(self, works: Sequence[Mapping[int, Working]], maps: bool, lesion_maps: bool) -> list[_Told]:
        pixels = {size: np.stack([work[size].pixels for work in works]) for size in self.sizes}
        votes = Votes(self.scales)
        for view in self.views:
            batches = self._made(pixels, view)
            for voice in self.voices:
                votes.add(voice, voice.given(batches[id(voice.batches)], lesion_maps), view)
        told = [_Told() for _ in works]
        for disease, values in votes.answers.items():
            for k, entry in enumerate(told):
                entry.answers[disease] = self._answer(disease, np.stack([value[k] for value in values]))
        if maps:
            self._tell_maps(told, works, pixels)
        for k, (entry, work) in enumerate(zip(told, works, strict=True)):
            entry.lesions.update({x: votes.present[x].mean[k].item() for x in self.lesions})
            if lesion_maps:
                shown = {x: votes.maps[x].mean[k] for x in self.lesions if x in votes.maps}
                seen = next(voice.seen for voice in self.voices if voice.maps_lesions)
                entry.lesion_maps = LesionMaps(shown, seen.framing(work))
        return told

    def _made(self, pixels: Mapping[int, np.ndarray], view: View) -> dict[int, Any]:
        """What each preparation makes of the photographs in one view."""
        return {id(maker): maker.make(view.of(pixels[maker.size])) for maker in self.makers}

    def _tell_maps(
        self,
        told: Sequence[_Told],
        works: Sequence[Mapping[int, Working]],
        pixels: Mapping[int, np.ndarray],
    ) -> None:
        sums = {disease: Mean() for disease in self.scales}
        for view in self.views:
            batches = self._made(pixels, view)
            for disease, voices in self.by_disease.items():
                grades = np.array([entry.answers[disease].grade for entry in told])
                for voice in voices:
                    sums[disease].add(view.back(voice.maps(batches[id(voice.batches)], disease, grades)))
        for disease, voices in self.by_disease.items():
            for entry, work, one in zip(told, works, sums[disease].mean, strict=True):
                entry.maps[disease] = Map(one, voices[0].seen.framing(work))

    def _answer(self, disease: str, values: np.ndarray) -> Answer:
        """Of one photograph, from ``(M, K)`` what each member says."""
        several, mean = len(values) > 1, values.mean(axis=0)
        if disease not in self.regressed:
            shared = float(mutual_information(values)) if several else None
            return Answer(int(mean.argmax()), tuple(map(float, mean)), mutual_information=shared)
        grades = severity_grades(torch.from_numpy(mean), self.scales[disease].size)
        return Answer(int(grades[0]), score=float(mean[0]), sd=float(values.std()) if several else None)
