"""What resolution takes away: grade 0 against grade 1 (microaneurysms only) at 128, 256 and 512 pixels.

    python experiments/bench/synthetic_resolution.py --out resolution.json

One world, the same photographs of grades 0 and 1 in equal numbers, split by patient; at each size a small fully
convolutional network from scratch, with equal steps on equally many crops of equally many pixels. It learns where
microaneurysms are, from the masks, so that what is measured is what can be seen and not what a single label per
photograph teaches in few steps. A photograph's score is the mean of the three highest cells of its whole map; the
validation photographs choose the threshold. On two cores with bf16 it takes about ten minutes, two of them to draw
the photographs.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from retinalab.config import TrainerConfig
from retinalab.data.cache import Cache
from retinalab.data.preparation import Preparation
from retinalab.data.prepare import prepare
from retinalab.data.sets import open_set
from retinalab.data.splits import split
from retinalab.metrics import evaluate
from retinalab.protocol import SCALES, Protocol
from retinalab.records import LESIONS, Records
from retinalab.runner.trainer import resolved_precision
from retinalab.synthetic import WORLD_VERSION
from retinalab.tasks.optim import cosine

STRIDE = 4
HIGHEST = 3
WEIGHT = 0.15
PROTOCOL = Protocol(test=0.35, validation=0.15)


@dataclass(frozen=True)
class Recipe:
    """What is equal at every size."""

    steps: int
    crop: int
    batch: int
    learning_rate: float
    seed: int
    bf16: bool


class SmallNetwork(nn.Module):
    """Five blocks of two 3×3 convolutions; a map of logits at a quarter of the photograph's size.

    Shape:
        - ``images``: ``(B, 3, H, W)``, float32, as :func:`as_input` gives them; H and W multiples of 4.
        - Returns: ``(B, 1, H / 4, W / 4)``.
    """

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        plan = ((width, 1, 1), (2 * width, 2, 1), (4 * width, 2, 1), (4 * width, 1, 2), (4 * width, 1, 4))
        layers: list[nn.Module] = []
        given = 3
        for out, stride, dilation in plan:
            for step in (stride, 1):
                layers += [
                    nn.Conv2d(given, out, 3, step, dilation, dilation, bias=False),
                    nn.BatchNorm2d(out),
                    nn.ReLU(inplace=True),
                ]
                given = out
        self.blocks = nn.Sequential(*layers)
        self.head = nn.Conv2d(given, 1, 1)
        nn.init.constant_(self.head.get_parameter("bias"), math.log(0.01 / 0.99))

    def forward(self, images: Tensor) -> Tensor:
        """Logits of a microaneurysm in each cell."""
        logits: Tensor = self.head(self.blocks(images))
        return logits


@dataclass(frozen=True)
class Photographs:
    """Prepared photographs of one part: rows of the cache, grades and units of independence."""

    cache: Cache
    rows: np.ndarray
    records: Records

    @property
    def grades(self) -> np.ndarray:
        """``(n,)`` 0 or 1."""
        return self.records.table["dr"].to_numpy(np.int64)

    def images(self, which: np.ndarray) -> np.ndarray:
        """``(B, S, S, 3)`` uint8."""
        return self.cache.images(self.rows[which])

    def masks(self, which: np.ndarray) -> np.ndarray:
        """``(B, S, S)`` uint8: where microaneurysms are."""
        return (self.cache.planes(self.rows[which])[:, 0] >> LESIONS.index("MA")) & 1


def chosen_rows(records: Records, count: int) -> dict[str, np.ndarray]:
    """Part -> rows of grades 0 and 1 in equal numbers, ``count`` in all at most; no patient in two parts."""
    table = records.table
    rows = np.flatnonzero(table["dr"].isin((0, 1)) & table["gradable"])
    rows = rows[: _prefix(table["dr"].to_numpy()[rows], count)]
    assigned = split(records.take(rows), PROTOCOL)
    parts = {}
    for name in ("train", "val", "test"):
        own = rows[getattr(assigned, name)]
        grades = table["dr"].to_numpy()[own]
        few = min(int((grades == 0).sum()), int((grades == 1).sum()))
        parts[name] = np.sort(np.concatenate([own[grades == g][:few] for g in (0, 1)]))
    return parts


def _prefix(grades: np.ndarray, count: int) -> int:
    """How many rows hold ``count`` / 2 of the rarer grade."""
    both = np.minimum(np.cumsum(grades == 0), np.cumsum(grades == 1))
    return int(np.searchsorted(both, count // 2)) + 1


def crops(
    part: Photographs, recipe: Recipe, rng: np.random.Generator, size: int
) -> tuple[np.ndarray, np.ndarray]:
    """A batch of crops, half of each grade; of grade 1, half round a microaneurysm; turned, mirrored, dimmed.

    Shape:
        - Returns: ``(B, C, C, 3)`` float32 in 0-255 and above, ``(B, C, C)`` uint8.
    """
    side, half = recipe.crop, recipe.batch // 2
    which = np.concatenate([rng.choice(np.flatnonzero(part.grades == g), half) for g in (0, 1)])
    images = np.empty((len(which), side, side, 3), np.float32)
    masks = np.empty((len(which), side, side), np.uint8)
    for k, (image, mask) in enumerate(zip(part.images(which), part.masks(which), strict=True)):
        corner = rng.integers(0, size - side + 1, 2)
        spots = np.argwhere(mask)
        if k % 2 and len(spots):
            within = rng.integers(side // 8, side - side // 8, 2)
            corner = np.clip(spots[rng.integers(len(spots))] - within, 0, size - side)
        (y, x), turn, step = corner, int(rng.integers(4)), 1 - 2 * int(rng.integers(2))
        image, mask = (plane[y : y + side, x : x + side] for plane in (image, mask))
        images[k] = np.rot90(image, turn)[:, ::step] * np.float32(rng.uniform(0.85, 1.15))
        masks[k] = np.rot90(mask, turn)[:, ::step]
    return images, masks


def as_input(images: np.ndarray, size: int) -> Tensor:
    """Contrast to the local average (standard deviation a sixtieth of the photograph), within [-4, 4].

    Shape:
        - ``images``: ``(B, H, W, 3)`` of 0-255. Returns: ``(B, 3, H, W)``, channels last in memory.
    """
    out = np.empty(images.shape, np.float32)
    for k, image in enumerate(images.astype(np.float32)):
        out[k] = (image - cv2.GaussianBlur(image, (0, 0), size / 60)) / 16
    return torch.from_numpy(out.clip(-4, 4)).permute(0, 3, 1, 2)


def cell_loss(logits: Tensor, cells: Tensor) -> Tensor:
    """Cross-entropy in which cells with a microaneurysm, a few in a thousand, weigh ``WEIGHT`` of the whole."""
    each = F.binary_cross_entropy_with_logits(logits, cells, reduction="none")
    there, absent = (each * cells).sum(), (each * (1 - cells)).sum()
    without = (1 - cells).sum().clamp(min=1)
    return WEIGHT * there / cells.sum().clamp(min=1) + (1 - WEIGHT) * absent / without


def trained(part: Photographs, recipe: Recipe, size: int) -> SmallNetwork:
    """A network after the recipe's steps."""
    torch.manual_seed(recipe.seed)
    rng = np.random.default_rng(recipe.seed)
    network = SmallNetwork().to(memory_format=torch.channels_last).train()
    optimiser = torch.optim.AdamW(network.parameters(), lr=recipe.learning_rate, weight_decay=1e-4)
    plan = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda step: cosine(step, recipe.steps, max(1, recipe.steps // 20))
    )
    for _ in range(recipe.steps):
        images, masks = crops(part, recipe, rng, size)
        cells = F.max_pool2d(torch.from_numpy(masks)[:, None].float(), STRIDE)
        with torch.autocast("cpu", torch.bfloat16, enabled=recipe.bf16):
            logits = network(as_input(images, size))
        loss = cell_loss(logits.float(), cells)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        plan.step()
    return network.eval()


def scores(network: SmallNetwork, part: Photographs, bf16: bool) -> np.ndarray:
    """Mean logit of the highest cells of each whole photograph."""
    found = []
    for start in range(0, len(part.rows), 8):
        which = np.arange(start, min(start + 8, len(part.rows)))
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            logits = network(as_input(part.images(which), part.cache.size))
        highest = logits.float().flatten(1).topk(HIGHEST, dim=1).values
        found.append(highest.mean(dim=1).numpy())
    return np.concatenate(found)


def threshold(scored: np.ndarray, grades: np.ndarray) -> float:
    """Between two photographs' scores, where most photographs of equal numbers are on their side."""
    order = np.sort(scored)
    between = np.concatenate([[order[0] - 1], (order[1:] + order[:-1]) / 2, [order[-1] + 1]])
    right = [((scored > cut) == (grades == 1)).mean() for cut in between]
    best = np.flatnonzero(np.isclose(right, np.max(right)))
    return float(between[best[len(best) // 2]])


def predictions(part: Photographs, scored: np.ndarray, cut: float, seed: int) -> pd.DataFrame:
    """The rows of a predictions table."""
    chance = 1 / (1 + np.exp(-(scored - cut)))
    return pd.DataFrame(
        {
            "image": part.records.table["image"],
            "set": "synthetic",
            "group": part.records.groups,
            "part": "test",
            "seed": seed,
            "dr": part.grades,
            "dr_p0": 1 - chance,
            "dr_p1": chance,
            "dr_grade": (scored > cut).astype(np.int64),
        }
    )


def at_size(size: int, options: argparse.Namespace) -> dict[str, Any]:
    """Kappa, AUC and times at one size."""
    source = open_set("synthetic", None, {"photographs": options.world, "seed": options.world_seed})
    records = source.records()
    rows = chosen_rows(records, options.photographs)
    everything = np.sort(np.concatenate(list(rows.values())))
    began = time.monotonic()
    preparation = Preparation(size, masks=True, folder=options.cache)
    cache = prepare(source, records.take(everything), preparation)
    drawn = time.monotonic() - began
    parts = {}
    for name, own in rows.items():
        places = np.searchsorted(everything, own)
        usable = cache.usable[places]
        parts[name] = Photographs(cache, places[usable], records.take(own[usable]))
    tables = []
    bf16 = resolved_precision(TrainerConfig(accelerator="cpu")).startswith("bf16")
    for seed in range(options.seeds):
        recipe = Recipe(options.steps, options.crop, options.batch, options.learning_rate, seed, bf16)
        network = trained(parts["train"], recipe, size)
        cut = threshold(scores(network, parts["val"], bf16), parts["val"].grades)
        tables.append(predictions(parts["test"], scores(network, parts["test"], bf16), cut, seed))
    found = evaluate(pd.concat(tables, ignore_index=True), {"dr": SCALES["any"]}, resamples=options.resamples)
    return {
        "photographs": {name: len(part.rows) for name, part in parts.items()},
        "kappa": found["test/dr/kappa"],
        "auc": found["test/dr/auc"],
        "seconds drawing": round(drawn, 1),
        "seconds": round(time.monotonic() - began, 1),
    }


def main() -> None:
    """Print one Markdown table and write JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", type=int, nargs="+", default=[128, 256, 512], help="sides in pixels")
    parser.add_argument("--photographs", type=int, default=1000, help="of grades 0 and 1 together")
    parser.add_argument(
        "--world", type=int, default=3000, help="photographs of the world they are taken from"
    )
    parser.add_argument("--world-seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=800, help="at each size")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--crop", type=int, default=128, help="side of a training crop in pixels")
    parser.add_argument("--learning-rate", type=float, default=3e-3)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--resamples", type=int, default=2000, help="of the bootstrap over patients")
    parser.add_argument("--cache", type=Path, default=None, help="folder of prepared photographs")
    parser.add_argument("--out", type=Path, default=None, help="JSON file")
    options = parser.parse_args()
    if any(size % STRIDE or size < options.crop for size in options.sizes):
        parser.error(f"sizes must be multiples of {STRIDE} and at least the crop ({options.crop})")
    cv2.setNumThreads(1)
    found = {size: at_size(size, options) for size in options.sizes}
    print(f"Synthetic world {WORLD_VERSION}, grade 0 against 1, {options.steps} steps; 95 % intervals\n")
    print("| pixels | kappa | AUC | test photographs |\n|---|---|---|---|")
    for size, figures in found.items():
        cells = [
            f"{m['value']:.2f} [{m['low']:.2f}, {m['high']:.2f}]" if m["low"] is not None else f"{m['value']}"
            for m in (figures["kappa"], figures["auc"])
        ]
        print(f"| {size} | {cells[0]} | {cells[1]} | {figures['kappa']['n']} |")
    if options.out is not None:
        settings = {k: v for k, v in vars(options).items() if k not in ("out", "cache")}
        content = {"world": WORLD_VERSION, "settings": settings, "sizes": found}
        options.out.write_text(json.dumps(content, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
