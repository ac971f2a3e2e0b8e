"""What the networks of a finished run answer on its test photographs, shown as they are and changed."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import torch

from retinalab.counted import counted
from retinalab.data.part import Part, identity
from retinalab.data.preparation import Preparation
from retinalab.data.prepare import prepare
from retinalab.errors import RetinalabError
from retinalab.explain.photographs import Annotated
from retinalab.metrics.grading import referable_score
from retinalab.predict.explained import Explained, OtherSet, fold_and_seed, photographs_of
from retinalab.predict.network import Network
from retinalab.predict.prepare import Batches
from retinalab.protocol import Scale
from retinalab.robustness.conditions import COLOURS, Condition, Shown
from retinalab.robustness.donors import donors_of, photograph_key
from retinalab.robustness.recording import Tones
from retinalab.tasks.severity import severity_grades
from retinalab.transforms.draw import generator
from retinalab.units import unit_of

__all__ = ["Settings", "Trial"]

_PIXELS_AT_ONCE = 1 << 22
"""On a processor a larger batch takes memory and saves no time."""
_LIMIT = 0x5A17


@dataclass(frozen=True)
class Settings:
    """How photographs are shown.

    Attributes:
        conditions: all ways; the first shows them as they are.
        seed: of what is drawn.
        limit: at most so many photographs.
        everything: whether nothing was chosen: what these photographs do not allow is left out and noted, where it
            would be refused if it had been asked for.
    """

    conditions: tuple[Condition, ...]
    seed: int = 0
    limit: int | None = None
    everything: bool = False


@dataclass(frozen=True)
class _Share:
    """Networks that are tested on the same photographs: seeds of one fold."""

    networks: tuple[Network, ...]
    part: Part
    donors: tuple[tuple[Tones, ...], ...]


class Trial:
    """A run's networks and their test photographs, loaded and tried.

    Args:
        run: one stage of a finished run.
        other: a data set in the place of the run's own.
        settings: how photographs are shown.
        device: that networks are on.

    Attributes:
        scales: disease -> scale, of those that the networks grade.
        digests: data set -> digest of names, sizes and labels of the photographs, one for each fold.
        notes: what was left out.

    Raises:
        RetinalabError: the networks grade nothing, or no photograph can be used.
    """

    def __init__(
        self, run: Explained, other: OtherSet | None, settings: Settings, device: torch.device
    ) -> None:
        self.run = run
        self.settings = settings
        self.notes: list[str] = []
        self.digests: dict[str, list[str]] = {}
        experiment = run.run.experiment
        self._batches = Batches(experiment.stages[run.stage], experiment.protocol, device)
        networks = {member.child: Network(run.run, member, self._batches) for member in run.members}
        graded = next(iter(networks.values())).diseases
        if not graded:
            raise RetinalabError(
                f"Run {run.run.path} grades no photographs (stage {run.stage!r}), so that there is no grade to hold "
                "against another. Give a run that grades photographs, or name such a stage with --stage."
            )
        scales = experiment.protocol.scales
        self.scales: dict[str, Scale] = {disease: scales[disease] for disease in graded}
        self._shares = [self._share(found, [networks[child] for child in children])
                        for children, found in self._photographs(list(networks), other)]  # fmt: skip
        data = run.data
        at_once = _PIXELS_AT_ONCE // data.input_size**2
        self._batch = data.batch_size if device.type == "cuda" else max(1, min(data.batch_size, at_once))

    def __len__(self) -> int:
        """Photographs, counted once for each fold."""
        return sum(len(share.part) for share in self._shares)

    @property
    def part(self) -> Part:
        """The photographs of the first fold."""
        return self._shares[0].part

    @property
    def regressed(self) -> frozenset[str]:
        """Diseases whose severity the networks give as one number."""
        return self._shares[0].networks[0].regressed

    @property
    def unit(self) -> str:
        """What intervals resample."""
        return unit_of(name for share in self._shares for name in share.part.records.table["patient"])

    @property
    def repeated(self) -> bool:
        """Whether any eye was photographed twice, as far as patients and eyes are known."""
        keys = ["set", "patient", "eye"]
        tables = [share.part.records.table for share in self._shares]
        known = [one[(one["patient"] != "") & (one["eye"] != "")] for one in tables]
        return any(bool(one.duplicated(keys).any()) for one in known)

    def shown(self, row: int) -> Shown:
        """A photograph of the first fold."""
        return _shown(self._shares[0], row)

    def rows(self, tick: Callable[[int], object] = lambda _: None) -> pd.DataFrame:
        """The table of kind ``robustness``: a row for each photograph, condition and network.

        Args:
            tick: called with the number of photographs that are done.
        """
        tables = []
        for share in self._shares:
            answers: list[list[dict[str, np.ndarray]]] = [[] for _ in share.networks]
            for pixels in self._ahead(share):
                for kept, given in zip(answers, self._answered(share, pixels), strict=True):
                    kept.append(given)
                tick(1)
            tables += [
                self._table(share.part, network, kept)
                for network, kept in zip(share.networks, answers, strict=True)
            ]
        return pd.concat(tables, ignore_index=True)

    def _photographs(
        self, children: Sequence[str], other: OtherSet | None
    ) -> Iterator[tuple[list[str], Annotated]]:
        """Folds and seeds that were tested on the same photographs, and those."""
        alike: dict[tuple[str, ...], tuple[list[str], Annotated]] = {}
        for child in children:
            found = _limited(photographs_of([self.run], child, other, None, masks=False), self.settings.limit)
            names = tuple(found.records.table["image"])
            alike.setdefault(names, ([], found))[0].append(child)
        for several, found in alike.values():
            self._note(*found.notes)
            yield several, found

    def _share(self, found: Annotated, networks: Sequence[Network]) -> _Share:
        preparation = replace(Preparation.of(self.run.data), masks=False)
        cache = prepare(found.source, found.records, preparation)
        rows = np.flatnonzero(cache.usable)
        reasons = tuple(cache.reasons.values())
        if not len(rows):
            raise RetinalabError(f"No photograph can be used: {reasons[0]} Replace them.")
        self._note(*(f"unusable: {reason}" for reason in reasons))
        self.digests.setdefault(found.records.table["set"].iloc[0], []).append(
            found.source.digest(found.records)
        )
        part = Part("test", found.records.take(rows), cache, rows)
        if self.settings.everything and len(np.unique(part.records.groups)) < 2:
            self._leave_out_colours()
        wanted = max((one.draw + 1 for one in self.settings.conditions if one.name == COLOURS), default=0)
        donors = donors_of(part, wanted, self.settings.seed) if wanted else tuple(() for _ in rows)
        return _Share(tuple(networks), part, donors)

    def _leave_out_colours(self) -> None:
        kept = tuple(one for one in self.settings.conditions if one.name != COLOURS)
        self.settings = replace(self.settings, conditions=kept)
        self._note("all photographs are of one patient: none can lend another its colours")

    def _note(self, *notes: str) -> None:
        self.notes += [note for note in notes if note not in self.notes]

    def _ahead(self, share: _Share) -> Iterator[np.ndarray]:
        """Photographs under all conditions, one after the other, some being changed while another is graded."""
        workers = len(os.sched_getaffinity(0))
        with ThreadPoolExecutor(workers) as pool:
            waiting: deque[Future[np.ndarray]] = deque()
            for row in range(len(share.part)):
                waiting.append(pool.submit(self._changed, share, row))
                if len(waiting) > workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()

    def _changed(self, share: _Share, row: int) -> np.ndarray:
        return _shown(share, row).under(self.settings.conditions, self.settings.seed)

    def _answered(self, share: _Share, pixels: np.ndarray) -> list[dict[str, np.ndarray]]:
        """For each network: disease -> ``(conditions, K)``."""
        found: list[list[dict[str, np.ndarray]]] = [[] for _ in share.networks]
        for start in range(0, len(pixels), self._batch):
            batch = self._batches.make(pixels[start : start + self._batch])
            for kept, network in zip(found, share.networks, strict=True):
                kept.append(network.answers(batch))
        return [{d: np.concatenate([one[d] for one in kept]) for d in self.scales} for kept in found]

    def _table(self, part: Part, network: Network, answers: Sequence[dict[str, np.ndarray]]) -> pd.DataFrame:
        several = self.settings.conditions
        fold, seed = fold_and_seed(self.run, network.member.child)
        named = identity(part)
        frame = named.loc[named.index.repeat(len(several))].reset_index(drop=True)
        frame = frame.assign(
            fold=fold, seed=seed,
            condition=[one.name for one in several] * len(part),
            severity=[one.severity for one in several] * len(part),
            draw=[one.draw for one in several] * len(part),
        )  # fmt: skip
        for disease, scale in self.scales.items():
            values = np.concatenate([one[disease] for one in answers])
            broken = ~np.isfinite(values).all(axis=1)
            if broken.any():
                raise RetinalabError(
                    f"{disease}: the answer for {frame['image'][np.flatnonzero(broken)[0]]!r} is no finite number "
                    f"({counted(int(broken.sum()), 'such answer')}). Train with a lower learning rate."
                )
            reference = part.records.table[disease].to_numpy(np.int64).repeat(len(several))
            regressed = disease in network.regressed
            frame = frame.assign(**{disease: reference}, **_columns(disease, values, scale, regressed))
        return frame


def _columns(disease: str, values: np.ndarray, scale: Scale, regressed: bool) -> dict[str, np.ndarray]:
    """``<d>_grade``; probabilities and their sum from the referable grade on, or the severity."""
    if regressed:
        grades = severity_grades(torch.from_numpy(values[:, 0]), scale.size).numpy()
        return {f"{disease}_score": values[:, 0], f"{disease}_grade": grades}
    columns = {f"{disease}_p{k}": values[:, k] for k in range(scale.size)}
    referable = referable_score(values, scale)
    return columns | {f"{disease}_referable": referable, f"{disease}_grade": values.argmax(1)}


def _shown(share: _Share, row: int) -> Shown:
    part = share.part
    image = part.cache.images(part.rows[[row]])[0]
    return Shown(photograph_key(part, row), image, share.donors[row])


def _limited(found: Annotated, limit: int | None) -> Annotated:
    """At most so many photographs, those of a patient together, chosen by lot, the same every time."""
    if limit is None or len(found.records) <= limit:
        return found
    names, group, sizes = np.unique(found.records.groups, return_inverse=True, return_counts=True)
    chosen = np.zeros(len(names), bool)
    for one in generator(_LIMIT).permutation(len(names)):
        chosen[one] = sizes[chosen].sum() + sizes[one] <= limit
    kept = chosen[group]
    if not kept.any():
        kept[:limit] = True
    return found.keep(
        kept, f"{int(kept.sum())} of {counted(len(kept), 'photograph')}, patients chosen by lot"
    )
