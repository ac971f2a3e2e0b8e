"""A file that ``retinalab export`` wrote, in the place of the run that it came from."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from retinalab.data.codec import as_kept
from retinalab.errors import RetinalabError, unknown
from retinalab.predict.program import load_program
from retinalab.predict.voice import Given, Seen
from retinalab.protocol import SCALES, Scale
from retinalab.records import LESIONS

__all__ = ["EXPORTED_SUFFIXES", "ExportedFile", "ExportedNetwork", "read_exported"]

EXPORTED_SUFFIXES = (".onnx", ".pt2")
SCHEMA = 1
"""Of the metadata; a later one is refused."""
_PIXELS_AT_ONCE = 1 << 22

Ask = Callable[[np.ndarray], Mapping[str, np.ndarray]]
"""``(B, S, S, 3)`` uint8 to the outputs by name."""


@dataclass(frozen=True)
class ExportedFile:
    """The networks of a run as one graph that gives their mean.

    Attributes:
        path: the file.
        metadata: what it says of itself (:mod:`retinalab.export.metadata`).
        ask: runs it.
    """

    path: Path
    metadata: Mapping[str, Any]
    ask: Ask

    @property
    def title(self) -> str:
        """Paper and experiment."""
        return f"{self.metadata['paper']} {self.metadata['experiment']}"

    @property
    def labels(self) -> tuple[str, ...]:
        """What its answers must be read with, such as that it learned from drawn photographs."""
        return tuple(map(str, self.metadata.get("labels", ())))

    @property
    def files(self) -> tuple[Path, ...]:
        """Itself."""
        return (self.path,)

    @property
    def roots(self) -> tuple[Path, ...]:
        """None: it does not know where the photographs lay that it was made on."""
        return ()

    @property
    def averaged(self) -> int:
        """Networks in the graph."""
        return len(self.metadata["networks"])

    @property
    def exact(self) -> bool:
        """Whether no pixel is resized in the graph, so that it answers as its run does on a processor too."""
        return bool(self.metadata["input"]["inside"]["exact"])

    @property
    def scales(self) -> dict[str, Scale]:
        """Disease that it grades -> its scale, in the order of the protocol."""
        outputs = self.metadata["outputs"]
        named = {one["disease"]: SCALES[one["scale"]] for one in outputs.values() if "disease" in one}
        return {
            disease: named[disease] for disease in self.metadata["protocol"]["diseases"] if disease in named
        }

    def learned_from(self) -> frozenset[str]:
        """None: it does not name the photographs."""
        return frozenset()

    def voice(self) -> ExportedNetwork:
        """As a member of an ensemble."""
        return ExportedNetwork(self)


@dataclass(frozen=True)
class _Kept:
    """Working images as a file takes them: everything else is in its graph."""

    size: int
    codec: Any

    def make(self, pixels: np.ndarray) -> np.ndarray:
        return as_kept(self.codec, pixels)


class ExportedNetwork:
    """An exported file as one member of an ensemble, however many networks it averages itself.

    Attributes are those of :class:`retinalab.predict.network.Network`.
    """

    def __init__(self, file: ExportedFile) -> None:
        self.file = file
        given, outputs = file.metadata["input"], file.metadata["outputs"]
        self.batches = _Kept(int(given["shape"][1]), given["kept"])
        self.scales = file.scales
        self.regressed = frozenset(d for d in file.scales if f"{d}_severity" in outputs)
        named = outputs.get("lesion_probabilities", {})
        self.lesions = tuple(x for x in LESIONS if x in named.get("lesions", ()))
        self.maps_lesions = "lesion_maps" in outputs
        inside = given["inside"]
        self.seen = Seen(self.batches.size, int(inside["pixels"]), str(inside["seen"]))
        self.at_once = max(1, min(8, _PIXELS_AT_ONCE // self.batches.size**2))

    def given(self, batch: np.ndarray, lesion_maps: bool = False) -> Given:
        """Grades and lesions of a batch."""
        found = self.file.ask(batch)
        answers = {}
        for disease in self.scales:
            if disease in self.regressed:
                answers[disease] = found[f"{disease}_severity"][:, None]
            else:
                answers[disease] = found[f"{disease}_probabilities"]
        present = maps = None
        if self.lesions:
            present = _spread(
                found["lesion_probabilities"], self.file.metadata["outputs"]["lesion_probabilities"]
            )
        if self.maps_lesions and lesion_maps:
            maps = _spread(found["lesion_maps"], self.file.metadata["outputs"]["lesion_maps"])
        return Given(answers, present, maps)

    def check_maps(self) -> None:
        """Refuse at once.

        Raises:
            RetinalabError: always, since a graph keeps no layers to explain.
        """
        raise RetinalabError(
            f"{self.file.path} gives no class activation maps: they need the run's own networks. Leave out --cam, or "
            "give the run."
        )

    def maps(self, batch: np.ndarray, disease: str, grades: np.ndarray) -> np.ndarray:
        """Nothing; see :meth:`check_maps`."""
        self.check_maps()
        raise AssertionError


def read_exported(path: Path) -> ExportedFile:
    """Load a file that was exported as ONNX or as a program of torch.export, and make sure that it is one.

    Raises:
        RetinalabError: it cannot be read, another program wrote it, or a later version of this one did.
    """
    ask, texts = _onnx(path) if path.suffix == ".onnx" else load_program(path)
    metadata = _metadata(path, texts)
    file = ExportedFile(path, metadata, ask)
    try:
        size = file.voice().batches.size
        found = ask(np.zeros((1, size, size, 3), np.uint8))
        absent = [name for name in metadata["outputs"] if name not in found]
    except Exception as error:
        raise RetinalabError(
            f"{path} cannot be run ({_reason(error)}). Export the run again with retinalab export."
        ) from error
    if absent:
        raise unknown(
            "output", absent[0], found, f"{path} lacks an output that it names. Export the run again."
        )
    return file


def _onnx(path: Path) -> tuple[Ask, Mapping[str, Any]]:
    try:
        import onnxruntime
    except ImportError:
        raise RetinalabError(
            f"{path} needs onnxruntime, which is not installed. Install it with: pip install 'retinalab[export]', or "
            "give the run, or a file that was exported with --to torch."
        ) from None
    import torch

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise RetinalabError(
            f"{path} cannot be read as ONNX ({_reason(error)}). Give a file that retinalab export wrote."
        ) from error
    known = dict(session.get_modelmeta().custom_metadata_map)
    inputs, names = session.get_inputs(), [one.name for one in session.get_outputs()]

    def ask(pixels: np.ndarray) -> Mapping[str, np.ndarray]:
        return dict(zip(names, session.run(names, {inputs[0].name: pixels}), strict=True))

    return ask, known


_TEXTS = ("use", "paper", "experiment", "combined")


def _metadata(path: Path, texts: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a file says of itself, held against what is needed of it."""
    other = f"{path} was not written by retinalab export: "
    remedy = "Give a file that it wrote, or the folder of a run."
    if not texts:
        raise RetinalabError(f"{other}it holds no metadata. {remedy}")
    try:
        known = {
            key: json.loads(value) if isinstance(value, str) and key not in _TEXTS else value
            for key, value in texts.items()
        }
        schema = known["schema"]
        if not isinstance(schema, int) or "retinalab" not in known["provenance"]:
            raise ValueError("schema")
    except (ValueError, KeyError, TypeError, RecursionError):
        raise RetinalabError(f"{other}its metadata say nothing of a paper's networks. {remedy}") from None
    if schema > SCHEMA:
        raise RetinalabError(
            f"{path} has metadata of version {schema}; this retinalab reads up to version {SCHEMA}. Update retinalab."
        )
    try:
        ExportedFile(path, known, dict).voice()
        _ = known["networks"], known["input"]["inside"]["exact"], known["precision"]["evaluated"].values()
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise RetinalabError(
            f"{path} does not say how photographs are prepared for it ({_reason(error)}). Export the run again with "
            "retinalab export."
        ) from None
    return known


def _spread(values: np.ndarray, output: Mapping[str, Any]) -> np.ndarray:
    """Values of some lesions in the places of all eight; nan elsewhere."""
    out = np.full((len(values), len(LESIONS), *values.shape[2:]), np.nan, np.float32)
    for k, lesion in enumerate(output["lesions"]):
        out[:, LESIONS.index(lesion)] = values[:, k]
    return out


def _reason(error: Exception) -> str:
    """The first line of what went wrong."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [""]
    return f"{type(error).__name__}: {lines[0]}"[:200].rstrip(".: ")
