"""``predictions.csv``: a row for each photograph, written as it comes, gone on with after a kill."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING, Self

from filelock import FileLock, Timeout

from retinalab.errors import RetinalabError
from retinalab.predict.columnar import write_parquet
from retinalab.predict.photograph import Photograph
from retinalab.predict.rows import Pictures, Rows, joined

if TYPE_CHECKING:
    from retinalab.predict.predictor import Prediction

__all__ = ["Table", "prepare_folder"]

_NAME = "predictions.csv"
_PARQUET = "predictions.parquet"
_LOCK = ".predictions.lock"


class Table:
    """Writes ``predictions.csv``, and ``predictions.parquet`` from it once it is whole.

    Columns: ``image``; for each disease ``<d>_grade``, the probabilities ``<d>_p0`` … (or ``<d>_score``),
    ``<d>_confidence``, ``<d>_entropy`` and ``<d>_mutual_information`` (or ``<d>_sd``), as
    :class:`~retinalab.predict.predictor.Answer` has them, and, with maps, ``<d>_map``; where the run finds lesions,
    ``lesion_<X>_p`` for all eight, empty where one was not taught, with masks ``lesion_<X>_mask`` and with overlays
    ``overlay``; ``enlarged``, how many times the field of view was enlarged to the networks' size, empty where it was
    not; ``quality``, a flag; ``reason`` why a photograph was not graded; ``use``. A row is one line, in the order of
    the photographs. Rows go to ``predictions.csv.partial``, which an interrupted command leaves, the same command goes
    on with, and a finished one renames.

    Args:
        folder: to write to.
        rows: the columns.
        facts: kept in the Parquet file's metadata.

    Raises:
        RetinalabError: the folder cannot be written, or another process writes to it.
    """

    def __init__(self, folder: Path, rows: Rows, facts: Mapping[str, str]) -> None:
        self.path = folder / _NAME
        self.partial = folder / f"{_NAME}.partial"
        self.rows = 0
        self._layout, self._facts = rows, dict(facts)
        self._lock = FileLock(folder / _LOCK)
        self._file: IO[bytes] | None = None

    def __enter__(self) -> Self:
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            raise RetinalabError(
                f"Another process writes predictions to {self.path.parent}. Wait for it, or name another folder with "
                "--out."
            ) from None
        except OSError as error:
            raise _unwritable(self.path.parent, error) from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if self._file is not None:
                if kind is None:
                    os.fsync(self._file.fileno())
                self._file.close()
            if kind is None:
                self._finish()
        finally:
            self._lock.release()

    def kept(self, photographs: Iterator[Photograph]) -> Iterator[Prediction]:
        """What an earlier command left, row by row; then the table is ready for the next ones.

        A last row that a kill has torn is cut off. Nothing is held of the rows.

        Args:
            photographs: as they are to be graded; those that have a row are taken from it.

        Raises:
            RetinalabError: the rows are not those of the photographs, or the file cannot be read or written.
        """
        place = self.path if self.path.exists() else self.partial
        header = joined(self._layout.header).encode()
        try:
            whole = 0
            if place.exists():
                with place.open("rb") as file:
                    first = file.readline()
                    if first == header:
                        whole = len(header)
                        for line in file:
                            if not line.endswith(b"\n"):
                                break
                            yield self._read(place, line, next(photographs, None))
                            whole += len(line)
                            self.rows += 1
                    elif first.endswith(b"\n"):
                        raise self._changed(place)
            if place == self.path and whole != place.stat().st_size:
                raise self._changed(place)
            if place == self.partial:
                self._file = self.partial.open("r+b" if place.exists() else "w+b")
                self._file.truncate(whole)
                self._file.seek(whole)
                if not whole:
                    self._add(header)
        except OSError as error:
            raise _unwritable(self.path.parent, error) from error

    def write(self, prediction: Prediction, pictures: Pictures) -> None:
        """Add the row of one photograph.

        Raises:
            RetinalabError: the disk is full, or the folder is gone.
        """
        if self._file is None:
            raise self._changed(self.path)
        try:
            self._add(self._layout.line(prediction, pictures).encode())
        except OSError as error:
            raise _unwritable(self.path.parent, error) from error
        self.rows += 1

    def _add(self, line: bytes) -> None:
        assert self._file is not None
        self._file.write(line)
        self._file.flush()

    def _read(self, place: Path, line: bytes, photograph: Photograph | None) -> Prediction:
        try:
            cells = next(csv.reader([line.decode()], strict=True))
        except (UnicodeDecodeError, csv.Error):
            raise self._changed(place) from None
        if photograph is None or not self._layout.holds(cells, photograph):
            raise self._changed(place)
        return self._layout.prediction(cells, photograph)

    def _changed(self, place: Path) -> RetinalabError:
        return RetinalabError(
            f"{place}, row {self.rows + 1}: not what this command has written. Remove the folder, or name another with "
            "--out."
        )

    def _finish(self) -> None:
        source = self.partial if self._file is not None else self.path
        try:
            write_parquet(source, self.path.with_name(_PARQUET), self._layout.header, self._facts)
            os.replace(source, self.path)
        except OSError as error:
            raise _unwritable(self.path.parent, error) from error


def prepare_folder(out: Path, data: tuple[Path, ...], around: bool) -> None:
    """Make the folder for results, which must not lie among the photographs.

    Args:
        out: the folder.
        data: folders of data; nothing may be written in or below them.
        around: whether the folder holds photographs itself.

    Raises:
        RetinalabError: it lies in a data folder, is a file, or cannot be written.
    """
    place = out.resolve()
    for folder in data:
        if place.is_relative_to(folder.resolve()):
            raise RetinalabError(
                f"--out {out} lies inside the data folder {str(folder)!r}. Name a folder outside of it."
            )
    if around:
        raise RetinalabError(f"--out {out} is the folder of the photographs. Name another folder.")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(out, error) from error
    if not os.access(out, os.W_OK | os.X_OK):
        raise RetinalabError(f"Cannot write to {out}: permission denied. Name another folder with --out.")


def _unwritable(folder: Path, error: OSError) -> RetinalabError:
    return RetinalabError(
        f"Cannot write to {folder}: {error.strerror or error}. Free space, or name another folder with --out."
    )
