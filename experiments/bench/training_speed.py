"""Training: photographs a second at the papers' sizes, against the bare step and against training as published.

    python experiments/bench/training_speed.py --device cuda --cache FOLDER --out runs/bench/training_speed.json
    python experiments/bench/training_speed.py

Each paper's own stage (network, sizes, batches, augmentation, background) on synthetic photographs of its working size:

- *epoch*: what ``retinalab exp`` does for an epoch after the first: our loader, real augmentation, Lightning's loop,
  the stage's precision, channels last, fused optimisers.
- *bare step*: forward, loss, backward and update on one prepared batch that lies on the device, in the same precision.
- *as published*: the same network in single precision and channels first, photographs from JPEG files of the working
  size by Pillow, cropped, flipped, turned and normalised by torchvision in 16 processes.

The goals on a GPU are an epoch of at least 0.9 of the bare step and at least 2.5 times as published. Epochs of the
three are run in turn; figures are medians over repeats. Peak memory is that of the GPU's allocator. Without a GPU the
script runs at small size on the processor, which only shows that it works: those figures say nothing of the goals.
"""

from __future__ import annotations

import argparse
import platform
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning import Callback, LightningModule, Trainer
from lightning.fabric.utilities import move_data_to_device
from measure import FOLDER, wait_for, write
from PIL import Image
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from retinalab.config import MixConfig, Stage, TrainerConfig
from retinalab.data.batch import Batch
from retinalab.data.module import FundusDataModule
from retinalab.experiment import load_experiment
from retinalab.protocol import Protocol
from retinalab.registry import task_class
from retinalab.runner.trainer import quiet, resolved_precision
from retinalab.smoke import smoke
from retinalab.tasks.base import Task

_STAGES = {
    "canet": ("messidor", "train"),
    "clpi": ("messidor2", "grading"),
    "sian": ("retinal-lesions", "sian"),
    "ellg": ("eyepacs", "size-512"),
}
_ROWS = ("epoch", "bare step", "as published")
_PROTOCOL = Protocol(diseases={"dr": "icdr5", "dme": "risk3"})


@dataclass(frozen=True)
class Case:
    """One paper's stage on drawn photographs.

    Attributes:
        stage: task, data and trainer.
        module: the photographs.
        device: that it is trained on.
        small: whether it was cut down.
    """

    stage: Stage
    module: FundusDataModule
    device: torch.device
    small: bool

    def task(self, channels_last: bool) -> Task:
        """The network with its loss, freshly drawn."""
        torch.manual_seed(0)
        scales = {disease: str(_PROTOCOL.diseases[disease]) for disease in self.module.diseases}
        made: Task = task_class(self.stage.task.name)(self.stage.task, scales, 0, channels_last)
        return made


def case_of(paper: str, photographs: int, cache: Path, device: torch.device) -> Case:
    """A paper's stage as its experiment has it, on synthetic photographs, without stored weights and files."""
    name, stage_name = _STAGES[paper]
    small = device.type == "cpu"
    experiment = load_experiment(paper, name)
    diseases = tuple(experiment.protocol.diseases)
    stage = (smoke(experiment) if small else experiment).stages[stage_name]
    task = stage.task.model_copy(
        update={"weights": "none"} if "weights" in type(stage.task).model_fields else {}
    )
    data = stage.data.model_copy(
        update={
            "set": "synthetic",
            "root": None,
            "options": {"photographs": photographs},
            "mix": MixConfig(),
            "cache": cache,
            "masks": False,
            "sampler": "shuffle",
            "drop_last": True,
            "limit": None,
        }
    )
    made = stage.model_copy(update={"task": task, "data": data, "start_from": None})
    return Case(made, FundusDataModule(data, _PROTOCOL, diseases), device, small)


class Clock(Callback):
    """Seconds of each epoch."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self._start = 0.0

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin."""
        wait_for(pl_module.device.type)
        self._start = time.perf_counter()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """End."""
        wait_for(pl_module.device.type)
        self.seconds.append(time.perf_counter() - self._start)


