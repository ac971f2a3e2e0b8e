"""How hard the synthetic world is: colour thresholds beside small networks, per lesion and per grade.

    retinalab exp baseline synthetic
    retinalab exp baseline synthetic-lesions
    python experiments/bench/synthetic_difficulty.py --classifier runs/baseline/synthetic/latest \
        --segmenter runs/baseline/synthetic-lesions/latest --out difficulty.json

The networks' figures are read from the finished runs; the script computes the thresholds alone, on the segmenter's own
training and test photographs (without a segmenter: those of the experiment baseline/synthetic-lesions). On one
core it takes about a minute, and another to draw 400 photographs at 256 px if they are not prepared yet.

The thresholds: each colour is divided by its background, a Gaussian of half a disc diameter (local) or of two (wide)
inside the field of view. Connected pixels that are darker or brighter by a share are a lesion if their extent and
roundness fit, and their hue: green over its background, less blue over its background (yellow: EX; pale: SE, FP). The
disc is left out, as are, for dark lesions, the macula and, over the wide background, the rim. Each lesion's shares,
hues and extents come from a grid, by pixel F1 on the training photographs; then the least area at which it counts
as present, by image F1 on the same. The public rule engine turns what is present into grades, with the true
fovea and disc. New vessels are not attempted: no colour sets them apart.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import yaml

import retinalab
from retinalab.config import Experiment
from retinalab.data.parts import Part, identity, load_parts
from retinalab.experiment import load_experiment, resolve
from retinalab.metrics import evaluate
from retinalab.metrics.lesions import lesion_counts
from retinalab.records import LESIONS
from retinalab.schema import figures_of
from retinalab.synthetic import WORLD_VERSION, grade_masks

SIGMAS = {"local": 0.5, "wide": 2.0}
LEAST_AREAS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)


@dataclass(frozen=True)
class Rule:
    """How a lesion is looked for; the tuples are the grid. Extents are in disc diameters."""

    lesion: str
    sign: int
    background: str
    share: tuple[float, ...]
    least: tuple[float, ...]
    most: tuple[float, ...]
    yellow: tuple[float, ...] = (-np.inf,)
    pale: tuple[float, ...] = (np.inf,)
    roundness: float = 0.0


DARK, BRIGHT = (0.06, 0.1, 0.15, 0.2, 0.3), (0.05, 0.08, 0.15, 0.25, 0.4)
RULES = (
    Rule("MA", -1, "local", DARK, (0.0,), (0.04, 0.07, 0.1, 0.14)),
    Rule("HE", -1, "local", DARK, (0.05, 0.08, 0.12), (0.3, 0.6), roundness=0.25),
    Rule("EX", 1, "local", BRIGHT, (0.0, 0.03), (0.2, 0.5, 1.0), yellow=(0.0, 0.05, 0.1, 0.2)),
    Rule("SE", 1, "local", BRIGHT, (0.08, 0.15), (0.4, 0.7), pale=(0.0, 0.1, 0.2, 0.4), roundness=0.25),
    Rule("VH", -1, "wide", (0.2, 0.3, 0.4, 0.5), (1.0, 2.0), (9.0,)),
    Rule("PH", -1, "wide", (0.2, 0.3, 0.4, 0.5), (0.3, 0.6), (1.5, 3.0), roundness=0.25),
    Rule("FP", 1, "wide", BRIGHT, (0.5, 1.0), (9.0,), pale=(0.0, 0.1, 0.2, 0.4)),
)


@dataclass(frozen=True)
class Choice:
    """One point of a rule's grid, and the least area in pixels at which the lesion counts as present."""

    share: float
    yellow: float
    pale: float
    least: float
    most: float
    area: int = 1


@dataclass(frozen=True)
class View:
    """A prepared photograph with what is given: masks, and the fovea and disc in its pixels."""

    image: np.ndarray
    masks: np.ndarray
    fovea: tuple[float, float]
    disc: tuple[float, float]
    diameter: float


