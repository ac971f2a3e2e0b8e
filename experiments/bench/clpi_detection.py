"""CLPI's Figure 8: lesion detection as annotations are discarded, the generator beside detectors of photographs.

    python experiments/bench/clpi_detection.py --workers 2 --out detection.json
    python experiments/bench/clpi_detection.py --set idrid --root IDRID --folds 4 --size 1024 --out idrid.json
    python experiments/bench/clpi_detection.py --set idrid --root IDRID --scale paper --size 1024 --weights \
        --device cuda --steps 5000 --patch-steps 30000 --batch 8 --seeds 3 --out paper.json

Writes the JSON, and beside it a table (.md) and the figure (.png). Needs the plugin's extra 'detection'.

The first, about 20 minutes on two cores, is drawn photographs at a reduced size with small networks that begin at
random: figures on it are about drawn photographs. Each run takes one thread; more would only wait for each other.
The second takes 12 of 16 photographs for training. The third is nearest to the paper, which names neither the
detectors' backbones (but one) nor their recipe.

Truth is the 68×68 box round each lesion's centre; the generator's detections are its units' fields, which never move,
so that its average precision is bounded: the table says by how much. The figure divides AP after the loss by AP
before it; intervals are over the patients of the test photographs, both runs resampled together.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
import torchvision
from retinalab_clpi.detection import (
    DETECTORS,
    GENERATOR,
    NOT_RUN,
    READINGS,
    Outcome,
    Photographs,
    Point,
    Recipe,
    Settings,
    Trial,
    any_score,
    best_possible,
    coco_average_precision,
    draw_curves,
    markdown,
    points,
    read_photographs,
    run_trial,
)

from retinalab.config import DataConfig, TrainerConfig
from retinalab.data.parts import load_parts
from retinalab.errors import RetinalabError
from retinalab.protocol import Protocol
from retinalab.runner.trainer import resolved_precision

SET_OPTIONS = {"synthetic": {"photographs": 160, "views": 1}, "idrid": {"task": "segmentation"}}


def main(argv: Sequence[str] | None = None) -> None:
    """Train and score every detector at every rate; write JSON, table and figure."""
    options = arguments(argv)
    began = time.monotonic()
    torch.set_num_threads(options.threads)
    try:
        train, test, origin = photographs(options)
        trials = [
            Trial(detector, rate, seed)
            for seed in range(options.seeds)
            for rate in sorted({0.0, *options.rates})
            for detector in options.detectors
        ]
        outcomes = {}
        for trial, outcome, seconds in run(trials, settings(options), train, test, options):
            outcomes[trial] = outcome
            print(
                f"{len(outcomes)}/{len(trials)} {trial.detector} {trial.rate:.0%} seed {trial.seed}: {seconds:.0f} s",
                file=sys.stderr,
                flush=True,
            )
        truth = test.truth()
        found = {trial: outcomes[trial].found for trial in trials}
        drawn = points(found, truth, test.groups, options.resamples)
        bounds = limits(test)
    except RetinalabError as error:
        print(error, file=sys.stderr)
        raise SystemExit(2) from error
    about = (
        f"{options.set}, {len(train)} photographs for training, {len(test)} for testing, {options.size} px, "
        f"{options.seeds} seed{'s' if options.seeds > 1 else ''}, {options.scale} detectors; "
        "95 % intervals over patients"
    )
    table = markdown(drawn, bounds)
    write(options, about, table, drawn, bounds, outcomes, (train, test), origin, time.monotonic() - began)
    print(f"{about}\n\n{table}")


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    known = [GENERATOR, *DETECTORS]
    parser.add_argument("--set", default="synthetic", help="data set with masks of EX, HE and MA")
    parser.add_argument("--root", type=Path, help="its folder")
    parser.add_argument(
        "--options", type=json.loads, help="the data set's own options, JSON; photographs of the drawn world"
    )
    parser.add_argument("--folds", type=int, default=0, help="test on the first of so many folds by patient")
    parser.add_argument("--size", type=int, default=320, help="side of the photographs, pixels (paper: 1024)")
    parser.add_argument(
        "--background", type=float, default=1 / 60, help="share of the side; 0: not subtracted"
    )
    parser.add_argument("--rates", type=float, nargs="+", default=[0.0, 0.1, 0.2, 0.3, 0.4, 0.5])
    parser.add_argument("--detectors", nargs="+", choices=known, default=known)
    parser.add_argument("--seeds", type=int, default=1, help="of the loss and the training, from 0")
    parser.add_argument(
        "--scale", choices=("small", "paper"), default="small", help="of the detectors' networks"
    )
    parser.add_argument(
        "--weights", action="store_true", help="begin with ImageNet backbones (downloads them)"
    )
    parser.add_argument("--steps", type=int, default=200, help="of the detectors of photographs")
    parser.add_argument("--batch", type=int, default=4, help="photographs of a step")
    parser.add_argument("--learning-rate", type=float, default=0.02, help="of the detectors of photographs")
    parser.add_argument("--patch-steps", type=int, default=400, help="of the generator")
    parser.add_argument("--patch-batch", type=int, default=32)
    parser.add_argument(
        "--patch-learning-rate", type=float, default=0.01, help="of the generator (paper: 0.05)"
    )
    parser.add_argument("--negatives", type=float, default=1.0, help="patches without a lesion per lesion")
    parser.add_argument("--resamples", type=int, default=500, help="of the bootstrap")
    parser.add_argument("--precision", choices=("auto", "32-true", "bf16-mixed"), default="auto")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--workers", type=int, default=1, help="runs at once; each takes --threads")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("detection.json"))
    return parser.parse_args(argv)


def photographs(options: argparse.Namespace) -> tuple[Photographs, Photographs, str]:
    """Training (validation included, since nothing is chosen on it) and test photographs, and how they were split."""
    given = SET_OPTIONS.get(options.set, {}) | (options.options or {})
    data = DataConfig(set=options.set, root=options.root, options=given, size=options.size, masks=True)
    protocol = Protocol(diseases={}, split="folds" if options.folds else "held-out", test=0.25)
    parts = load_parts(data, protocol, {}, folds=options.folds or 1)
    background = options.background or None
    train = read_photographs([parts.train, parts.val], background)
    return train, read_photographs(list(parts.tests.values()), background), parts.split.origin


def limits(test: Photographs) -> dict[str, tuple[float, float]]:
    """What the generator's fixed fields allow, and what they give by chance."""
    truth = test.truth()
    best = [best_possible(boxes, test.size) for boxes in truth]
    blind = [any_score(test.size, seed) for seed in range(len(truth))]
    return {
        "any generator at best (its fields never move)": coco_average_precision(best, truth),
        "its fields in random order": coco_average_precision(blind, truth),
    }


