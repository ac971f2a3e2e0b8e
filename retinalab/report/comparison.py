"""The page of a comparison: methods side by side on the same photographs, and where they differ."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from retinalab.metrics.baselines import BASELINES, figure_beside
from retinalab.metrics.comparison import Comparison, Pair
from retinalab.metrics.comparison_text import letter
from retinalab.metrics.difference import Difference
from retinalab.metrics.measure import Metric
from retinalab.metrics.tables import complete_predictions
from retinalab.report.disagreement import differing, rights
from retinalab.report.folder import RunFolder
from retinalab.report.forest import Forest, Line, forest
from retinalab.report.gallery import Picture
from retinalab.report.numbers import interval, number, plain, probability
from retinalab.report.render import write_page
from retinalab.report.results import Grid, tested_unit
from retinalab.report.settings import differing_settings
from retinalab.report.summary import banners, data_sets, notes, protocol, summary

__all__ = ["write_comparison"]

_MEASURES = {
    "kappa": "quadratic weighted kappa",
    "kappa_unweighted": "unweighted kappa",
    "auc_referable": "AUC, referable",
    "auc": "AUC",
    "sensitivity_referable": "sensitivity, referable",
    "specificity_referable": "specificity, referable",
    "accuracy": "accuracy",
    "unacceptable": "unacceptable errors",
}
_Entry = TypeVar("_Entry")
_Figures = Mapping[str, Sequence[Metric]]


def write_comparison(
    comparison: Comparison, runs: Sequence[RunFolder], target: Path, picture: Picture | None = None
) -> Path:
    """Write the page: one file, no script, no request to any network.

    Args:
        comparison: from :func:`retinalab.metrics.comparison.compare_runs`.
        runs: the folders behind its runs, in the same order.
        target: the file.
        picture: working image of (set, image), ``(S, S, 3)`` uint8 RGB; None where it cannot be had.
    """
    letters = [letter(k) for k in range(len(runs))]
    prefixes = list(dict.fromkeys(key.partition("/")[0] for key in comparison["figures"]))
    context = {
        "methods": [
            _about(name, one["name"], run)
            for name, one, run in zip(letters, comparison["runs"], runs, strict=True)
        ],
        "letters": letters,
        "banners": list(dict.fromkeys(banner for run in runs for banner in banners(run))),
        "protocol": protocol(runs[0]),
        "data_sets": data_sets(runs[0]),
        "settings": differing_settings([run.experiment for run in runs]),
        "unit": tested_unit(runs[0], prefixes[0]) if prefixes else "",
        "family": comparison["family"],
        "results": [_results(prefix, letters, comparison, runs, picture) for prefix in prefixes],
        "several": len(prefixes) > 1,
    }
    return write_page("comparison.html", context, target)


def _about(name: str, full: str, run: RunFolder) -> Mapping[str, Any]:
    return {
        "letter": name,
        "name": full,
        "title": f"{plain(run.experiment.get('paper'))} / {plain(run.experiment.get('name'))}",
        "citation": plain(run.provenance.get("citation")),
        "summary": summary(run),
        "command": plain(run.provenance.get("command")),
        "notes": notes(run),
    }


def _results(
    prefix: str,
    letters: Sequence[str],
    comparison: Comparison,
    runs: Sequence[RunFolder],
    picture: Picture | None,
) -> Mapping[str, Any]:
    """Everything that is shown of one test set."""
    figures = _below(prefix, comparison["figures"])
    shown = {name: words for name, words in _names(runs[0]) if name in figures}
    pairs = comparison["pairs"]
    return {
        "set": runs[0].set_of(prefix),
        "side_by_side": _side_by_side(prefix, shown, letters, figures, runs[0]),
        "plots": [_plot(words, letters, figures[name]) for name, words in shown.items()],
        "apart": list(_difference_plots(prefix, shown, letters, pairs)),
        "pairs": [_pair(prefix, pair, letters, shown) for pair in pairs],
        "seeds": _seeds(shown, letters, figures),
        "photographs": list(_photographs(prefix, letters, pairs, runs, picture)),
    }


def _names(run: RunFolder) -> Iterator[tuple[str, str]]:
    """The measures that a reader looks for first, and their words."""
    for disease, scale in run.scales.items():
        for name, words in _MEASURES.items():
            of_two = name == "auc" and scale.size != 2
            plain_kappa = name == "kappa_unweighted" and scale.ordinal
            if not (of_two or plain_kappa):
                yield f"{disease}/{name}", f"{disease.upper()} {words}"
    yield "joint/accuracy", "joint accuracy"


def _plot(words: str, letters: Sequence[str], metrics: Sequence[Metric]) -> Forest:
    lines = [
        Line(name, one["value"], one["low"], one["high"], one.get("seeds") or ())
        for name, one in zip(letters, metrics, strict=True)
    ]
    return forest(words, lines)


def _difference_plots(
    prefix: str, shown: Mapping[str, str], letters: Sequence[str], pairs: Sequence[Pair]
) -> Iterator[Forest]:
    for name, words in shown.items():
        lines = []
        for pair in pairs:
            one = pair["differences"].get(f"{prefix}/{name}")
            if one is not None:
                seeds = [each["difference"] for each in one.get("seeds", ())]
                label = _named(pair, letters).replace(" ", "")
                lines.append(Line(label, one["difference"], one["low"], one["high"], seeds))
        if lines:
            yield forest(words, lines, differences=True)


def _side_by_side(
    prefix: str, shown: Mapping[str, str], letters: Sequence[str], figures: _Figures, first: RunFolder
) -> Grid | None:
    """A row per measure, a column per method, then what is reached without looking at the retina."""
    keys = {name: f"{prefix}/{name}" for name in shown}
    beside = {
        baseline: label
        for baseline, label in BASELINES.items()
        if any(figure_beside(first.metrics, key, baseline) for key in keys.values())
    }
    rows = []
    for name, words in shown.items():
        others = [figure_beside(first.metrics, keys[name], baseline) for baseline in beside]
        cells = [interval(one) for one in figures[name]]
        rows.append((words, [*cells, *(interval(one) if one else "–" for one in others)]))
    return Grid([*letters, *beside.values()], rows) if rows else None


def _pair(prefix: str, pair: Pair, letters: Sequence[str], shown: Mapping[str, str]) -> Mapping[str, Any]:
    """A table of one pair: the measures that are looked for first, and the rest to be unfolded."""
    found = _below(prefix, pair["differences"])
    tested = any("test" in one for one in found.values())
    first, second = letters[pair["a"]], letters[pair["b"]]
    columns = [first, second, "difference [95 % interval]", "smallest that would have shown"]
    return {
        "name": _named(pair, letters),
        "columns": [*columns, *(["p", "p, Holm", "test"] if tested else []), "photographs"],
        "lead": [_row(words, found[name], tested) for name, words in shown.items() if name in found],
        "more": [_row(name, one, tested) for name, one in found.items() if name not in shown],
    }


def _row(name: str, one: Difference, tested: bool) -> Mapping[str, Any]:
    difference = interval({"value": one["difference"], "low": one["low"], "high": one["high"]})
    smallest = one.get("smallest_difference")
    cells = [number(one["a"]), number(one["b"]), difference, "–" if smallest is None else number(smallest)]
    if tested:
        cells += [probability(one.get("p")), probability(one.get("p_holm")), one.get("test", "–")]
    remarks = [one.get("note", "")]
    if "folds" in one:
        over = one["folds"]
        mean = interval({"value": over["mean"], "low": over["low"], "high": over["high"]})
        remarks.append(f"over folds (Nadeau and Bengio): {mean}, p {probability(over['p'])}")
    return {"name": name, "cells": [*cells, str(one["n"])], "note": "; ".join(filter(None, remarks))}


def _seeds(shown: Mapping[str, str], letters: Sequence[str], figures: _Figures) -> Grid | None:
    """The value of each seed and their spread; None where every method was trained once."""
    if not any(one.get("seeds") for name in shown for one in figures[name]):
        return None
    return Grid(
        list(letters), [(words, [_spread(one) for one in figures[name]]) for name, words in shown.items()]
    )


def _spread(one: Metric) -> str:
    each, spread = one.get("seeds") or [one["value"]], one.get("sd_seeds")
    return ", ".join(map(number, each)) + ("" if spread is None else f" [{number(spread)}]")


def _photographs(
    prefix: str,
    letters: Sequence[str],
    pairs: Sequence[Pair],
    runs: Sequence[RunFolder],
    picture: Picture | None,
) -> Iterator[Mapping[str, Any]]:
    name = runs[0].set_of(prefix)
    for disease, scale in runs[0].scales.items():
        if not all(disease in run.diseases for run in runs):
            continue
        tables = {}
        for key, run in zip(letters, runs, strict=True):
            own = next((one for one in run.tested if run.set_of(one) == name), prefix)
            tables[key] = complete_predictions(run.rows(own, disease))
        if all(len(table) for table in tables.values()):
            named = [(letters[pair["a"]], letters[pair["b"]]) for pair in pairs]
            yield {
                "disease": disease.upper(),
                "rights": rights(tables, disease, named),
                "differing": differing(tables, disease, scale, picture),
            }


def _below(prefix: str, found: Mapping[str, _Entry]) -> dict[str, _Entry]:
    return {key.removeprefix(f"{prefix}/"): one for key, one in found.items() if key.startswith(f"{prefix}/")}


def _named(pair: Pair, letters: Sequence[str]) -> str:
    return f"{letters[pair['a']]} − {letters[pair['b']]}"
