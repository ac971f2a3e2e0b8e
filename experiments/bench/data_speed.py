"""Photographs a second from files to batches, against PIL and torchvision.

    python experiments/bench/data_speed.py --photographs FOLDER [FOLDER ...]

First epoch: photographs are decoded, cropped to the field of view, resized, kept and augmented, against PIL and
torchvision from the same files. Later epochs: the kept photographs are read and augmented, against the same, against
JPEG files that were resized beforehand, and, without augmentation, against copying the same bytes. Ours gives uint8,
which the device normalises; the others give normalised float32, as they are used.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from measure import FOLDER, interleaved, write
from PIL import Image
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms as T

from retinalab.config import AugmentConfig, DataConfig
from retinalab.data.dataset import PartDataset
from retinalab.data.loader import BatchLoader
from retinalab.data.part import Part
from retinalab.data.preparation import Preparation
from retinalab.data.prepare import prepare
from retinalab.data.sampler import EpochBatches, EpochSampler
from retinalab.data.sets import PhotographSet, open_set

BATCH = 32
SIZES = {"350 to 224": (350, 224), "512": (512, 512), "896": (896, 896)}
FIRST_GOALS = {"350 to 224": 6.0, "512": 4.5, "896": 3.5}
CROPS = {"crop_area": (0.5, 1.0), "flip_horizontal": 0.5, "flip_vertical": 0.5}
RICH = {**CROPS, "rotation": 180.0, "brightness": 0.2, "contrast": 0.2, "saturation": 0.2, "hue": 0.02}


class Files(Dataset[torch.Tensor]):
    """Files through PIL and torchvision."""

    def __init__(self, files: list[Path], change: Callable[[Image.Image], torch.Tensor]) -> None:
        self.files = files
        self.change = change

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, row: int) -> torch.Tensor:
        return self.change(Image.open(self.files[row]).convert("RGB"))


def usual(size: int, crop: int, rich: bool, resized: bool = False) -> Callable[[Image.Image], torch.Tensor]:
    """Resize, random resized crop, flips; ``rich``: rotation and colour too; ``resized``: the files are at the size."""
    steps: list[Any] = [] if resized else [T.Resize(size)]
    steps += [T.RandomResizedCrop(crop, (0.5, 1.0)), T.RandomHorizontalFlip(), T.RandomVerticalFlip()]
    if rich:
        steps += [T.RandomRotation(180), T.ColorJitter(0.2, 0.2, 0.2, 0.02)]
    steps += [T.ToTensor(), T.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))]
    change: Callable[[Image.Image], torch.Tensor] = T.Compose(steps)
    return change


def part_of(source: PhotographSet, size: int, folder: Path) -> Part:
    """All photographs, prepared in a folder."""
    records = source.records()
    cache = prepare(source, records, Preparation(size, folder=folder))
    return Part("train", records, cache, np.arange(len(records)))


def ours(
    part: Part, crop: int, augment: dict[str, Any], copies: int, on_device: bool, threads: int
) -> BatchLoader:
    """A loader of every photograph so many times."""
    rows = np.tile(np.arange(len(part)), copies)
    many = Part("train", part.records.take(rows), part.cache, part.rows[rows])
    data = DataConfig(
        size=part.cache.size, crop=crop, batch_size=BATCH, augment=AugmentConfig.model_validate(augment)
    )
    dataset = PartDataset(many, data, ("dr",), 0, True, on_device)
    return BatchLoader(dataset, EpochBatches(EpochSampler(len(rows), 0, True), BATCH), threads)


def gone_through(batches: Iterable[Any]) -> None:
    """Take every batch, and let go of it."""
    for _ in batches:
        pass


def copied(source: np.ndarray, threads: int) -> None:
    """Copy every photograph's bytes once, batch by batch, by so many threads."""
    targets = [np.zeros((BATCH, *source.shape[1:]), np.uint8) for _ in range(threads)]

    def work(thread: int) -> None:
        for start in range(thread * BATCH, len(source), threads * BATCH):
            rows = source[start : start + BATCH]
            np.copyto(targets[thread][: len(rows)], rows)

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(work, range(threads)))


def resized_files(files: list[Path], size: int, folder: Path) -> list[Path]:
    """The photographs as JPEG files whose shorter side is the size."""
    folder.mkdir()
    made = []
    for file in files:
        made.append(folder / f"{file.stem}.jpg")
        with Image.open(file) as image:
            T.Resize(size)(image.convert("RGB")).save(made[-1], quality=95)
    return made


