"""Weights read from files that anyone may have written: tensors and plain values, nothing that could run code.

No class is allow-listed beyond those that torch itself rebuilds tensors from: tasks keep their options as plain JSON,
and the states of callbacks, loops, samplers and optimisers are numbers, texts and tensors.
"""

from __future__ import annotations

import pickle
import warnings
import zipfile
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError

from retinalab.errors import RetinalabError

__all__ = ["FAULTS", "check_archive", "read_stored", "runs_code"]

FAULTS = (
    OSError, EOFError, LookupError, TypeError, ValueError, AttributeError, RuntimeError, MemoryError, SafetensorError,
)  # fmt: skip
"""What reading damaged weights raises."""


def read_stored(path: Path, remedy: str) -> Any:
    """The content of a checkpoint or a file of weights.

    Args:
        path: as ``torch.save`` wrote it.
        remedy: ends the error.

    Raises:
        RetinalabError: it holds more than plain data, is damaged, or unpacks to more than its own size.
    """
    check_archive(path, remedy)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Detected pickle protocol")  # what it cannot read, it refuses
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise runs_code(path, remedy) from error
    except FAULTS as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise RetinalabError(f"{path} cannot be read as weights ({reason}). {remedy}") from error


def check_archive(path: Path, remedy: str) -> None:
    """Refuse an archive whose files are compressed or overlap: torch writes neither, and a small one could fill memory.

    Raises:
        RetinalabError: it is such a one, or its directory is damaged.
    """
    try:
        if not zipfile.is_zipfile(path):
            return
        with zipfile.ZipFile(path) as archive:
            held = archive.infolist()
    # of a damaged directory zipfile raises these: an unknown version or compression, a name in no known encoding
    except (OSError, zipfile.BadZipFile, ValueError, NotImplementedError, LookupError) as error:
        # NotImplementedError: what zipfile says of a compression that it does not know
        raise RetinalabError(f"{path} cannot be read as weights ({error}). {remedy}") from error
    size = path.stat().st_size
    if (
        any(one.compress_type != zipfile.ZIP_STORED for one in held)
        or sum(one.file_size for one in held) > size
    ):
        raise RetinalabError(
            f"{path} unpacks to more than its {size} bytes, which no file of weights does, and is not read. {remedy}"
        )


def runs_code(path: Path, remedy: str) -> RetinalabError:
    """The error of a file that asks for more than tensors and plain values."""
    return RetinalabError(
        f"{path} holds more than plain data and is not read, since it could run code. {remedy}"
    )
