"""SiAN's costs: seconds and peak memory of one forward pass at 896 × 896, batch 1, against the paper's 1.5 GB.

    python experiments/bench/sian_speed.py --out runs/bench/sian_speed.json
    python experiments/bench/sian_speed.py --size 448 --repeats 3

One pass maps and names lesions and grades. On the processor in float32; where there is a GPU, there in bfloat16 too
(section 4.1: about 1.5 GB of GPU memory), else the table says that it was not measured. The main branch alone, the
plain Inception-v3 of Table 6, stands beside it.

Times are medians over repeats, the rows in turn, after one pass that is not counted. Memory is that of a fresh process:
what the row needs beyond the photograph and weights (*pass*: on a processor the growth of the resident peak, on a GPU
that of the allocator), and all of it (*whole*: on a processor the resident peak with interpreter and libraries, on a
GPU the allocator's peak with weights, without the driver's context).
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import platform
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import torch
from retinalab_sian.network import PlainGrader, SiAN
from torch import Tensor, nn

_ROOT = Path(__file__).resolve().parents[2]
_GRADES = {"dr": 5}
_PAPER_GB = 1.5

Row = Callable[[], Tensor]


def networks(backbone: str) -> dict[str, Callable[[], nn.Module]]:
    """What is measured."""
    return {
        "SiAN": lambda: SiAN(_GRADES, backbone),
        "main branch alone": lambda: PlainGrader(_GRADES, backbone),
    }


def row_of(name: str, backbone: str, size: int, batch: int, device: str) -> Row:
    """One forward pass of a network with random weights, as a run evaluates it."""
    torch.manual_seed(0)
    network = networks(backbone)[name]().to(device, memory_format=torch.channels_last).eval()
    drawn = torch.rand(batch, 3, size, size, device=device)
    photographs = drawn.contiguous(memory_format=torch.channels_last)

    def run() -> Tensor:
        with torch.inference_mode(), torch.autocast(device, torch.bfloat16, enabled=device == "cuda"):
            given = network(photographs)
        logits: Tensor = given.logits["dr"]
        return logits

    return run


def measure(rows: dict[str, Row], repeats: int, device: str) -> dict[str, float]:
    """Medians of seconds, the rows in turn."""
    taken: dict[str, list[float]] = {name: [] for name in rows}
    for repeat in range(repeats + 1):
        for name, row in rows.items():
            _wait(device)
            start = time.perf_counter()
            row()
            _wait(device)
            if repeat:
                taken[name].append(time.perf_counter() - start)
    return {name: float(np.median(seconds)) for name, seconds in taken.items()}


def peak(name: str, backbone: str, size: int, batch: int, device: str) -> tuple[float, float]:
    """MiB of the pass and of the whole, in a process of its own."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_peak, name, backbone, size, batch, device).result()


def _peak(name: str, backbone: str, size: int, batch: int, device: str) -> tuple[float, float]:
    row = row_of(name, backbone, size, batch, device)
    if device == "cuda":
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        row()
        whole = torch.cuda.max_memory_allocated()
        return (whole - before) / 2**20, whole / 2**20
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far, which a process also inherits
    resident = _high_water()
    row()
    return (_high_water() - resident) / 2**10, _high_water() / 2**10


def _high_water() -> int:
    """Largest resident size so far, KiB (Linux)."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))


def _wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def table_of(options: argparse.Namespace, device: str) -> dict[str, dict[str, float]]:
    """Row -> seconds and MiB."""
    shape = (options.backbone, options.size, options.batch, device)
    seconds = measure(
        {name: row_of(name, *shape) for name in networks(options.backbone)}, options.repeats, device
    )
    found = {}
    for name, taken in seconds.items():
        of_pass, whole = peak(name, *shape)
        found[name] = {"seconds": taken, "MiB of the pass": of_pass, "MiB, whole": whole}
    return found


def show(table: dict[str, dict[str, float]], title: str) -> None:
    """Print one table."""
    print(f"\n{title}")
    print("| row | seconds | peak of the pass, MiB | peak, whole, MiB |\n|---|---|---|---|")
    for name, row in table.items():
        print(f"| {name} | {row['seconds']:.3f} | {row['MiB of the pass']:,.0f} | {row['MiB, whole']:,.0f} |")


def main(words: list[str] | None = None) -> None:
    """Print the tables and write them as JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", type=int, default=896, help="side of the photograph, a multiple of 32")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--backbone", default="inception_v3", help="the paper's, or any other of timm")
    parser.add_argument("--out", type=Path, default=_ROOT / "runs/bench/sian_speed.json", help="JSON file")
    options = parser.parse_args(words)
    if options.size % 32 or options.size <= 0:
        parser.error(f"--size {options.size}: give a multiple of 32, such as 896")
    given = f"{options.batch} × 3 × {options.size} × {options.size}"
    tables = {"cpu, float32": table_of(options, "cpu")}
    show(tables["cpu, float32"], f"{given} on {platform.machine()}, float32, medians of {options.repeats}")
    if torch.cuda.is_available():
        tables["cuda, bfloat16"] = found = table_of(options, "cuda")
        name = torch.cuda.get_device_name()
        show(found, f"{given} on {name}, bfloat16 by autocast, medians of {options.repeats}")
        whole = found["SiAN"]["MiB, whole"] * 2**20 / 1e9
        print(f"\nSiAN on the GPU: {whole:.2f} GB; the paper: about {_PAPER_GB} GB")
    else:
        print(f"\nbfloat16 on a GPU, against the paper's {_PAPER_GB} GB: not measured, there is no GPU here")
    result = {
        "size": options.size,
        "batch": options.batch,
        "backbone": options.backbone,
        "machine": platform.machine(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "threads": torch.get_num_threads(),
        "cores": len(os.sched_getaffinity(0)),
        "load": os.getloadavg()[0],
        "torch": torch.__version__,
        "tables": tables,
    }
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
