"""The command line. Nothing here imports torch before a command needs it."""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from retinalab.errors import RetinalabError

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; a user's error is one line on standard error and exit status 2."""
    parser = _parser()
    known, rest = parser.parse_known_args(arguments)
    if not hasattr(known, "command"):
        parser.print_help()
        return 0
    if rest and not getattr(known, "overrides_allowed", False):
        parser.error(f"unrecognised arguments: {' '.join(rest)}")
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    for noisy in ("httpx", "filelock", "matplotlib", "fsspec", "PIL"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    try:
        known.rest = rest
        status: int = known.command(known)
    except RetinalabError as error:
        for line in str(error).splitlines():
            print(f"retinalab: {line}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("retinalab: interrupted; the same command goes on where it stopped", file=sys.stderr)
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="retinalab",
        description="Published diabetic-retinopathy methods as experiments that anyone can run, compare and "
        "trust. Research use only.",
    )
    commands = parser.add_subparsers(title="commands", metavar="")
    _add(commands, "papers", _papers, "what is installed: papers, tasks, experiments")
    show = _add(commands, "show", _show, "one paper: citation, tasks, experiments")
    show.add_argument("paper")
    exp = _add(commands, "exp", _exp, "run an experiment, or go on with an unfinished one")
    exp.set_defaults(overrides_allowed=True)
    exp.add_argument("paper", help="as retinalab papers lists it")
    exp.add_argument(
        "rest_words", nargs="*", metavar="experiment key=value", help="default experiment: synthetic"
    )
    exp.add_argument("--show", action="store_true", help="print the resolved experiment and stop")
    exp.add_argument(
        "--smoke", action="store_true", help="two steps a stage on a handful of photographs at reduced size"
    )
    exp.add_argument(
        "--strict", action="store_true", help="a difference from a set's published counts is an error"
    )
    _add_data(commands)
    evaluate = _add(commands, "evaluate", _evaluate, "figures with intervals from a table of predictions")
    evaluate.add_argument("file", type=Path, help="Parquet or CSV")
    evaluate.add_argument(
        "--scale", action="append", default=[], metavar="DISEASE=SCALE", help="default: dr=icdr5"
    )
    evaluate.add_argument(
        "--map",
        action="append",
        default=[],
        metavar="OURS=THEIRS",
        help="column names of a table made elsewhere",
    )
    compared = _add(
        commands, "compare", _compare, "two runs on the same photographs, their difference with intervals"
    )
    compared.add_argument(
        "run", type=Path, nargs=2, metavar="RUN", help="folder of a finished run; its latest link will do"
    )
    compared.add_argument("--json", type=Path, metavar="FILE", help="write the comparison as JSON too")
    report = _add(commands, "report", _report, "write a run's report page again")
    report.add_argument("run", type=Path)
    return parser


def _add(
    commands: argparse._SubParsersAction[argparse.ArgumentParser], name: str, command: object, text: str
) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
    parser.set_defaults(command=command)
    return parser


def _add_data(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    data = commands.add_parser("data", help="data sets: sets, index, split, synth", description="Data sets.")
    actions = data.add_subparsers(title="actions", metavar="", required=True)
    _add(actions, "sets", _data_sets, "data sets that can be read")
    for name, command, text in (
        ("index", _data_index, "read a data set's labels, check the published counts, and sum up"),
        ("split", _data_split, "write the split that a run would use"),
    ):
        action = _add(actions, name, command, text)
        action.set_defaults(overrides_allowed=True)
        action.add_argument("set")
        action.add_argument("--root", type=Path, help="folder of the data set")
        action.add_argument("--out", type=Path, help="CSV file to write")
        action.add_argument(
            "--strict", action="store_true", help="a difference from the published counts is an error"
        )
    synth = _add(actions, "synth", _data_synth, "draw photographs of the synthetic world")
    synth.add_argument("--out", type=Path, help="folder for photographs, records.csv and masks")
    synth.add_argument("--count", type=int, default=100)
    synth.add_argument("--size", type=int, default=512, help="pixels")
    synth.add_argument("--seed", type=int, default=0)
    synth.add_argument("--sheet", type=Path, help="write a contact sheet (PNG) instead")


def _papers(known: argparse.Namespace) -> int:
    from retinalab.registry import Paper, installed_papers

    found = installed_papers()
    for name, paper in found.items():
        if isinstance(paper, Paper):
            print(f"{name}\n  {paper.title}\n  {paper.citation}")
            print(f"  tasks: {', '.join(paper.tasks)}")
            print(f"  experiments: {', '.join(paper.experiment_names()) or 'none'}")
        else:
            print(f"{name}\n  cannot be imported ({paper.distribution}): {paper.cause}")
    return 0


def _show(known: argparse.Namespace) -> int:
    from retinalab.registry import paper

    found = paper(known.paper)
    print(f"{found.name}: {found.title}\n{found.citation}\n{found.url}\n\nTasks:")
    for task in found.tasks:
        print(f"  {task}")
    print("\nExperiments:")
    for name in found.experiment_names():
        print(f"  retinalab exp {found.name} {name}")
    return 0


def _exp(known: argparse.Namespace) -> int:
    from retinalab.experiment import as_yaml, load_experiment, smoke

    words = [*known.rest_words, *known.rest]
    overrides = [word for word in words if "=" in word]
    names = [word for word in words if "=" not in word]
    wrong = [word for word in names if word.startswith("-")]
    if wrong or len(names) > 1:
        raise RetinalabError(
            f"Unexpected {(wrong or names[1:])[0]!r}. Give one experiment, then overrides as key=value."
        )
    if known.strict:
        overrides.append("data.strict=true")
    experiment = load_experiment(known.paper, names[0] if names else "synthetic", overrides)
    if known.smoke:
        experiment = smoke(experiment)
    if known.show:
        print(as_yaml(experiment), end="")
        return 0
    from retinalab.runner import run

    result = run(experiment)
    _print_metrics(result.metrics, only="test")
    print(f"\n{result.folder / 'report.html'}\nResearch use only: not for diagnosis.")
    return 0


def _data_sets(known: argparse.Namespace) -> int:
    from retinalab.data.sets import set_class, set_names

    for name in set_names():
        info = set_class(name).info
        print(f"{name:16s}{info.title}\n{'':16s}{info.licence}")
    return 0


def _data_index(known: argparse.Namespace) -> int:
    records = _records(known)
    table = records.table
    print(f"{len(table)} photographs of {table['set'].iloc[0]}, {table['patient'].nunique()} patients")
    for disease in ("dr", "dme"):
        counts = table[disease].value_counts().sort_index()
        if set(counts.index) != {-1}:
            print(f"{disease}: " + ", ".join(f"{'unknown' if g < 0 else g}: {n}" for g, n in counts.items()))
    for note in records.notes:
        print(note)
    if known.out:
        table.to_csv(known.out, index=False)
    return 0


def _data_split(known: argparse.Namespace) -> int:
    from retinalab.config import DataConfig
    from retinalab.data.parts import read_records
    from retinalab.data.splits import split
    from retinalab.experiment import resolve_model
    from retinalab.overrides import overridden
    from retinalab.protocol import Protocol

    raw = overridden(
        {"set": known.set, "root": known.root, "strict": known.strict},
        [w for w in known.rest if w.startswith("options.")],
    )
    data = resolve_model(DataConfig, raw, "data")
    protocol = resolve_model(
        Protocol, overridden({}, [w for w in known.rest if not w.startswith("options.")]), "protocol"
    )
    _, records, _ = read_records(data, protocol, {})
    made = split(records, protocol, fold=0 if protocol.split == "folds" else None, folds=5)
    print(f"{made.origin}: {len(made.train)} train, {len(made.val)} val, {len(made.test)} test")
    for leak in made.leaks:
        print(f"leak: {leak}")
    if known.out:
        made.frame().to_csv(known.out, index=False)
    return 0


def _records(known: argparse.Namespace):  # type: ignore[no-untyped-def]
    from retinalab.data.sets import open_set
    from retinalab.overrides import overridden

    options = overridden({}, known.rest)
    return open_set(known.set, known.root, options.get("options", options), strict=known.strict).records()


def _data_synth(known: argparse.Namespace) -> int:
    from retinalab.synthetic import World, WorldOptions

    world = World(WorldOptions(photographs=known.count, seed=known.seed))
    if known.sheet is not None:
        import cv2

        from retinalab.synthetic import contact_sheet

        known.sheet.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(known.sheet), contact_sheet(seed=known.seed)[..., ::-1])
        print(known.sheet)
        return 0
    if known.out is None:
        raise RetinalabError("retinalab data synth needs --out FOLDER (or --sheet FILE.png).")
    from retinalab.synthetic import write_world

    write_world(world, known.out, known.size)
    print(f"{known.count} drawn photographs in {known.out}")
    return 0


def _evaluate(known: argparse.Namespace) -> int:
    import pandas as pd

    from retinalab.errors import unknown
    from retinalab.metrics.evaluate import evaluate
    from retinalab.metrics.tables import read_table
    from retinalab.protocol import SCALES

    if known.file.suffix == ".csv":
        if not known.file.is_file():
            raise RetinalabError(f"No file {known.file}. Give a CSV or Parquet table of predictions.")
        table = pd.read_csv(known.file)
    else:
        table = read_table(known.file, "predictions")
    names = dict(pair.split("=", 1) for pair in known.map if "=" in pair)
    for ours, theirs in names.items():
        if theirs not in table:
            raise unknown("column", theirs, list(table.columns), f"Correct --map {ours}={theirs}.")
        table[ours] = table[theirs]
    scales = {}
    for pair in known.scale or ["dr=icdr5"]:
        disease, _, scale = pair.partition("=")
        if scale not in SCALES:
            raise unknown("grade scale", scale, SCALES)
        scales[disease] = SCALES[scale]
    _print_metrics(evaluate(table, scales), only="")
    return 0


def _compare(known: argparse.Namespace) -> int:
    from retinalab.experiment import resolve_model
    from retinalab.metrics.comparable import check_fingerprints, common_scales
    from retinalab.metrics.compare import compare, difference_lines
    from retinalab.protocol import Protocol
    from retinalab.report.folder import read_run

    if known.json is not None and (known.json.is_dir() or not known.json.parent.is_dir()):
        raise RetinalabError(f"Cannot write {known.json}. Name a file in a folder that exists.")
    tables, protocols, prints = [], [], []
    labels: dict[str, None] = {}
    graded: list[set[str]] = []
    for folder in known.run:
        if not folder.is_dir():
            raise RetinalabError(f"No run folder {folder}. Give the folder of a finished run, below runs/.")
        run = read_run(folder)
        if run.predictions is None or not (run.predictions["part"] == "test").any():
            raise RetinalabError(
                f"{folder} has no test photographs with grades. Give a run that grades some."
            )
        graded.append(set(run.diseases))
        tables.append(run.predictions[run.predictions["part"] == "test"])
        protocols.append(resolve_model(Protocol, run.experiment.get("protocol") or {}, "protocol"))
        sets = [entry for stage in run.provenance.get("data", {}).values() for entry in stage.items()]
        prints.append({name: [e.get("fingerprint", "") for n, e in sets if n == name] for name, _ in sets})
        labels.update(dict.fromkeys(run.provenance.get("labels", ())))
    scales = common_scales(*protocols)
    if protocols[0].diseases == protocols[1].diseases:
        check_fingerprints(*prints)
    found = compare(tables[0], tables[1], scales)
    names = [str(folder.parent / folder.resolve().name) for folder in known.run]
    on = ", ".join(f"{disease} on {scale.name}" for disease, scale in scales.items())
    print(f"a  {names[0]}\nb  {names[1]}\n   {protocols[0].split} split; {on}; test photographs")
    for disease in sorted(graded[0] ^ graded[1]):
        print(f"   {disease} is left out: only one of the two grades it")
    for label in labels:
        print(f"   {label}")
    print("\n" + "\n".join(difference_lines(found)))
    if known.json is not None:
        content = {"a": names[0], "b": names[1], "protocol": protocols[0].model_dump(mode="json")}
        content |= {"labels": list(labels), "differences": found}
        known.json.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return 0


def _report(known: argparse.Namespace) -> int:
    from retinalab.report import write_report

    if not (known.run / "metrics.json").is_file():
        raise RetinalabError(
            f"{known.run} is no finished run: it has no metrics.json. Give a folder below runs/."
        )
    print(write_report(known.run))
    return 0


def _print_metrics(metrics: object, only: str) -> None:
    shown = json.loads(json.dumps(metrics))
    print(f"\n{'metric':44s}{'value':>8s}   95 % interval{'n':>7s}")
    for key, metric in shown.items():
        if key.startswith(only) and metric["value"] is not None:
            low, high = metric["low"], metric["high"]
            interval = f"[{low:.3f}, {high:.3f}]" if low is not None else ""
            print(f"{key:44s}{metric['value']:8.3f}   {interval:14s}{metric['n']:7d}")


if __name__ == "__main__":
    raise SystemExit(main())
