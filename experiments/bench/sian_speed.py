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
import platform
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from measure import FOLDER, medians, peak, write
from retinalab_sian.network import PlainGrader, SiAN
from torch import Tensor, nn

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


def table_of(options: argparse.Namespace, device: str) -> dict[str, dict[str, float]]:
    """Row -> seconds and MiB."""
    shape = (options.backbone, options.size, options.batch, device)
    rows = {name: row_of(name, *shape) for name in networks(options.backbone)}
    found = {}
    for name, taken in medians(rows, options.repeats, device).items():
        of_pass, whole = peak(partial(row_of, name, *shape), device)
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
    parser.add_argument("--out", type=Path, default=FOLDER / "sian_speed.json", help="JSON file")
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
        "tables": tables,
    }
    write(options.out, result)


if __name__ == "__main__":
    main()
