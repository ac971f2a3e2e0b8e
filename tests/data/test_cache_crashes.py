"""Preparation that is killed, shared or stopped by a full disk: what is there in the end are the same bytes."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from retinalab.cli import main
from retinalab.data import prepare as preparing
from retinalab.data import shard_writer
from retinalab.data.codec import CODECS
from retinalab.data.preparation import Preparation
from retinalab.data.prepare import prepare
from retinalab.data.sets import open_set
from retinalab.errors import RetinalabError
from retinalab.testing import write_fake_set

PROGRAM = """
import json, os, random, signal, sys
from pathlib import Path
from retinalab.data import prepare, shard_writer
from retinalab.data.preparation import Preparation
from retinalab.data.sets import open_set

root, parent = map(Path, sys.argv[1:])
prepare.SHARD = 2
source = open_set("table", root, {})
records = source.records()
random.seed(0)
prepare._code()  # read once, whoever edits those modules meanwhile


def build(place, codec, most):
    "Build in a child; it is killed in the middle of its n-th change on disk."
    child = os.fork()
    if child:
        return child
    done = 0
    def counted(original):
        def call(*words, **options):
            nonlocal done
            done += 1
            if done == most:
                os.kill(os.getpid(), signal.SIGKILL)
            return original(*words, **options)
        return call
    for name in ("fsync", "replace", "unlink"):
        setattr(os, name, counted(getattr(os, name)))
    shard_writer.encoded = counted(shard_writer.encoded)
    write = shard_writer._fill
    def noted(job, description):
        with open(place / "made", "a") as file:
            file.write(f"{job.shard}\\n")
        write(job, description)
    shard_writer._fill = noted
    prepare.prepare(source, records, Preparation(32, folder=place, codec=codec), processes=1)
    os._exit(0)


killed = {}
for codec in ("raw", "delta", "jpeg"):
    place = parent / f"killed-{codec}"
    place.mkdir()
    killed[codec] = 0
    while os.waitpid(build(place, codec, random.randint(1, 12)), 0)[1]:
        killed[codec] += 1
ends = []
for codec in ("auto", "delta"):
    place = parent / f"shared-{codec}"
    place.mkdir()
    ends += [os.waitpid(child, 0)[1] for child in [build(place, codec, -1) for _ in range(3)]]
print(json.dumps({"killed": killed, "ends": ends}))
"""


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_fake_set("table", tmp_path_factory.mktemp("set") / "table", 12)


def alone(root: Path, parent: Path, monkeypatch: pytest.MonkeyPatch, codec: str) -> dict[str, str]:
    """Name -> digest of every file of an undisturbed build."""
    monkeypatch.setattr(preparing, "SHARD", 2)
    source = open_set("table", root, {})
    prepare(source, source.records(), Preparation(32, folder=parent, codec=codec), processes=1)
    return digests(parent)


def digests(parent: Path) -> dict[str, str]:
    (folder,) = (path for path in parent.iterdir() if path.is_dir())
    found = {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.iterdir()}
    return {name: digest for name, digest in found.items() if not name.endswith(".lock")}


@pytest.fixture(scope="module")
def built(root: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """Folders of builds that were killed or shared, and what became of the processes."""
    parent = tmp_path_factory.mktemp("built")
    words = [sys.executable, "-c", PROGRAM, str(root), str(parent)]
    ran = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True)
    return parent, json.loads(ran.stdout)


@pytest.mark.parametrize("codec", CODECS)
def test_killed_again_and_again_it_ends_with_the_same_bytes_and_no_leftovers(
    root: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    built: tuple[Path, dict[str, Any]],
    codec: str,
) -> None:
    parent, known = built
    assert known["killed"][codec] >= 3
    found = digests(parent / f"killed-{codec}")
    assert len(found) == 12
    assert found == alone(root, tmp_path, monkeypatch, codec)


@pytest.mark.parametrize("codec", ["auto", "delta"])
def test_three_processes_at_once_make_every_shard_once(
    root: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    built: tuple[Path, dict[str, Any]],
    codec: str,
) -> None:
    parent, known = built
    assert not any(known["ends"])
    made = (parent / f"shared-{codec}/made").read_text().split()
    assert sorted(made) == [str(shard) for shard in range(6)]
    assert digests(parent / f"shared-{codec}") == alone(root, tmp_path, monkeypatch, codec)


def test_a_disk_that_fills_up_loses_nothing_that_is_finished(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = alone(root, tmp_path / "alone", monkeypatch, "raw")
    original, room = shard_writer._Written.add, [3 * 32 * 32 * 3]

    def add(self: Any, pixels: Any) -> None:
        room[0] -= pixels.nbytes
        if room[0] < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        original(self, pixels)

    monkeypatch.setattr(shard_writer._Written, "add", add)
    remedy = r"No space left on device\. What is finished stays\. Free space, use data\.codec=delta, or name another"
    with pytest.raises(RetinalabError, match=remedy):
        alone(root, tmp_path / "full", monkeypatch, "raw")
    found = digests(tmp_path / "full")
    assert set(found) == {"00000.images", "00000.json"}
    assert found.items() <= expected.items()
    monkeypatch.setattr(shard_writer._Written, "add", original)
    assert alone(root, tmp_path / "full", monkeypatch, "raw") == expected


def test_the_system_refusing_to_write_is_one_line_and_status_2(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """By the limit on the size of a file, which is met in the middle of writing as a full disk is."""
    words = [
        "data",
        "cache",
        "baseline",
        "deepdrid",
        "data.set=table",
        f"data.root={root}",
        f"data.cache={tmp_path}",
    ]
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))
    try:
        status = main([*words, "data.codec=raw"])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert status == 2
    told = capsys.readouterr().err.splitlines()[-1]
    assert told.startswith("retinalab: Cannot write prepared photographs to ")
    assert "File too large. What is finished stays." in told
    assert not [*tmp_path.rglob("*.tmp"), *tmp_path.rglob("*.images")]
    assert main([*words, "data.codec=raw"]) == 0
