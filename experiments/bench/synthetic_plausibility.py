"""Quantiles of colour, vessels, disc and lesions: real photographs beside drawn ones, by the same estimators.

    python experiments/bench/synthetic_plausibility.py ../shared/data --count 60 --out plausibility.json

The data folder holds idrid, dr600, deepdrid and hei_med; sets that are absent are left out and named.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from retinalab.records import LESIONS
from retinalab.synthetic import DEVELOPMENT_CAMERAS, WORLD_VERSION, World, WorldOptions

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
SIZE = 512
PARTS = ("MA", "HE", "EX", "SE")


def field_of_view(image: np.ndarray) -> tuple[np.ndarray, float]:
    """Field mask, a little inside its border, and the field's diameter in pixels."""
    light = cv2.GaussianBlur(image, (0, 0), 2).max(axis=2) > 18
    count, labels, stats, _ = cv2.connectedComponentsWithStats(light.astype(np.uint8))
    if count < 2:
        return light, float(max(image.shape[:2]))
    largest = 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax())
    width, height = stats[largest, cv2.CC_STAT_WIDTH], stats[largest, cv2.CC_STAT_HEIGHT]
    diameter = float(max(width, height))
    filled = cv2.morphologyEx(
        (labels == largest).astype(np.uint8), cv2.MORPH_CLOSE, np.ones((25, 25), np.uint8)
    )
    padded = cv2.copyMakeBorder(filled, 1, 1, 1, 1, cv2.BORDER_CONSTANT)
    inner = cv2.erode(padded, np.ones((3, 3), np.uint8), iterations=int(0.025 * diameter))[1:-1, 1:-1]
    return inner > 0, diameter


def colours_and_vessels(image: np.ndarray) -> dict[str, float]:
    """Mean and spread of each colour, share of vessel pixels, and fine contrast, at a field of 512 pixels."""
    _, diameter = field_of_view(image)
    ratio = SIZE / diameter
    if ratio < 1 or ratio > 1.02:
        image = cv2.resize(
            image, None, fx=ratio, fy=ratio, interpolation=cv2.INTER_AREA if ratio < 1 else cv2.INTER_CUBIC
        )
    inside, _ = field_of_view(image)
    pixels = image[inside].astype(np.float32)
    green = image[..., 1].astype(np.float32)
    smooth = cv2.GaussianBlur(green, (0, 0), 1.2)
    hat = cv2.morphologyEx(smooth, cv2.MORPH_BLACKHAT, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (13, 13)))
    around = cv2.GaussianBlur(green, (0, 0), 12) + 8
    vessel = (hat / around > 0.09) & inside
    count, labels, stats, _ = cv2.connectedComponentsWithStats(vessel.astype(np.uint8), connectivity=8)
    long = np.flatnonzero(np.hypot(stats[:, cv2.CC_STAT_WIDTH], stats[:, cv2.CC_STAT_HEIGHT]) > 30)
    vessel = np.isin(labels, long[long > 0]) if count > 1 else vessel
    fine = (green - cv2.GaussianBlur(green, (0, 0), 3))[inside]
    mean, spread = pixels.mean(axis=0), pixels.std(axis=0)
    return {
        "mean red": float(mean[0]),
        "mean green": float(mean[1]),
        "mean blue": float(mean[2]),
        "spread red": float(spread[0]),
        "spread green": float(spread[1]),
        "spread blue": float(spread[2]),
        "vessel share": float(vessel.sum() / inside.sum()),
        "fine contrast (green)": float(fine.std() / (mean[1] + 8)),
    }


def components(mask: np.ndarray, diameter: float) -> np.ndarray:
    """Diameters, in disc diameters, of the circles with the components' areas; specks under 0.012 left out."""
    _, _, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8))
    size = np.sqrt(stats[1:, cv2.CC_STAT_AREA] * 4 / np.pi) / diameter
    return size[size >= 0.012]


