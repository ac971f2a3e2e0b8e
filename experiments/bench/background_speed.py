"""Local average colours against the filters that define them, at full size.

    OMP_NUM_THREADS=1 python experiments/bench/background_speed.py

The Gaussian over the field of view is held against the same in float32 without any reduction (OpenCV's blur of the
photograph divided by its blur of the field), the median against OpenCV's of the whole photograph. Differences are of
the average itself, before any gain, inside the field, in levels of 255. Goals: the Gaussian within 0.1 level on
average and at least 8 times as fast at 1024 pixels, the median within 0.35 and at least 3 times.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from measure import FOLDER, interleaved, write

from retinalab.config import BackgroundConfig
from retinalab.data.decode import decode
from retinalab.data.fov import crop_to_square, field_of_view
from retinalab.synthetic.world import World
from retinalab.transforms.background import local_average
from retinalab.transforms.on_processor import enlarged

FIELD = 0.04
GOALS = {"gaussian": (0.1, 8.0), "median": (0.35, 3.0)}


def direct(image: np.ndarray, background: BackgroundConfig) -> np.ndarray:
    """The average at every pixel, by the filter that defines it; ``(S, S, 3)`` float32 in [0, 1]."""
    reach = background.scale * len(image)
    if background.kind == "median":
        square = 2 * int(reach + 1e-6) + 1
        return cv2.medianBlur((image * 255).round().astype(np.uint8), square).astype(np.float32) / 255
    inside = (image.max(2) > FIELD).astype(np.float32)
    blurred = cv2.GaussianBlur(image * inside[..., None], (0, 0), reach)
    weight = cv2.GaussianBlur(inside, (0, 0), reach)
    return np.asarray(blurred / np.maximum(weight, 1e-3)[..., None])


def reduced(tensor: torch.Tensor, background: BackgroundConfig) -> torch.Tensor:
    """As it is computed here, enlarged to every pixel."""
    return enlarged(local_average(tensor, background), *tensor.shape[2:])


def measured(kind: str, images: list[np.ndarray], repeats: int) -> dict[str, float]:
    """Seconds a photograph of both, and how far they lie apart."""
    background = BackgroundConfig.model_validate({"kind": kind})
    tensors = [torch.from_numpy(image)[None].permute(0, 3, 1, 2) for image in images]

    def each(work: Callable[[Any, BackgroundConfig], Any], given: list[Any]) -> Callable[[], None]:
        return lambda: [work(one, background) for one in given] and None

    taken = interleaved({"direct": each(direct, images), "reduced": each(reduced, tensors)}, repeats)
    seconds = {name: float(np.median(values)) / len(images) for name, values in taken.items()}
    apart = []
    for image, tensor in zip(images, tensors, strict=True):
        ours = reduced(tensor, background)[0].permute(1, 2, 0).numpy()
        apart.append(np.abs(ours - direct(image, background))[image.max(2) > FIELD].mean() * 255)
    return {**seconds, "times": seconds["direct"] / seconds["reduced"], "levels": float(np.mean(apart))}


def photographs(folder: Path | None, size: int, count: int) -> list[np.ndarray]:
    """Working images, of a folder's photographs or drawn; ``(S, S, 3)`` float32 in [0, 1]."""
    if folder is None:
        drawn = [World().render(number, size).image for number in range(count)]
        return [image.astype(np.float32) / 255 for image in drawn]
    files = sorted(path for path in folder.iterdir() if path.suffix.lower() in (".jpg", ".jpeg", ".png"))
    images = []
    for file in files[:count]:
        image = decode(file, size)
        images.append(crop_to_square(image, field_of_view(image), size).astype(np.float32) / 255)
    return images


def main(words: list[str] | None = None) -> None:
    """Print the table and write it as JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--photographs", type=Path, help="folder of photographs; default: drawn ones")
    parser.add_argument("--sizes", type=int, nargs="+", default=[1024, 512])
    parser.add_argument("--count", type=int, default=4)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--out", type=Path, default=FOLDER / "background_speed.json", help="JSON file")
    known = parser.parse_args(words)
    figures: dict[str, dict[str, float]] = {}
    print("| | direct, ms | reduced, ms | times as fast | apart, levels | goals |\n|---|---|---|---|---|---|")
    for size in known.sizes:
        images = photographs(known.photographs, size, known.count)
        for kind, (levels, times) in GOALS.items():
            one = figures[f"{kind} {size}"] = measured(kind, images, known.repeats)
            goal = f"{times:g}×, {levels:g}" if size == 1024 else ""
            print(
                f"| {kind}, {size} px | {1e3 * one['direct']:.1f} | {1e3 * one['reduced']:.1f} "
                f"| {one['times']:.1f} | {one['levels']:.3f} | {goal} |",
                flush=True,
            )
    write(known.out, {"photographs": known.count, "tables": figures})


if __name__ == "__main__":
    main()
