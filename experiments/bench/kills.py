"""Commands that are killed at random moments and given again end with what an undisturbed command ends with.

For each paper a small experiment of drawn photographs, the preparation of its photographs, and ``retinalab predict``
with its run: each is done once undisturbed, which tells the processor's time that it takes. Then ``--moments`` times
one of them, in turn, is started in an empty folder, killed with all its processes (SIGKILL) at a moment drawn
uniformly from that time, and given again. It must go on in the same run folder and leave the same files and nothing
else: every table (``predictions.parquet`` among them) with the same values and every checkpoint with the same weights,
bit for bit. The logged history is not compared: the mean training loss of an epoch that was broken within is that of
the steps since.

A command is the function behind ``retinalab`` in a process of its own, forked from one that has imported the modules,
so that moments fall into work and not into imports.

    python experiments/bench/kills.py --moments 20
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parent))

import numpy as np
import pandas as pd

__all__ = ["Command", "commands", "difference", "kill_at", "main", "undisturbed"]

LIMIT = 600.0
"""Seconds of the clock after which a command hangs."""
_COMPARED = (".parquet", ".csv", ".ckpt", ".images", ".planes", ".png")
_TICK = 1 / os.sysconf("SC_CLK_TCK")
_DATA = ("data.options={photographs: 24}", "data.batch_size=4", "data.workers=0")
_QUICK = "max_epochs: 2, precision: 32-true, accelerator: cpu, checkpoint_every_n_steps: 2"
_ONCE = _QUICK.replace("max_epochs: 2", "max_epochs: 1")
_TASKS: Mapping[str, tuple[str, ...]] = {
    "canet": ("data.size=64", "train.task.backbone=test_resnet", f"train.trainer={{{_QUICK}}}"),
    "clpi": (
        "data.size=128",
        "lesions.data.batch_size=4",
        f"lesions.trainer={{{_QUICK}, limit_train_batches: 4}}",
        "grading.task.backbone=test_resnet",
        f"grading.trainer={{{_QUICK}}}",
    ),
    "sian": ("data.size=64", f"l-net.trainer={{{_ONCE}}}", f"sian.trainer={{{_QUICK}}}"),
    "ellg": (
        "data.size=64",
        "baseline.task.backbone=test_resnet",
        f"baseline.trainer={{{_QUICK}}}",
        "round.train.task.backbone=test_resnet",
        f"round.train.trainer={{{_QUICK}}}",
    ),
}


@dataclass(frozen=True)
class Command:
    """A command that works in a folder.

    Attributes:
        name: in the table.
        words: after ``retinalab``; ``{}`` is the folder.
    """

    name: str
    words: tuple[str, ...]

    def start(self, folder: Path) -> int:
        """Start it in a process group of its own; its words go to ``said`` beside the folder."""
        process = os.fork()
        if process:
            return process
        status = 70
        try:
            os.setsid()
            said = os.open(folder.with_suffix(".said"), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            for stream in (1, 2):
                os.dup2(said, stream)
            from retinalab.cli import main as retinalab

            status = retinalab([word.replace("{}", str(folder)) for word in self.words])
        except BaseException:  # noqa: BLE001 - the process ends here whatever it was
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)


_PHOTOGRAPHS = Command(
    "photographs", ("data", "synth", "--out", "{}/images", "--count", "12", "--size", "128", "--seed", "1")
)


def commands(folder: Path, papers: Sequence[str]) -> list[Command]:
    """What is killed; the run that ``predict`` takes is the undisturbed one of the first paper.

    Args:
        folder: of everything.
        papers: of the experiments.
    """
    where = ("data.cache={}/cache", "output={}/runs")
    found = [Command(paper, ("exp", paper, *_DATA, *_TASKS[paper], *where)) for paper in papers]
    run = folder / f"{papers[0]}-0/runs/{papers[0]}/synthetic/latest"
    graded = ("predict", str(run), str(folder / "eyes/images/*.png"), "--out", "{}/predicted")
    found.insert(1, Command("predict", graded))
    found.append(Command("prepare", ("data", "cache", papers[-1], *_DATA, "data.size=64", where[0])))
    return found


def undisturbed(command: Command, folder: Path) -> float:
    """Let a command run; the seconds of the processor that it took.

    Raises:
        RuntimeError: it failed.
    """
    folder.mkdir()
    _, status, used = os.wait4(command.start(folder), 0)
    if os.waitstatus_to_exitcode(status) != 0:
        raise RuntimeError(f"{command.name} failed:\n{folder.with_suffix('.said').read_text()}")
    return used.ru_utime + used.ru_stime


def kill_at(command: Command, folder: Path, moment: float) -> bool:
    """Start a command in an empty folder and kill it with its processes; whether it had not ended by itself.

    Args:
        command: what is started.
        folder: where.
        moment: seconds of its processor's time.
    """
    folder.mkdir()
    process = command.start(folder)
    begun = time.monotonic()
    while (ended := os.waitpid(process, os.WNOHANG)[0]) == 0 and _used(process) < moment:
        if time.monotonic() - begun > LIMIT:
            break
        time.sleep(0.002)
    if ended:
        return False
    os.killpg(process, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == -signal.SIGKILL


def reached(folder: Path) -> str:
    """How far a command had come, from what it left."""
    names = {path.name for path in folder.rglob("*")}
    for sign, phase in (
        ("predictions.csv", "done"),
        ("predictions.csv.partial", "predicting"),
        ("metrics.json", "reporting"),
        ("predictions.parquet", "tested"),
        ("last.ckpt", "training, saved"),
        ("step.ckpt", "training, saved"),
        ("checkpoints", "training"),
        ("provenance.json", "run folder"),
        ("cache", "preparing"),
    ):
        if sign in names:
            return phase
    return "starting"


def difference(folder: Path, other: Path) -> str:
    """How what stands in a folder differs from another; empty where it does not."""
    found, expected = _files(folder), _files(other)
    if names := sorted(set(found) ^ set(expected)):
        return f"left over or missing: {', '.join(names[:5])}"
    for name in sorted(found):
        if "/history/" in name:  # an epoch's mean loss counts the steps since the session began
            continue
        if name.endswith(_COMPARED) and _content(found[name]) != _content(expected[name]):
            return f"{name} differs"
    return ""


def _used(process: int) -> float:
    """Seconds of the processor that a process has taken."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * _TICK


