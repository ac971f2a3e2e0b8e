"""Photographs drawn per second and core.

    python experiments/bench/synthetic_speed.py --out speed.json

One thread, the sizes in turn; the median over repeats, in CPU time of the process (which holds on a busy machine) and
in wall time.
"""

from __future__ import annotations

import argparse
from functools import partial
from itertools import count
from pathlib import Path

import cv2
import numpy as np
from measure import FOLDER, clocks, interleaved, write

from retinalab.synthetic import WORLD_VERSION, World, WorldOptions


def main() -> None:
    """Print and write the medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[128, 256, 512, 1024])
    parser.add_argument("--photographs", type=int, default=10, help="per repeat")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--out", type=Path, default=FOLDER / "synthetic_speed.json", help="JSON file")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    world = World(WorldOptions(photographs=4 * options.photographs * options.repeats))
    starts = {size: count(step=4 * options.photographs) for size in (0, *options.sizes)}

    def draw(size: int) -> None:
        first = next(starts[size])
        for index in range(first, first + 4 * options.photographs, 4):
            if size:
                world.render(index, size)
            else:
                world.scene(index)

    world.render(0, 128)
    rows = {f"{size} px" if size else "scene only": partial(draw, size) for size in starts}
    result: dict[str, object] = {"world": WORLD_VERSION, "opencv": cv2.__version__, "numpy": np.__version__}
    for name, taken in interleaved(rows, options.repeats, 0, now=clocks).items():
        wall, cpu = options.photographs / np.median(taken, axis=0)
        result[name] = {"per cpu-second": float(cpu), "per second": float(wall)}
        print(f"{name:>10}: {cpu:7.1f} per cpu-second, {wall:7.1f} per second")
    write(options.out, result)


if __name__ == "__main__":
    main()
