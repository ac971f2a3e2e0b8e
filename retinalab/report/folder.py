"""What a finished run left in its folder, read once and checked."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

import retinalab
from retinalab.documents import read_json, read_yaml
from retinalab.errors import RetinalabError, unknown
from retinalab.metrics.tables import diseases_of, read_table
from retinalab.protocol import SCALES, Scale
from retinalab.schema import check_run_schemas, figures_of

__all__ = ["SALIENCY", "History", "RunFolder", "SaliencyNote", "provenance_of", "read_run"]

SALIENCY = "saliency.json"
"""What a run says of the saliency maps that it kept beside those of its tasks."""


@dataclass(frozen=True)
class History:
    """What one stage logged while it trained.

    Attributes:
        stage: name of the stage.
        child: the fold or seed that it belongs to (``fold-0``), "" where the run has neither.
        table: a row per logged step, with ``epoch``, ``step`` and a sparse column per figure.
    """

    stage: str
    child: str
    table: pd.DataFrame


@dataclass(frozen=True)
class SaliencyNote:
    """What is said of the saliency maps that a run made of the photographs shown.

    Attributes:
        captions: name of a map -> what it explains. Each map is scaled by its own largest value.
        missing: a line for each stage that could not be explained, and why.
    """

    captions: Mapping[str, str] = field(default_factory=dict)
    missing: tuple[str, ...] = ()


@dataclass(frozen=True)
class RunFolder:
    """The files of a run.

    Attributes:
        scales: disease -> its grade scale, as the protocol names it.
        metrics: ``part[@set]/target/name`` -> value, low, high, n, n_groups, note.
        predictions: a row per photograph; None where the run graded none.
        windows: a row per patch; None where the run classified none.
        maps: a row per photograph and map; None where the run kept none.
        lesions: a row per photograph and lesion; None where the run mapped none.
        ungradable: tested photographs that its protocol left out as ungradable; None where it left out none.
        saliency: which of the maps are saliency maps, and why others are missing.
        baselines: predictions of its baselines, told apart by a column ``baseline``; None where it left none.
    """

    path: Path
    experiment: Mapping[str, Any]
    provenance: Mapping[str, Any]
    metrics: Mapping[str, Mapping[str, Any]]
    scales: Mapping[str, Scale]
    predictions: pd.DataFrame | None
    windows: pd.DataFrame | None
    baselines: pd.DataFrame | None
    history: tuple[History, ...]
    maps: pd.DataFrame | None = None
    lesions: pd.DataFrame | None = None
    ungradable: pd.DataFrame | None = None
    saliency: SaliencyNote = SaliencyNote()

    @property
    def diseases(self) -> tuple[str, ...]:
        """Diseases that the predictions grade."""
        return () if self.predictions is None else diseases_of(self.predictions)

    @property
    def tested(self) -> tuple[str, ...]:
        """Prefixes of the test photographs' keys (``test``, ``test@aptos``); without any, of validation."""
        prefixes = dict.fromkeys(key.split("/")[0] for key in self.metrics)
        by_part = [[p for p in prefixes if p.partition("@")[0] == part] for part in ("test", "val")]
        return tuple(sorted(next(filter(None, by_part), []), key=lambda prefix: "@" in prefix))

    def rows(self, prefix: str, disease: str | None = None) -> pd.DataFrame:
        """Predictions behind the keys of a prefix; with a disease, those whose reference is known."""
        if self.predictions is None:
            return pd.DataFrame({"image": [], "set": [], "patient": [], "seed": []})
        rows = self._behind(prefix, self.predictions)
        return rows if disease is None else rows[rows[disease] >= 0]

    def maps_of(self, prefix: str) -> pd.DataFrame | None:
        """Maps of the photographs behind the keys of a prefix; None where the run kept none of them."""
        rows = None if self.maps is None else self._behind(prefix, self.maps)
        return None if rows is None or rows.empty else rows

    def lesions_of(self, prefix: str) -> pd.DataFrame | None:
        """Counts of lesions in the photographs behind the keys of a prefix; None where there are none."""
        rows = None if self.lesions is None else self._behind(prefix, self.lesions)
        return None if rows is None or rows.empty else rows

    def _behind(self, prefix: str, table: pd.DataFrame) -> pd.DataFrame:
        part, _, name = prefix.partition("@")
        named = {key.split("/")[0].partition("@")[2] for key in self.metrics} - {""}
        chosen = table["set"] == name if name else ~table["set"].isin(named)
        return table[(table["part"] == part) & chosen]

    def set_of(self, prefix: str) -> str:
        """Name of the data set behind the keys of a prefix; "" where no table tells."""
        sets = prefix.partition("@")[2] or ", ".join(self.rows(prefix)["set"].unique())
        return sets or str(_mapping(self.experiment.get("data")).get("set", ""))


