"""What generating photographs with lesions costs, without the saliency pass, and which part of it costs what.

    python experiments/bench/ellg_generation.py --threads 2 --out runs/bench/ellg_generation.json
    python experiments/bench/ellg_generation.py --device cuda --batch 64

Photographs of the synthetic world at the working size; the saliency of a source is its true lesions at the side of a
feature map, 27 pixels. *Generation* is all that happens to a batch on the device: fields of view, thresholds, masks,
connected patches, shifts, colour transfer, blending, records. The ablations are the same without that part. *Parts* are
timed apart, on what the part before gave. *Selection* is the choice of one pair among 35,126 candidates with the grades
of EyePACS; *planning* is finding all that can give each grade, by grades and normal targets or, the costliest, by
severities and any target.

Times are medians over repeats, the rows in turn.
"""

from __future__ import annotations

import argparse
import platform
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from measure import FOLDER, medians, write
from retinalab_ellg.cut import connected_patches, field_of_view, lesion_masks
from retinalab_ellg.generate import generate
from retinalab_ellg.generation_config import GenerationConfig
from retinalab_ellg.select import Candidates, Pair, Selection
from torch import Tensor
from torch.nn import functional as F

from retinalab.data.fov import crop_mask, crop_to_square
from retinalab.data.fov import field_of_view as find_field
from retinalab.synthetic import World, WorldOptions
from retinalab.transforms.reinhard import statistics, to_lab

_SALIENCY = 27
_DRAWN = 8
_EYEPACS = (25810, 2443, 5292, 873, 708)
_ABLATIONS = {
    "generation": {},
    "without shift": {"shift": False},
    "without colour transfer": {"colour_transfer": False},
    "without mixup": {"mixup": False},
}

Row = Callable[[], object]


@dataclass(frozen=True)
class Given:
    """A batch to generate from."""

    sources: Tensor
    targets: Tensor
    saliency: Tensor
    pairs: list[Pair]


def draw(size: int, batch: int, device: str) -> Given:
    """Photographs of the synthetic world with and without lesions; a few, repeated to the batch."""
    world = World(WorldOptions(photographs=2000, seed=3, faults=0.0))
    sources: list[tuple[np.ndarray, np.ndarray]] = []
    targets: list[tuple[np.ndarray, np.ndarray]] = []
    grades: list[int] = []
    for index in range(0, len(world), 7):
        grade = world.scene(index).dr
        chosen = targets if grade == 0 else sources
        if len(chosen) == min(batch, _DRAWN) or grade == 1:
            continue
        photograph = world.render(index, size)
        field = find_field(photograph.image)
        mask = crop_mask(photograph.masks.any(0), field, size)
        chosen.append((crop_to_square(photograph.image, field, size), mask))
        grades += [grade] if grade else []
        if len(sources) == len(targets) == min(batch, _DRAWN):
            break
    again = np.arange(batch) % len(sources)
    first, second = (
        torch.from_numpy(np.stack([kept[row][0] for row in again]))
        .permute(0, 3, 1, 2)
        .contiguous()
        .to(device)
        for kept in (sources, targets)
    )
    masks = torch.from_numpy(np.stack([sources[row][1] for row in again])).float()[:, None]
    saliency = F.adaptive_avg_pool2d(masks, _SALIENCY)[:, 0].to(device)
    pairs = [Pair(k, k, batch + k, 0.6, float(grades[row]), 0.0, 0) for k, row in enumerate(again)]
    return Given(first, second, saliency, pairs)


def generation_rows(given: Given) -> dict[str, Row]:
    """A batch from photographs to photographs, with every part and without each."""

    def row(config: GenerationConfig) -> Row:
        return lambda: generate(
            given.sources,
            field_of_view(given.sources),
            given.saliency,
            given.targets,
            field_of_view(given.targets),
            given.pairs,
            config,
            (0, 1),
        )

    return {name: row(GenerationConfig.model_validate(options)) for name, options in _ABLATIONS.items()}


def part_rows(given: Given) -> dict[str, Row]:
    """What the parts cost."""
    fields = field_of_view(given.sources)
    thresholds = torch.full((len(given.pairs),), 0.65)
    masks = lesion_masks(given.saliency, fields, thresholds)
    lab = to_lab(given.sources.float() / 255)
    return {
        "fields of view": lambda: field_of_view(given.sources),
        "masks": lambda: lesion_masks(given.saliency, fields, thresholds),
        "connected patches": lambda: connected_patches(masks, 64),
        "to lαβ": lambda: to_lab(given.sources.float() / 255),
        "statistics": lambda: statistics(lab, fields),
    }


def selection_rows() -> dict[str, Row]:
    """The choice of one pair, and what comes before it once."""
    grade = np.repeat(np.arange(len(_EYEPACS)), _EYEPACS)
    rng = np.random.default_rng(0)
    predicted = np.where(rng.random(len(grade)) < 0.8, grade, 0)
    severity = (predicted + rng.uniform(-0.5, 0.5, len(grade))).astype(np.float32).astype(float)
    candidates = Candidates(grade, predicted, severity, ["train"] * len(grade))
    plain, costly = GenerationConfig(), GenerationConfig(labels="severity", blend_target="any")
    selection, other = (Selection(candidates, config, (0, 1)) for config in (plain, costly))
    return {
        "one pair": lambda: selection.pair(17),
        "one pair by severities": lambda: other.pair(17),
        "planning": lambda: Selection(candidates, plain, (0, 1)),
        "planning by severities": lambda: Selection(candidates, costly, (0, 1)),
    }


def main(words: list[str] | None = None) -> None:
    """Print the tables and write them as JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", type=int, default=512, help="side of the photographs, pixels")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=0, help="of torch; default: its own choice")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--out", type=Path, default=FOLDER / "ellg_generation.json", help="JSON file")
    options = parser.parse_args(words)
    if options.size < 64 or options.batch < 1:
        parser.error(
            f"--size {options.size} --batch {options.batch}: give at least 64 pixels and 1 photograph"
        )
    if options.device == "cuda" and not torch.cuda.is_available():
        parser.error("--device cuda: no GPU is to be had here")
    if options.threads:
        torch.set_num_threads(options.threads)
    given = draw(options.size, options.batch, options.device)
    tables = {
        "generation": medians(generation_rows(given), options.repeats, options.device),
        "parts": medians(part_rows(given), options.repeats, options.device),
        "selection": medians(selection_rows(), options.repeats),
    }
    print(
        f"{options.batch} × 3 × {options.size} × {options.size} on {options.device}, medians of {options.repeats}"
    )
    for table, seconds in tables.items():
        print(f"\n{table}\n| row | ms per photograph | photographs per second |\n|---|---|---|")
        count = 1 if table == "selection" else options.batch
        for row, taken in seconds.items():
            print(f"| {row} | {1000 * taken / count:.2f} | {count / taken:,.0f} |")
    result = {
        "size": options.size,
        "batch": options.batch,
        "device": torch.cuda.get_device_name() if options.device == "cuda" else platform.machine(),
        "tables": tables,
    }
    write(options.out, result)


if __name__ == "__main__":
    main()
