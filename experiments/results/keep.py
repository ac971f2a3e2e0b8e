"""Keep a finished run's figures small enough to commit, and print the README's tables from what is kept.

python experiments/results/keep.py runs/canet/dr600/latest canet-dr600
python experiments/results/keep.py --tables

Each kept file holds the run's figures with their intervals, the command, every setting, commit and digests of the code,
and the data's fingerprint: what tells whether the figures are stale.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).parent
FACTS = (
    "command",
    "commit",
    "code",
    "finished",
    "seeds",
    "folds",
    "device",
    "precision",
    "data",
    "labels",
    "seconds",
)
LESION = ("f1", "f1_threshold", "ap", "image_f1", "image_auc")
WANTED = ("kappa", "auc_referable", "auc", "accuracy", "unacceptable")


def keep(run: Path, name: str) -> Path:
    """Write ``<name>.json`` beside this file: test figures and where they come from."""
    metrics = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
    provenance = json.loads((run / "provenance.json").read_text(encoding="utf-8"))
    figures = {key: value for key, value in metrics.items() if key.startswith("test") and _shown(key)}
    content = {"name": name, **{key: provenance.get(key) for key in FACTS}, "metrics": figures}
    content["command"] = portable(provenance["command"])
    settings = yaml.safe_load((run / "experiment.yaml").read_text(encoding="utf-8"))
    return write(content | {"experiment": without_places(settings)}, HERE / f"{name}.json")


def write(content: dict[str, Any], path: Path) -> Path:
    """Write a kept file, every setting on one line of it."""
    settings = json.dumps(content["experiment"], ensure_ascii=False, separators=(",", ":"))
    text = json.dumps({**content, "experiment": None}, indent=1, ensure_ascii=False)
    path.write_text(text.replace('"experiment": null', f'"experiment": {settings}') + "\n", encoding="utf-8")
    return path


def without_places(settings: dict[str, Any]) -> dict[str, Any]:
    """Every setting but folders, loggers and loader processes, which are those of a machine."""
    kept = {key: value for key, value in settings.items() if key not in ("data", "logger", "output", "roots")}
    kept["test"] = {key: value for key, value in settings["test"].items() if key != "readers"}
    kept["stages"] = {
        name: {
            **stage,
            "data": {k: v for k, v in stage["data"].items() if k not in ("cache", "root", "workers")},
        }
        for name, stage in settings["stages"].items()
    }
    return kept


def table(name: str) -> str:
    """One kept run as Markdown: each figure with its interval beside the majority grade and colours alone."""
    kept = json.loads((HERE / f"{name}.json").read_text(encoding="utf-8"))
    metrics = kept["metrics"]
    lines = [
        f"`{kept['command']}`",
        "",
        "| | value [95 % interval] | majority grade | colours alone | photographs |",
        "|---|---|---|---|---|",
    ]
    for key, metric in metrics.items():
        if key.endswith(("_majority", "_shortcut", "_colour", "_threshold")):
            continue
        room, _, last = key.rpartition("/")
        binary = last == "auc" and f"{room}/auc_referable" not in metrics
        colour = f"{room}/auc_referable_colour" if binary else f"{key}_colour"
        beside = [cell(metrics.get(f"{key}_majority")), cell(metrics.get(colour))]
        lines.append(
            f"| {key.removeprefix('test/')} | {cell(metric)} | {' | '.join(beside)} | {metric['n']} |"
        )
    return "\n".join(lines)


def cell(metric: dict[str, Any] | None) -> str:
    """A figure with its interval, and its spread between seeds where there are several."""
    if metric is None or metric["value"] is None:
        return "–"
    text = f"{metric['value']:.3f} [{metric['low']:.3f}, {metric['high']:.3f}]"
    spread = metric.get("sd_seeds")
    return f"{text}, sd of seeds {spread:.3f}" if spread is not None else text


def _shown(key: str) -> bool:
    last = key.rsplit("/", 1)[-1].removesuffix("_majority").removesuffix("_shortcut").removesuffix("_colour")
    of_lesion = "/lesion/" in key and last in LESION
    return last in WANTED or of_lesion or key.startswith(("test/lesion/mean", "test/joint", "test/windows"))


def portable(command: str) -> str:
    """The command without folders of the machine that it ran on."""
    words = []
    for word in command.split():
        name, equals, value = word.partition("=")
        if name == "output":
            continue
        place = value.rpartition("/shared/data/")[2] if "/shared/data/" in value else ""
        words.append(f"{name}=../shared/data/{place}" if place else word if equals else name)
    return " ".join(words)


def main() -> None:
    """Keep a run, or print every kept table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path, nargs="?")
    parser.add_argument("name", nargs="?")
    parser.add_argument("--tables", action="store_true")
    known = parser.parse_args()
    if known.tables:
        for path in sorted(HERE.glob("*.json")):
            print(f"**{path.stem}**\n\n{table(path.stem)}\n")
    elif known.run and known.name:
        print(keep(known.run, known.name))
    else:
        parser.error("give RUN and NAME, or --tables")


if __name__ == "__main__":
    main()
