"""What a training on many GPUs and machines takes: gigabytes and hours, computed from parts that are measured here.

    python experiments/bench/many_gpus.py --root FOLDER_OF_IDRID

By default CLPI's EyePACS at 1024 px on 2 machines of 8 GPUs and 128 processors: 35,126 photographs train and validate,
53,576 are tested. Measured on real photographs, by the processor's own time: preparing one without loss, its bytes,
and reading one again; the network's multiplications and additions are counted, not timed. What a GPU sustains is an
assumption (``--tflops``), unless the bare step is timed on one: ``--step`` takes seconds a photograph from
``training_speed.py``. Hours are without waiting for disks and networks.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from measure import FOLDER, write
from torch.utils.flop_counter import FlopCounterMode

from retinalab.data.cache import Cache
from retinalab.data.preparation import Preparation
from retinalab.data.prepare import prepare
from retinalab.data.sets import open_set
from retinalab.experiment import load_experiment
from retinalab.runner.stage import build_task

_BACKWARD = 2
"""A backward pass multiplies twice as much as a forward pass: by the weights, and by the activations."""


def prepared(root: Path, name: str, size: int, count: int, folder: Path) -> tuple[Cache, float]:
    """Photographs prepared without loss, and the processor's seconds for each."""
    source = open_set(name, root, {"task": "segmentation"} if name == "idrid" else None)
    records = source.records(check=False)
    rows = np.linspace(0, len(records) - 1, min(count, len(records))).astype(int)
    begun = time.process_time()
    preparation = Preparation(size, folder=folder, codec="delta")
    cache = prepare(source, records.take(rows), preparation, processes=1)
    return cache, (time.process_time() - begun) / len(rows)


def read_again(cache: Cache, repeats: int) -> float:
    """The processor's seconds to read a prepared photograph; median."""
    rows, taken = np.arange(cache.rows), []
    for _ in range(repeats):
        begun = time.process_time()
        cache.images(rows)
        taken.append((time.process_time() - begun) / cache.rows)
    return float(np.median(taken))


def counted(paper: str, experiment: str, stage: str, size: int) -> float:
    """Multiplications and additions of a forward pass of one photograph."""
    given = [
        f"data.root={tempfile.gettempdir()}",
        f"roots.idrid={tempfile.gettempdir()}",
        f"{stage}.task.weights=none",
    ]
    task = build_task(load_experiment(paper, experiment, given), stage, 0).to("meta").eval()
    with torch.no_grad(), FlopCounterMode(display=False) as found:
        task(torch.zeros(1, 3, size, size, device="meta"))
    return float(found.get_total_flops())


def show(figures: dict[str, Any], options: argparse.Namespace) -> None:
    """The Markdown table."""
    photographs = options.trained + options.tested
    gpus, cores = options.machines * options.gpus, options.machines * options.cores
    raw = photographs * options.size**2 * 3 / 1e9
    seen = options.epochs * options.trained
    passes = (1 + _BACKWARD) * figures["operations"]
    step = options.step or passes / (options.tflops * 1e12)
    source = "timed" if options.step else f"assumed: {options.tflops:g} TFLOP/s a GPU"
    rows = [
        ("cache, raw", f"{raw:,.0f} GB", f"{photographs:,} photographs x {options.size}² x 3 bytes"),
        (
            "cache, delta",
            f"{photographs * figures['bytes'] / 1e9:,.0f} GB",
            f"{figures['bytes'] / 1e6:.2f} MB each",
        ),
        (
            "prepare once",
            _hours(photographs * figures["prepare"] / cores),
            f"{1e3 * figures['prepare']:.0f} ms of a core",
        ),
        (
            "read, all epochs",
            _hours(seen * figures["read"] / cores),
            f"{1e3 * figures['read']:.1f} ms of a core, beside",
        ),
        ("train", _hours(seen * step / gpus), f"{passes / 1e12:.2f} TFLOP a photograph; {source}"),
        ("test once", _hours(photographs * step / (1 + _BACKWARD) / gpus), "forward passes alone"),
    ]
    print(f"{options.paper}/{options.experiment}: {options.machines} machines, {gpus} GPUs, {cores} cores")
    print("| part | takes | from |\n|---|---|---|")
    for row in rows:
        print(f"| {' | '.join(row)} |")


def _hours(seconds: float) -> str:
    return f"{seconds / 60:.1f} min" if seconds < 3600 else f"{seconds / 3600:.1f} h"


def main(words: list[str] | None = None) -> None:
    """Print the table and write what was measured."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--root", type=Path, help="folder of real photographs; without it nothing is measured"
    )
    parser.add_argument("--set", default="idrid", help="the data set that lies there")
    parser.add_argument("--photographs", type=int, default=16, help="that are prepared")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--size", type=int, default=1024, help="pixels")
    parser.add_argument("--paper", default="clpi")
    parser.add_argument("--experiment", default="eyepacs")
    parser.add_argument("--stage", default="grading")
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--trained", type=int, default=35_126, help="photographs seen in an epoch")
    parser.add_argument("--tested", type=int, default=53_576)
    parser.add_argument("--machines", type=int, default=2)
    parser.add_argument("--gpus", type=int, default=8, help="of a machine")
    parser.add_argument("--cores", type=int, default=128, help="of a machine")
    parser.add_argument(
        "--tflops", type=float, default=20.0, help="what a GPU sustains on such a network, in bf16"
    )
    parser.add_argument(
        "--step", type=float, help="seconds of a training step for a photograph, timed on a GPU"
    )
    parser.add_argument("--out", type=Path, default=FOLDER / "many_gpus.json", help="JSON file")
    options = parser.parse_args(words)
    if options.root is None:
        print("--root FOLDER of real photographs is needed: not measured")
        return
    with tempfile.TemporaryDirectory() as name:
        cache, seconds = prepared(options.root, options.set, options.size, options.photographs, Path(name))
        kept = sum(path.stat().st_size for path in cache.folder.glob("*.images")) / cache.rows
        figures = {"prepare": seconds, "bytes": kept, "read": read_again(cache, options.repeats)}
    figures["operations"] = counted(options.paper, options.experiment, options.stage, options.size)
    show(figures, options)
    write(options.out, figures)


if __name__ == "__main__":
    main()