def epoch_row(case: Case) -> Callable[[], float]:
    """An epoch by Lightning; a new trainer each time goes on with the same weights."""
    task = case.task(case.stage.trainer.channels_last)

    def run() -> float:
        clock = Clock()
        with quiet():
            trainer = _trainer(case, clock)
            trainer.fit(task, datamodule=case.module)
        return len(case.module.parts.train) // case.stage.data.batch_size * _size(case) / clock.seconds[0]

    return run


def _trainer(case: Case, *callbacks: Callback) -> Trainer:
    return Trainer(
        accelerator="gpu" if case.device.type == "cuda" else "cpu",
        devices=1,
        precision=_precision(case),  # type: ignore[arg-type]
        max_epochs=1,
        limit_val_batches=0,
        num_sanity_val_steps=0,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        callbacks=list(callbacks),
    )


def bare_row(case: Case, steps: int) -> Callable[[], float]:
    """Steps on one batch that lies on the device."""
    task, batch = case.task(True).to(case.device), _prepared(case)
    optimiser = torch.optim.AdamW(
        [one for one in task.parameters() if one.requires_grad], 1e-5, fused=case.device.type == "cuda"
    )
    half = _precision(case).startswith("bf16")

    def run() -> float:
        return _rate(partial(_step, task, optimiser, batch, half), steps, _size(case), case.device)

    return run


def published_row(case: Case, files: Path, workers: int) -> Callable[[], float]:
    """An epoch from files by Pillow and torchvision."""
    task = case.task(False).to(case.device).to(memory_format=torch.contiguous_format)
    optimiser = torch.optim.Adam([one for one in task.parameters() if one.requires_grad], 1e-5)
    loader: DataLoader[Any] = DataLoader(
        Files(sorted(files.glob("*.jpg")), case.stage.data.input_size),
        case.stage.data.batch_size,
        shuffle=True,
        drop_last=True,
        num_workers=workers,
        pin_memory=case.device.type == "cuda",
        persistent_workers=True,
    )
    grades = torch.arange(_size(case), device=case.device) % 2

    def run() -> float:
        count, start = 0, time.perf_counter()
        for images in loader:
            moved = images.to(case.device, non_blocking=True)
            batch: Any = {"image": moved, "grades": dict.fromkeys(case.module.diseases, grades)}
            batch["present"] = torch.full((len(moved), 8), torch.nan, device=case.device)
            _step(task, optimiser, batch, False)
            count += len(moved)
        wait_for(case.device.type)
        return count / (time.perf_counter() - start)

    return run


class Files(Dataset[torch.Tensor]):
    """JPEG files through Pillow and torchvision, as the papers' codes read them."""

    def __init__(self, paths: list[Path], side: int) -> None:
        self.paths = paths
        self.change = transforms.Compose(
            [
                transforms.RandomResizedCrop(side, (0.64, 1.0)),
                transforms.RandomHorizontalFlip(),
                transforms.RandomVerticalFlip(),
                transforms.RandomRotation(180),
                transforms.ToTensor(),
                transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
            ]
        )

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> torch.Tensor:
        with Image.open(self.paths[index]) as image:
            changed: torch.Tensor = self.change(image.convert("RGB"))
        return changed


def write_files(case: Case, folder: Path) -> None:
    """The training photographs at the working size as JPEG files."""
    part = case.module.parts.train
    for number, row in enumerate(part.rows):
        pixels = np.asarray(part.cache.images(np.array([row])))[0]
        Image.fromarray(pixels).save(folder / f"{number:06d}.jpg", quality=95)


def _step(task: Task, optimiser: torch.optim.Optimizer, batch: Batch, half: bool) -> None:
    optimiser.zero_grad(set_to_none=True)
    with torch.autocast(batch["image"].device.type, torch.bfloat16, enabled=half):
        loss = task.outputs(batch).loss
    loss.backward()
    optimiser.step()


def _rate(step: Callable[[], None], steps: int, size: int, device: torch.device) -> float:
    wait_for(device.type)
    start = time.perf_counter()
    for _ in range(steps):
        step()
    wait_for(device.type)
    return steps * size / (time.perf_counter() - start)


