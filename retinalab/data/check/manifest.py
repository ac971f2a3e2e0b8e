"""Checksum manifest of a data set's files: bit rot that no decoder reports is found by comparing bytes."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from retinalab.data.check.findings import Finding
from retinalab.data.check.sha256sum import manifest_line, read_manifest
from retinalab.errors import RetinalabError

__all__ = [
    "Differences",
    "Progress",
    "manifest_findings",
    "verify_manifest",
    "write_manifest",
]

Progress = Callable[[int, int], None]
"""Called with (done, all) after each file."""

_LITTER = frozenset({".DS_Store", "Thumbs.db", "desktop.ini"})


@dataclass(frozen=True)
class Differences:
    """What distinguishes a folder from its manifest; paths relative to the root, sorted.

    Attributes:
        equal: number of files whose bytes are those of the manifest.
        changed: files with other bytes.
        missing: listed, but absent.
        added: present, but not listed.
        unreadable: listed and present, but the system refuses to read them.
    """

    equal: int
    changed: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    added: tuple[str, ...] = ()
    unreadable: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.changed or self.missing or self.added or self.unreadable)


def write_manifest(
    root: Path | str, file: Path | str, progress: Progress | None = None, threads: int | None = None
) -> int:
    """Write the SHA-256 of every file below a folder, as ``sha256sum`` does, so that it can verify them too::

        cd ROOT && sha256sum --check FILE

    One line per file, paths relative to the root, in the order of their bytes; a name with a backslash or a
    line break is escaped as coreutils does (9.0 or later for a carriage return). What desktops leave behind
    (``.DS_Store``, ``Thumbs.db``, ``desktop.ini``) is no file of a data set and is not listed. The manifest
    appears whole or not at all.

    Args:
        root: the data set's folder.
        file: the manifest; it must lie outside ``root`` and not exist yet.
        progress: called after each file.
        threads: that read and hash; by default two per core, at most eight.

    Returns:
        Number of files listed.

    Raises:
        RetinalabError: no such folder, nothing in it, a file that cannot be read, or a manifest that lies in
            the folder, exists already or cannot be written.
    """
    root, file = _folder(root), Path(file)
    if file.resolve().is_relative_to(root.resolve()):
        raise RetinalabError(
            f"{file} lies in the data set's folder {root}, which is never written to. Name a file elsewhere."
        )
    if file.exists():
        raise RetinalabError(
            f"{file} exists already, and an old manifest is the only witness of old bytes. "
            "Verify against it, remove it, or name another file."
        )
    paths = [path for path in _files(root) if not _litter(path)]
    if not paths:
        raise RetinalabError(f"{root} holds no file to be listed. Give the data set's folder.")
    try:
        handle, temporary = tempfile.mkstemp(prefix=".manifest.", dir=file.resolve().parent)
    except OSError as error:
        raise RetinalabError(f"Cannot write {file}: {error.strerror or error}. Name another file.") from None
    try:
        with os.fdopen(handle, "wb") as out:
            for path, found in _hashed(root, paths, progress, threads):
                out.write(manifest_line(path, _digest(root, path, found)))
            out.flush()
            os.fsync(out.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, file)
    except OSError as error:
        reason = error.strerror or error
        raise RetinalabError(f"Cannot write {file}: {reason}. Free space or name another file.") from None
    finally:
        Path(temporary).unlink(missing_ok=True)
    return len(paths)


def verify_manifest(
    root: Path | str, file: Path | str, progress: Progress | None = None, threads: int | None = None
) -> Differences:
    """Compare the files below a folder with a manifest of :func:`write_manifest` or of ``sha256sum``.

    Args:
        root: the data set's folder.
        file: the manifest.
        progress: called after each file that is read.
        threads: as for :func:`write_manifest`.

    Raises:
        RetinalabError: no such folder or manifest, a line that is none of a manifest, or a manifest none of
            whose files lies below ``root``.
    """
    root, file = _folder(root), Path(file)
    listed = read_manifest(file)
    present = set(_files(root))
    both = [path for path in listed if path in present]
    if not both:
        raise RetinalabError(_elsewhere(root, file, listed))
    equal, changed, unreadable, missing = 0, [], [], [path for path in listed if path not in present]
    for path, found in _hashed(root, both, progress, threads):
        if isinstance(found, FileNotFoundError):
            missing.append(path)
        elif isinstance(found, OSError):
            unreadable.append(path)
        elif found != listed[path]:
            changed.append(path)
        else:
            equal += 1
    return Differences(
        equal=equal,
        changed=_ordered(changed),
        missing=_ordered(missing),
        added=_ordered(path for path in present - listed.keys() if not _litter(path)),
        unreadable=_ordered(unreadable),
    )


def manifest_findings(differences: Differences) -> list[Finding]:
    """The differences as findings, one per file; files that were added are one finding together."""
    found = [
        Finding("missing", (path,), "listed in the manifest, but absent") for path in differences.missing
    ]
    found += [
        Finding("unreadable", (path,), "listed in the manifest, but the system refuses to read it")
        for path in differences.unreadable
    ]
    found += [Finding("checksum", (path,), "other bytes than the manifest's") for path in differences.changed]
    if differences.added:
        count = len(differences.added)
        message = f"{count} file{'s' * (count > 1)} that the manifest does not list"
        found.append(Finding("checksum", differences.added, message))
    return found


def _folder(root: Path | str) -> Path:
    if not Path(root).is_dir():
        raise RetinalabError(f"No folder {root} to compare with a manifest. Give the data set's folder.")
    return Path(root)


def _litter(path: str) -> bool:
    return path.rpartition("/")[2] in _LITTER


def _files(root: Path) -> list[str]:
    """Paths of all files below the root; links are followed, but not into a folder that they lie in."""
    return list(_ordered(_below(root, "", frozenset())))


def _below(root: Path, folder: str, above: frozenset[tuple[int, int]]) -> Iterator[str]:
    try:
        status = os.stat(root / folder)
        here = (status.st_dev, status.st_ino)
        if here in above:
            return
        with os.scandir(root / folder) as entries:
            for entry in entries:
                if entry.is_dir():
                    yield from _below(root, f"{folder}{entry.name}/", above | {here})
                elif entry.is_file() or (entry.is_symlink() and not os.path.exists(entry.path)):
                    yield f"{folder}{entry.name}"
    except OSError as error:
        raise RetinalabError(
            f"{root / folder} cannot be listed ({error.strerror or error}). Make it readable."
        ) from None


def _ordered(paths: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(paths, key=os.fsencode))


def _hashed(
    root: Path, paths: Sequence[str], progress: Progress | None, threads: int | None
) -> Iterator[tuple[str, str | OSError]]:
    """Paths in their order with what was found; reading and hashing both release the interpreter's lock."""
    workers = threads or min(8, 2 * len(os.sched_getaffinity(0)))
    pool = ThreadPoolExecutor(workers, thread_name_prefix="sha256")
    try:
        found = pool.map(lambda path: _sha256(root / path), paths)
        for done, (path, result) in enumerate(zip(paths, found, strict=True), 1):
            yield path, result
            if progress is not None:
                progress(done, len(paths))
    finally:
        pool.shutdown(cancel_futures=True)


def _sha256(path: Path) -> str | OSError:
    try:
        with path.open("rb", buffering=0) as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        return error


def _digest(root: Path, path: str, found: str | OSError) -> str:
    if isinstance(found, OSError):
        raise RetinalabError(
            f"{root / path} cannot be read ({found.strerror or found}). Fetch it again or remove it; "
            "a manifest is written of whole copies only."
        )
    return found


def _elsewhere(root: Path, file: Path, listed: Mapping[str, str]) -> str:
    first = next(iter(listed))
    near = [root.resolve().parent, *sorted(path for path in root.iterdir() if path.is_dir())]
    right = next((folder for folder in near if (folder / first).is_file()), None)
    hint = f"It fits {right}: give that folder." if right else "Give the folder that it was written of."
    return (
        f"{file} is the manifest of another folder: none of its {len(listed)} files lies in {root} "
        f"(first: {first!r}). {hint}"
    )
