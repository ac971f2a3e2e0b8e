"""Files of pretrained weights: which a backbone needs, a folder that carries them, and their checksums."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from retinalab.documents import read_json
from retinalab.errors import RetinalabError

__all__ = ["VARIABLE", "WeightsFile", "carried", "check_folder", "checked", "fetch", "needed", "remedy"]

VARIABLE = "RETINALAB_WEIGHTS"
"""Environment variable: a folder that :func:`fetch` filled."""

_MANIFEST = "weights.json"
_HUB_FILE = "model.safetensors"
_PREFIX = re.compile(r"-([0-9a-f]{8,64})\.(?:pth|pt|bin|safetensors)$")

Library = Literal["timm", "smp"]


@dataclass(frozen=True)
class WeightsFile:
    """One file of weights, as the library that publishes it names it.

    Attributes:
        library: ``timm``, or ``smp`` (segmentation-models-pytorch).
        model: its name there, with the weights' tag.
        file: its name in a folder that carries it.
        repository: on the hub that the library asks; "" where it gives an address instead.
        revision: of the repository; "" the newest.
        source: file in the repository, or the address.
        sha256: in hexadecimal digits, or its beginning where the library gives no more; "" unknown.
        size: in bytes; 0 unknown.
    """

    library: Library
    model: str
    file: str
    repository: str
    revision: str
    source: str
    sha256: str = ""
    size: int = 0


def needed(library: Library, name: str) -> WeightsFile:
    """The file that a library loads for a backbone.

    Args:
        library: that makes the network.
        name: of a timm model, or of an encoder of segmentation-models-pytorch (``tu-``: timm's).

    Raises:
        RetinalabError: there are no weights for it.
    """
    if library == "smp" and not name.startswith("tu-"):
        return _of_encoder(name)
    import timm

    model = name.removeprefix("tu-")
    config: Any = timm.get_pretrained_cfg(model) if timm.is_model(model) else None
    if config is None or not (config.hf_hub_id or config.url):
        raise RetinalabError(
            f"timm publishes no weights for {name!r}. Name a file of yours, or train from weights=none."
        )
    named = f"{config.architecture}.{config.tag}" if config.tag else str(config.architecture)
    if config.hf_hub_id:
        source = config.hf_hub_filename or _HUB_FILE
        return WeightsFile("timm", named, named + Path(source).suffix, config.hf_hub_id, "", source)
    found = _PREFIX.search(config.url)
    suffix = Path(config.url).suffix
    return WeightsFile("timm", named, named + suffix, "", "", config.url, found[1] if found else "")


def described(wanted: WeightsFile) -> WeightsFile:
    """The same with size and checksum as the hub tells them; as it is where there is no network."""
    if not wanted.repository:
        return wanted
    from huggingface_hub import get_hf_file_metadata, hf_hub_url

    try:
        url = hf_hub_url(wanted.repository, wanted.source, revision=wanted.revision or None)
        told = get_hf_file_metadata(url, timeout=5)
    except _unreachable():
        return wanted
    digest = told.etag if told.etag and re.fullmatch("[0-9a-f]{64}", told.etag) else ""
    return replace(wanted, sha256=digest, size=told.size or 0)


def fetch(
    files: Iterable[WeightsFile], folder: Path, download: Callable[[WeightsFile, Path], Path] | None = None
) -> list[tuple[WeightsFile, bool]]:
    """Copy files of weights into a folder, with a list of their checksums beside them.

    Args:
        files: from :func:`needed`.
        folder: made where it is absent; what lies there whole is not fetched again.
        download: gives the path of a file that it has put below a folder; default: as the library publishes it.

    Returns:
        Each file with its size and checksum, and whether it was fetched now.

    Raises:
        RetinalabError: no network, or a file whose checksum is not the published one.
    """
    folder.mkdir(parents=True, exist_ok=True)
    known = _manifest(folder)
    done = []
    for wanted in dict.fromkeys(files):
        target = folder / wanted.file
        entry = known.get(wanted.file)
        if entry is not None and target.is_file() and _digest(target) == entry["sha256"]:
            done.append((replace(wanted, sha256=entry["sha256"], size=target.stat().st_size), False))
            continue
        wanted = described(wanted) if download is None else wanted
        part = folder / f".{wanted.file}.{os.getpid()}"
        try:
            shutil.copyfile((download or _download)(wanted, folder), part)
        except _unreachable() as error:
            part.unlink(missing_ok=True)
            raise RetinalabError(
                f"{wanted.model} cannot be fetched ({type(error).__name__}): {wanted.repository or wanted.source}. Run "
                "this on a machine with a network, and bring the folder."
            ) from error
        digest = _digest(part)
        if not digest.startswith(wanted.sha256):
            part.unlink()
            raise RetinalabError(
                f"{wanted.model} arrived with sha256 {digest[:16]}…, published is {wanted.sha256[:16]}…. Fetch it "
                "again."
            )
        os.replace(part, target)
        whole = replace(wanted, sha256=digest, size=target.stat().st_size)
        known[wanted.file] = asdict(whole)
        _write(folder, known)
        done.append((whole, True))
    return done


def check_folder(folder: Path) -> list[tuple[str, str]]:
    """File and what is wrong with it ("" nothing), for each that the folder's list names.

    Raises:
        RetinalabError: no such list.
    """
    if not (folder / _MANIFEST).is_file():
        raise RetinalabError(
            f"{folder} holds no {_MANIFEST}. Fill it with: retinalab weights fetch PAPER --out {folder}"
        )
    found = []
    for name, entry in sorted(_manifest(folder).items()):
        path = folder / name
        wrong = "" if path.is_file() else "is missing"
        if not wrong and _digest(path) != entry["sha256"]:
            wrong = "is damaged: its sha256 is another"
        found.append((name, wrong))
    return found


def carried(library: Library, name: str) -> Path | None:
    """The file of a backbone in the folder that ``RETINALAB_WEIGHTS`` names, its checksum verified.

    Returns:
        None where the variable is not set, or the folder carries other weights only.

    Raises:
        RetinalabError: the variable names no such folder, or the file is damaged.
    """
    given = os.environ.get(VARIABLE)
    if not given:
        return None
    folder = Path(given)
    if not (folder / _MANIFEST).is_file():
        raise RetinalabError(
            f"{VARIABLE}={given} names no folder of weights: it has no {_MANIFEST}. Unset it, or fill the folder with: "
            "retinalab weights fetch PAPER EXPERIMENT --out FOLDER"
        )
    wanted = needed(library, name)
    for file, entry in _manifest(folder).items():
        if (entry["library"], entry["model"]) == (wanted.library, wanted.model):
            return checked(folder / file)
    return None


def checked(path: Path) -> Path:
    """The same path; where a list of checksums beside it names the file, after it has been compared.

    Raises:
        RetinalabError: the file is another than was fetched, or gone.
    """
    entry = _manifest(path.parent).get(path.name)
    if entry is not None and not path.is_file():
        raise RetinalabError(f"{path} is gone, which {_MANIFEST} names. Bring it again.")
    if entry is not None and _digest(path) != entry["sha256"]:
        raise RetinalabError(
            f"{path} is damaged: its sha256 is not the one that {_MANIFEST} notes. Bring it again, or see all with: "
            f"retinalab weights check {path.parent}"
        )
    return path


def remedy(library: Library, name: str) -> str:
    """How weights come to a machine without a network."""
    file = needed(library, name).file
    return (
        "On a machine with a network run: retinalab weights fetch PAPER EXPERIMENT --out FOLDER. Bring the folder and "
        f"set {VARIABLE}=FOLDER, or task.weights=FOLDER/{file}; or train from random weights (weights=none)."
    )


def _of_encoder(name: str) -> WeightsFile:
    from segmentation_models_pytorch.encoders import encoders

    known: Mapping[str, Any] = encoders.get(name, {}).get("pretrained_settings", {})
    settings = known.get("imagenet")
    if settings is None:
        raise RetinalabError(
            f"segmentation-models-pytorch publishes no imagenet weights for encoder {name!r}. Name a file of yours, or "
            "train from weights=none."
        )
    model = f"{name}.imagenet"
    return WeightsFile(
        "smp", model, f"smp-{model}.safetensors", settings["repo_id"], settings["revision"], _HUB_FILE
    )


def _unreachable() -> tuple[type[Exception], ...]:
    """What the libraries raise without a network; the hub's client raises classes of its own, which are no OSError."""
    from huggingface_hub.errors import HfHubHTTPError

    return (
        OSError,
        RuntimeError,
        ValueError,
        *(one for one in HfHubHTTPError.__bases__ if issubclass(one, Exception)),
    )


def _download(wanted: WeightsFile, folder: Path) -> Path:
    if wanted.repository:
        from huggingface_hub import hf_hub_download

        return Path(hf_hub_download(wanted.repository, wanted.source, revision=wanted.revision or None))
    from torch.hub import download_url_to_file

    target = folder / f".{wanted.file}.part"
    download_url_to_file(wanted.source, str(target), wanted.sha256 or None, progress=False)
    return target


def _manifest(folder: Path) -> dict[str, dict[str, Any]]:
    file = folder / _MANIFEST
    if not file.is_file():
        return {}
    try:
        listed = read_json(file)["files"]
        entries = {str(one["file"]): dict(one) for one in listed}
        for name, entry in entries.items():
            if Path(name).name != name or not all(
                isinstance(entry[k], str) for k in ("library", "model", "sha256")
            ):
                raise ValueError(name)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RetinalabError(
            f"{file} cannot be read as a list of weights ({type(error).__name__}). Fetch the folder again."
        ) from error
    return entries


def _write(folder: Path, known: Mapping[str, Mapping[str, Any]]) -> None:
    part = folder / f".{_MANIFEST}.{os.getpid()}"
    part.write_text(json.dumps({"schema": 1, "files": [*known.values()]}, indent=1) + "\n", encoding="utf-8")
    os.replace(part, folder / _MANIFEST)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
