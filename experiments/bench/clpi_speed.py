"""CLPI's costs: one pass of the generator against the patches that it replaces, the framework against a plain network.

    python experiments/bench/clpi_speed.py --out runs/bench/clpi_speed.json
    python experiments/bench/clpi_speed.py --device cuda --size 1024 --batch 8

*Pass or patches*: the generator's probabilities of one photograph, in one pass and as one batch of the patches of 68
pixels under its units. They cost the same arithmetic, but for the overlap of 4 pixels, and must agree to 1e-5; the
largest difference is measured, on float32. *Framework or plain*: CLPI and an ordinary classifier with the same
DenseNet-121, which both grade the photograph at half its side; for inference and for a step of training. *Whole or
parts*: the framework against the sum of what it is made of, each alone: DenseNet-121 on a photograph of half the side,
and the generator on the whole one. What the whole costs beyond it is the attention, the wider first convolution and the
integration of the shortcut.

Times are medians over repeats, the rows of a table in turn; the ratio is to the first row. Memory is what the row
needs beyond the photographs and weights: on a processor the peak of a fresh process less its level before the row, on
a GPU the allocator's peak. ``--clock process`` counts the processor's time for this process alone, where others use the
machine.
"""

from __future__ import annotations

import argparse
import platform
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from measure import FOLDER, medians, peak, write
from retinalab_clpi.generator import FIELD, STRIDE, LesionAttentionGenerator
from retinalab_clpi.network import CLPI, Grades, PlainGrader
from torch import Tensor
from torch.nn import functional as F

_BEFORE = (FIELD - STRIDE) // 2
_GRADES = {"dr": 5}
_TABLES = (
    "pass or patches",
    "inference",
    "step of training",
    "inference, whole or parts",
    "step of training, whole or parts",
)

_PARTS = ("DenseNet-121 alone, half the side", "generator alone")

Row = Callable[[], Tensor]


def patches_of(photographs: Tensor) -> Tensor:
    """The windows under the units, zeros beyond the border: ``(B, 3, S, S)`` -> ``(B · units, 3, 68, 68)``."""
    padded = F.pad(photographs, (_BEFORE,) * 4)
    cut = padded.unfold(2, FIELD, STRIDE).unfold(3, FIELD, STRIDE)
    return cut.permute(0, 2, 3, 1, 4, 5).reshape(-1, photographs.shape[1], FIELD, FIELD)


def generator_rows(size: int, batch: int, device: str) -> dict[str, Row]:
    """One pass, and the patches; both give ``(B, 4, h, w)``."""
    torch.manual_seed(0)
    network = LesionAttentionGenerator().to(device, memory_format=torch.channels_last).eval()
    _settle(network, device)
    photographs = _photographs(batch, size, device)
    units = size // STRIDE

    def one_pass() -> Tensor:
        with torch.inference_mode():
            return network(photographs).softmax(1)

    def patches() -> Tensor:
        with torch.inference_mode():
            cut = patches_of(photographs).contiguous(memory_format=torch.channels_last)
            given: Tensor = network(cut, padded=False).softmax(1)
            return given.view(batch, units, units, -1).permute(0, 3, 1, 2)

    return {"one pass": one_pass, f"{units * units} patches": patches}


def network_rows(size: int, batch: int, device: str, training: bool) -> dict[str, Row]:
    """A plain DenseNet-121, and the framework round it."""
    torch.manual_seed(0)
    photographs = _photographs(batch, size, device)
    grades = torch.arange(batch, device=device) % _GRADES["dr"]
    rows: dict[str, Row] = {}
    for name, network in {
        "DenseNet-121": PlainGrader(_GRADES),
        "CLPI, widths of the paper": CLPI(_GRADES),
        "CLPI, widths of the code": CLPI(_GRADES, widths="code"),
    }.items():
        placed = network.to(device, memory_format=torch.channels_last).train(training)
        rows[name] = _step(placed, photographs, grades) if training else _inference(placed, photographs)
    return rows


