"""Write a run's networks to a file, and keep it only where it answers as they do."""

from __future__ import annotations

import importlib.util
import json
import logging
import os
import tempfile
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from retinalab.errors import RetinalabError
from retinalab.export.compare import Answers, Compared, by_pieces, compare, reference_answers
from retinalab.export.graph import Ensemble, chosen_members, ensemble_of
from retinalab.export.metadata import as_texts, described
from retinalab.export.photographs import check_set
from retinalab.predict.finished import FinishedRun

__all__ = ["SUFFIXES", "Exported", "Format", "export_run", "traced"]

Format = Literal["onnx", "torch"]
SUFFIXES: Mapping[Format, str] = {"onnx": ".onnx", "torch": ".pt2"}
INPUT = "photographs"
METADATA = "metadata.json"
"""Name of the extra file in a program of torch.export."""
_PACKAGES = ("onnx", "onnxscript", "onnxruntime")
_TRACED = 2
_SIZES = (1, 3, 8)
"""Photographs in the batches of the comparison: the number is free."""
_MOST = 1 << 16


@dataclass(frozen=True)
class Exported:
    """A file that was written.

    Attributes:
        path: where.
        networks: that it averages.
        outputs: their names, in order.
        compared: each output on the check set.
        photographs: which those were.
        metadata: that the file holds.
    """

    path: Path
    networks: int
    outputs: tuple[str, ...]
    compared: Sequence[Compared]
    photographs: str
    metadata: Mapping[str, Any]


def export_run(
    run: FinishedRun, to: Format, target: Path, stage: str | None = None, photographs: int = 32
) -> Exported:
    """Export the networks of a run as one file that averages folds and seeds.

    The file is written under a temporary name, read back, and held against the run's networks in single precision
    on the check set. Only where every grade is the same and every probability and lesion map within 1e-4 (of a
    severity: of its scale's length) does it get its name; else it is removed and what stood there before stays.

    Args:
        run: a finished one.
        to: ``onnx``, or ``torch`` for a program of torch.export.
        target: the file.
        stage: whose networks; default: all that ``retinalab predict`` asks.
        photographs: of the check set, at most.

    Raises:
        RetinalabError: packages that are not installed, networks that cannot be exported, a file that cannot be
            written, or one that answers otherwise.
    """
    if to == "onnx":
        _check_packages()
    members = chosen_members(run, stage)
    ensemble = ensemble_of(run, members)
    checked = check_set(run, members, photographs)
    metadata = described(run, members, ensemble.names, ensemble.exact)
    with _temporary(target) as place:
        program = traced(ensemble)
        if to == "onnx":
            _write_onnx(program, ensemble, metadata, place)
        else:
            with _quiet():
                torch.export.save(program, place, extra_files={METADATA: json.dumps(metadata)})
        ask = _of_onnx(place) if to == "onnx" else _of_torch(place, ensemble.names)
        found = by_pieces(ask, checked.pixels, _SIZES)
        lengths = {f"{disease}_severity": scale.size - 1 for disease, scale in ensemble.scales.items()}
        wanted = reference_answers(run, members, checked.pixels, ensemble.names)
        compared = compare(wanted, found, lengths)
        _check_passed(compared, target)
    return Exported(target, len(members), ensemble.names, compared, checked.said, metadata)


def _check_packages() -> None:
    absent = [name for name in _PACKAGES if importlib.util.find_spec(name) is None]
    if absent:
        raise RetinalabError(
            f"Export to ONNX needs {', '.join(absent)}, which is not installed. Install it with: pip install "
            "'retinalab[export]', or export with --to torch."
        )


@contextmanager
def _quiet() -> Any:
    """Without the exporter's own messages: what it did is compared afterwards."""
    loud = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir", "torch.export")]
    levels = [one.level for one in loud]
    try:
        for one in loud:
            one.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for one, level in zip(loud, levels, strict=True):
            one.setLevel(level)


