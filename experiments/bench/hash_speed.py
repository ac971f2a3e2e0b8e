"""Checksums of files of real size against plainly reading the same files.

    python experiments/bench/hash_speed.py --count 10000 --out runs/bench/hash_speed.json

Writes files of random bytes into a temporary folder and removes them afterwards. Each row reads every file once:
plainly, with as many threads as the manifest has; the manifest written and verified, with its progress bar;
coreutils' ``sha256sum --check``, one thread, where it is installed. Cold: the system was asked to forget the files
before (fadvise), so that the disk is read, as when a set is checked; warm: the files lie in memory, and reading costs
next to nothing. Wall time, medians over repeats, the rows in turn; the ratio is to plain reading.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
from measure import FOLDER, interleaved, write
from tqdm import tqdm

from retinalab.data.check.manifest import verify_manifest, write_manifest

_BASE = "plain reading"
_BUFFER = 1 << 18
_BLOCK = 8 << 20


def write_files(root: Path, count: int, megabytes: float) -> int:
    """Files of 0.5 to 1.5 times the size, every one different; returns the bytes written."""
    rng = np.random.default_rng(0)
    block = rng.bytes(_BLOCK)
    sizes = (rng.uniform(0.5, 1.5, count) * megabytes * 1e6).astype(int)
    for index, size in enumerate(tqdm(sizes, "writing", unit="file", ncols=80, mininterval=1.0)):
        with (root / f"{index:06d}.jpeg").open("wb") as file:
            file.write(index.to_bytes(8, "little"))
            for start in range(0, int(size), _BLOCK):
                file.write(block[: min(_BLOCK, int(size) - start)])
            file.flush()
            os.fsync(file.fileno())
    return int(sizes.sum()) + 8 * count


def forget(root: Path) -> None:
    """Ask the system to drop the files from memory."""
    for path in root.iterdir():
        handle = os.open(path, os.O_RDONLY)
        try:
            os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(handle)


def read_all(root: Path, threads: int) -> None:
    """Every byte of every file into a buffer."""

    def read(path: Path) -> None:
        buffer = bytearray(_BUFFER)
        with path.open("rb", buffering=0) as file:
            while file.readinto(buffer):
                pass

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(read, sorted(root.iterdir())))


@contextmanager
def bar(label: str) -> Iterator[Callable[[int, int], None]]:
    """The progress bar of a manifest."""
    with tqdm(desc=label, unit="file", ncols=80, mininterval=1.0, leave=False) as shown:

        def advance(done: int, total: int) -> None:
            shown.total = total
            shown.update(done - shown.n)

        yield advance


def rows_of(root: Path, folder: Path, threads: int) -> dict[str, Callable[[], object]]:
    """What is measured, by name."""
    kept = folder / "kept.sha256"
    write_manifest(root, kept)

    def write() -> None:
        (folder / "made.sha256").unlink(missing_ok=True)
        with bar("checksums") as advance:
            write_manifest(root, folder / "made.sha256", advance, threads)

    def verify() -> None:
        with bar("verifying") as advance:
            if verify_manifest(root, kept, advance, threads):
                raise SystemExit("The files changed while they were measured.")

    rows: dict[str, Callable[[], object]] = {
        _BASE: lambda: read_all(root, threads),
        "manifest written": write,
        "manifest verified": verify,
    }
    program = shutil.which("sha256sum")
    if program:
        words = [program, "--check", "--quiet", str(kept)]
        rows["sha256sum --check"] = lambda: subprocess.run(words, cwd=root, check=True)
    return rows


def clocks() -> np.ndarray:
    """Wall seconds, and CPU seconds of this process and of those that it waited for."""
    return np.array([time.perf_counter(), sum(os.times()[:4])])


def measure(root: Path, folder: Path, threads: int, repeats: int, cold: bool) -> dict[str, dict[str, float]]:
    """Medians of wall and CPU seconds per row, the rows in turn."""
    rows = rows_of(root, folder, threads)
    taken = interleaved(rows, repeats, 0, now=clocks, before=partial(forget, root) if cold else None)
    (folder / "kept.sha256").unlink()
    medians = {name: np.median(pairs, axis=0) for name, pairs in taken.items()}
    return {name: {"seconds": float(wall), "cpu": float(cpu)} for name, (wall, cpu) in medians.items()}


def main(words: list[str] | None = None) -> None:
    """Print a Markdown table per state of the memory and write the medians."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=300, help="files")
    parser.add_argument("--megabytes", type=float, default=1.0, help="mean size of a file")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=min(8, 2 * len(os.sched_getaffinity(0))))
    parser.add_argument("--memory", choices=["cold", "warm", "both"], default="both")
    parser.add_argument("--folder", type=Path, default=None, help="where the temporary folder is made")
    parser.add_argument("--out", type=Path, default=FOLDER / "hash_speed.json", help="JSON file")
    options = parser.parse_args(words)
    wanted = 1.2e6 * options.count * options.megabytes
    free = shutil.disk_usage(options.folder or tempfile.gettempdir()).free
    if free < wanted:
        print(f"{wanted / 1e9:.1f} GB are needed and {free / 1e9:.1f} GB free: not measured")
        return
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        root = Path(name) / "set"
        root.mkdir()
        size = write_files(root, options.count, options.megabytes)
        states = ("cold", "warm") if options.memory == "both" else (options.memory,)
        medians = {
            state: measure(root, Path(name), options.threads, options.repeats, state == "cold")
            for state in states
        }
    for state, rows in medians.items():
        print(f"\n{options.count:,} files, {size / 1e6:,.0f} MB, {state}, medians of {options.repeats}")
        print("| row | seconds | MB/s | CPU seconds | ratio |\n|---|---|---|---|---|")
        for row, taken in rows.items():
            seconds = taken["seconds"]
            ratio = seconds / rows[_BASE]["seconds"]
            print(
                f"| {row} | {seconds:.2f} | {size / 1e6 / seconds:,.0f} | {taken['cpu']:.2f} | {ratio:.2f} |"
            )
    result = {
        "files": options.count,
        "bytes": size,
        "threads": options.threads,
        "medians": medians,
    }
    write(options.out, result)


if __name__ == "__main__":
    main()
