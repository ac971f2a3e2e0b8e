"""The networks of a run as one module, from working images to what the run says of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from retinalab.config import DataConfig
from retinalab.data.batch import Batch
from retinalab.errors import RetinalabError, unknown
from retinalab.export.preparation import Preparation
from retinalab.predict.finished import FinishedRun, Member
from retinalab.protocol import Scale
from retinalab.records import LESIONS
from retinalab.runner.trained import load_task
from retinalab.tasks.base import Task
from retinalab.tasks.outputs import Outputs

__all__ = ["Ensemble", "chosen_members", "ensemble_of"]

_IGNORED = 255


@dataclass(frozen=True)
class _Said:
    """What one network says: disease -> ``(B, K)`` probabilities, or ``(B,)`` severity; lesions named and mapped."""

    grades: Mapping[str, Tensor]
    severity: Mapping[str, Tensor]
    present: Tensor | None
    lesions: Tensor | None


class _One(nn.Module):
    """One network behind the preparation of its photographs."""

    def __init__(self, task: Task, data: DataConfig) -> None:
        super().__init__()
        self.task = task
        self.masks = data.masks
        self.preparation = Preparation(data)

    def forward(self, photographs: Tensor) -> _Said:
        images = self.preparation(photographs)
        count = images.shape[0]
        # nothing is known of the photographs; the loss that comes of it is left out of the graph
        batch: dict[str, Any] = {
            "image": images,
            "index": torch.arange(count, device=images.device),
            "grades": {d: images.new_full((count,), -1, dtype=torch.int64) for d in self.task.scales},
            "present": images.new_full((count, len(LESIONS)), torch.nan),
        }
        if self.masks:
            shape = (count, len(LESIONS), *images.shape[2:])
            batch["mask"] = images.new_full(shape, _IGNORED, dtype=torch.uint8)
        out: Outputs = self.task.outputs(Batch(**batch))  # type: ignore[typeddict-item]
        lesions = None if out.lesions is None else out.lesions.float()
        present = out.present
        if present is None and lesions is not None:
            present = lesions.amax((2, 3))
        return _Said(
            {d: value.float() for d, value in out.grades.items()},
            {d: value.float() for d, value in out.severity.items()},
            None if present is None else present.float(),
            lesions,
        )


class Ensemble(nn.Module):
    """All networks of a run; folds and seeds are averaged, as ``retinalab predict`` does.

    Probabilities are averaged, severities too, and lesions and their maps. A grade is the most probable one, or the
    severity rounded at half grades (a tie goes to the higher grade).

    Args:
        networks: tasks in evaluation mode with the data sections of their stages.
        scales: disease -> its scale, in the order of the protocol.
        taught: the lesions that are given out.

    Attributes:
        names: of the outputs, in order: for each disease ``<d>_grade`` and ``<d>_probabilities`` or ``<d>_severity``;
            ``lesion_probabilities`` and ``lesion_maps`` where the networks name and map lesions.

    Shape:
        - ``photographs``: ``(B, S, S, 3)`` uint8 RGB working images.
        - Returns: of each disease ``(B,)`` int64, and ``(B, K)`` or ``(B,)`` float32; ``(B, T)`` and ``(B, T, s, s)``
          float32 of the T lesions taught.
    """

    def __init__(
        self,
        networks: Sequence[tuple[Task, DataConfig]],
        scales: Mapping[str, Scale],
        taught: Sequence[str],
    ) -> None:
        super().__init__()
        self._each = [_One(task, data) for task, data in networks]
        self.networks = nn.ModuleList(self._each)
        self.scales = dict(scales)
        self.taught = tuple(taught)
        self._rows = [LESIONS.index(lesion) for lesion in taught]
        self.size = networks[0][1].size
        self.names = tuple(self._answers(self.blank(1)))

    @property
    def exact(self) -> bool:
        """Whether a processor and a GPU prepare photographs alike."""
        return all(one.preparation.exact for one in self._each)

    def blank(self, count: int) -> Tensor:
        """Black working images."""
        return torch.zeros(count, self.size, self.size, 3, dtype=torch.uint8)

    def forward(self, photographs: Tensor) -> tuple[Tensor, ...]:
        """The outputs in the order of ``names``."""
        return tuple(self._answers(photographs).values())

    def _answers(self, photographs: Tensor) -> dict[str, Tensor]:
        said: list[_Said] = [one(photographs) for one in self._each]
        out: dict[str, Tensor] = {}
        for disease, scale in self.scales.items():
            if graded := [one.grades[disease] for one in said if disease in one.grades]:
                mean = _mean(graded)
                out[f"{disease}_grade"], out[f"{disease}_probabilities"] = mean.argmax(1), mean
            elif regressed := [one.severity[disease] for one in said if disease in one.severity]:
                mean = _mean(regressed)
                edges = torch.arange(scale.size - 1, dtype=mean.dtype, device=mean.device) + 0.5
                out[f"{disease}_grade"] = (mean[:, None] >= edges).sum(1)
                out[f"{disease}_severity"] = mean
        named = [one.present for one in said if one.present is not None]
        if named and self._rows:
            out["lesion_probabilities"] = _mean(named)[:, self._rows]
        mapped = [one.lesions for one in said if one.lesions is not None]
        if mapped and self._rows:
            out["lesion_maps"] = _mean(mapped)[:, self._rows]
        return out


def chosen_members(run: FinishedRun, stage: str | None) -> tuple[Member, ...]:
    """The networks that go into one file.

    Args:
        run: a finished one.
        stage: the one stage whose networks are wanted; None: all that ``retinalab predict`` asks.

    Raises:
        RetinalabError: an unknown stage, or networks that one graph cannot hold.
    """
    known = list(dict.fromkeys(member.stage for member in run.members))
    if stage is not None and stage not in known:
        raise unknown("stage", stage, known, f"These of {run.path} judge whole photographs.")
    members = tuple(member for member in run.members if stage in (None, member.stage))
    sections = {member.stage: run.experiment.stages[member.stage].data for member in members}
    other = "Name one stage with --stage." if len(known) > 1 else "Use retinalab predict."
    for name, data in sections.items():
        if data.windows is not None:
            raise RetinalabError(
                f"Stage {name!r} looks at photographs tile by tile (data.windows), which is not exportable: one graph "
                f"takes a photograph whole. {other}"
            )
    if len({(data.size, data.input_size) for data in sections.values()}) > 1:
        sizes = ", ".join(f"{name} {data.size} and {data.input_size}" for name, data in sections.items())
        raise RetinalabError(
            f"Stages take photographs of different sizes (working image and input: {sizes} pixels), which one graph "
            f"cannot. {other}"
        )
    return members


def ensemble_of(run: FinishedRun, members: Sequence[Member]) -> Ensemble:
    """The networks in single precision on the processor, ready to be traced.

    Raises:
        RetinalabError: a checkpoint that cannot be loaded, or networks that say nothing of a photograph.
    """
    networks = []
    for member in members:
        stage = run.experiment.stages[member.stage]
        networks.append((load_task(member.checkpoint, stage.task.name).float(), stage.data))
    with torch.inference_mode():
        ensemble = Ensemble(networks, run.experiment.protocol.scales, run.taught).eval()
    if not ensemble.names:
        raise RetinalabError(
            f"Run {run.path} neither grades photographs nor finds lesions in them. Give a run that does."
        )
    return ensemble


def _mean(several: Sequence[Tensor]) -> Tensor:
    return several[0] if len(several) == 1 else torch.stack(list(several)).mean(0)
