"""What ``retinalab explain`` writes: table, figures and page."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from retinalab.cli.explained_summary import about_lines
from retinalab.errors import RetinalabError
from retinalab.units import unit_of

if TYPE_CHECKING:
    import pandas as pd

    from retinalab.explain.scorecard import Settings
    from retinalab.metrics.compare import Difference
    from retinalab.metrics.measure import Metric
    from retinalab.predict.explained import Explained
    from retinalab.report.saliency import ScorecardPage
    from retinalab.report.saliency_gallery import Model

__all__ = ["RESEARCH", "Scored", "Written", "run_banners", "whole", "written"]

RESEARCH = ("Research use only", "not a medical device; nothing here supports the care of a patient.")


@dataclass(frozen=True)
class Scored:
    """Networks whose maps were held against the lesions.

    Attributes:
        runs: the stages that were explained; a second one on the photographs of the first.
        settings: how.
        table: of kind ``saliency``.
        models: the networks of the first fold and seed, for the gallery.
        notes: what was left out.
    """

    runs: Sequence[Explained]
    settings: Settings
    table: pd.DataFrame
    models: Sequence[Model]
    notes: Sequence[str]


@dataclass(frozen=True)
class Written:
    """What the page holds and the command prints.

    Attributes:
        about: term and text.
        metrics: from :func:`retinalab.metrics.scorecard.evaluate_saliency`.
        between: another network -> method -> differences of the first network's figures and its on the same
            photographs.
    """

    about: Sequence[tuple[str, str]]
    metrics: Mapping[str, Metric]
    between: Mapping[str, Mapping[str, Mapping[str, Difference]]]


def written(out: Path, scored: Scored) -> Written:
    """Write table, figures and page; the folder appears whole or not at all."""
    from retinalab.metrics.scorecard import compare_saliency, empty_maps, evaluate_saliency
    from retinalab.metrics.tables import write_table
    from retinalab.report.saliency import write_saliency_page
    from retinalab.runner.folder import write_json

    runs, settings, table = scored.runs, scored.settings, scored.table
    metrics = evaluate_saliency(table)
    pairs = _pairs(table, [run.name for run in runs])
    found = {(a, b): compare_saliency(table, a, b) for a, b in pairs}
    comparisons = {f"{', '.join(a)} against {', '.join(b)}": one for (a, b), one in found.items()}
    unit = unit_of(scored.models[0].card.photographs.part.records.table["patient"])
    about = about_lines(runs, settings, table, scored.notes, unit)
    meta = {"removed": list(settings.removed), "depths": list(settings.depths), "gate": settings.t}
    content = {
        "use": "research use only: not for diagnosis",
        "runs": {run.name: str(run.run.path.resolve()) for run in runs},
        "stages": {run.name: run.stage for run in runs},
        "about": dict(about),
        "settings": {**meta, "disease": settings.disease, "seed": settings.seed},
        "empty": [asdict(one) for one in empty_maps(table)],
        "metrics": metrics,
        "comparisons": comparisons,
    }
    page = _page(scored, about, metrics, comparisons, unit)
    with whole(out) as folder:
        write_table(table, folder / "saliency.parquet", "saliency", meta)
        write_json(folder / "scorecard.json", content)
        write_saliency_page(page, folder / "scorecard.html")
    between: dict[str, dict[str, Mapping[str, Difference]]] = {}
    for (a, b), one in found.items():
        if a[0] != b[0]:
            between.setdefault(b[0], {})[a[1]] = one
    return Written(about, metrics, between)


def _page(
    scored: Scored,
    about: Sequence[tuple[str, str]],
    metrics: Mapping[str, Metric],
    comparisons: Mapping[str, Mapping[str, Difference]],
    unit: str,
) -> ScorecardPage:
    from retinalab.report.saliency import ScorecardPage
    from retinalab.report.saliency_gallery import gallery

    runs, models = scored.runs, scored.models
    records = models[0].card.photographs.part.records
    drawn = any(one.synthetic for one in records.info.values())
    banners = [RESEARCH]
    if drawn:
        banners.append(
            ("Drawn (synthetic) photographs", "no photographs of people; nothing here is about patients.")
        )
    banners += run_banners(runs, drawn)
    return ScorecardPage(
        " against ".join(run.name for run in runs),
        about,
        banners,
        unit,
        scored.table,
        metrics,
        comparisons,
        scored.settings.removed,
        gallery(models, scored.table),
    )


def run_banners(runs: Sequence[Explained], drawn: bool = False) -> list[tuple[str, str]]:
    """What the runs' own results must be read with; without ``synthetic`` where the page itself is of drawn ones."""
    labels = [label.partition(":") for run in runs for label in run.run.labels if label]
    said = [
        (f"{word.capitalize()}, as the explained run", f"{meaning.strip() or word}.")
        for word, _, meaning in labels
        if not (drawn and word == "synthetic")
    ]
    return list(dict.fromkeys(said))


def _pairs(table: pd.DataFrame, names: Sequence[str]) -> list[tuple[tuple[str, str], tuple[str, str]]]:
    """What is compared: each method of the first run and of every other; within a run the last method with the rest."""
    methods = {name: list(table.loc[table["model"] == name, "method"].unique()) for name in names}
    first = names[0]
    pairs = [((first, x), (other, x)) for other in names[1:] for x in methods[first] if x in methods[other]]
    for name in names:
        *others, last = methods[name]
        pairs += [((name, last), (name, method)) for method in others]
    return pairs


@contextmanager
def whole(out: Path) -> Iterator[Path]:
    """A folder that takes its name when everything is in it."""
    try:
        made = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.absolute().parent))
    except OSError as error:
        raise RetinalabError(
            f"Cannot write to {out}: {error.strerror or error}. Name another with --out."
        ) from error
    try:
        yield made
        made.chmod(0o755)
        made.rename(out)
    except BaseException:
        shutil.rmtree(made, ignore_errors=True)
        raise
