"""What a saliency map costs: a pass of each method against one forward and backward pass of training.

    python experiments/bench/saliency_speed.py --out runs/bench/saliency_speed.json
    python experiments/bench/saliency_speed.py --device cuda --gpu-batch 64 --backbone resnet50
    python experiments/bench/saliency_speed.py --network o_O --size 448

``--network o_O`` measures the detection network of plugin ellg (net B, untied biases) in the place of a backbone; it
has no class activation map. Its sides are 112, 224 and 448.

The yardstick is what a training step computes without its optimiser: its loss (cross-entropy; of o_O the squared
error), and its gradients with respect to all weights, in training mode. A map is to cost at most 3 times as much.
Without ``--device`` the processor is measured, and a GPU at ``--gpu-batch`` photographs where there is one; where there
is none, the table says "not measured".

Times are medians over repeats, the rows in turn; the ratio is to the first row. Both are in single precision.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import torch
from measure import FOLDER, medians, write
from torch.nn import functional as F

from retinalab.explain import Method, saliency_maps
from retinalab.explain.usable import usable_methods
from retinalab.registry import task_class, task_config
from retinalab.tasks.base import Task

_GOAL = 3.0

Row = Callable[[], None]


def task_of(network: str, size: int) -> Task:
    """A classifier with a timm backbone, or the o_O network for photographs of that side."""
    torch.manual_seed(0)
    own = network == "o_O"
    options = {"name": "ellg", "side": size} if own else {"name": "baseline", "backbone": network}
    name = str(options["name"])
    task: Task = task_class(name)(task_config(name).model_validate(options), {"dr": "icdr5"})
    return task


def rows_of(network: str, size: int, batch: int, device: str) -> dict[str, Row]:
    """The training pass, and each method on the same photographs and network."""
    task = task_of(network, size).to(device).train()
    photographs = torch.rand(batch, 3, size, size, device=device).contiguous(
        memory_format=torch.channels_last
    )
    grades = torch.arange(batch, device=device) % 5

    def training() -> None:
        task.zero_grad(set_to_none=True)
        answer = task(photographs)["dr"]
        loss = (
            F.mse_loss(answer[:, 0], grades.float()) if network == "o_O" else F.cross_entropy(answer, grades)
        )
        loss.backward()

    def explaining(method: Method) -> Row:
        def run() -> None:
            saliency_maps(task, photographs, "dr", method, t=0.0)

        return run

    methods, _ = usable_methods(task, photographs[:1], "dr", t=0.0)
    return {"forward and backward of training": training, **{m: explaining(m) for m in methods}}


def _table(seconds: dict[str, float], title: str) -> dict[str, dict[str, float]]:
    first = next(iter(seconds.values()))
    print(f"\n{title}\n| row | seconds | ratio |\n|---|---|---|")
    for row, taken in seconds.items():
        print(f"| {row} | {taken:.3f} | {taken / first:.2f} |")
    return {row: {"seconds": taken, "ratio": taken / first} for row, taken in seconds.items()}


def main(words: list[str] | None = None) -> None:
    """Print the tables and write them as JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--network", "--backbone", default="resnet18", help="any convolutional timm model, or o_O"
    )
    parser.add_argument("--size", type=int, default=512, help="side of the photographs")
    parser.add_argument("--batch", type=int, default=8, help="photographs on the processor")
    parser.add_argument("--gpu-batch", type=int, default=64, help="photographs on a GPU")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--device", choices=["cpu", "cuda"], help="measure this one alone")
    parser.add_argument("--out", type=Path, default=FOLDER / "saliency_speed.json", help="JSON file")
    options = parser.parse_args(words)
    if options.device == "cuda" and not torch.cuda.is_available():
        parser.error("--device cuda: no GPU is to be had here")
    tables: dict[str, dict[str, dict[str, float]] | str] = {}
    for device, batch in (("cpu", options.batch), ("cuda", options.gpu_batch)):
        if options.device not in (None, device):
            continue
        if device == "cuda" and not torch.cuda.is_available():
            print(f"\n{batch} photographs on a GPU: not measured")
            tables[device] = "not measured"
            continue
        rows = rows_of(options.network, options.size, batch, device)
        title = (
            f"{options.network}: {batch} × 3 × {options.size} × {options.size} on {device}, "
            f"medians of {options.repeats}; goal: at most {_GOAL:.0f}"
        )
        tables[device] = _table(medians(rows, options.repeats, device), title)
    result = {
        "network": options.network,
        "size": options.size,
        "batch": {"cpu": options.batch, "cuda": options.gpu_batch},
        "goal": _GOAL,
        "tables": tables,
    }
    write(options.out, result)


if __name__ == "__main__":
    main()