def _files(folder: Path) -> dict[str, Path]:
    return {str(path.relative_to(folder)): path for path in folder.rglob("*") if not path.is_dir()}


def _content(path: Path) -> Any:
    """What must be equal: the rows of a table, the weights of a checkpoint, else the bytes."""
    if path.suffix == ".parquet":
        table = pd.read_parquet(path)
        return {name: _exact(table[name]) for name in table}
    if path.suffix == ".ckpt":
        import torch

        weights = torch.load(path, weights_only=True)["state_dict"]
        return {name: value.numpy().tobytes() for name, value in weights.items()}
    return path.read_bytes()


def _exact(column: pd.Series) -> Any:
    return column.to_numpy().tobytes() if column.dtype.kind in "iufb" else repr(column.tolist())


def main(words: Sequence[str] | None = None) -> int:
    """Kill, go on and compare; print a table and write the figures; 1 where anything differs."""
    from measure import FOLDER, write

    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--moments", type=int, default=20)
    parser.add_argument("--papers", nargs="+", default=list(_TASKS), choices=list(_TASKS))
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--out", type=Path, default=FOLDER / "kills.json")
    known = parser.parse_args(words)
    _import()
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as place:
        undisturbed(_PHOTOGRAPHS, Path(place) / "eyes")
        found = commands(Path(place), known.papers)[: known.moments]
        taken = {one.name: undisturbed(one, Path(place) / f"{one.name}-0") for one in found}
        for name, seconds in taken.items():
            print(f"{name:8s} undisturbed: {seconds:.1f} s of the processor", flush=True)
        draw = np.random.default_rng(known.seed)
        for number in range(1, known.moments + 1):
            command = found[(number - 1) % len(found)]
            rows.append(_tried(command, Path(place), number, taken[command.name], draw))
            print(
                "{number:3d} {command:8s} {moment:5.1f} s  {reached:16s} {outcome}".format(**rows[-1]),
                flush=True,
            )
            write(known.out, {"moments": known.moments, "seconds": taken, "kills": rows})
    failed = sum(row["outcome"] != "the same" for row in rows)
    print(f"{len(rows)} kills, {failed} that did not end as undisturbed")
    return int(failed > 0)


def _tried(
    command: Command, parent: Path, number: int, seconds: float, draw: np.random.Generator
) -> dict[str, Any]:
    """One kill, the same command again, and what came of it; a moment after the end is drawn anew."""
    folder = parent / f"{command.name}-{number}"
    while not kill_at(command, folder, moment := float(draw.uniform(0, seconds))):
        shutil.rmtree(folder)
    phase = reached(folder)
    _, status, _ = os.wait4(command.start(folder), 0)
    said = folder.with_suffix(".said").read_text(encoding="utf-8", errors="replace")
    outcome = difference(folder, parent / f"{command.name}-0") if status == 0 else said[-500:]
    if not outcome:
        shutil.rmtree(folder)
    return {
        "number": number,
        "command": command.name,
        "moment": round(moment, 2),
        "reached": phase,
        "outcome": outcome or "the same",
    }


def _import() -> None:
    """Import what commands import, once for all that are forked from here; nothing is computed."""
    import retinalab.predict.predictor
    import retinalab.runner  # noqa: F401
    from retinalab.registry import task_class

    for name in ("canet", "clpi", "clpi-lesions", "sian", "l-net", "ellg", "ellg-lesions"):
        task_class(name)


if __name__ == "__main__":
    sys.exit(main())
