"""The command that prepares an experiment's photographs beforehand, or says how much room they take; what is kept."""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from retinalab.cli.arguments import whole
from retinalab.cli.kept import cache_list, cache_prune
from retinalab.errors import RetinalabError

if TYPE_CHECKING:
    from retinalab.config import DataConfig, Experiment
    from retinalab.data.preparation import Preparation
    from retinalab.data.space import Needed

__all__ = ["add_cache_arguments", "data_cache"]

_KEPT = {"list": cache_list, "prune": cache_prune}


def add_cache_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of ``retinalab data cache``."""
    parser.set_defaults(overrides_allowed=True)
    text = "as retinalab papers lists it; or list: what is prepared already; or prune: remove what was unread for long"
    parser.add_argument("paper", help=text)
    parser.add_argument(
        "words", nargs="*", default=[], metavar="experiment key=value", help="default experiment: synthetic"
    )
    parser.add_argument(
        "--estimate", action="store_true", help="print how much room they will take, and prepare nothing"
    )
    parser.add_argument(
        "--cache", type=Path, metavar="PATH", help="of list and prune: their folder; default: the user's"
    )
    parser.add_argument(
        "--unused", type=whole, metavar="DAYS", help="of prune: since when they were not read; default: 30"
    )
    parser.add_argument(
        "--yes", action="store_true", help="of prune: remove them; without it nothing is removed"
    )


def data_cache(known: argparse.Namespace) -> int:
    """Prepare the photographs of every stage and test set of an experiment; or see to what is prepared already."""
    from retinalab.experiment import load_experiment

    if known.paper in _KEPT:
        return _KEPT[known.paper](known)
    if known.cache is not None or known.unused is not None or known.yes:
        raise RetinalabError(
            "--cache, --unused and --yes are of data cache list and prune. For an experiment: data.cache=PATH."
        )
    words = [*known.words, *known.rest]
    names = [word for word in words if "=" not in word]
    if len(names) > 1 or any(name.startswith("-") for name in names):
        raise RetinalabError(f"Unexpected {names[-1]!r}. Give one experiment, then overrides as key=value.")
    overrides = [word for word in words if "=" in word]
    experiment = load_experiment(known.paper, names[0] if names else "synthetic", overrides)
    if known.estimate:
        _estimate(experiment)
    else:
        _prepare(experiment)
    return 0


def _prepare(experiment: Experiment) -> None:
    from retinalab.config import TestConfig
    from retinalab.data.enlarged import ENLARGED
    from retinalab.data.parts import load_parts

    fold = 0 if experiment.folds > 1 else None
    done: set[str] = set()
    told: dict[str, None] = {}
    for name, stage in experiment.stages.items():
        test = experiment.test if name in experiment.evaluated else TestConfig()
        parts = load_parts(stage.data, experiment.protocol, experiment.roots, test, fold, experiment.folds)
        for part in (parts.train, parts.val, *parts.tests.values()):
            done |= {f"{one} at {stage.data.size} px" for one in part.records.table["set"].unique()}
        told |= dict.fromkeys(note for note in parts.notes if ENLARGED in note)
    for note in told:
        print(textwrap.fill(note, 80, subsequent_indent="  ", break_on_hyphens=False))
    print(f"prepared: {', '.join(sorted(done))}")


def _estimate(experiment: Experiment) -> None:
    from retinalab.data.codec import CODECS
    from retinalab.data.space import as_text, available_memory, free_disk

    meanings = {"raw": "read the fastest", "delta": "every pixel kept", "jpeg": "lossy, only when asked for"}
    places: dict[Path, None] = {}
    for name, preparation, needed in _needed(experiment):
        places[preparation.parent] = None
        masks = " with lesions" * needed.masks
        print(f"{name}: {needed.photographs:,} photographs at {needed.size} px{masks}")
        chosen = preparation.written(needed.photographs)
        for codec in CODECS:
            about = "" if codec == "raw" else "about "
            mark = f", data.codec={preparation.codec}" * (codec == chosen)
            print(f"  {codec:6s} {about}{as_text(needed.bytes_in(codec))}, {meanings[codec]}{mark}")
    for place in places:
        print(f"free: {as_text(available_memory())} of memory, {as_text(free_disk(place))} in {place}")


def _needed(experiment: Experiment) -> Iterator[tuple[str, Preparation, Needed]]:
    """Every data set at every size, once: its name, how it is prepared, and what that takes."""
    from retinalab.data.parts import read_records
    from retinalab.data.preparation import Preparation

    seen = set()
    for stage, described in experiment.stages.items():
        data = described.data
        tested = experiment.test if stage in experiment.evaluated else None
        for name, section in _sections(data, experiment, tested is not None):
            records = read_records(section, experiment.protocol, experiment.roots)[1]
            count = len(records) if data.limit is None else min(len(records), 3 * data.limit)
            preparation = Preparation.of(section)
            needed = preparation.needed(count)
            if (name, needed) not in seen:
                seen.add((name, needed))
                yield name, preparation, needed


def _sections(data: DataConfig, experiment: Experiment, tested: bool) -> Iterator[tuple[str, DataConfig]]:
    """The sets that a stage trains on, then those that it is tested on besides."""
    yield data.set, data
    for name in data.mix.sets:
        options = data.mix.options.get(name, {})
        yield name, data.model_copy(update={"set": name, "root": None, "options": options})
    for name in experiment.test.sets if tested else ():
        given = dict(experiment.test.options.get(name, {}))
        adapter = str(given.pop("set", name))
        root = experiment.roots.get(name, experiment.roots.get(adapter))
        yield name, data.model_copy(update={"set": adapter, "root": root, "options": given})
