"""Codecs of prepared photographs: bytes, encoding, decoding, and random reads of batches.

    python experiments/bench/cache_speed.py --root FOLDER --out runs/bench/cache_speed.json

FOLDER is IDRiD's segmentation data in its official layout; without it, photographs of the synthetic world are measured,
which compress better than real ones. Each photograph is prepared once, then encoded and decoded in every codec, the
codecs in turn; figures are medians of CPU milliseconds of one thread, so that a busy machine changes them little.
Batches of 32 random photographs are then read from shards into one buffer that is used again: warm, the files lie in
memory (CPU); cold, the system was asked to forget them before (wall time, which a busy machine does change). One by
one: a call for each photograph, so that the system is not told beforehand what the batch will read. ``copy`` copies
the same bytes from memory to memory.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Mapping
from functools import partial
from itertools import count
from pathlib import Path

import numpy as np
from measure import FOLDER, interleaved, write

from retinalab.data.cache import PLANES, SHARD
from retinalab.data.codec import CODECS, Codec, decode_into, encoded
from retinalab.data.preparation import Preparation
from retinalab.data.prepare import prepare
from retinalab.data.sets import open_set
from retinalab.data.shard_reader import read_whole
from retinalab.data.shards import Index, Layout, checksum
from retinalab.data.space import as_text

_BATCH = 32
_SCALE = 1e3

Taken = dict[str, float]


def prepared(root: Path | None, count: int, size: int, folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Some photographs at a size, and their lesion planes."""
    name, options = ("idrid", {"task": "segmentation"}) if root else ("synthetic", {"photographs": 40})
    source = open_set(name, root, options)
    records = source.records()
    preparation = Preparation(size, masks=True, folder=folder, codec="raw")
    cache = prepare(source, records.take(np.arange(count)), preparation)
    return cache.images(np.arange(count))[:, None], cache.planes(np.arange(count))[..., None]


def in_turn(
    rows: Mapping[str, Callable[[int], object]],
    repeats: int,
    clock: Callable[[], float],
    before: Callable[[], None] | None = None,
) -> Taken:
    """Median milliseconds of each row, which is told how often it was called before."""
    calls = {name: partial(lambda row, number: row(next(number)), row, count()) for name, row in rows.items()}
    taken = interleaved(calls, repeats, 0, now=clock, before=before)
    return {name: float(np.median(seconds)) * _SCALE for name, seconds in taken.items()}


def coding(pixels: np.ndarray, codecs: tuple[Codec, ...], repeats: int) -> dict[str, Taken]:
    """Bytes, and milliseconds of encoding and decoding, of one photograph."""
    count = len(pixels)
    contents = {codec: [np.frombuffer(encoded(codec, one), np.uint8) for one in pixels] for codec in codecs}
    out = np.empty_like(pixels[0])

    def encode(codec: Codec) -> Callable[[int], object]:
        return lambda k: encoded(codec, pixels[k % count])

    def decode(codec: Codec) -> Callable[[int], object]:
        return lambda k: decode_into(codec, contents[codec][k % count], out)

    def check(codec: Codec) -> Callable[[int], object]:
        return lambda k: checksum(contents[codec][k % count].data)

    clock = time.process_time
    written = in_turn({codec: encode(codec) for codec in codecs}, repeats, clock)
    read = in_turn({codec: decode(codec) for codec in codecs}, repeats, clock)
    checked = in_turn({codec: check(codec) for codec in codecs}, repeats, clock)
    return {
        codec: {
            "kB": float(np.mean([len(one) for one in contents[codec]])) / 1e3,
            "encode": written[codec],
            "decode": read[codec],
            "checksum": checked[codec],
        }
        for codec in codecs
    }


def write_shards(folder: Path, pixels: np.ndarray, count: int, codec: Codec) -> tuple[Layout, Index]:
    """So many photographs, the given ones over and over, in shards."""
    folder.mkdir()
    contents = [encoded(codec, one) for one in pixels]
    ends, sums = np.zeros(count, np.int64), np.zeros(count, np.uint32)
    for first in range(0, count, SHARD):
        own = range(first, min(first + SHARD, count))
        with (folder / f"{first // SHARD:05d}.images").open("wb") as file:
            for row in own:
                file.write(contents[row % len(contents)])
                ends[row], sums[row] = file.tell(), checksum(contents[row % len(contents)])
            file.flush()
            os.fsync(file.fileno())
    layout = Layout("images", SHARD, 1, pixels.shape[2], 3, codec=codec)
    return layout, Index(ends, sums, np.zeros(count, bool))


