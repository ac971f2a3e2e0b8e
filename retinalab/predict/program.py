"""Programs of torch.export read as data: what in such a file could run code is refused before PyTorch sees it.

PyTorch's own reader unpickles members that ask for it, looks targets up anywhere in ``torch`` and evaluates expressions
of sizes and guards as Python. Here an archive holds weights as plain bytes, a graph of ``aten`` operators alone, sizes
that are sums and products, and no guards; whatever else it holds, it is not read.
"""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from retinalab.errors import RetinalabError

__all__ = ["load_program"]

_METADATA = "extra/metadata.json"
_GRAPH = "models/model.json"
_INPUTS = "data/sample_inputs/model.pt"
_CONFIGS = ("data/weights/model_weights_config.json", "data/constants/model_constants_config.json")
_MEMBER = re.compile(
    r"(data/weights/weight_\d+|data/constants/tensor_\d+|archive_(format|version)|\.data/(version|serialization_id)"
    r"|byteorder|" + "|".join(map(re.escape, (_METADATA, _GRAPH, _INPUTS, *_CONFIGS))) + ")"
)
_MOST_MEMBERS = 1 << 16
_MOST_BYTES = 1 << 33
_MOST_GRAPH = 1 << 28
_PLAIN = re.compile(r"[\w.\-]*")
_TARGET = re.compile(
    r"torch\.ops\.aten\.(?!from_file)\w+\.\w+"
    r"|_operator\.(add|sub|mul|floordiv|truediv|neg|mod|eq|ne|lt|le|gt|ge)"
)
_WORDS = {"Symbol", "Integer", "Mul", "Add", "Pow", "Mod", "FloorDiv", "Max", "Min", "True", "False"}
_WORDS |= {"positive", "integer"}
_CONTAINERS = (None, "builtins.tuple", "builtins.list", "builtins.dict")


def load_program(path: Path) -> tuple[Callable[[np.ndarray], Mapping[str, np.ndarray]], Mapping[str, Any]]:
    """A program and its metadata (empty: there are none).

    Raises:
        RetinalabError: no such archive, or one that holds more than weights, sizes and operators on tensors.
    """
    members = _members(path)
    metadata = _parsed(path, members.get(_METADATA, b"{}"))
    if not isinstance(metadata, dict) or not metadata:
        return _never, {}
    import torch

    try:
        plain = _plain(path, members)
        module = torch.export.load(plain).module()
    except RetinalabError:
        raise
    except Exception as error:
        reason = " ".join(str(error).split())[:160]
        raise RetinalabError(
            f"{path} cannot be read as a program of torch.export ({type(error).__name__}: {reason}). Export the run "
            "again with retinalab export."
        ) from error
    names = list(metadata.get("outputs") or {})

    def ask(pixels: np.ndarray) -> Mapping[str, np.ndarray]:
        with torch.inference_mode():
            found = module(torch.from_numpy(np.ascontiguousarray(pixels)))
        return {name: one.numpy() for name, one in zip(names, found, strict=True)}

    return ask, metadata


def _never(pixels: np.ndarray) -> Mapping[str, np.ndarray]:
    raise AssertionError


def _members(path: Path) -> dict[str, bytes]:
    """Contents by their names below the archive's one folder."""
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
            names = [entry.filename.partition("/")[2] for entry in entries]
            strange = [name for name in names if not _MEMBER.fullmatch(name)]
            if strange or len(set(names)) < len(names) or len(names) > _MOST_MEMBERS:
                raise _refused(path, f"{strange[0]!r}" if strange else "members twice or too many")
            if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
                raise _refused(path, "compressed members")
            if sum(entry.file_size for entry in entries) > min(_MOST_BYTES, path.stat().st_size):
                raise _refused(path, "more than its size")
            return {name: archive.read(entry) for name, entry in zip(names, entries, strict=True)}
    except (zipfile.BadZipFile, OSError, NotImplementedError, RuntimeError) as error:
        # zipfile: NotImplementedError for a compression that it does not know, RuntimeError for encryption
        raise RetinalabError(
            f"{path} cannot be read as a program of torch.export ({error}). Give a file that retinalab export wrote."
        ) from None


def _plain(path: Path, members: Mapping[str, bytes]) -> io.BytesIO:
    """The archive with nothing in it but what was looked at."""
    import torch

    for config in _CONFIGS:
        for entry in _parsed(path, members[config])["config"].values():
            if entry["use_pickle"] or not re.fullmatch(r"(weight|tensor)_\d+", entry["path_name"]):
                raise _refused(path, "pickled tensors")
    torch.load(io.BytesIO(members[_INPUTS]), weights_only=True)
    if len(members[_GRAPH]) > _MOST_GRAPH:
        raise _refused(path, "too large a graph")
    program = _parsed(path, members[_GRAPH])
    program["guards_code"] = []
    for node in program["graph_module"]["graph"]["nodes"]:
        node["metadata"] = {}
    for place, text in _texts(program):
        if not _harmless(place, text):
            raise _refused(path, f"{place} {text[:60]!r}")
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        for name, content in members.items():
            archive.writestr(f"program/{name}", json.dumps(program) if name == _GRAPH else content)
    out.seek(0)
    return out


def _texts(value: Any, place: str = "") -> Iterator[tuple[str, str]]:
    """Every text of a document, keys included, with the key that it stands under."""
    if isinstance(value, str):
        yield place, value
    elif isinstance(value, dict):
        for key, one in value.items():
            yield "key", key
            yield from _texts(one, key)
    elif isinstance(value, list):
        for one in value:
            yield from _texts(one, place)


def _harmless(place: str, text: str) -> bool:
    if place == "target":
        return bool(_TARGET.fullmatch(text))
    if place == "expr_str":
        words = re.findall(r"[^\W\d]\w*", text)
        return bool(re.fullmatch(r"[\w\s()*+\-/,='<>]*", text)) and all(
            word in _WORDS or re.fullmatch(r"[su]\d+", word) for word in words
        )
    if place in ("in_spec", "out_spec"):
        return all(kind in _CONTAINERS for kind in _kinds(json.loads(text)))
    return bool(_PLAIN.fullmatch(text)) or place == "torch_version"


def _kinds(spec: Any) -> Iterator[Any]:
    """The containers that a tree is made of; anything else that a node holds is given too, and known by no name."""
    if isinstance(spec, list):
        for one in spec:
            yield from _kinds(one)
    elif isinstance(spec, dict):
        yield spec.get("type")
        yield from () if spec.get("context") in (None, "null", "[]") else ("context",)
        yield from _kinds(spec.get("children_spec", []))


def _parsed(path: Path, content: bytes) -> Any:
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        raise _refused(path, "a document that is no JSON") from None


def _refused(path: Path, what: str) -> RetinalabError:
    return RetinalabError(
        f"{path} holds more than weights and operators on them ({what}) and is not read. Give a file that retinalab "
        "export wrote."
    )
