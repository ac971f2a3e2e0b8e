"""Inference: CANet in batches against the network as published, and seconds per photograph beside the papers' figures.

    python experiments/bench/inference_speed.py --out runs/bench/inference_speed.json
    python experiments/bench/inference_speed.py --size 128 --clock process --repeats 3

*Batches*: CANet with ResNet-50 on photographs in memory. *As published*: single precision, channels first, under
``no_grad``. *Ours* is what ``retinalab predict`` computes: channels last, batch normalisation folded into convolutions,
inference mode; in single precision, and in bfloat16 where the processor or GPU computes it fast (AMX or AVX-512 BF16).
*One by one*: seconds per photograph at batch 1, at the papers' sizes, beside 0.02 (CANet, Titan Xp) and 0.028 (CLPI,
P40), which were measured on other machines.

Times are medians over repeats, the rows of a table in turn, after one pass that is not counted; ratios are to the first
row. ``--clock process`` counts the processor's time for this process alone, where others use the machine; threads are
then added up.
"""

from __future__ import annotations

import argparse
import platform
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path

import torch
from measure import FOLDER, medians, write
from retinalab_canet.network import CANet
from retinalab_clpi.network import CLPI
from torch import Tensor, nn

from retinalab.config import TrainerConfig
from retinalab.predict.folding import fold_normalisation
from retinalab.runner.trainer import resolved_precision

_GRADES = {"dr": 2, "dme": 3}
_PAPERS = {"CANet": (224, 0.02, "Titan Xp"), "CLPI": (1024, 0.028, "P40")}

Row = Callable[[], None]


def networks() -> dict[str, nn.Module]:
    """The two papers that state a time, with random weights."""
    torch.manual_seed(0)
    return {"CANet": CANet("resnet50", _GRADES).eval(), "CLPI": CLPI({"dr": 5}).eval()}


def published(network: nn.Module, photographs: Tensor) -> Row:
    """Single precision, channels first."""

    def run() -> None:
        with torch.no_grad():
            network(photographs)

    return run


def ours(network: nn.Module, photographs: Tensor, half: bool) -> Row:
    """As photographs are predicted."""
    placed = deepcopy(network).to(memory_format=torch.channels_last).requires_grad_(False)
    given = photographs.contiguous(memory_format=torch.channels_last)

    def run() -> None:
        with torch.inference_mode(), torch.autocast(given.device.type, torch.bfloat16, enabled=half):
            placed(given)

    fold_normalisation(placed, lambda: placed(given[:1]))
    return run


def half_pays(device: str) -> bool:
    """Whether runs compute in bfloat16 here unless told otherwise."""
    accelerator = "cpu" if device == "cpu" else "gpu"
    return resolved_precision(TrainerConfig(accelerator=accelerator)).startswith("bf16")  # type: ignore[arg-type]


def batch_rows(network: nn.Module, size: int, batch: int, device: str) -> dict[str, Row]:
    """CANet in batches."""
    photographs = torch.rand(batch, 3, size, size, device=device)
    rows = {
        "as published, fp32": published(network, photographs),
        "ours, fp32": ours(network, photographs, False),
    }
    return rows | ({"ours, bf16": ours(network, photographs, True)} if half_pays(device) else {})


def single_rows(every: dict[str, nn.Module], device: str, sizes: dict[str, int]) -> dict[str, Row]:
    """Each paper's network on one photograph."""
    half = half_pays(device)
    rows: dict[str, Row] = {}
    for name, network in every.items():
        photograph = torch.rand(1, 3, sizes[name], sizes[name], device=device)
        rows[f"{name}, as published"] = published(network, photograph)
        rows[f"{name}, ours, {'bf16' if half else 'fp32'}"] = ours(network, photograph, half)
    return rows


def show_batches(seconds: dict[str, float], title: str, batch: int) -> None:
    """Print the first table."""
    print(f"\n{title}\n| row | seconds a batch | photographs a second | times as fast |\n|---|---|---|---|")
    first = next(iter(seconds.values()))
    for row, taken in seconds.items():
        print(f"| {row} | {taken:.3f} | {batch / taken:.1f} | {first / taken:.2f} |")


def show_single(seconds: dict[str, float], title: str, sizes: dict[str, int]) -> None:
    """Print the second table."""
    print(f"\n{title}\n| row | side | seconds | the paper's |\n|---|---|---|---|")
    for row, taken in seconds.items():
        name = row.partition(",")[0]
        side, paper, where = _PAPERS[name]
        beside = (
            f"{paper} ({where})" if sizes[name] == side else f"{paper} ({where}), of {side} x {side} pixels"
        )
        print(f"| {row} | {sizes[name]} | {taken:.3f} | {beside} |")


def main(words: list[str] | None = None) -> None:
    """Print the tables and write them as JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", type=int, default=224, help="side of CANet's photographs")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument(
        "--side-of-clpi", type=int, default=1024, help="side of CLPI's photograph, a multiple of 64"
    )
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--clock", choices=["wall", "process"], default="wall")
    parser.add_argument("--out", type=Path, default=FOLDER / "inference_speed.json", help="JSON file")
    options = parser.parse_args(words)
    if options.device == "cuda" and not torch.cuda.is_available():
        parser.error("--device cuda: no GPU is to be had here")
    if options.device == "cuda" and options.clock == "process":
        parser.error("--clock process: a GPU's time is not the processor's; use --clock wall")
    device, repeats = options.device, options.repeats
    every = {name: network.to(device) for name, network in networks().items()}
    sizes = {"CANet": options.size, "CLPI": options.side_of_clpi}
    batches = medians(
        batch_rows(every["CANet"], options.size, options.batch, device), repeats, device, options.clock
    )
    shape = f"{options.batch} × 3 × {options.size} × {options.size} on {device}"
    show_batches(batches, f"CANet, {shape}, medians of {repeats}, {options.clock} time", options.batch)
    single = medians(single_rows(every, device, sizes), repeats, device, options.clock)
    show_single(single, f"one photograph on {device}, medians of {repeats}, {options.clock} time", sizes)
    result = {
        "size": options.size,
        "batch": options.batch,
        "clock": options.clock,
        "device": torch.cuda.get_device_name() if device == "cuda" else platform.machine(),
        "bf16": half_pays(device),
        "seconds a batch": batches,
        "times as fast": {row: next(iter(batches.values())) / taken for row, taken in batches.items()},
        "seconds a photograph": single,
    }
    write(options.out, result)


if __name__ == "__main__":
    main()