def forget(folder: Path) -> None:
    """Ask the system to drop the files from memory."""
    for path in folder.rglob("*.images"):
        file = os.open(path, os.O_RDONLY)
        os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(file)


def reading(pixels: np.ndarray, count: int, repeats: int, folder: Path) -> dict[str, Taken]:
    """Milliseconds of a photograph in random batches, warm and cold."""
    batches = [np.random.default_rng(k).permutation(count)[:_BATCH] for k in range(repeats)]
    out = np.empty((_BATCH, *pixels.shape[1:]), np.uint8)
    beside = out.copy()
    rows: dict[str, Callable[[int], object]] = {"copy": lambda k: np.copyto(out, beside)}
    for codec in CODECS:
        place = folder / codec
        layout, index = write_shards(place, pixels, count, codec)
        known = Index(index.ends, index.sums, np.ones(count, bool))

        def read(k: int, place: Path = place, layout: Layout = layout, known: Index = known) -> object:
            return read_whole(place, layout, batches[k], out, known)

        def first(k: int, place: Path = place, layout: Layout = layout, index: Index = index) -> object:
            index.found_right[:] = False
            return read_whole(place, layout, batches[k], out, index)

        def single(k: int, place: Path = place, layout: Layout = layout, known: Index = known) -> None:
            for row, into in zip(batches[k], out, strict=True):
                read_whole(place, layout, np.array([row]), into[None], known)

        rows[codec] = read
        if codec == "raw":
            rows["raw, checked (first read)"] = first
            rows["raw, one by one"] = single
    warm = in_turn(rows, repeats, time.process_time)
    cold = in_turn(rows, min(repeats, 9), time.perf_counter, lambda: forget(folder))
    return {name: {"warm": warm[name] / _BATCH, "cold": cold[name] / _BATCH} for name in rows}


def measure(root: Path | None, size: int, options: argparse.Namespace) -> dict[str, dict[str, Taken]]:
    """All figures at one size."""
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        images, planes = prepared(root, options.photographs, size, folder)
        return {
            "images": coding(images, CODECS, options.repeats * len(images)),
            "planes": coding(planes, ("raw", "zstd"), options.repeats * len(planes)),
            "reads": reading(images, options.shards * SHARD, options.repeats, folder),
        }


def show(size: int, found: Mapping[str, Mapping[str, Taken]]) -> None:
    """Print the tables of one size."""
    for kind, word in (("images", "photograph"), ("planes", f"lesions of one ({PLANES} planes)")):
        rows = found[kind]
        print(f"\n{word}, {size} px; CPU ms, medians")
        print("| codec | kB | of raw | encode | decode | checksum |\n|---|---|---|---|---|---|")
        for codec, taken in rows.items():
            share = taken["kB"] / rows["raw"]["kB"]
            times = " | ".join(f"{taken[key]:.2f}" for key in ("encode", "decode", "checksum"))
            print(f"| {codec} | {taken['kB']:,.1f} | {share:.3f} | {times} |")
    reads = found["reads"]
    print(f"\nrandom batches of {_BATCH}, {size} px; ms a photograph, medians")
    print("| read | warm, CPU | to raw | cold, wall | to raw |\n|---|---|---|---|---|")
    for name, taken in reads.items():
        told = (f"{taken[key]:.3f} | {taken[key] / reads['raw'][key]:.2f}" for key in ("warm", "cold"))
        print(f"| {name} | {' | '.join(told)} |")


def main(words: list[str] | None = None) -> None:
    """Print the tables and write the medians."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--root", type=Path, help="IDRiD; default: the synthetic world")
    parser.add_argument("--sizes", type=int, nargs="+", default=[512, 1024])
    parser.add_argument("--photographs", type=int, default=6, help="different ones")
    parser.add_argument("--shards", type=int, default=2, help="of 64 photographs each, for the reads")
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--folder", type=Path, help="where the temporary folder is made")
    parser.add_argument("--out", type=Path, default=FOLDER / "cache_speed.json", help="JSON file")
    options = parser.parse_args(words)
    found = {}
    for size in options.sizes:
        found[str(size)] = measure(options.root, size, options)
        show(size, found[str(size)])
    result = {
        "photographs": "idrid" if options.root else "synthetic",
        "shards": as_text(options.shards * SHARD * max(options.sizes) ** 2 * 3),
        "medians": found,
    }
    write(options.out, result)


if __name__ == "__main__":
    main()
