"""Runs on the same photographs: each one's figures, the differences, and whether they are more than chance.

``--json`` writes the form of :mod:`retinalab.metrics.comparison` (``runs``, ``figures``, ``pairs``, ``family``) and
with it ``protocol``; ``labels`` that the results carry; ``baselines``, for each run key -> baseline -> its figure;
``above_shortcut``, for each run its differences to its own shortcut baseline. Of two runs the entries ``a``, ``b``
and ``differences`` repeat their names and their pair, and ``beside`` has the baselines side by side.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from retinalab.cli.compared_page import check_writable, write_compared_page
from retinalab.cli.matrix import compare_matrix, fingerprints
from retinalab.cli.written import check_output, write_output
from retinalab.errors import RetinalabError

if TYPE_CHECKING:
    from retinalab.metrics.comparison import Comparison
    from retinalab.protocol import Protocol, Scale
    from retinalab.report.folder import RunFolder

__all__ = ["add_compare_arguments", "compare"]


def add_compare_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what ``compare`` takes."""
    parser.add_argument(
        "run", type=Path, nargs="+", metavar="RUN", help="folder of a finished run; its latest link will do"
    )
    parser.add_argument(
        "--all-pairs", action="store_true", help="differences of every pair, not only to the first run"
    )
    parser.add_argument(
        "--test",
        action="append",
        default=[],
        metavar="METRIC",
        help="test this figure only, dr/kappa; may be repeated; fewer tests are corrected for",
    )
    parser.add_argument(
        "--matrix",
        action="append",
        default=[],
        metavar="METRIC",
        help="instead, what any number of runs reach on each test set: dr/kappa, ...; may be repeated",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the comparison as JSON too")
    parser.add_argument("--html", type=Path, metavar="FILE", help="write the comparison as a page too")


def compare(known: argparse.Namespace) -> int:
    """Print figures and differences of runs, beside what is reached without looking at the retina."""
    check_writable(known.html)
    if known.matrix and known.html is not None:
        raise RetinalabError("--matrix has no page. Leave out --html, or compare without --matrix.")
    for option, given in (("--test", known.test), ("--all-pairs", known.all_pairs)):
        if known.matrix and given:
            raise RetinalabError(
                f"--matrix tests no differences. Leave out {option}, or compare without --matrix."
            )
    if known.matrix:
        return compare_matrix(known)
    if len(known.run) < 2:
        raise RetinalabError(
            "compare takes at least two runs, got 1. For what a run reaches on every test set add "
            "--matrix METRIC, such as --matrix dr/kappa."
        )
    _check_different(known.run)
    from retinalab.metrics.baselines import above_the_shortcut, beside
    from retinalab.metrics.comparison import compare_runs

    check_output(known.json, known.html)
    runs = [_graded_run(folder) for folder in known.run]
    names = [str(folder.parent / folder.resolve().name) for folder in known.run]
    protocol, scales = _common(runs, names)
    tables = [run.predictions for run in runs if run.predictions is not None]
    comparison = compare_runs(tables, names, scales, known.all_pairs, known.test or None)
    tested = [table[table["part"] == "test"] for table in tables]
    first = comparison["pairs"][0]["differences"]
    above = [
        above_the_shortcut(table, run.baselines, scales, beside(first, run.metrics, run.metrics))
        for table, run in zip(tested, runs, strict=True)
    ]
    labels = list(dict.fromkeys(label for run in runs for label in run.provenance.get("labels", ())))
    _print(comparison, runs, protocol, scales, labels, above)
    if known.json is not None:
        content = {**comparison, "protocol": protocol.model_dump(mode="json"), "labels": labels}
        content |= {"baselines": [_baselines(first, run) for run in runs], "above_shortcut": above}
        if len(runs) == 2:
            content |= {"a": names[0], "b": names[1], "differences": first}
            content["beside"] = beside(first, runs[0].metrics, runs[1].metrics)
        write_output(known.json, json.dumps(content, indent=1, ensure_ascii=False) + "\n")
    if known.html is not None:
        print(f"\nPage: {write_compared_page(comparison, runs, known.html)}")
    return 0


def _check_different(folders: Sequence[Path]) -> None:
    """A run beside itself differs in nothing, and makes a family of tests larger."""
    for number, folder in enumerate(folders):
        for other in folders[:number]:
            if folder.resolve() == other.resolve():
                raise RetinalabError(f"{folder} and {other} are one run. Give each run once.")


def _graded_run(folder: Path) -> RunFolder:
    """A finished run that graded photographs of a test part."""
    from retinalab.report.folder import read_run

    if not folder.is_dir():
        raise RetinalabError(f"No run folder {folder}. Give the folder of a finished run, below runs/.")
    run = read_run(folder)
    if run.predictions is None or not (run.predictions["part"] == "test").any():
        raise RetinalabError(f"{folder} has no test photographs with grades. Give a run that grades some.")
    return run


def _common(runs: Sequence[RunFolder], names: Sequence[str]) -> tuple[Protocol, dict[str, Scale]]:
    """The first run's protocol and the scales that all share; their files and labels must be the same."""
    from retinalab.experiment import resolve_model
    from retinalab.metrics.comparable import check_fingerprints, common_scales
    from retinalab.protocol import Protocol

    protocols = [resolve_model(Protocol, run.experiment.get("protocol") or {}, "protocol") for run in runs]
    scales = dict(protocols[0].scales)
    for run, protocol, name in zip(runs[1:], protocols[1:], names[1:], strict=True):
        shared = common_scales(protocols[0], protocol, (names[0], name))
        scales = {disease: scale for disease, scale in scales.items() if disease in shared}
        if protocols[0].diseases == protocol.diseases:
            prints = fingerprints(runs[0].provenance), fingerprints(run.provenance)
            check_fingerprints(*prints, (names[0], name))
    return protocols[0], scales


def _print(
    comparison: Comparison,
    runs: Sequence[RunFolder],
    protocol: Protocol,
    scales: Mapping[str, Scale],
    labels: Sequence[str],
    above: Sequence[Mapping[str, Any]],
) -> None:
    from retinalab.metrics.baselines import above_lines, beside, beside_lines
    from retinalab.metrics.compare import difference_lines
    from retinalab.metrics.comparison_text import comparison_lines, letter

    for position, run in enumerate(comparison["runs"]):
        print(f"{letter(position)}  {run['name']}")
    on = ", ".join(f"{disease} on {scale.name}" for disease, scale in scales.items())
    print(f"   {protocol.split} split; {on}; test photographs")
    everywhere = set.intersection(*(set(run.diseases) for run in runs))
    some = "only one of the two grades it" if len(runs) == 2 else "not all of them grade it"
    for disease in sorted(set().union(*(run.diseases for run in runs)) - everywhere):
        print(f"   {disease} is left out: {some}")
    for label in labels:
        print(f"   {label}")
    first = comparison["pairs"][0]["differences"]
    if len(runs) == 2:
        shown = beside(first, runs[0].metrics, runs[1].metrics)
        lines = difference_lines(first, lambda key: beside_lines(key, shown)) + above_lines(*above)
    else:
        lines = comparison_lines(comparison, _beside_all(comparison, [_baselines(first, r) for r in runs]))
    print("\n" + "\n".join(lines))


def _baselines(keys: Mapping[str, Any], run: RunFolder) -> dict[str, dict[str, float | None]]:
    """Key -> baseline -> its figure, as the run has it."""
    from retinalab.metrics.baselines import BASELINES, figure_beside

    out: dict[str, dict[str, float | None]] = {}
    for key in keys:
        for baseline in BASELINES:
            one = figure_beside(run.metrics, key, baseline)
            if one is not None:
                out.setdefault(key, {})[baseline] = one.get("value")
    return out


def _beside_all(
    comparison: Comparison, baselines: Sequence[Mapping[str, Mapping[str, float | None]]]
) -> Callable[[str], Iterator[str]]:
    """Lines below a figure, one for each baseline: one value where all runs have the same, else each run's."""
    from retinalab.metrics.baselines import BASELINES
    from retinalab.metrics.comparison_text import letter

    def lines(key: str) -> Iterator[str]:
        for baseline, words in BASELINES.items():
            found = {
                letter(k): value
                for k, run in enumerate(baselines)
                if (value := run.get(key, {}).get(baseline)) is not None
            }
            texts = {name: f"{value:.3f}" for name, value in found.items()}
            if len(texts) == len(comparison["runs"]) and len(set(texts.values())) == 1:
                yield f"  {words:23s}{texts['a']:>7s}"
            else:
                yield from (f"  {words + ' ' + name:23s}{text:>7s}" for name, text in texts.items())

    return lines