def read_run(folder: Path) -> RunFolder:
    """Read the folder of a finished run.

    Raises:
        RetinalabError: a file is missing, cannot be read or is of a later version, or a disease has no known grade
            scale.
    """
    provenance = provenance_of(folder)
    experiment = _mapping(_parse(folder / "experiment.yaml"))
    declared = _mapping(_mapping(experiment.get("protocol")).get("diseases"))
    for name in declared.values():
        if name not in SCALES:
            raise unknown("grade scale", str(name), SCALES, f"Correct '{folder / 'experiment.yaml'}'.")
    predictions = folder / "predictions.parquet"
    windows = folder / "windows.parquet"
    baselines = folder / "baselines.parquet"
    maps = folder / "maps.parquet"
    lesions = folder / "lesions.parquet"
    ungradable = folder / "ungradable.parquet"
    file = folder / "metrics.json"
    metrics = figures_of(_parse(file), file, retinalab.__version__)
    run = RunFolder(
        path=folder,
        experiment=experiment,
        provenance=provenance,
        metrics=metrics,
        scales={disease: SCALES[name] for disease, name in declared.items()},
        predictions=read_table(predictions, "predictions") if predictions.is_file() else None,
        windows=read_table(windows, "windows") if windows.is_file() else None,
        baselines=read_table(baselines, "predictions") if baselines.is_file() else None,
        history=_histories(folder, list(_mapping(experiment.get("stages")))),
        maps=read_table(maps, "maps") if maps.is_file() else None,
        lesions=read_table(lesions, "lesions") if lesions.is_file() else None,
        ungradable=read_table(ungradable, "predictions") if ungradable.is_file() else None,
        saliency=_saliency(folder / SALIENCY),
    )
    for disease in run.diseases:
        if disease not in run.scales:
            raise unknown(
                "disease", disease, run.scales, "The protocol must name the grade scale of each disease."
            )
    return run


def provenance_of(folder: Path) -> dict[str, Any]:
    """What a run says of how it was made, read ahead of all else: its other files may have a later form.

    Raises:
        RetinalabError: there is none, it cannot be read, or a later retinalab wrote the run.
    """
    provenance = _mapping(_parse(folder / "provenance.json"))
    check_run_schemas(provenance, folder / "provenance.json", retinalab.__version__)
    return provenance


def _saliency(path: Path) -> SaliencyNote:
    if not path.is_file():
        return SaliencyNote()
    known = _mapping(_parse(path))
    captions = {str(name): str(said) for name, said in _mapping(known.get("captions")).items()}
    return SaliencyNote(captions, tuple(map(str, known.get("missing") or ())))


def _mapping(value: Any) -> dict[str, Any]:
    return dict(value) if isinstance(value, Mapping) else {}


def _parse(path: Path) -> Any:
    try:
        return read_yaml(path) if path.suffix == ".yaml" else read_json(path)
    except FileNotFoundError:
        raise RetinalabError(
            f"No {path.name} in '{path.parent}'. Give the folder of a finished run."
        ) from None
    except (ValueError, yaml.YAMLError) as error:
        raise RetinalabError(
            f"'{path}' cannot be read ({error}). Repeat the run, or restore the file."
        ) from error


def _histories(folder: Path, stages: list[str]) -> tuple[History, ...]:
    found = []
    flat = [(path, path.stem, path.parent) for path in folder.glob("**/history/*.csv")]
    logged = [
        (path, path.parent.name, path.parent.parent) for path in folder.glob("**/history/*/metrics.csv")
    ]
    for path, stage, place_of in flat + logged:
        child = place_of.parent.relative_to(folder).as_posix()
        found.append(History(stage, "" if child == "." else child, _history(path)))
    place = {stage: k for k, stage in enumerate(stages)}
    found.sort(key=lambda one: (place.get(one.stage, len(place)), one.stage, _natural(one.child)))
    return tuple(found)


def _history(path: Path) -> pd.DataFrame:
    try:
        return pd.read_csv(path)
    except pd.errors.EmptyDataError:
        return pd.DataFrame()
    except (pd.errors.ParserError, UnicodeDecodeError) as error:
        raise RetinalabError(
            f"'{path}' is not a CSV table ({error}). Repeat the run, or delete the file."
        ) from error


def _natural(text: str) -> list[tuple[int, str]]:
    """Key that puts fold-2 before fold-10."""
    return [(int(piece), "") if piece.isdigit() else (-1, piece) for piece in re.split(r"(\d+)", text)]