def settings(options: argparse.Namespace) -> Settings:
    """What all runs share."""
    precision = resolved_precision(
        TrainerConfig(
            precision=options.precision, accelerator="gpu" if options.device.startswith("cuda") else "cpu"
        )
    )
    shared = {"device": options.device, "bfloat16": precision == "bf16-mixed"}
    return Settings(
        Recipe(options.patch_steps, options.patch_batch, options.patch_learning_rate, **shared),
        Recipe(options.steps, options.batch, options.learning_rate, **shared),
        negatives=options.negatives,
        scale=options.scale,
        weights=options.weights,
    )


def run(
    trials: Sequence[Trial],
    shared: Settings,
    train: Photographs,
    test: Photographs,
    options: argparse.Namespace,
) -> Iterator[tuple[Trial, Outcome, float]]:
    """Every run with its seconds, in the order in which they end."""
    if options.workers < 2:
        for trial in trials:
            yield timed(trial, shared, train, test)
        return
    with ProcessPoolExecutor(
        options.workers,
        multiprocessing.get_context("spawn"),
        torch.set_num_threads,
        (options.threads,),
    ) as pool:
        for done in as_completed(pool.submit(timed, trial, shared, train, test) for trial in trials):
            yield done.result()


def timed(
    trial: Trial, shared: Settings, train: Photographs, test: Photographs
) -> tuple[Trial, Outcome, float]:
    """One run and how long it took."""
    began = time.monotonic()
    return trial, run_trial(trial, shared, train, test), time.monotonic() - began


def write(
    options: argparse.Namespace,
    about: str,
    table: str,
    drawn: Sequence[Point],
    bounds: dict[str, tuple[float, float]],
    outcomes: dict[Trial, Outcome],
    sets: tuple[Photographs, Photographs],
    origin: str,
    seconds: float,
) -> None:
    """JSON, table and figure, beside each other."""
    options.out.parent.mkdir(parents=True, exist_ok=True)
    train, test = sets
    content = {
        "about": about,
        "split": origin,
        "settings": {name: str(v) if isinstance(v, Path) else v for name, v in vars(options).items()},
        "versions": {"torch": torch.__version__, "torchvision": torchvision.__version__},
        "seconds": round(seconds, 1),
        "left out": {"train": train.left_out, "test": test.left_out},
        "lesions": {"train": train.counts(), "test": test.counts()},
        "annotations": {
            f"{trial.rate:g} seed {trial.seed}": outcome.annotations
            for trial, outcome in sorted(outcomes.items(), key=lambda item: (item[0].rate, item[0].seed))
        },
        "negatives": sorted({outcome.negatives for outcome in outcomes.values()} - {""}),
        "parameters": {trial.detector: outcome.parameters for trial, outcome in outcomes.items()},
        "bounds": {name: {"ap50": pair[0], "ap75": pair[1]} for name, pair in bounds.items()},
        "points": [row(point) for point in drawn],
        "not run": dict(NOT_RUN),
        "readings": dict(READINGS),
    }
    options.out.write_text(json.dumps(content, indent=1), encoding="utf-8")
    notes = "\n".join(f"- {name}: {reading}." for name, reading in READINGS.items())
    options.out.with_suffix(".md").write_text(f"{about}\n\n{table}\n\n{notes}\n", encoding="utf-8")
    draw_curves(drawn, options.out.with_suffix(".png"), about)


def row(point: Point) -> dict[str, object]:
    """A point as JSON; the AP is the COCO backend's, the interval round it the bootstrap's."""
    mean = dict(zip(("ap50", "ap75"), np.mean(point.ap, 0).tolist(), strict=True))
    figures = {name: asdict(interval) for name, interval in point.figures.items()}
    for name, value in mean.items():
        figures[name]["value"] = value
    return {
        "detector": point.detector,
        "rate": point.rate,
        "seeds": point.ap,
        "classes": {lesion: [plain(value) for value in pair] for lesion, pair in point.classes.items()},
        **{name: {key: plain(v) for key, v in figure.items()} for name, figure in figures.items()},
    }


def plain(value: float | str) -> float | str | None:
    """What JSON can hold: an undefined figure is null."""
    return None if isinstance(value, float) and np.isnan(value) else value


if __name__ == "__main__":
    main()
