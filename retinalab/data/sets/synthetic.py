"""The synthetic world as a data set: photographs are drawn instead of read, and every label is known."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from retinalab.data.home import default_cache
from retinalab.data.processes import worker_processes
from retinalab.data.sets.base import PhotographSet
from retinalab.data.sets.files import digest
from retinalab.records import LESIONS, Records, SetInfo
from retinalab.synthetic import WORLD_VERSION, Photograph, World, WorldOptions

__all__ = ["Synthetic"]

_CHUNK = 100


class Synthetic(PhotographSet):
    """Drawn photographs of :mod:`retinalab.synthetic`; its options are those of the world.

    Grades follow from the drawn lesions by the clinical rules (ICDR 0-4, DME 0-2); all eight lesions are annotated.
    Nothing is downloaded. Results on it say that they are synthetic.
    """

    info: ClassVar[SetInfo] = World(WorldOptions(photographs=1)).info
    Options = WorldOptions  # type: ignore[assignment]
    options: WorldOptions

    def __init__(
        self, root: Path | str | None = None, options: Mapping[str, Any] | None = None, strict: bool = False
    ) -> None:
        self.options = self._validated(options or {})
        self.strict = strict
        self.root = Path(root) if root is not None else Path()
        self.drawn = json.dumps([WORLD_VERSION, self.options.model_dump(mode="json")], sort_keys=True)
        self.world = World(self.options)
        self._last: tuple[tuple[int, int], Photograph] | None = None

    def records(self, check: bool = True) -> Records:
        """The record table; kept in the user's cache folder, since every scene must be laid out to know its grades."""
        kept = (
            default_cache()
            / "synthetic-records"
            / f"{hashlib.sha256(self.drawn.encode()).hexdigest()[:16]}.json"
        )
        if not kept.is_file():
            _keep(kept, self._rows())
        return self.world.as_records(json.loads(kept.read_text(encoding="utf-8")), self.root)

    def photograph(self, records: Records, row: int, shortest: int | None = None) -> np.ndarray:
        """Draw one photograph, its field of view about ``shortest`` pixels wide; by default the records' own size."""
        return self._drawn(records, row, shortest or max(self.size(records, row))).image

    def masks(
        self, records: Records, row: int, shape: tuple[int, ...] | None = None
    ) -> dict[str, np.ndarray]:
        """All eight lesion masks of the photograph of that height and width."""
        drawn = self._drawn(records, row, max(shape or self.size(records, row)))
        return dict(zip(LESIONS, drawn.masks, strict=True))

    def size(self, records: Records, row: int) -> tuple[int, int]:
        """Height and width that the positions in the records refer to."""
        height, width = records.table[["height", "width"]].to_numpy()[row]
        return int(height), int(width)

    def fingerprint(self, records: Records, masks: bool = False) -> str:
        """Digest of the world and of which of its photographs are meant."""
        return digest([self.drawn, *records.table["image"]])

    def digest(self, records: Records) -> str:
        """Digest of the world's version and options."""
        return digest([self.drawn])

    def _drawn(self, records: Records, row: int, size: int) -> Photograph:
        key = (int(Path(records.table["image"].iloc[row]).stem), size)
        if self._last is None or self._last[0] != key:
            self._last = key, self.world.render(*key)
        return self._last[1]

    def _rows(self) -> list[dict[str, Any]]:
        count = len(self.world)
        chunks = [range(start, min(start + _CHUNK, count)) for start in range(0, count, _CHUNK)]
        workers = min(len(os.sched_getaffinity(0)), len(chunks))
        if workers < 2:
            return self.world.rows(range(count))
        with worker_processes(workers) as pool:
            return [row for rows in pool.map(self.world.rows, chunks) for row in rows]


def _keep(path: Path, rows: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    temporary.write_text(json.dumps(rows, default=lambda value: value.item()), encoding="utf-8")
    os.replace(temporary, path)
