"""Forty shuffled crops, half real and half drawn, for someone who has not seen them to sort.

    python experiments/bench/synthetic_blind.py ../shared/data
    python experiments/bench/synthetic_blind.py --score "1r 2d 3d ..."

Photographs are brought to a field of view of 512 pixels; a crop is 128 pixels wide and lies within the field. The
score is the number sorted rightly, with the exact two-sided probability of guessing at least that far from half.
"""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path

import cv2
import numpy as np
from scipy.stats import binomtest

from retinalab.data.fov import crop_to_square, field_of_view
from retinalab.data.sets import open_set
from retinalab.synthetic import World, WorldOptions

FIELD, CROP, EACH, COLUMNS = 512, 128, 20, 8
REAL = ("dr600", "deepdrid", "hei_med")


def main() -> None:
    """Write the sheet and its key, or score an answer."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, nargs="?", default=Path("../shared/data"))
    parser.add_argument("--sheet", type=Path, default=Path("runs/bench/blind.png"))
    parser.add_argument("--key", type=Path, default=Path("runs/bench/blind-key.json"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--score", help="the answer: a number and r (real) or d (drawn) for each crop")
    known = parser.parse_args()
    if known.score:
        print(score(known.score, json.loads(known.key.read_text())))
        return
    if not known.data.is_dir():
        print(f"no real photographs at {known.data}: nothing to sort")
        return
    rng = np.random.default_rng(known.seed)
    crops = [(crop, "r") for crop in real_crops(known.data, rng)] + [(crop, "d") for crop in drawn_crops(rng)]
    order = rng.permutation(len(crops))
    known.sheet.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(known.sheet), sheet([crops[i][0] for i in order])[..., ::-1])
    known.key.write_text(json.dumps([crops[i][1] for i in order]))
    print(f"{known.sheet}: sort them, then --score")


def real_crops(data: Path, rng: np.random.Generator) -> list[np.ndarray]:
    """Crops of real photographs, the sets in turn."""
    crops = []
    for number in range(EACH):
        name = REAL[number % len(REAL)]
        source = open_set(name, data / name)
        records = source.records()
        image = source.photograph(records, int(rng.integers(len(records))))
        crops.append(crop_within(crop_to_square(image, field_of_view(image), FIELD), rng))
    return crops


def drawn_crops(rng: np.random.Generator) -> list[np.ndarray]:
    """Crops of drawn photographs of the development cameras."""
    world = World(WorldOptions(photographs=400, seed=int(rng.integers(1 << 30))))
    images = [world.render(int(i), FIELD).image for i in rng.choice(len(world), EACH, replace=False)]
    return [crop_within(crop_to_square(i, field_of_view(i), FIELD), rng) for i in images]


def crop_within(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A crop whose centre lies within 0.6 of the field's radius."""
    angle, radius = rng.uniform(0, 2 * np.pi), 0.6 * FIELD / 2 * np.sqrt(rng.random())
    x, y = (int(FIELD / 2 + radius * f(angle) - CROP / 2) for f in (np.cos, np.sin))
    return image[y : y + CROP, x : x + CROP]


def sheet(crops: list[np.ndarray]) -> np.ndarray:
    """Numbered crops at twice their size."""
    tiles = []
    for number, crop in enumerate(crops, start=1):
        tile = cv2.copyMakeBorder(
            cv2.resize(crop, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC),
            22,
            4,
            2,
            2,
            cv2.BORDER_CONSTANT,
        )
        cv2.putText(
            tile, str(number), (4, 17), cv2.FONT_HERSHEY_SIMPLEX, 0.55, (255, 255, 255), 1, cv2.LINE_AA
        )
        tiles.append(tile)
    return np.vstack([np.hstack(tiles[i : i + COLUMNS]) for i in range(0, len(tiles), COLUMNS)])


def score(answer: str, key: list[str]) -> str:
    """How many were sorted rightly."""
    given = {int(number): word for number, word in re.findall(r"(\d+)\s*([rd])", answer)}
    right = sum(given.get(number) == truth for number, truth in enumerate(key, start=1))
    chance = binomtest(right, len(key)).pvalue
    drawn = sum(given.get(n) == "d" for n, truth in enumerate(key, start=1) if truth == "d")
    recognised = f"{drawn} of {key.count('d')} drawn ones recognised"
    return f"{right} of {len(key)} right ({recognised}), p = {chance:.3g} under guessing"


if __name__ == "__main__":
    main()
