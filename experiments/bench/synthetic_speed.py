"""Photographs drawn per second and core.

    python experiments/bench/synthetic_speed.py --out speed.json

One thread; the median over repeats, in CPU time of the process (which holds on a busy machine) and in wall time.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from pathlib import Path

import cv2
import numpy as np

from retinalab.synthetic import WORLD_VERSION, World, WorldOptions


def main() -> None:
    """Print and write the medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[128, 256, 512, 1024])
    parser.add_argument("--photographs", type=int, default=10, help="per repeat")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--out", type=Path, default=None, help="JSON file")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    world = World(WorldOptions(photographs=4 * options.photographs * options.repeats))
    result: dict[str, object] = {
        "world": WORLD_VERSION,
        "processor": platform.processor() or platform.machine(),
        "opencv": cv2.__version__,
        "numpy": np.__version__,
    }
    world.render(0, 128)
    for size in [0, *options.sizes]:
        cpu, wall = [], []
        for repeat in range(options.repeats):
            indices = [4 * (options.photographs * repeat + k) for k in range(options.photographs)]
            start, clock = time.process_time(), time.perf_counter()
            for index in indices:
                if size:
                    world.render(index, size)
                else:
                    world.scene(index)
            cpu.append(len(indices) / (time.process_time() - start))
            wall.append(len(indices) / (time.perf_counter() - clock))
        name = f"{size} px" if size else "scene only"
        result[name] = {"per cpu-second": float(np.median(cpu)), "per second": float(np.median(wall))}
        print(f"{name:>10}: {np.median(cpu):7.1f} per cpu-second, {np.median(wall):7.1f} per second")
    if options.out is not None:
        options.out.write_text(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
