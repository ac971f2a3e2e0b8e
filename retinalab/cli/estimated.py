"""The table that says, before a run, what it will take."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Iterator
from typing import TYPE_CHECKING

from retinalab.counted import counted

if TYPE_CHECKING:
    from retinalab.config import Experiment
    from retinalab.runner.estimate import Estimate, StageEstimate

__all__ = ["print_estimate", "roughly"]

_WIDTH = 80
_COLUMNS = (15, 6, 6, 6, 6, 6, 6, 6, 6, 7)
_HEAD = ("stage", "train", "val", "test", "batch", "steps/", "epochs", "s/step", "time", "memory")
_BELOW = ("", "", "", "", "", "epoch", "", "", "", "")


def print_estimate(experiment: Experiment) -> None:
    """Print photographs, steps, time and memory of each stage, then what all of the run takes.

    Raises:
        RetinalabError: what a run would refuse.
    """
    from retinalab.runner.estimate import estimate

    print("measuring a few steps of each stage, within about a minute a stage …", file=sys.stderr)
    for line in _lines(experiment, estimate(experiment)):
        print(line)


def roughly(seconds: float) -> str:
    """Two figures are enough.

    Example:
        >>> roughly(42.4), roughly(150), roughly(7_300), roughly(200_000)
        ('42 s', '2.5 m', '2.0 h', '2.3 d')
    """
    for unit, size in (("d", 86_400.0), ("h", 3_600.0), ("m", 60.0)):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}" if seconds < 10 * size else f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def _lines(experiment: Experiment, found: Estimate) -> Iterator[str]:
    tried = [one.trial for one in found.stages if one.trial is not None]
    device = f"{tried[0].device.type.replace('cuda', 'GPU').replace('cpu', 'processor')}" if tried else ""
    yield f"Estimate for {experiment.paper} {experiment.name}; nothing was prepared, trained or kept."
    yield ""
    yield from (_row(_HEAD), _row(_BELOW))
    yield from (_row(_cells(one)) for one in found.stages)
    yield ""
    for one in found.stages:
        if one.unknown:
            yield from _wrapped(f"{one.stage}: no estimate: {one.unknown}.")
        if one.more:
            yield from _wrapped(f"{one.stage}: {one.more}.")
    if tried:
        of = "tensors on the GPU" if device == "GPU" else "all that the process had in memory"
        batches = max(trial.batches for trial in tried)
        yield from _wrapped(
            f"Measured: {batches} training and 2 validation batches of each stage on one {device}, on prepared "
            f"photographs or noise of their size. Memory: {of}, at the peak."
        )
        several = f" for {counted(found.runs, 'fold and seed')} one after the other" if found.runs > 1 else ""
        left_out = ", without what has no estimate" if any(one.unknown for one in found.stages) else ""
        yield from _wrapped(
            f"Together: about {roughly(found.seconds)}{several}, to the last epoch, with validations and the "
            f"test{left_out}; {_size(found.memory)} of memory."
        )
    for name, room in found.rooms.items():
        state = "prepared already" if room.prepared else f"to be prepared in {room.folder}"
        yield from _wrapped(
            f"{name}: {counted(room.needed.photographs, 'photograph')}, {room.needed.told(room.codec)}, {state}."
        )


def _cells(one: StageEstimate) -> tuple[str, ...]:
    if one.trial is None:
        return (one.stage, *["-"] * 9)
    size, accumulated = one.batch
    steps = -(-one.batches[0] // accumulated)
    batch = f"{size}x{accumulated}" if accumulated > 1 else str(size)
    figures = (*map(str, one.photographs), batch, str(steps), str(one.epochs), f"{one.trial.step:.2g}")
    return (one.stage, *figures, roughly(one.seconds), _size(one.trial.memory))


def _size(count: int) -> str:
    from retinalab.data.space import as_text

    return as_text(count)


def _row(cells: tuple[str, ...]) -> str:
    first, *rest = zip(cells, _COLUMNS, strict=True)
    return " ".join([f"{first[0]:<{first[1]}}", *(f"{cell:>{width}}" for cell, width in rest)]).rstrip()


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, _WIDTH, subsequent_indent="  ", break_on_hyphens=False)