def traced(ensemble: Ensemble) -> torch.export.ExportedProgram:
    """The networks as a graph whose number of photographs is free.

    Raises:
        RetinalabError: they cannot be traced.
    """
    free = torch.export.Dim("n", min=1, max=_MOST)
    try:
        with _quiet(), torch.no_grad():
            program = torch.export.export(
                ensemble, (ensemble.blank(_TRACED),), dynamic_shapes=({0: free},), strict=False
            )
            program.graph.eliminate_dead_code()  # the loss of photographs of which nothing is known
            program.graph_module.recompile()
            return program
    except Exception as error:
        raise _not_exportable("torch.export", error) from error


def _write_onnx(
    program: torch.export.ExportedProgram, ensemble: Ensemble, metadata: Mapping[str, Any], place: Path
) -> None:
    try:
        with _quiet():
            made: Any = torch.onnx.export(
                program,
                dynamo=True,
                verbose=False,
                input_names=[INPUT],
                output_names=list(ensemble.names),
            )
    except Exception as error:
        raise _not_exportable("ONNX", error) from error
    made.model.producer_name = "retinalab"
    made.model.doc_string = str(metadata["use"])
    made.model.metadata_props.update(as_texts(metadata))
    made.save(place, external_data=False)


def _not_exportable(what: str, error: Exception) -> RetinalabError:
    """What of the network cannot be put into a graph, in one line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    deepest: BaseException = error
    while deepest.__cause__ is not None:
        deepest = deepest.__cause__
    lines = [line.strip() for line in str(deepest).splitlines() if line.strip()] or lines
    reason = (lines[0] if lines else type(error).__name__).rstrip(".")[:300]
    return RetinalabError(
        f"The network cannot be exported to {what}: {reason}. Use retinalab predict, or another network."
    )


def _of_onnx(place: Path) -> Callable[[np.ndarray], Answers]:
    import onnxruntime

    try:
        session = onnxruntime.InferenceSession(str(place), providers=["CPUExecutionProvider"])
    except Exception as error:
        raise _not_exportable("ONNX", error) from error
    names = [one.name for one in session.get_outputs()]

    def ask(pixels: np.ndarray) -> Answers:
        return dict(zip(names, session.run(names, {INPUT: pixels}), strict=True))

    return ask


def _of_torch(place: Path, names: Sequence[str]) -> Callable[[np.ndarray], Answers]:
    with _quiet():
        module = torch.export.load(place).module()

    def ask(pixels: np.ndarray) -> Answers:
        with torch.inference_mode():
            found = module(torch.from_numpy(np.ascontiguousarray(pixels)))
        return {name: one.numpy() for name, one in zip(names, found, strict=True)}

    return ask


def _check_passed(compared: Sequence[Compared], target: Path) -> None:
    failed = [one for one in compared if not one.passed]
    if not failed:
        return
    told = ", ".join(
        f"{one.name} differs in {one.differing} of {one.photographs} photographs"
        if one.differing is not None
        else f"{one.name} differs by up to {one.largest:.1e} (at most {one.allowed:g} is let pass)"
        for one in failed
    )
    raise RetinalabError(
        f"{target} was not written, since it does not answer as the run's networks do: {told}. "
        "Use retinalab predict, or export to the other format."
    )


@contextmanager
def _temporary(target: Path) -> Any:
    """A temporary name beside the file, renamed at the end; whatever happens else, nothing of it stays."""
    try:
        handle, name = tempfile.mkstemp(prefix=f".{target.stem}.", suffix=target.suffix, dir=target.parent)
    except OSError as error:
        raise _unwritable(target, error) from error
    os.close(handle)
    place = Path(name)
    try:
        yield place
        os.chmod(place, 0o644)
        os.replace(place, target)
    except OSError as error:
        raise _unwritable(target, error) from error
    finally:
        place.unlink(missing_ok=True)


def _unwritable(target: Path, error: OSError) -> RetinalabError:
    return RetinalabError(
        f"Cannot write {target}: {error.strerror or error}. Free space, or name another file with --out."
    )
