"""Maps over the photographs: what the network computed for each place, laid over what it saw."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pandas as pd

from retinalab.metrics.tables import diseases_of
from retinalab.protocol import Scale
from retinalab.report.gallery import Gallery, Picture, WithLesions, data_uri, small, thumbnail

__all__ = ["Drawing", "Key", "MapGroup", "MapRow", "MapSection", "Overlay", "drawing", "map_section"]

Key = tuple[str, str, int]
"""Set, image and fold: one prediction of the shown seed."""


_KEYS = ["set", "image", "fold"]
_SIDE, _GREY = 160, 96


@dataclass(frozen=True)
class Overlay:
    """One map over its photograph, with its largest value; ``peak`` is "" where it was scaled by that."""

    name: str
    source: str
    peak: str


@dataclass(frozen=True)
class MapRow:
    """One photograph with its maps; ``source`` is a data URI, "" where no picture could be had.

    ``truth`` is the same under the lesions that a reader marked, "" where none is known; ``marked`` their names
    and colours.
    """

    image: str
    set: str
    source: str
    verdicts: list[str]
    strongest: str
    overlays: list[Overlay]
    truth: str = ""
    marked: list[tuple[str, str]] = field(default_factory=list)


@dataclass(frozen=True)
class MapGroup:
    """Photographs that were chosen for one reason; ``above`` of them stand in an earlier group."""

    title: str
    rows: list[MapRow]
    above: int


@dataclass(frozen=True)
class MapSection:
    """The maps of one test set: what they are, the colours' scale, and groups of photographs.

    ``captions`` say what saliency maps explain; ``sizes`` what each size of the other maps is drawn from.
    """

    sizes: list[str]
    central: str
    legend: str
    groups: list[MapGroup]
    captions: list[str] = field(default_factory=list)


def drawing(
    maps: pd.DataFrame | None,
    predictions: pd.DataFrame,
    scales: Mapping[str, Scale],
    picture: Picture | None,
    captions: Mapping[str, str] | None = None,
) -> Drawing:
    """What draws photographs of one test set with their lesions and maps, of the first seed.

    Args:
        maps: of one test set, all seeds; None where there are none.
        predictions: of the same photographs, whose reference may be unknown.
        scales: of the diseases.
        picture: RGB working image of (set, image), or None where it cannot be had.
        captions: name -> what it explains, of saliency maps: those that were scaled by their own largest value.
    """
    shown = None if maps is None else maps[maps["seed"] == maps["seed"].min()]
    rows = predictions[predictions["seed"] == predictions["seed"].min()]
    return Drawing(shown, rows, scales, picture, captions or {})


def map_section(
    draw: Drawing, galleries: Sequence[Gallery], above: Collection[Key] = ()
) -> MapSection | None:
    """The maps of the galleries' photographs, and of those where one is strongest; each photograph stands once.

    Args:
        draw: from :func:`drawing`.
        galleries: of the first seed, which is the one shown.
        above: photographs that stand with their maps in an earlier section.

    Returns:
        None where the run kept no map.
    """
    shown = draw.maps
    if shown is None:
        return None
    chosen = [(title, keys) for one in galleries for title, keys in _of_gallery(one)]
    if draw.strongest:
        chosen.append(("where a map is strongest", list(draw.strongest)))
    groups, done = [], set(above)
    for title, keys in chosen:
        here = [key for key in dict.fromkeys(keys) if key in draw.places]
        left = [key for key in here if key not in done]
        groups.append(MapGroup(title, [draw.row(key) for key in left], len(here) - len(left)))
        done.update(here)
    extent = float(shown["extent"].min())
    return MapSection(
        sizes=_sizes(shown[~shown["map"].isin(draw.captions)]),
        captions=[f"{name}: {said}" for name, said in draw.captions.items() if (shown["map"] == name).any()],
        central="" if extent > 0.9995 else f"{100 * extent:.0f} %",
        legend=_legend(),
        groups=groups,
    )


def _of_gallery(one: Gallery) -> Iterable[tuple[str, list[Key]]]:
    for title, tiles in (("wrong", one.wrong), ("right", one.right)):
        keys = [(tile.set, tile.image, tile.fold) for tile in tiles]
        yield f"{one.disease.upper()}: most certain and {title}", keys


def _strongest(maps: pd.DataFrame) -> dict[Key, list[str]]:
    """Photograph -> names of the maps whose largest value of all lies on it."""
    first = maps.dropna(subset=["peak"]).sort_values(
        ["peak", "set", "image"], ascending=[False, True, True], kind="stable"
    )
    found: dict[Key, list[str]] = {}
    for _, row in first.drop_duplicates("map").iterrows():
        found.setdefault((str(row["set"]), str(row["image"]), int(row["fold"])), []).append(str(row["map"]))
    return found


class Drawing:
    """Draws one photograph after the other; made by :func:`drawing`."""

    def __init__(
        self,
        maps: pd.DataFrame | None,
        predictions: pd.DataFrame,
        scales: Mapping[str, Scale],
        picture: Picture | None,
        captions: Mapping[str, str],
    ) -> None:
        self.maps = maps
        self.places: Mapping[Key, npt.NDArray[np.intp]] = (
            {} if maps is None else maps.groupby(_KEYS, sort=False).indices  # type: ignore[assignment]
        )
        self.captions = captions
        self.strongest = {} if maps is None else _strongest(maps[~maps["map"].isin(captions)])
        self.predictions = predictions
        self.answers = predictions.groupby(_KEYS).indices if "fold" in predictions else {}
        self.scales = scales
        self.picture = picture

    def row(self, key: Key) -> MapRow:
        """One photograph with its marked lesions and all its maps, as far as they can be had."""
        found = None if self.picture is None else self.picture(key[0], key[1])
        size = _SIDE if found is None else found.shape[0]
        under = np.full((_SIDE, _SIDE, 3), _GREY, np.uint8) if found is None else small(found)
        mine = (
            [] if self.maps is None or key not in self.places else self.maps.iloc[self.places[key]].iterrows()
        )
        truth, marked = ("", []) if found is None else self._marked(key, found)
        return MapRow(
            image=key[1],
            set=key[0],
            source="" if found is None else thumbnail(found),
            verdicts=self._verdicts(key),
            strongest=", ".join(self.strongest.get(key, [])),
            overlays=[
                Overlay(
                    str(one["map"]),
                    data_uri(_laid_over(one, under, size), sharp_colours=True),
                    self._peak(one),
                )
                for _, one in mine
            ],
            truth=truth,
            marked=marked,
        )

    def _peak(self, one: pd.Series) -> str:
        if np.isnan(one["peak"]):
            return "undefined"
        if one["map"] in self.captions:
            return "" if one["peak"] > 0 else "(empty)"
        return f"{one['peak']:.2f}"

    def _marked(self, key: Key, found: npt.NDArray[np.uint8]) -> tuple[str, list[tuple[str, str]]]:
        """The photograph under its marked lesions, and the colour of each; nothing where none is marked."""
        masks = self.picture.lesions(key[0], key[1]) if isinstance(self.picture, WithLesions) else None
        if not masks:
            return "", []
        from retinalab.explain import LESION_COLOURS, with_lesions

        colours = [(lesion, "#" + bytes(LESION_COLOURS[lesion]).hex()) for lesion in masks]
        return data_uri(small(with_lesions(found, masks)), sharp_colours=True), colours

    def _verdicts(self, key: Key) -> list[str]:
        if key not in self.answers:
            return []
        answer = self.predictions.iloc[self.answers[key][0]]
        lines = []
        for disease in diseases_of(self.predictions):
            levels = self.scales[disease].levels
            reference, predicted = int(answer[disease]), int(answer[f"{disease}_grade"])
            known = f"{reference} {levels[reference]}" if reference >= 0 else "unknown"
            said = f"{predicted} {levels[predicted]}" if predicted >= 0 else "none"
            lines.append(f"{disease.upper()} reference: {known}, predicted: {said}")
        return lines


def _laid_over(one: pd.Series, under: npt.NDArray[np.uint8], size: int) -> npt.NDArray[np.uint8]:
    """A map over a photograph: in its own cells where it was kept whole, smooth where it was reduced."""
    from retinalab.explain import Framing, covered, enlarged

    values = np.frombuffer(one["values"], np.uint8).reshape(int(one["height"]), int(one["width"])) / 255
    framing = Framing.of_working(size, float(one["extent"]))
    height, width = under.shape[:2]
    if one["height"] == one["native_height"] and one["width"] == one["native_width"]:
        spread = framing.cells(values, height, width)
    else:
        spread = framing.on_photograph(enlarged(values, framing.side), height, width)
    laid: npt.NDArray[np.uint8] = covered(under, spread, framing.seen(height, width))
    return laid


def _legend() -> str:
    """The colours from 0 to 1, over the grey of a middling photograph."""
    from retinalab.explain import covered

    grey, shape = np.full((12, 256, 3), _GREY, np.uint8), (12, 256)
    ramp = np.broadcast_to(np.linspace(0, 1, 256, dtype=np.float32), shape)
    return data_uri(covered(grey, ramp, np.ones(shape, bool)), sharp_colours=True)


def _sizes(maps: pd.DataFrame) -> list[str]:
    """What each size of map is drawn from, in words."""
    names: dict[tuple[int, int, int, int], list[str]] = {}
    sizes = ["native_height", "native_width", "height", "width"]
    for name, group in maps[["map", *sizes]].drop_duplicates().groupby(sizes, sort=False):
        names[tuple(map(int, name))] = list(group["map"])  # type: ignore[arg-type, index]
    lines = []
    for (native_height, native_width, height, width), mine in names.items():
        native, kept = f"{native_height} × {native_width}", f"{height} × {width}"
        whole = native == kept
        how = (
            "each drawn as its own rectangle"
            if whole
            else f"kept as the means of {kept} areas and drawn smoothly"
        )
        lines.append(f"{', '.join(mine)}: {native} places, {how}.")
    return lines