def _prepared(case: Case) -> Batch:
    loader: Any = case.module.train_dataloader()
    batch: Batch = move_data_to_device(next(iter(loader)), case.device)
    return case.module.on_after_batch_transfer(batch, 0)


def _precision(case: Case) -> str:
    asked = case.stage.trainer.precision
    where = "cpu" if case.device.type == "cpu" else "gpu"
    return resolved_precision(TrainerConfig(precision=asked, accelerator=where))  # type: ignore[arg-type]


def _size(case: Case) -> int:
    return case.stage.data.batch_size


def measure(case: Case, repeats: int, workers: int) -> dict[str, dict[str, float]]:
    """Row -> photographs a second and peak memory; the first round is not counted."""
    with tempfile.TemporaryDirectory() as folder:
        write_files(case, Path(folder))
        rows = {
            "epoch": epoch_row(case),
            "bare step": bare_row(case, max(2, len(case.module.parts.train) // _size(case))),
            "as published": published_row(case, Path(folder), workers),
        }
        rates: dict[str, list[float]] = {name: [] for name in rows}
        memory = dict.fromkeys(rows, float("nan"))
        for repeat in range(repeats + 1):
            for name, row in rows.items():
                if case.device.type == "cuda":
                    torch.cuda.reset_peak_memory_stats()
                rate = row()
                if repeat:
                    rates[name].append(rate)
                if case.device.type == "cuda":
                    memory[name] = torch.cuda.max_memory_allocated() / 2**20
    return {name: {"a second": float(np.median(rates[name])), "MiB": memory[name]} for name in _ROWS}


def main(words: list[str] | None = None) -> None:
    """Print the table and write it as JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--papers", nargs="+", choices=list(_STAGES), default=list(_STAGES))
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto")
    parser.add_argument("--photographs", type=int, help="synthetic ones, of which about two thirds train")
    parser.add_argument(
        "--workers", type=int, help="processes of training as published; default: 16, on a CPU 2"
    )
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--cache", type=Path, help="folder of prepared photographs; default: a temporary one")
    parser.add_argument("--out", type=Path, default=FOLDER / "training_speed.json", help="JSON file")
    options = parser.parse_args(words)
    if options.device == "cuda" and not torch.cuda.is_available():
        parser.error("--device cuda: no GPU is to be had here")
    chosen = options.device if options.device != "auto" else "cuda" if torch.cuda.is_available() else "cpu"
    device = torch.device(chosen)
    on_gpu = chosen == "cuda"
    photographs = options.photographs or (2000 if on_gpu else 40)
    workers = options.workers or (16 if on_gpu else 2)
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as temporary:
        for paper in options.papers:
            case = case_of(paper, photographs, options.cache or Path(temporary), device)
            found[paper] = {
                "rows": measure(case, options.repeats, workers),
                "side": case.stage.data.input_size,
                "batch": _size(case),
                "precision": _precision(case),
            }
    show(found, torch.cuda.get_device_name() if on_gpu else "the processor, at small size", options.repeats)
    result = {
        "device": torch.cuda.get_device_name() if on_gpu else platform.machine(),
        "at the papers' sizes": on_gpu,
        "photographs": photographs,
        "workers": workers,
        "papers": found,
    }
    write(options.out, result)


def show(found: dict[str, Any], where: str, repeats: int) -> None:
    """Print the table."""
    print(f"\nphotographs a second of training on {where}, medians of {repeats}")
    print(
        "| paper | side, batch, precision | epoch | bare step | as published | epoch ÷ bare | ÷ published | MiB |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for paper, one in found.items():
        epoch, bare, published = (one["rows"][name]["a second"] for name in _ROWS)
        memory = ", ".join(f"{one['rows'][name]['MiB']:,.0f}" for name in _ROWS)
        print(
            f"| {paper} | {one['side']}, {one['batch']}, {one['precision']} | {epoch:.1f} | {bare:.1f} | "
            f"{published:.1f} | {epoch / bare:.2f} | {epoch / published:.2f} | {memory} |"
        )


if __name__ == "__main__":
    main()
