"""What a start costs as photographs grow in number: 1,000, 10,000 and 100,000 records in EyePACS's layout.

    python experiments/bench/growth.py --out runs/bench/growth.json

No photograph is opened: the label file and the folder are those of ``index_speed.py``, and the prepared photographs
are black squares with drawn hashes. Every figure is from a process of its own, all numbers once in every repeat:

- index: ``retinalab data index``, from its start to its end.
- steps: what a start does, each with the most memory that its process had until then. The parts are compared picture
  by picture once; the answer is kept, and found when they are compared again.
- warm start: from the start of a process to its first training batch.

Medians over repeats, by the clock and by the processor. "times" says how much more of the processor the largest number
costs than the one before; where it has ten times as many photographs, 10 is linear.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar
from unittest import mock

import numpy as np
from index_speed import write_set
from measure import FOLDER, write

T = TypeVar("T")
Steps = dict[str, dict[str, float]]

_SIZE = 64
_INDEX, _START = "retinalab data index", "warm start"
_GOALS = {_INDEX: "10 s, 1 GB", _START: "20 s"}


def made(folder: Path, count: int) -> Path:
    """A set of so many photographs, with prepared ones beside it."""
    root = folder / str(count)
    root.mkdir()
    write_set(root, count)
    run(root, "--prepare")
    return root


def drawn(job: Any, row: int, *_: Any) -> dict[str, Any]:
    """In the place of preparing: a black square and a hash drawn from the photograph's name."""
    image = str(job.records.table.at[row, "image"])
    hashed = np.random.default_rng([*image.encode()]).integers(0, 2**63, 4).tolist()
    return {"image": image, "box": [0, 0, 2000], "reason": "", "likeness": hashed}


def run(root: Path, *words: str) -> Steps:
    """This script in a process of its own."""
    return json.loads(command(sys.executable, __file__, "--set", str(root), *words)[0] or "{}")


def command(*words: str) -> tuple[str, dict[str, float]]:
    """What a command prints, its seconds and its peak memory."""
    begun = time.perf_counter()
    with tempfile.TemporaryFile("w+") as printed, tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen(words, stdout=printed, stderr=said)
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        seconds = time.perf_counter() - begun
        printed.seek(0)
        said.seek(0)
        if process.returncode:
            raise SystemExit(f"{' '.join(words)}: exit status {process.returncode}\n{said.read()[-1000:]}")
        cpu = used.ru_utime + used.ru_stime
        return printed.read(), {"seconds": seconds, "cpu": cpu, "gb": used.ru_maxrss * 1024 / 1e9}


def module_of(root: Path) -> Any:
    """The data module of a training on the set."""
    from retinalab.config import DataConfig
    from retinalab.data.module import FundusDataModule
    from retinalab.protocol import Protocol

    data = {"set": "eyepacs", "root": root, "cache": root / "cache", "codec": "delta", "size": _SIZE}
    return FundusDataModule(DataConfig.model_validate(data), Protocol(diseases={"dr": "icdr5"}))


def prepare_set(root: Path) -> Steps:
    """Prepared photographs beside a set, with whatever else a first start leaves there."""
    with mock.patch("retinalab.data.shard_writer._prepare", drawn):
        module_of(root).parts  # noqa: B018
    return {}


def warm_start(root: Path) -> Steps:
    """What a training does before its first batch, and the batch."""
    next(iter(module_of(root).train_dataloader()))
    return {}


