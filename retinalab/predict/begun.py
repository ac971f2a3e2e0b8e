"""What a folder of predictions was begun with, so that the same command goes on there and no other does."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from retinalab.errors import RetinalabError
from retinalab.runner.folder import write_json

if TYPE_CHECKING:
    from retinalab.predict.opened import Opened

__all__ = ["begin", "checkpoint_digest", "finish"]

_ABOUT = "predictions.json"
_TABLES = ("predictions.csv", "predictions.csv.partial")
_KEY = "begun_with"
_WHAT: Mapping[str, str] = {
    "checkpoints": "another run, checkpoint or ensemble",
    "photographs": "other photographs, or ones that were changed since",
    "columns": "other options or another version",
    "options": "other options",
}


def checkpoint_digest(opened: Sequence[Opened]) -> str:
    """BLAKE2 of the files that hold the networks, in order; hexadecimal."""
    digest = hashlib.blake2b(digest_size=16)
    for place in (place for one in opened for place in one.files):
        with place.open("rb") as file:
            digest.update(hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).digest())
    return digest.hexdigest()


def begin(out: Path, identity: Mapping[str, Any], about: Mapping[str, Any]) -> None:
    """Claim a folder for predictions, or make sure that it was claimed for these.

    Args:
        out: the folder.
        identity: what must be the same for a command to go on: ``checkpoints``, ``photographs``, ``columns``,
            ``options``; plain JSON.
        about: further content of ``predictions.json``.

    Raises:
        RetinalabError: the folder holds predictions that were begun with something else.
    """
    there = _there(out)
    if there is None:
        taken = [name for name in _TABLES if (out / name).exists()]
        if taken:
            raise _refused(out, f"{taken[0]}, which was not begun by this version of the command")
        try:
            write_json(out / _ABOUT, {**about, _KEY: identity})
        except OSError as error:
            raise _unwritable(out, error) from error
        return
    other = _differing(there, json.loads(json.dumps(identity)))
    if other is not None:
        raise _refused(out, f"predictions of {_WHAT.get(other, other)}")


def finish(out: Path, about: Mapping[str, Any]) -> None:
    """Write what came of the predictions beside what they were begun with.

    Raises:
        RetinalabError: the file cannot be read or written.
    """
    try:
        write_json(out / _ABOUT, {**about, _KEY: _there(out)})
    except OSError as error:
        raise _unwritable(out, error) from error


def _unwritable(out: Path, error: OSError) -> RetinalabError:
    return RetinalabError(
        f"Cannot write to {out}: {error.strerror or error}. Free space, or name another folder with --out."
    )


def _there(out: Path) -> Mapping[str, Any] | None:
    try:
        known = json.loads((out / _ABOUT).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError):
        raise _refused(out, f"a {_ABOUT} that cannot be read") from None
    found = known.get(_KEY) if isinstance(known, dict) else None
    return found if isinstance(found, dict) else {}


def _differing(there: Mapping[str, Any], mine: Mapping[str, Any]) -> str | None:
    names: Iterable[str] = mine
    return next((name for name in names if there.get(name) != mine[name]), None)


def _refused(out: Path, what: str) -> RetinalabError:
    return RetinalabError(
        f"{out} holds {what}. Name another folder with --out, or remove it; the same command would go on there."
    )