def real_photographs(data: Path, count: int) -> Iterator[tuple[str, Path]]:
    """A regular sample of every set's photographs."""
    folders = {
        "idrid": sorted((data / "idrid").rglob("1. Original Images/**/*.jpg")),
        "dr600": sorted((data / "dr600" / "images").glob("*")),
        "deepdrid": sorted((data / "deepdrid" / "images").glob("*")),
        "hei_med": sorted((data / "hei_med" / "images").glob("*")),
    }
    for name, paths in folders.items():
        for path in paths[:: max(1, len(paths) // count)][:count]:
            yield name, path


def real_lesions(data: Path) -> dict[str, dict[str, list[float]]]:
    """IDRiD: disc over field, and per lesion the diameters of its components, their number and total area."""
    found: dict[str, list[float]] = {"disc / field": []}
    truth = data / "idrid" / "A. Segmentation" / "2. All Segmentation Groundtruths"
    for path in sorted((data / "idrid").rglob("1. Original Images/**/*.jpg")):
        masks = {m.stem.split("_")[-1]: cv2.imread(str(m)) for m in truth.rglob(f"{path.stem}_*.tif")}
        planes = {name: mask.max(axis=2) > 0 for name, mask in masks.items() if mask is not None}
        if "OD" not in planes:
            continue
        disc = float(np.sqrt(planes["OD"].sum() * 4 / np.pi))
        image = cv2.imread(str(path), cv2.IMREAD_REDUCED_COLOR_8)
        found["disc / field"].append(disc / (8 * field_of_view(np.asarray(image))[1]))
        for name in PARTS:
            if name in planes:
                _note(found, name, planes[name], disc)
    return {"idrid": found}


def hei_med_exudates(data: Path) -> list[float]:
    """HEI-MED: share of the field that is exudate, where there is any."""
    shares = []
    for path in sorted((data / "hei_med" / "exudates").glob("*.png")):
        mask = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
        image = cv2.imread(str(data / "hei_med" / "images" / f"{path.stem}.jpg"))
        if mask is not None and image is not None and mask.any():
            inside, _ = field_of_view(image)
            shares.append(1000 * float((mask > 0).sum() / inside.sum()))
    return shares


def _note(found: dict[str, list[float]], name: str, mask: np.ndarray, disc: float) -> None:
    size = components(mask, disc)
    if len(size):
        found.setdefault(f"{name} diameter", []).extend(size.tolist())
        found.setdefault(f"{name} number", []).append(float(len(size)))
        found.setdefault(f"{name} area", []).append(float(np.pi / 4 * (size**2).sum()))


def drawn(count: int, seed: int) -> dict[str, dict[str, list[float]]]:
    """The same figures of drawn photographs, by camera; the lesion figures over all cameras."""
    found: dict[str, dict[str, list[float]]] = {}
    lesions: dict[str, list[float]] = {"disc / field": [], "EX per mille of field": []}
    for camera in DEVELOPMENT_CAMERAS:
        world = World(WorldOptions(photographs=8 * count, seed=seed, cameras=(camera,)))
        figures = found.setdefault(f"drawn: {camera}", {})
        for k in range(count):
            photograph = world.render(5 * k, SIZE)
            for name, value in colours_and_vessels(photograph.image).items():
                figures.setdefault(name, []).append(value)
    world = World(WorldOptions(photographs=8 * count, seed=seed))
    for k in range(count):
        if not any(lesion.kind in PARTS for lesion in world.scene(5 * k).lesions):
            continue
        photograph = world.render(5 * k, 1400)
        lesions["disc / field"].append(photograph.disc_diameter / 1400)
        for name in PARTS:
            mask = photograph.masks[LESIONS.index(name)]
            _note(lesions, name, mask, photograph.disc_diameter)
            if name == "EX" and mask.any():
                lesions["EX per mille of field"].append(1000 * float(mask.sum() / photograph.field.sum()))
    found["drawn"] = lesions
    return found


def main() -> None:
    """Print a markdown table and write the quantiles as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, nargs="?", default=Path("../shared/data"))
    parser.add_argument("--count", type=int, default=60, help="photographs per set and camera")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=None, help="JSON file")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    real: dict[str, dict[str, list[float]]] = {}
    for name, path in real_photographs(options.data, options.count):
        image = cv2.imread(str(path), cv2.IMREAD_REDUCED_COLOR_4 if name == "idrid" else cv2.IMREAD_COLOR)
        for figure, value in colours_and_vessels(np.ascontiguousarray(np.asarray(image)[..., ::-1])).items():
            real.setdefault(name, {}).setdefault(figure, []).append(value)
    for name, figures in real_lesions(options.data).items():
        real.setdefault(name, {}).update(figures)
    real.setdefault("hei_med", {})["EX per mille of field"] = hei_med_exudates(options.data)
    synthetic = drawn(options.count, options.seed)
    pooled: dict[str, list[float]] = {}
    for figures in synthetic.values():
        for figure, values in figures.items():
            pooled.setdefault(figure, []).extend(values)
    print(
        f"World {WORLD_VERSION}, seed {options.seed}; quantiles 5, 25, 50, 75, 95 %; {len(real)} real sets\n"
    )
    print("| figure | real: lowest and highest quantile over the sets | drawn | outside |")
    print("|---|---|---|---|")
    rows = {}
    for figure, values in pooled.items():
        sets = np.array([np.quantile(each[figure], QUANTILES) for each in real.values() if each.get(figure)])
        ours = np.quantile(values, QUANTILES)
        everything = [value for each in real.values() for value in each.get(figure, [])]
        low, high = sets.min(axis=0), sets.max(axis=0)
        if len(sets) == 1:  # one set only: the sampling interval of its quantiles
            low, high = _interval(np.array(everything))
        out = [
            f"{round(100 * q)} %"
            for q, a, b, c in zip(QUANTILES, low, high, ours, strict=True)
            if not a <= c <= b
        ]
        ranges = ", ".join(f"{a:.3g}-{b:.3g}" for a, b in zip(low, high, strict=True))
        print(f"| {figure} | {ranges} | {', '.join(f'{c:.3g}' for c in ours)} | {', '.join(out) or 'none'} |")
        rows[figure] = {"low": low.tolist(), "high": high.tolist(), "drawn": ours.tolist(), "outside": out}
    if options.out is not None:
        options.out.write_text(
            json.dumps({"world": WORLD_VERSION, "quantiles": QUANTILES, "figures": rows}, indent=1)
        )


def _interval(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """95 % bootstrap interval of each quantile of a single set."""
    rng = np.random.default_rng(0)
    draws = [np.quantile(rng.choice(values, len(values)), QUANTILES) for _ in range(400)]
    return np.quantile(draws, 0.025, axis=0), np.quantile(draws, 0.975, axis=0)


if __name__ == "__main__":
    main()
