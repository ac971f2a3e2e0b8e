"""The photographs on which an exported file is held against the networks that it came from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from retinalab.config import DataConfig
from retinalab.data.codec import as_kept
from retinalab.data.fov import crop_to_square, field_of_view
from retinalab.data.parts import read_records
from retinalab.data.sets.label_files import read_csv
from retinalab.errors import RetinalabError
from retinalab.predict.finished import FinishedRun, Member
from retinalab.synthetic import World, WorldOptions

__all__ = ["CheckSet", "check_set"]

_SEED = 0xE09


@dataclass(frozen=True)
class CheckSet:
    """Working images.

    Attributes:
        pixels: ``(N, S, S, 3)`` uint8 RGB.
        said: which photographs they are.
    """

    pixels: np.ndarray
    said: str


def check_set(run: FinishedRun, members: Sequence[Member], count: int) -> CheckSet:
    """The run's own validation photographs, by lot; drawn ones and noise where these cannot be had.

    Args:
        run: that is exported.
        members: its networks that are.
        count: at most so many.
    """
    data = run.experiment.stages[members[0].stage].data
    try:
        pixels, total = _validation(run, members, data, count)
    except (RetinalabError, OSError) as error:
        reason = str(error).split(". ")[0].rstrip(".")
        return CheckSet(
            _drawn(data.size, count),
            f"{count} drawn photographs and noise, since the validation photographs cannot be had ({reason})",
        )
    return CheckSet(
        as_kept(data.codec, pixels),
        f"{len(pixels)} of the run's {total} validation photographs ({data.set})",
    )


def _validation(
    run: FinishedRun, members: Sequence[Member], data: DataConfig, count: int
) -> tuple[np.ndarray, int]:
    """Photographs at the working size, and how many there are."""
    names: set[str] = set()
    for member in members:
        split = read_csv(run.path / member.child / f"split-{member.stage}.csv", ["set", "image", "part"])
        own = (split["part"] == "val") & (split["set"] == data.set)
        names.update(split.loc[own, "image"].astype(str))
    source, records, _ = read_records(data, run.experiment.protocol, run.experiment.roots)
    rows = np.flatnonzero(records.table["image"].isin(names).to_numpy(bool))
    if not len(rows):
        raise RetinalabError(f"no validation photograph of {data.set!r} is listed")
    order = np.random.default_rng(_SEED).permutation(rows)
    found: list[np.ndarray] = []
    for row in order.tolist():
        if len(found) == count:
            break
        try:
            image = source.photograph(records, row, data.size)
            found.append(crop_to_square(image, field_of_view(image, "A photograph"), data.size))
        except RetinalabError:
            if data.unreadable == "error":
                raise
    if not found:
        raise RetinalabError(f"no validation photograph of {data.set!r} can be read")
    return np.stack(found), len(pd.unique(records.table["image"].iloc[rows]))


def _drawn(size: int, count: int) -> np.ndarray:
    """Photographs of the synthetic world, every fourth place taken by noise."""
    noise = np.random.default_rng(_SEED)
    world = World(WorldOptions(photographs=count))
    found = []
    for index in range(count):
        if index % 4 == 3:
            found.append(noise.integers(0, 256, (size, size, 3), dtype=np.uint8))
            continue
        image = world.render(index, size).image
        found.append(crop_to_square(image, field_of_view(image, "A drawn photograph"), size))
    return np.stack(found)
