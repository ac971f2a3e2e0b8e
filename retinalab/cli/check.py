"""The command that checks a data set."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tqdm import tqdm

from retinalab.cli.arguments import whole
from retinalab.counted import counted
from retinalab.errors import RetinalabError

if TYPE_CHECKING:
    from retinalab.data.check import Check, Finding, Shortcut
    from retinalab.data.sets import PhotographSet

__all__ = ["add_check_arguments", "data_check"]

_SIZES = (32, 4096)


def add_check_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of ``retinalab data check``."""
    parser.set_defaults(overrides_allowed=True)
    parser.add_argument("set", help="as retinalab data sets lists it; its options as options.key=value")
    parser.add_argument("--root", type=Path, help="folder of the data set")
    parser.add_argument("--quick", action="store_true", help="names and labels only: open no file")
    parser.add_argument("--size", type=whole, help="input size in pixels that lesions are judged at")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="write check.json and check.html there")
    parser.add_argument(
        "--against",
        action="append",
        default=[],
        metavar="SET=DIR",
        help="look for the photographs in another set too; may be repeated",
    )
    parser.add_argument("--manifest", type=Path, metavar="FILE", help="write the checksums of all files")
    parser.add_argument("--verify", type=Path, metavar="FILE", help="compare with such checksums")


def data_check(known: argparse.Namespace) -> int:
    """Check a data set; exit status 1 where a fault was found."""
    from retinalab.cli.check_table import print_check
    from retinalab.data.check import check_set
    from retinalab.data.sets import open_set
    from retinalab.overrides import overridden

    options = overridden({}, known.rest)
    source = open_set(known.set, known.root, options.get("options", options))
    others = _others(known.against, source)
    _refuse(known, source, others)
    check = check_set(
        source,
        others,
        quick=known.quick,
        size=known.size,
        shortcut=None if known.quick else _shortcut(),
        further=_manifest(known, source),
    )
    print_check(check)
    if known.out is not None:
        print(f"\n{_write(check, known.out, source, others)}")
    return 1 if check.faults else 0


def _others(pairs: list[str], source: PhotographSet) -> dict[str, PhotographSet]:
    from retinalab.data.sets import open_set

    others: dict[str, PhotographSet] = {}
    for pair in pairs:
        name, equals, folder = pair.partition("=")
        if not equals or not folder:
            raise RetinalabError(
                f"--against {pair!r} is not of the form SET=DIR, such as eyepacs=/data/eyepacs."
            )
        other = open_set(name, Path(folder))
        if other.has_files and source.has_files and other.root.resolve() == source.root.resolve():
            raise RetinalabError(f"--against {pair}: that is the folder that is checked. Name another set.")
        called = name.replace("-", "_")
        if called == source.info.name:
            called = f"{called}@{Path(folder).name}"
        if called in others:
            raise RetinalabError(f"--against names {called!r} twice. Check against one copy at a time.")
        others[called] = other
    return others


def _refuse(known: argparse.Namespace, source: PhotographSet, others: dict[str, PhotographSet]) -> None:
    """What would fail only after minutes of reading is refused before."""
    if known.size is not None and not _SIZES[0] <= known.size <= _SIZES[1]:
        raise RetinalabError(f"--size {known.size} is outside {_SIZES[0]} to {_SIZES[1]} pixels.")
    if known.quick and (known.manifest or known.verify):
        raise RetinalabError("--quick opens no file, and checksums are of files. Leave out one of them.")
    if (known.manifest or known.verify) and not source.has_files:
        raise RetinalabError(f"Data set {known.set!r} has no files here to write or verify checksums of.")
    if known.out is None:
        return
    for folder in (one.root for one in (source, *others.values()) if one.has_files):
        if known.out.resolve().is_relative_to(folder.resolve()):
            raise RetinalabError(
                f"--out {known.out} lies in {folder}, a data set's folder, which is never written to. "
                "Name another folder."
            )
    try:
        known.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RetinalabError(
            f"Cannot make the folder {known.out}: {error.strerror or error}. Name another."
        ) from None
    if not os.access(known.out, os.W_OK):
        raise RetinalabError(f"The folder {known.out} is write-protected. Name another.")


def _shortcut() -> Shortcut:
    from retinalab.data.check import Shortcut
    from retinalab.metrics.shortcut import WARN_ABOVE, frame_of, photograph_features, probe

    return Shortcut(
        lambda open_: photograph_features(
            open_.working, frame_of(open_.decoded, open_.field, open_.height, open_.width), open_.path
        ),
        probe,
        WARN_ABOVE,
    )


def _manifest(known: argparse.Namespace, source: PhotographSet) -> list[Finding]:
    from retinalab.data.check.manifest import manifest_findings, verify_manifest, write_manifest

    if known.manifest is not None:
        with _bar("checksums") as advance:
            count = write_manifest(source.root, known.manifest, advance)
        print(f"checksums of {counted(count, 'file')} written to {known.manifest}")
    if known.verify is None:
        return []
    with _bar("verifying") as advance:
        differences = verify_manifest(source.root, known.verify, advance)
    print(f"with the bytes that {known.verify} lists: {counted(differences.equal, 'file')}")
    return manifest_findings(differences)


@contextmanager
def _bar(label: str) -> Iterator[Callable[[int, int], None]]:
    with tqdm(desc=label, unit="file", ncols=80, mininterval=0.5, leave=False) as bar:

        def advance(done: int, count: int) -> None:
            bar.total = count
            bar.update(done - bar.n)

        yield advance


def _write(check: Check, folder: Path, source: PhotographSet, others: dict[str, PhotographSet]) -> Path:
    from retinalab.data.check import as_json, thumbnails
    from retinalab.report.check import write_check_page

    roots = {name: other.root for name, other in others.items()} | {check.set: source.root}
    pictures = thumbnails(check.findings, roots, check.set) if source.has_files else {}
    try:
        text = json.dumps(as_json(check), indent=1, ensure_ascii=False)
        (folder / "check.json").write_text(text + "\n", encoding="utf-8")
        return write_check_page(check, folder, pictures)
    except OSError as error:
        raise RetinalabError(
            f"Cannot write into {folder}: {error.strerror or error}. Name another."
        ) from error
