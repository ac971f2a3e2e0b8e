"""One trained network of a run, loaded from its checkpoint, and what it answers on a batch."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from retinalab.config import TrainerConfig
from retinalab.data.batch import Batch
from retinalab.data.tiles import JoinedMaps
from retinalab.explain.cam import check_cam, class_activation_map
from retinalab.predict.finished import FinishedRun, Member
from retinalab.predict.folding import fold_normalisation
from retinalab.predict.prepare import Batches
from retinalab.predict.voice import Given, Seen
from retinalab.protocol import Scale
from retinalab.records import LESIONS
from retinalab.runner.trained import load_task
from retinalab.runner.trainer import resolved_precision
from retinalab.tasks.outputs import Outputs

__all__ = ["Given", "Network", "load_task"]

_PIXELS_AT_ONCE = 1 << 22
"""On a processor a larger batch takes memory and saves no time: four photographs of 1024 pixels."""

_DTYPES: Mapping[str, torch.dtype] = {
    "64-true": torch.float64,
    "32-true": torch.float32,
    "16-true": torch.float16,
    "16-mixed": torch.float16,
    "bf16-true": torch.bfloat16,
    "bf16-mixed": torch.bfloat16,
}


class Network:
    """A trained network on its device, in the precision that its run was evaluated with.

    Args:
        run: that it belongs to.
        member: which of its networks.
        batches: makes the batches of its stage.

    Attributes:
        tiled: whether it looks at photographs tile by tile; it then maps lesions and grades nothing, since a tile's
            grade is not the photograph's.
        diseases: that it grades.
        regressed: those of them whose severity it gives as one number.
        names_lesions: whether it says which lesions a photograph shows.
        maps_lesions: whether it says where.
        scales: disease that it grades -> its scale.
        lesions: that it was taught and names.
        seen: what of a working image its maps cover.
        recorded: precision that its run was evaluated with; "" where the run does not say.
        at_once: photographs that it takes at once, on a processor no more than memory is worth.

    Raises:
        RetinalabError: the checkpoint cannot be loaded, or the network fails on the noise that it is tried with.
    """

    def __init__(self, run: FinishedRun, member: Member, batches: Batches) -> None:
        self.member = member
        self.batches = batches
        self.data = batches.data
        self.device = batches.device
        self.recorded = run.precision.get(member.stage, "")
        self.precision = _precision(self.recorded or "32-true", self.device)
        task = load_task(member.checkpoint, run.experiment.stages[member.stage].task.name).to(self.device)
        self.task = task.to(_DTYPES[self.precision]) if self.precision.endswith("-true") else task
        self._tiles = batches.tiles
        self.tiled = self._tiles is not None
        self._probe = _some(batches.make(_noise(self.data.size)), slice(0, 2))
        if self.precision in ("32-true", "bf16-mixed", "16-mixed"):
            self._fold()
        self._tried = self._outputs(self._probe)
        self.maps_lesions = self._tried.lesions is not None
        self.names_lesions = self.maps_lesions or (self._tried.present is not None and not self.tiled)
        self.regressed = frozenset(() if self.tiled else self._tried.severity)
        graded = () if self.tiled else (*self._tried.grades, *self.regressed)
        self.diseases = tuple(d for d in task.scales if d in graded)
        known = run.experiment.protocol.scales
        self.scales: dict[str, Scale] = {d: known[d] for d in self.diseases}
        self.lesions = tuple(x for x in LESIONS if x in run.taught) if self.names_lesions else ()
        data = self.data
        self.seen = (
            Seen(data.size, data.size, "whole") if self.tiled else Seen(data.size, data.input_size, data.view)
        )
        self.at_once = data.batch_size
        if self.device.type != "cuda":
            side = data.input_size if data.windows is None else data.size
            self.at_once = max(1, min(data.batch_size, _PIXELS_AT_ONCE // side**2))

    def answers(self, batch: Batch) -> dict[str, np.ndarray]:
        """Disease -> ``(B, K)`` float32 probabilities, or ``(B, 1)`` severity."""
        return self.given(batch).answers

    def given(self, batch: Batch, lesion_maps: bool = False) -> Given:
        """Grades and lesions of a batch, by one forward pass; maps of lesions where they are asked for.

        Where tiles overlap, their probabilities are averaged.
        """
        if self.tiled:
            joined = self._joined(batch)
            return Given({}, joined.amax((2, 3)).cpu().numpy(), joined.cpu().numpy() if lesion_maps else None)
        out = self._outputs(batch)
        answers = {
            d: (out.severity[d][:, None] if d in self.regressed else out.grades[d]).float().cpu().numpy()
            for d in self.diseases
        }
        lesions = None if out.lesions is None else out.lesions.float()
        present = out.present
        if present is None and lesions is not None:
            present = lesions.amax((2, 3))
        return Given(
            answers,
            None if present is None else present.float().cpu().numpy(),
            lesions.cpu().numpy() if lesions is not None and lesion_maps else None,
        )

    def check_maps(self) -> None:
        """Refuse at once where the network has no class activation map.

        Raises:
            RetinalabError: it has none.
        """
        with torch.inference_mode(), self._cast():
            for disease in self.diseases:
                check_cam(self.task, disease, self._images(self._probe), self._tried)

    def maps(self, batch: Batch, disease: str, grades: np.ndarray) -> np.ndarray:
        """``(B, S, S)`` float32: the class activation map of one grade for each photograph, over the input's pixels."""
        wanted: Tensor = torch.from_numpy(grades.astype(np.int64)).to(self.device)
        with torch.inference_mode(), self._cast():
            maps = class_activation_map(self.task, disease, self._images(batch), wanted)
        return np.asarray(maps.float().cpu().numpy())

    def maps_given(self, batch: Batch) -> dict[str, np.ndarray]:
        """Name -> ``(B, h, w)`` float32 in [0, 1]: the maps that the task gives beside its answer."""
        return {name: one.float().cpu().numpy() for name, one in self._outputs(batch).maps.items()}

    def _joined(self, batch: Batch) -> Tensor:
        """``(B, 8, S, S)`` float32: the lesion maps of a batch's tiles, put together."""
        assert self._tiles is not None
        joined = JoinedMaps(self._tiles)
        whole: dict[int, Tensor] = {}
        index, size = batch["index"].tolist(), self.data.batch_size
        for start in range(0, len(index), size):
            chunk = slice(start, start + size)
            maps = self._outputs(_some(batch, chunk)).lesions
            assert maps is not None
            whole.update(joined.add(index[chunk], maps))
        return torch.stack([whole[photograph] for photograph in sorted(whole)])

    def _fold(self) -> None:
        """Compute less for the same answers; what is folded is found in single precision."""
        one = _some(self._probe, slice(0, 1))

        def run() -> Outputs:
            with torch.inference_mode(), torch.autocast(self.device.type, enabled=False):
                return self.task.outputs(one)

        fold_normalisation(self.task.network, run)

    def _images(self, batch: Batch) -> Tensor:
        images = batch["image"]
        return images.to(_DTYPES[self.precision]) if self.precision.endswith("-true") else images

    def _outputs(self, batch: Batch) -> Outputs:
        with torch.inference_mode(), self._cast():
            return self.task.outputs(Batch(**{**batch, "image": self._images(batch)}))

    def _cast(self) -> AbstractContextManager[Any]:
        mixed = self.precision.endswith("-mixed")
        return torch.autocast(self.device.type, _DTYPES[self.precision]) if mixed else nullcontext()


def _some(batch: Batch, rows: slice) -> Batch:
    """Some rows of a batch."""
    given: dict[str, Any] = {
        key: {d: one[rows] for d, one in value.items()} if isinstance(value, dict) else value[rows]
        for key, value in cast("dict[str, Any]", batch).items()
    }
    return cast("Batch", given)


def _precision(recorded: str, device: torch.device) -> str:
    """The precision of the run's evaluation; single precision where this machine computes it slowly or not at all."""
    here = resolved_precision(TrainerConfig(accelerator="cpu" if device.type == "cpu" else "auto"))
    slow = (recorded == "bf16-mixed" and here != recorded) or (
        recorded == "16-mixed" and device.type == "cpu"
    )
    return "32-true" if slow or recorded not in _DTYPES else recorded


def _noise(size: int) -> np.ndarray:
    """Two working images of noise, on which a network is tried before any photograph is read."""
    return np.random.default_rng(0).integers(0, 256, (2, size, size, 3), dtype=np.uint8)