def views(part: Part, limit: int | None = None) -> Iterator[View]:
    """The photographs of a part; ``limit`` takes a regular sample of about so many."""
    step = max(1, len(part) // limit) if limit else 1
    table = part.records.table
    for position in range(0, len(part), step):
        row, entry = part.rows[[position]], table.iloc[position]
        scale = part.cache.size / part.cache.boxes[row[0], 2]
        corner = part.cache.boxes[row[0], :2]
        given = entry[["fovea_x", "fovea_y", "disc_x", "disc_y"]].to_numpy(np.float64).reshape(2, 2)
        (fovea_x, fovea_y), (disc_x, disc_y) = (given + 0.5 - corner) * scale - 0.5
        bits = part.cache.planes(row)[0, 0]
        yield View(
            part.cache.images(row)[0],
            (bits[None] >> np.arange(len(LESIONS), dtype=np.uint8)[:, None, None]) & 1 > 0,
            (float(fovea_x), float(fovea_y)),
            (float(disc_x), float(disc_y)),
            float(entry["disc_diameter"]) * scale,
        )


@dataclass(frozen=True)
class Seen:
    """Green over each background less one, the hue, and the pixels that are looked at per background and sign."""

    green: dict[str, np.ndarray]
    hue: np.ndarray
    clear: dict[tuple[str, int], np.ndarray]


def contrasts(view: View) -> Seen:
    """What the thresholds are laid on; the dark macula and the rim's shade are no lesions."""
    image = view.image.astype(np.float32) + 4
    field = (view.image.max(axis=2) > 12).astype(np.uint8)
    outlines, _ = cv2.findContours(field, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(field, outlines, -1, 1, cv2.FILLED)
    weight = field.astype(np.float32)
    over = {}
    for name, sigma in SIGMAS.items():
        blurred = cv2.GaussianBlur(image * weight[..., None], (0, 0), sigma * view.diameter)
        around = cv2.GaussianBlur(weight, (0, 0), sigma * view.diameter)
        over[name] = image / np.maximum(blurred / np.maximum(around, 1e-3)[..., None], 1) - 1
    depth = cv2.distanceTransform(cv2.copyMakeBorder(field, 1, 1, 1, 1, cv2.BORDER_CONSTANT), cv2.DIST_L2, 5)
    depth = depth[1:-1, 1:-1] / len(field)
    y, x = np.mgrid[: len(field), : field.shape[1]]
    disc = np.hypot(x - view.disc[0], y - view.disc[1]) < 0.62 * view.diameter
    macula = np.hypot(x - view.fovea[0], y - view.fovea[1]) < 0.4 * view.diameter
    clear = {
        ("local", 1): (depth > 0.02) & ~disc,
        ("local", -1): (depth > 0.02) & ~disc & ~macula,
        ("wide", 1): (depth > 0.08) & ~disc,
        ("wide", -1): (depth > 0.08) & ~disc & ~macula,
    }
    green = {name: value[..., 1] for name, value in over.items()}
    return Seen(green, over["local"][..., 1] - over["local"][..., 2], clear)


@dataclass(frozen=True)
class Pieces:
    """Connected pixels beyond a share: their labels, areas, extents in disc diameters and roundness."""

    labels: np.ndarray
    area: np.ndarray
    extent: np.ndarray
    roundness: np.ndarray

    def fit(self, rule: Rule, least: float, most: float) -> np.ndarray:
        """Which pieces have the extent and roundness of the rule; the background has none."""
        fit = (self.extent >= least) & (self.extent <= most) & (self.roundness >= rule.roundness)
        fit[0] = False
        return fit


def pieces(rule: Rule, share: float, yellow: float, pale: float, seen: Seen, diameter: float) -> Pieces:
    """The candidates of a rule in one photograph."""
    beyond = rule.sign * seen.green[rule.background] > share
    hue = (seen.hue >= yellow) & (seen.hue <= pale)
    binary = (beyond & hue & seen.clear[rule.background, rule.sign]).astype(np.uint8)
    _, labels, stats, _ = cv2.connectedComponentsWithStats(binary, connectivity=8)
    extent = np.maximum(stats[:, cv2.CC_STAT_WIDTH], stats[:, cv2.CC_STAT_HEIGHT])
    area = stats[:, cv2.CC_STAT_AREA]
    return Pieces(labels, area, extent / diameter, area / extent**2)


def grid(rule: Rule) -> list[Choice]:
    """Every point of a rule's grid, the extents varying fastest."""
    axes = (rule.share, rule.yellow, rule.pale, rule.least, rule.most)
    return [Choice(*point) for point in product(*axes)]


def fitted(part: Part, limit: int) -> dict[str, Choice]:
    """The point of each rule's grid with the best pixel F1, then the area with the best image F1."""
    counts: dict[str, list[np.ndarray]] = {rule.lesion: [] for rule in RULES}
    for view in views(part, limit):
        seen = contrasts(view)
        for rule in RULES:
            mask = view.masks[LESIONS.index(rule.lesion)]
            rows = []
            for share, yellow, pale in product(rule.share, rule.yellow, rule.pale):
                found = pieces(rule, share, yellow, pale, seen, view.diameter)
                hit = np.bincount(found.labels[mask], minlength=len(found.area))
                for least, most in product(rule.least, rule.most):
                    fit = found.fit(rule, least, most)
                    rows.append((hit[fit].sum(), found.area[fit].sum(), mask.sum()))
            counts[rule.lesion].append(np.array(rows))
    chosen = {}
    for rule in RULES:
        hit, area, there = np.moveaxis(np.stack(counts[rule.lesion]), 2, 0)
        f1 = 2 * hit.sum(axis=0) / np.maximum(area.sum(axis=0) + there.sum(axis=0), 1)
        best = int(f1.argmax())
        scores = [image_f1(area[:, best] >= least, there[:, best] > 0) for least in LEAST_AREAS]
        choice = asdict(grid(rule)[best]) | {"area": LEAST_AREAS[int(np.argmax(scores))]}
        chosen[rule.lesion] = Choice(**choice)
    return chosen


def image_f1(found: np.ndarray, there: np.ndarray) -> float:
    """F1 of presence, 0 where nothing is found and nothing there."""
    return float(2 * (found & there).sum() / max(1, found.sum() + there.sum()))


def applied(view: View, chosen: dict[str, Choice]) -> np.ndarray:
    """Lesion masks by the chosen thresholds: ``(8, S, S)`` bool."""
    seen = contrasts(view)
    planes = np.zeros_like(view.masks)
    for rule in RULES:
        choice = chosen[rule.lesion]
        found = pieces(rule, choice.share, choice.yellow, choice.pale, seen, view.diameter)
        planes[LESIONS.index(rule.lesion)] = found.fit(rule, choice.least, choice.most)[found.labels]
    return planes


def scored(part: Part, chosen: dict[str, Choice]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Predictions and lesions tables of a part, as a run would leave them."""
    base = identity(part).assign(fold=-1, seed=0)
    columns: list[dict[str, float]] = []
    lesions: list[dict[str, Any]] = []
    for position, view in enumerate(views(part)):
        planes = applied(view, chosen)
        entry = part.records.table.iloc[position]
        who = {key: base.at[position, key] for key in ("image", "set", "part", "group", "fold", "seed")}
        row: dict[str, float] = {}
        for k, lesion in enumerate(LESIONS):
            counts = lesion_counts(planes[k].astype(np.float32), view.masks[k].astype(np.uint8))
            lesions.append({**who, "lesion": lesion, **counts})
            shown = lesion in chosen and planes[k].sum() >= chosen[lesion].area
            planes[k] &= shown
            row |= {f"lesion_{lesion}": int(entry[f"present_{lesion}"]), f"lesion_{lesion}_p": float(shown)}
        said = grade_masks(planes, fovea=view.fovea, disc=view.disc, disc_diameter=view.diameter)
        for disease, grade in (("dr", said.dr), ("dme", said.dme)):
            row |= {disease: int(entry[disease]), f"{disease}_grade": int(grade or 0)}
            row[f"{disease}_score"] = float(grade or 0)
        columns.append(row)
    return pd.concat([base, pd.DataFrame(columns)], axis=1), pd.DataFrame(lesions)


def metrics_of(run: Path | None) -> dict[str, Any]:
    """The figures of a finished run; none where no run is given."""
    if run is None:
        return {}
    path = run / "metrics.json"
    if not path.is_file():
        raise SystemExit(f"{path} does not exist. Give the folder of a finished run.")
    return figures_of(json.loads(path.read_text(encoding="utf-8")), path, retinalab.__version__)


def experiment_of(run: Path | None, photographs: int | None) -> Experiment:
    """What the segmenter was trained on, or what it would be."""
    if run is not None:
        return resolve(yaml.safe_load((run / "experiment.yaml").read_text(encoding="utf-8")))
    few = [f"data.options.photographs={photographs}"] if photographs else []
    return load_experiment("baseline", "synthetic-lesions", few)


def shown(metric: Any) -> str:
    """A figure with its interval and number of photographs."""
    if metric is None or metric["value"] is None:
        return "-"
    interval = "" if metric["low"] is None else f" [{metric['low']:.2f}, {metric['high']:.2f}]"
    return f"{metric['value']:.2f}{interval}, n {metric['n']}"


def table(ours: dict[str, Any], classifier: dict[str, Any], segmenter: dict[str, Any]) -> list[str]:
    """The lines of the Markdown table."""
    lines = ["| figure | colour thresholds | small networks |", "|---|---|---|"]
    for words, key in (("DR, quadratic kappa", "test/dr/kappa"), ("DME, quadratic kappa", "test/dme/kappa")):
        lines.append(f"| {words} | {shown(ours.get(key))} | {shown(classifier.get(key))} |")
    for name, words in (("f1", "pixel F1"), ("image_f1", "image F1")):
        for lesion in (*LESIONS, "mean"):
            key = f"test/lesion/{lesion}/{name}"
            lines.append(f"| {lesion}, {words} | {shown(ours.get(key))} | {shown(segmenter.get(key))} |")
    return lines


def main() -> None:
    """Print one Markdown table and write JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--classifier", type=Path, help="run folder of a grade classifier")
    parser.add_argument("--segmenter", type=Path, help="run folder of a lesion segmenter")
    parser.add_argument("--photographs", type=int, help="of the world, where no segmenter says it")
    parser.add_argument("--training", type=int, default=200, help="training photographs for the thresholds")
    parser.add_argument("--resamples", type=int, default=2000, help="of the bootstrap over patients")
    parser.add_argument("--out", type=Path, default=None, help="JSON file")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    began = time.monotonic()
    classifier, segmenter = metrics_of(options.classifier), metrics_of(options.segmenter)
    experiment = experiment_of(options.segmenter, options.photographs)
    stage = experiment.stages[experiment.evaluated[-1]]
    parts = load_parts(stage.data, experiment.protocol, experiment.roots)
    chosen = fitted(parts.train, options.training)
    predictions, lesions = scored(parts.tests[stage.data.set], chosen)
    scales = load_experiment("baseline", "synthetic").protocol.scales
    ours: dict[str, Any] = dict(evaluate(predictions, scales, lesions, resamples=options.resamples))
    print(
        f"Synthetic world {WORLD_VERSION}, thresholds and lesions at {stage.data.size} px; 95 % intervals\n"
    )
    print("\n".join(table(ours, classifier, segmenter)))
    if options.out is not None:
        kept = {
            name: {k: v for k, v in figures.items() if k.startswith("test/") and k.count("/") >= 2}
            for name, figures in (("thresholds", ours), ("classifier", classifier), ("segmenter", segmenter))
        }
        content = {
            "world": WORLD_VERSION,
            "size": stage.data.size,
            "options": stage.data.options,
            "seconds": round(time.monotonic() - began, 1),
            "chosen": {
                lesion: {k: v for k, v in asdict(choice).items() if np.isfinite(v)}
                for lesion, choice in chosen.items()
            },
            **kept,
        }
        options.out.write_text(json.dumps(content, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