def part_rows(size: int, batch: int, device: str, training: bool) -> dict[str, Row]:
    """What the framework is made of, and the whole."""
    torch.manual_seed(0)
    photographs, small = _photographs(batch, size, device), _photographs(batch, size // 2, device)
    grades = torch.arange(batch, device=device) % _GRADES["dr"]
    rows: dict[str, Row] = {}
    for name, network, given in (
        (_PARTS[0], Backbone(), small),
        (_PARTS[1], Generator(), photographs),
        ("CLPI, whole framework", CLPI(_GRADES), photographs),
    ):
        placed = network.to(device, memory_format=torch.channels_last).train(training)
        rows[name] = _step(placed, given, grades) if training else _inference(placed, given)
    return rows


class Backbone(torch.nn.Module):
    """DenseNet-121 with its classifier, on photographs of the side that it sees."""

    def __init__(self) -> None:
        super().__init__()
        whole = PlainGrader(_GRADES)
        self.backbone, self.head = whole.backbone, whole.heads["dr"]

    def forward(self, images: Tensor) -> Grades:
        """Grade them."""
        features: Tensor = self.backbone(images)
        return Grades({"dr": self.head(features.mean((2, 3)))}, None, features)


class Generator(torch.nn.Module):
    """The generator; the mean of its units stands for a grade, so that a step teaches it."""

    def __init__(self) -> None:
        super().__init__()
        self.generator = LesionAttentionGenerator()

    def forward(self, images: Tensor) -> Grades:
        """Its probabilities, as the framework makes them."""
        lesions: Tensor = self.generator(images)
        mean = lesions.float().softmax(1).mean((2, 3))
        return Grades({"dr": F.pad(mean, (0, _GRADES["dr"] - mean.shape[1]))}, lesions, lesions)


def _inference(network: torch.nn.Module, photographs: Tensor) -> Row:
    def run() -> Tensor:
        with torch.inference_mode():
            logits: Tensor = network(photographs).logits["dr"]
            return logits

    return run


def _step(network: torch.nn.Module, photographs: Tensor, grades: Tensor) -> Row:
    optimiser = torch.optim.SGD(network.parameters(), 1e-3, 0.9)

    def run() -> Tensor:
        loss = F.cross_entropy(network(photographs).logits["dr"], grades)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        return loss.detach()

    return run


def _settle(network: torch.nn.Module, device: str) -> None:
    """Give the normalisation statistics of its own, as training would; without them the outputs would explode."""
    network.train()
    with torch.no_grad():
        for _ in range(20):
            network(_photographs(1, 4 * STRIDE, device))
    network.eval()


def _photographs(batch: int, size: int, device: str) -> Tensor:
    drawn = torch.rand(batch, 3, size, size, device=device)
    return drawn.contiguous(memory_format=torch.channels_last)


def rows_of(table: str, size: int, batch: int, device: str) -> dict[str, Row]:
    """What one table measures."""
    if table == "pass or patches":
        return generator_rows(size, batch, device)
    if table.endswith("whole or parts"):
        return part_rows(size, batch, device, training=table.startswith("step of training"))
    return network_rows(size, batch, device, training=table == "step of training")


def row_of(table: str, row: str, size: int, batch: int, device: str) -> Row:
    """One row of a table."""
    return rows_of(table, size, batch, device)[row]


def main(words: list[str] | None = None) -> None:
    """Print the tables and write them as JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--size", type=int, default=1024, help="side of the photographs; the networks see half"
    )
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--clock", choices=["wall", "process"], default="wall")
    parser.add_argument("--tables", nargs="+", choices=_TABLES, default=list(_TABLES), metavar="TABLE")
    parser.add_argument("--out", type=Path, default=FOLDER / "clpi_speed.json", help="JSON file")
    options = parser.parse_args(words)
    if options.size % STRIDE:
        parser.error(f"--size {options.size}: give a multiple of {STRIDE}, such as 1024")
    if options.device == "cuda" and not torch.cuda.is_available():
        parser.error("--device cuda: no GPU is to be had here")
    size, batch, device = options.size, options.batch, options.device
    tables: dict[str, dict[str, dict[str, float]]] = {}
    sums: dict[str, float] = {}
    for table in options.tables:
        rows = rows_of(table, size, batch, device)
        seconds = medians(rows, options.repeats, device, options.clock)
        tables[table] = {
            row: {"seconds": taken, "MiB": peak(partial(row_of, table, row, size, batch, device), device)[0]}
            for row, taken in seconds.items()
        }
        print(f"\n{table}: {batch} × 3 × {size} × {size} on {device}, medians of {options.repeats}")
        print("| row | seconds | ratio | peak memory, MiB |\n|---|---|---|---|")
        first = next(iter(seconds.values()))
        for row, values in tables[table].items():
            print(
                f"| {row} | {values['seconds']:.3f} | {values['seconds'] / first:.2f} | {values['MiB']:,.0f} |"
            )
        if table.endswith("whole or parts"):
            whole = seconds["CLPI, whole framework"]
            sums[table] = sum(seconds[part] for part in _PARTS) / whole
            print(f"\nsum of the parts ÷ whole: {sums[table]:.3f}")
    in_one, cut = (row() for row in generator_rows(size, batch, device).values())
    difference = float((in_one - cut).abs().max())
    print(f"\nlargest difference between one pass and the patches: {difference:.1e} (probabilities, float32)")
    result = {
        "size": size,
        "batch": batch,
        "device": torch.cuda.get_device_name() if device == "cuda" else platform.machine(),
        "difference": difference,
        "clock": options.clock,
        "sum of the parts ÷ whole": sums,
        "tables": tables,
    }
    write(options.out, result)


if __name__ == "__main__":
    main()
