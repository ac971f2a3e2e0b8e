"""What ``retinalab explain`` says of the maps that it scored: which are empty, their figures, two networks compared."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from retinalab.counted import counted
from retinalab.units import few_units

if TYPE_CHECKING:
    import pandas as pd

    from retinalab.explain.scorecard import Settings
    from retinalab.metrics.compare import Difference
    from retinalab.metrics.measure import Metric
    from retinalab.metrics.scorecard import EmptyMaps
    from retinalab.predict.explained import Explained

__all__ = ["WIDTH", "about_lines", "print_differences", "print_summary"]

WIDTH = 80
_HEADLINE = ("pointing", "mass", "recall_10", "empty_with_lesions", "deletion_gain", "randomised")


def about_lines(
    runs: Sequence[Explained], settings: Settings, table: pd.DataFrame, notes: Sequence[str], unit: str
) -> list[tuple[str, str]]:
    """Which runs and photographs, how many have lesions, and of which photographs maps are empty.

    Args:
        runs: the stages that were explained.
        settings: how.
        table: of kind ``saliency``.
        notes: what was left out.
        unit: what intervals resample, from :func:`retinalab.units.unit_of`.

    Returns:
        Term and text of each line.
    """
    from retinalab.metrics.scorecard import empty_maps

    photographs = table.drop_duplicates(["set", "image"])
    with_lesions = photographs[photographs["lesions"] > 0]
    about = [
        (term, f"{run.name}, stage {run.stage}: {run.run.path.resolve().name}")
        for term, run in zip(("Run", *("Against",) * len(runs)), runs, strict=False)
    ]
    about += [
        ("Photographs",
         f"{counted(len(photographs), 'test photograph')} of {', '.join(photographs['set'].unique())}; with lesions: "
         f"{len(with_lesions)}, {counted(int(with_lesions['lesions'].sum()), 'lesion')} in all"),
        ("Explained", f"{settings.disease}: {_grades(table)}; gate of gmsm {settings.t:g}"),
    ]  # fmt: skip
    counts = empty_maps(table)
    for run in runs:
        none = [one for one in counts if one.model == run.name and not one.all[0] and one.method != "gmsm"]
        if none:
            those = ", ".join(one.method for one in none)
            about.append((f"Empty maps: {run.name}", f"none of {none[0].all[1]} by {those}"))
        some = [one for one in counts if one.model == run.name and one not in none]
        about += [(f"Empty maps: {one.model}, {one.method}", _empty(one)) for one in some]
    if any(one.method == "gmsm" for one in counts):
        about.append(
            ("Gate", "absolute, in units of the score; whether it suits a network is seen in its empty maps")
        )
    if few := few_units(photographs["group"].nunique(), unit):
        about.append(("Intervals", few))
    if notes:
        about.append(("Notes", "; ".join(note.rstrip(".") for note in notes)))
    return about


def _empty(one: EmptyMaps) -> str:
    """Of which photographs the empty maps are."""
    kinds = (
        (one.normal, "normal (reference grade 0)"), (one.diseased, "diseased (above 0)"),
        (one.with_lesions, "with lesions"), (one.without_lesions, "without"),
    )  # fmt: skip
    said = ", ".join(f"{empty} of {count} {what}" for (empty, count), what in kinds if count)
    return f"{one.all[0]} of {one.all[1]}: {said}"


def _grades(table: pd.DataFrame) -> str:
    """Which answers the maps explain, of the first network."""
    rows = table[table["model"] == table["model"].iloc[0]].drop_duplicates(["set", "image", "fold", "seed"])
    if (rows["grade"] < 0).all():
        return "the severity" if (rows["grade"] == -1).all() else "that the photograph shows a lesion"
    normal = int(((rows["grade"] == 0) & (rows["lesions"] > 0)).sum())
    return (
        f"the predicted grade, which is 0 for {normal} of the {int((rows['lesions'] > 0).sum())} with lesions"
    )


def print_summary(about: Sequence[tuple[str, str]], metrics: Mapping[str, Metric]) -> None:
    """Print the lines and each method's figures, with what a uniform map gets."""
    for term, text in about:
        print("\n".join(textwrap.wrap(f"{term}: {text}", WIDTH, subsequent_indent="  ")))
    print(
        "\n"
        + " " * 22
        + "".join(f"{name:>9s}" for name in ("point", "mass", "found10", "empty", "del.gain", "random"))
    )
    for place in dict.fromkeys(key.rsplit("/", 1)[0] for key in metrics):
        prefix, model, method = place.rsplit("/", 2)
        numbers = "".join(f"{_number(metrics[f'{place}/{name}']['value']):>9s}" for name in _HEADLINE)
        chance = "".join(
            f"{_number(metrics[f'{place}/{name}_chance']['value']):>9s}" for name in _HEADLINE[:3]
        )
        print(f"{prefix} {model}\n  {method:20s}{numbers}\n    {'uniform map':18s}{chance}")


def print_differences(names: Sequence[str], between: Mapping[str, Mapping[str, Difference]]) -> None:
    """Print how two networks differ on the same photographs, with intervals resampled by patient.

    Args:
        names: of the two.
        between: method -> figure -> the first one's minus the second one's.
    """
    head = f"{names[0]} minus {names[1]}, on the same photographs, 95 % interval:"
    print("\n" + "\n".join(textwrap.wrap(head, WIDTH)))
    for method, found in between.items():
        print(f"  {method}")
        for key, one in found.items():
            if key.rsplit("/", 1)[-1] in _HEADLINE and one["difference"] is not None:
                interval = f"[{_signed(one['low'])}, {_signed(one['high'])}]"
                print(f"    {key:34s}{_signed(one['difference']):>8s}  {interval}")


def _signed(value: float | None) -> str:
    return "-" if value is None else f"{value:+z.3f}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:z.3f}"
