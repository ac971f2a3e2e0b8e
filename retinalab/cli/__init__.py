"""The command line. Nothing here imports torch before a command needs it."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Sequence
from concurrent.futures import BrokenExecutor
from pathlib import Path

from retinalab.cli.arguments import Parser, whole
from retinalab.cli.audit import add_audit_arguments, audit
from retinalab.cli.cache import add_cache_arguments, data_cache
from retinalab.cli.check import add_check_arguments, data_check
from retinalab.cli.compare import add_compare_arguments, compare
from retinalab.cli.data import data_index, data_sets, data_synth
from retinalab.cli.evaluate import add_evaluate_arguments, evaluate
from retinalab.cli.exhausted import exhausted
from retinalab.cli.experiments import add_exp_arguments, exp
from retinalab.cli.explain import add_explain_arguments, explain
from retinalab.cli.export import add_export_arguments, export
from retinalab.cli.leaderboard import add_leaderboard_arguments, leaderboard
from retinalab.cli.papers import papers, show
from retinalab.cli.predict import add_predict_arguments, predict
from retinalab.cli.results import report
from retinalab.cli.robustness import add_robustness_arguments, robustness
from retinalab.cli.runs import add_runs_arguments, runs_list
from retinalab.cli.split import data_split
from retinalab.cli.table import add_table_arguments, table
from retinalab.cli.weights import add_weights_arguments, weights_check, weights_fetch, weights_list
from retinalab.errors import RetinalabError
from retinalab.faults import machine_fault
from retinalab.redacted import redacted

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; a user's error is one line on standard error and exit status 2."""
    parser = _parser()
    try:
        known, rest = parser.parse_known_args(arguments)
        if not hasattr(known, "command"):
            parser.print_help()
            return 0
        if rest and not getattr(known, "overrides_allowed", False):
            raise known.parser.unrecognised(rest)
        logging.basicConfig(level=logging.INFO, format="%(message)s")
        for noisy in ("httpx", "filelock", "matplotlib", "fsspec", "PIL"):
            logging.getLogger(noisy).setLevel(logging.WARNING)
        os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")  # of a damaged file our own line is enough
        known.rest = rest
        status: int = known.command(known)
    except RetinalabError as error:
        for line in () if error.told else str(error).splitlines():
            print(f"retinalab: {redacted(line)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("retinalab: interrupted; the same command goes on where it stopped", file=sys.stderr)
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except (OSError, BrokenExecutor) as error:
        if (fault := machine_fault(error)) is None:
            raise
        print(f"retinalab: {redacted(str(fault))}", file=sys.stderr)
        return 2
    except (MemoryError, RuntimeError) as error:
        if (told := exhausted(error, known.parser.prog)) is None:
            raise
        print(told, file=sys.stderr)
        return 2
    return status


def _parser() -> Parser:
    parser = Parser(
        prog="retinalab",
        description="Published diabetic-retinopathy methods as experiments that anyone can run, compare and "
        "trust. Research use only.",
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    _add(commands, "papers", papers, "what is installed: papers, tasks, experiments")
    show_parser = _add(commands, "show", show, "one paper: citation, tasks, experiments")
    show_parser.add_argument("paper")
    add_exp_arguments(_add(commands, "exp", exp, "run an experiment, or go on with an unfinished one"))
    _add_data(commands)
    text = "grade photographs with the networks of a finished run"
    add_predict_arguments(_add(commands, "predict", predict, text))
    text = "saliency maps of a finished run, held against the lesions of its test photographs"
    add_explain_arguments(_add(commands, "explain", explain, text))
    text = "write a run's networks as ONNX or a torch.export program, held against the run itself"
    add_export_arguments(_add(commands, "export", export, text))
    text = "how grades hold when test photographs change: views, colours, blur, haze, other faults"
    add_robustness_arguments(_add(commands, "robustness", robustness, text))
    text = "figures with intervals of a run, or of a table of predictions made elsewhere"
    add_evaluate_arguments(_add(commands, "evaluate", evaluate, text))
    text = "runs on the same photographs: differences with intervals and tests; or trained on by tested on"
    add_compare_arguments(_add(commands, "compare", compare, text))
    text = "a paper's printed values beside what was measured of them, and how to measure the rest"
    add_table_arguments(_add(commands, "table", table, text))
    text = "are printed numbers possible: k of n, kappas, means, parameter counts, sizes"
    add_audit_arguments(_add(commands, "audit", audit, text))
    text = "methods side by side on one data set under one protocol and budget"
    add_leaderboard_arguments(_add(commands, "leaderboard", leaderboard, text))
    text = "run folders: list them, show one, what takes the room, and remove what can go"
    add_runs_arguments(_add(commands, "runs", runs_list, text))
    _add_weights(commands)
    report_parser = _add(commands, "report", report, "write a run's report page again")
    text = "folder of a finished run; its latest link will do"
    report_parser.add_argument("run", type=Path, metavar="RUN", help=text)
    report_parser.add_argument(
        "--readers",
        type=Path,
        metavar="FILE",
        help="CSV of readers' operating points for the ROC: disease, reader, sensitivity, specificity [, set, target]",
    )
    text = "write TRIPOD+AI, CLAIM and STARD-AI as Markdown too, filled as far as the run proves"
    report_parser.add_argument("--checklist", type=Path, metavar="FILE", help=text)
    return parser


def _add(commands: argparse._SubParsersAction[Parser], name: str, command: object, text: str) -> Parser:
    parser = commands.add_parser(
        name, help=text, description=text[0].upper() + text[1:] + ".", allow_abbrev=False
    )
    parser.set_defaults(command=command, parser=parser)
    return parser


def _add_weights(commands: argparse._SubParsersAction[Parser]) -> None:
    text = "pretrained weights for a machine without a network: list, fetch, check"
    weights = commands.add_parser("weights", help=text, description=text[0].upper() + text[1:] + ".")
    actions = weights.add_subparsers(title="actions", metavar="ACTION", required=True)
    for name, command, told in (
        ("list", weights_list, "the files that an experiment's backbones have weights in"),
        ("fetch", weights_fetch, "fetch them into a folder, with their checksums"),
        ("check", weights_check, "hold the files of such a folder against their checksums"),
    ):
        add_weights_arguments(_add(actions, name, command, told), name)


def _add_data(commands: argparse._SubParsersAction[Parser]) -> None:
    data = commands.add_parser(
        "data", help="data sets: sets, check, index, split, cache, synth", description="Data sets."
    )
    actions = data.add_subparsers(title="actions", metavar="ACTION", required=True)
    _add(actions, "sets", data_sets, "data sets that can be read")
    text = "find what is wrong with a copy of a data set: files, labels, copies, masks, shortcuts"
    add_check_arguments(_add(actions, "check", data_check, text))
    for name, command, text, out in (
        ("index", data_index, "read a data set's labels, check the published counts, and sum up", "CSV file to write"),
        (
            "split", data_split, "write the split that a run will use, and say what leaks in it",
            "folder for lists that protocol.lists reads back, or one CSV file (FILE.csv)",
        ),
    ):  # fmt: skip
        action = _add(actions, name, command, text)
        action.set_defaults(overrides_allowed=True)
        action.add_argument("set")
        action.add_argument("--root", type=Path, help="folder of the data set")
        action.add_argument("--out", type=Path, help=out)
        action.add_argument(
            "--strict", action="store_true", help="a difference from the published counts is an error"
        )
        if name == "split":
            action.add_argument(
                "--experiment",
                metavar="PAPER/NAME",
                help="take protocol, folds and options from an experiment",
            )
    text = "prepare an experiment's photographs beforehand, estimate their room, list or prune them"
    add_cache_arguments(_add(actions, "cache", data_cache, text))
    synth = _add(actions, "synth", data_synth, "draw photographs of the synthetic world")
    synth.add_argument("--out", type=Path, help="folder for photographs, records.csv and masks")
    synth.add_argument("--count", type=whole, default=100)
    synth.add_argument("--size", type=whole, help="pixels; default: 512, in a sheet 192 each")
    synth.add_argument("--seed", type=whole, default=0)
    synth.add_argument("--sheet", type=Path, help="write a contact sheet (PNG or JPEG) instead")