def steps_of(root: Path) -> Steps:
    """The steps of a start one by one, in this process."""
    steps: Steps = {}

    def step(name: str, work: Callable[[], T]) -> T:
        begun, cpu = time.perf_counter(), time.process_time()
        done = work()
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
        taken = {"seconds": time.perf_counter() - begun, "cpu": time.process_time() - cpu, "gb": most}
        steps[name] = taken
        return done

    module = step("imports", lambda: module_of(root))
    from retinalab.data.overlap import find_overlap
    from retinalab.data.part import Part
    from retinalab.data.parts import read_records
    from retinalab.data.preparation import Preparation
    from retinalab.data.prepare import prepare
    from retinalab.data.sampler import EpochBatches, EpochSampler
    from retinalab.data.splits import split

    data, protocol = module.data, module.protocol
    source, records, _ = step("records", lambda: read_records(data, protocol, {}))
    divided = step("split", lambda: split(records, protocol))
    cache = step(
        "prepared photographs opened",
        lambda: prepare(source, records, Preparation.of(data)),
    )
    step("fingerprint", lambda: source.digest(records))
    train, val, test = (Part(name, records.take(rows), cache, rows) for name, rows in divided.parts.items())

    def compare() -> None:
        for first, second in ((val, test), (train, test), (train, val)):
            if len(find_overlap(first, second)):
                raise SystemExit("drawn photographs are alike")

    for kept in data.cache.glob("pictures-*.json"):
        kept.unlink()
    step("parts compared, the first time", compare)
    step("parts compared again", compare)
    batches = EpochBatches(EpochSampler(len(train), 0, True), 32)
    keys = step("an epoch's order", lambda: list(batches))
    step("a batch", lambda: module.dataset(train, training=True).batch(keys[0]))
    return steps


def measure(root: Path) -> Steps:
    """Every row of one repeat."""
    index = [sys.executable, "-m", "retinalab.cli", "data", "index", "eyepacs", "--root", str(root)]
    rows = {_INDEX: command(*index)[1], **run(root, "--steps")}
    rows[_START] = command(sys.executable, __file__, "--set", str(root), "--start")[1]
    return rows


def show(medians: dict[int, Steps], repeats: int) -> None:
    """The Markdown table."""
    counts = sorted(medians)
    print(f"seconds, of them the processor's, and GB at most; medians of {repeats}")
    heads = ["step", *(f"{count:,}" for count in counts), "times", "goal"]
    print(f"| {' | '.join(heads)} |\n|{'---|' * len(heads)}")
    for name in medians[counts[0]]:
        each = [medians[count][name] for count in counts]
        times = each[-1]["cpu"] / each[-2]["cpu"] if len(each) > 1 and each[-2]["cpu"] else float("nan")
        cells = [f"{one['seconds']:.2f}, {one['cpu']:.2f}, {one['gb']:.2f}" for one in each]
        print(f"| {' | '.join([name, *cells, f'{times:.1f}', _GOALS.get(name, '')])} |")


def main(words: list[str] | None = None) -> None:
    """Print a Markdown table of the medians and write them."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--photographs", type=int, nargs="+", default=[1000, 10_000, 100_000])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--folder", type=Path, default=None, help="where the temporary folder is made")
    parser.add_argument("--out", type=Path, default=FOLDER / "growth.json", help="JSON file")
    parser.add_argument("--set", type=Path, help=argparse.SUPPRESS)
    work = {"prepare": prepare_set, "start": warm_start, "steps": steps_of}
    for name, function in work.items():
        parser.add_argument(
            f"--{name}", dest="work", action="store_const", const=function, help=argparse.SUPPRESS
        )
    options = parser.parse_args(words)
    if options.work is not None:
        print(json.dumps(options.work(options.set)))
        return
    taken: dict[int, list[Steps]] = {}
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        roots = {count: made(Path(name), count) for count in options.photographs}
        for _ in range(options.repeats):
            for count, root in roots.items():
                taken.setdefault(count, []).append(measure(root))
    medians = {
        count: {
            row: {unit: float(np.median([one[row][unit] for one in each])) for unit in each[0][row]}
            for row in each[0]
        }
        for count, each in taken.items()
    }
    show(medians, options.repeats)
    result = {
        "goals": _GOALS,
        "medians": medians,
        "measured": taken,
    }
    write(options.out, result)


if __name__ == "__main__":
    main()