class Measured:
    """Photographs a second of each row, as a table and as figures."""

    def __init__(self) -> None:
        self.figures: dict[str, Any] = {}

    def table(
        self,
        title: str,
        rows: dict[str, tuple[Callable[[], Any], int]],
        goals: dict[str, float],
        repeats: int,
    ) -> None:
        """Measure rows, (what is timed, how many photographs), of which the first is ours; goals: ours over a row."""
        taken = interleaved({name: row[0] for name, row in rows.items()}, repeats)
        rates = {name: rows[name][1] / float(np.median(seconds)) for name, seconds in taken.items()}
        own = next(iter(rates.values()))
        print(f"\n{title}\n| | photographs a second | ours is | goal |\n|---|---|---|---|")
        for name, rate in rates.items():
            goal = goals.get(name)
            print(
                f"| {name} | {rate:,.0f} | {own / rate:.2f}× | {f'{goal:g}×' if goal else ''} |", flush=True
            )
        self.figures[title] = {
            name: {"per_second": rate, "ours_is": own / rate, "goal": goals.get(name), "seconds": taken[name]}
            for name, rate in rates.items()
        }


def first_epochs(
    measured: Measured, files: list[Path], source: PhotographSet, work: Path, known: Any
) -> None:
    """Everything from the files on, with an empty cache each time."""
    count = 0

    def ours_first(size: int, crop: int) -> None:
        nonlocal count
        count += 1
        part = part_of(source, size, work / f"first-{count}")
        gone_through(ours(part, crop, CROPS, 1, False, known.threads))

    for title, (size, crop) in SIZES.items():
        loader = DataLoader(Files(files, usual(size, crop, False)), BATCH, num_workers=known.threads)
        rows = {
            "ours": (lambda s=size, c=crop: ours_first(s, c), len(files)),
            "PIL and torchvision": (lambda one=loader: gone_through(one), len(files)),
        }
        goals = {"PIL and torchvision": FIRST_GOALS[title]}
        measured.table(f"First epoch, {title}", rows, goals, known.repeats)


def later_epochs(
    measured: Measured, files: list[Path], source: PhotographSet, work: Path, known: Any
) -> None:
    """What is kept, read again."""
    for title, (size, crop) in SIZES.items():
        part = part_of(source, size, work / "kept")
        copies = max(1, known.pixels // (len(files) * size * size))
        many = copies * len(files)
        small = resized_files(files, size, work / f"resized-{size}")

        raw = DataLoader(Files(files, usual(size, crop, True)), BATCH, num_workers=known.threads)
        paths = small * max(1, copies // 8)
        again = DataLoader(Files(paths, usual(size, crop, True, True)), BATCH, num_workers=known.threads)
        own = ours(part, crop, RICH, copies, False, known.threads)
        rows = {
            "ours": (lambda one=own: gone_through(one), many),
            "PIL and torchvision": (lambda one=raw: gone_through(one), len(files)),
            "resized JPEG files": (lambda one=again: gone_through(one), len(paths)),
        }
        goals = {
            "350 to 224": {"PIL and torchvision": 200.0, "resized JPEG files": 6.0},
            "896": {"resized JPEG files": 5.0},
        }
        measured.table(
            f"Later epochs, {title}, rotation and colour", rows, goals.get(title, {}), known.repeats
        )
        plain = ours(part, size, {}, copies, True, known.threads)
        pixels = np.ones((many, size, size, 3), np.uint8)
        floor = {
            "ours": (lambda one=plain: gone_through(one), many),
            "copying the same bytes": (lambda p=pixels: copied(p, known.threads), many),
        }
        measured.table(
            f"Later epochs, {size}, augmented on the device",
            floor,
            {"copying the same bytes": 0.6},
            known.repeats,
        )


def main(words: list[str] | None = None) -> None:
    """Print the tables and write them as JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--photographs", type=Path, nargs="+", help="folders of large JPEG photographs")
    parser.add_argument("--threads", type=int, default=2, help="ours, and workers of the others")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--pixels", type=int, default=250_000_000, help="read in a later epoch, about")
    parser.add_argument("--part", choices=["first", "later"], help="measure this alone")
    parser.add_argument("--out", type=Path, default=FOLDER / "data_speed.json", help="JSON file")
    known = parser.parse_args(words)
    if not known.photographs:
        print("Photographs from files to batches: not measured; give folders with --photographs")
        return
    files = sorted(p for f in known.photographs for p in f.iterdir() if p.suffix.lower() in (".jpg", ".jpeg"))
    measured = Measured()
    with tempfile.TemporaryDirectory() as place:
        work = Path(place)
        (work / "set").mkdir()
        for file in files:
            (work / "set" / file.name).symlink_to(file.resolve())
        lines = ["image,dr", *(f"{file.name},0" for file in files)]
        (work / "set" / "records.csv").write_text("\n".join(lines) + "\n")
        source = open_set("table", work / "set")
        print(f"{len(files)} photographs, {known.threads} threads or workers, medians of {known.repeats}")
        if known.part != "later":
            first_epochs(measured, files, source, work, known)
        if known.part != "first":
            later_epochs(measured, files, source, work, known)
    write(known.out, {"photographs": len(files), "tables": measured.figures})


if __name__ == "__main__":
    main()
