"""The command that holds a finished run's saliency maps against the lesions of its test photographs."""

from __future__ import annotations

import argparse
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import yaml
from tqdm import tqdm

from retinalab.errors import RetinalabError, unknown

if TYPE_CHECKING:
    import pandas as pd

    from retinalab.explain.saliency import Method
    from retinalab.metrics.measure import Metric
    from retinalab.predict.explained import Explained, OtherSet
    from retinalab.report.saliency_gallery import Model

__all__ = ["add_explain_arguments", "explain"]

_WIDTH = 80


def add_explain_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of ``retinalab explain``."""
    parser.add_argument(
        "run", type=Path, metavar="RUN", help="folder of a finished run; its latest link will do"
    )
    parser.add_argument(
        "--out", type=Path, required=True, metavar="FOLDER", help="folder to make; it must not exist"
    )
    parser.add_argument(
        "--stage", help="stage whose network is explained; default: the last that grades photographs"
    )
    parser.add_argument("--disease", help="whose grade is explained; default: the first that is graded")
    parser.add_argument(
        "--methods",
        metavar="LIST",
        help="cam,grad-cam,grad-cam++,gmsm or some of them; default: all that the network has maps for",
    )
    parser.add_argument(
        "--gate", type=float, default=1.0, metavar="T", help="floor of gmsm in units of the score; default: 1"
    )
    parser.add_argument(
        "--against", type=Path, metavar="RUN2", help="another run, explained on the same photographs"
    )
    parser.add_argument(
        "--set", metavar="NAME", help="a data set with lesion masks in the place of the run's own"
    )
    parser.add_argument("--root", type=Path, metavar="PATH", help="folder of that data set")
    parser.add_argument(
        "--option",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="of that data set, such as task=segmentation",
    )
    parser.add_argument("--limit", type=int, metavar="N", help="at most N photographs, chosen by lot")


def explain(known: argparse.Namespace) -> int:
    """Make maps, hold them against lesions, and write table, figures and page."""
    methods = _methods(known.methods)
    other = _other_set(known)
    if known.limit is not None and known.limit < 1:
        raise RetinalabError(f"--limit {known.limit} leaves no photograph. Give at least 1.")
    if not known.gate >= 0:
        raise RetinalabError(
            f"--gate {known.gate} is no floor. Give a number of at least 0; 0 lets everything through."
        )
    _check_out(known.out)

    from retinalab.predict.explained import explained_runs

    folders = [known.run, *([known.against] if known.against else [])]
    runs, disease = explained_runs(folders, known.stage, known.disease)

    from retinalab.explain.scorecard import Settings

    settings = Settings(disease, t=known.gate)
    table, models, notes = _scored(runs, other, settings, methods, known.limit)
    return _written(known, runs, settings, table, models, notes)


def _scored(
    runs: Sequence[Explained],
    other: OtherSet | None,
    settings: Any,
    methods: tuple[Method, ...] | None,
    limit: int | None,
) -> tuple[pd.DataFrame, list[Model], list[str]]:
    """The table of all networks, those of the first fold and seed for the gallery, and what was left out."""
    from dataclasses import replace

    import pandas as pd
    import torch

    from retinalab.explain.saliency import METHODS
    from retinalab.explain.scorecard import Scorecard, usable_methods
    from retinalab.predict.explained import fold_and_seed, photographs_of
    from retinalab.report.saliency_gallery import Model

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    tables, models, notes = [], list[Model](), list[str]()
    for member in runs[0].members:
        chosen = photographs_of(runs, member.child, other, limit)
        notes += chosen.notes
        for run in runs:
            task = run.task(member.child, device)
            photographs = run.prepared(chosen, device)
            notes += [f"unusable: {reason}" for reason in photographs.reasons]
            usable, reasons = usable_methods(
                task, photographs, settings.disease, methods or METHODS, settings.t
            )
            if reasons and (methods is not None or not usable):
                method, reason = next(iter(reasons.items()))
                raise RetinalabError(f"No {method} map of {run.name}: {reason}")
            notes += [f"no {method} map of {run.name}: {reason}" for method, reason in reasons.items()]
            card = Scorecard(task, photographs, replace(settings, methods=usable))
            label = f"{run.name} {member.child}".strip()
            total = len(photographs) * (1 + len(settings.depths))
            with tqdm(total=total, desc=label, unit="photo", ncols=_WIDTH, disable=None) as bar:
                rows = card.rows(bar.update)
            fold, seed = fold_and_seed(run, member.child)
            tables.append(rows.assign(model=run.name, fold=fold, seed=seed))
            if member is runs[0].members[0]:
                models.append(Model(run.name, card))
    return pd.concat(tables, ignore_index=True), models, list(dict.fromkeys(notes))


def _written(
    known: argparse.Namespace,
    runs: Sequence[Explained],
    settings: Any,
    table: pd.DataFrame,
    models: Sequence[Model],
    notes: Sequence[str],
) -> int:
    """Figures, page and what is printed; the folder appears whole or not at all."""
    from retinalab.metrics.scorecard import compare_saliency, evaluate_saliency
    from retinalab.metrics.tables import write_table
    from retinalab.report.saliency import ScorecardPage, write_saliency_page
    from retinalab.report.saliency_gallery import gallery
    from retinalab.runner.folder import write_json

    metrics = evaluate_saliency(table)
    pairs = _pairs(table, [run.name for run in runs])
    comparisons = {f"{_text(a)} against {_text(b)}": compare_saliency(table, a, b) for a, b in pairs}
    about = _about(runs, settings, table, notes)
    patients = models[0].card.photographs.part.records.table["patient"]
    unit = "patients" if (patients != "").all() else "photographs, since patients are not all known"
    synthetic = any(one.synthetic for one in models[0].card.photographs.part.records.info.values())
    banners = [("Research use only", "not a medical device; nothing here supports the care of a patient.")]
    if synthetic:
        banners.append(
            ("Drawn (synthetic) photographs", "no photographs of people; nothing here is about patients.")
        )
    banners += [(label, "of the run that is explained.") for run in runs for label in run.run.labels if label]
    page = ScorecardPage(
        " against ".join(run.name for run in runs), about, list(dict.fromkeys(banners)), unit, table, metrics,
        comparisons, settings.removed, gallery(models, table),
    )  # fmt: skip
    meta = {"removed": list(settings.removed), "depths": list(settings.depths), "gate": settings.t}
    content = {
        "use": "research use only: not for diagnosis",
        "runs": {run.name: str(run.run.path.resolve()) for run in runs},
        "about": dict(about),
        "settings": {**meta, "disease": settings.disease, "seed": settings.seed},
        "metrics": metrics,
        "comparisons": comparisons,
    }
    with _whole(known.out) as folder:
        write_table(table, folder / "saliency.parquet", "saliency", meta)
        write_json(folder / "scorecard.json", content)
        write_saliency_page(page, folder / "scorecard.html")
    _show(about, metrics)
    print(f"\nPage: {known.out / 'scorecard.html'}; table: {known.out / 'saliency.parquet'}")
    print("\nResearch use only: not for diagnosis.")
    return 0


def _pairs(table: pd.DataFrame, names: Sequence[str]) -> list[tuple[tuple[str, str], tuple[str, str]]]:
    """What is compared: each method of two runs; within a run the last method with every other."""
    methods = {name: list(table.loc[table["model"] == name, "method"].unique()) for name in names}
    pairs = []
    if len(names) > 1:
        pairs = [((names[0], x), (names[1], x)) for x in methods[names[0]] if x in methods[names[1]]]
    for name in names:
        *others, last = methods[name]
        pairs += [((name, last), (name, method)) for method in others]
    return pairs


def _about(
    runs: Sequence[Explained], settings: Any, table: pd.DataFrame, notes: Sequence[str]
) -> list[tuple[str, str]]:
    """Which runs and photographs, how many have lesions, how many maps are empty, what is missed by every map."""
    photographs = table.drop_duplicates(["set", "image"])
    with_lesions = photographs[photographs["lesions"] > 0]
    count, ill = len(photographs), len(with_lesions)
    sets = ", ".join(photographs["set"].unique())
    about = [
        (term, f"{run.name}, stage {run.stage}: {run.run.path.resolve().name}")
        for term, run in zip(("Run", "Against"), runs, strict=False)
    ]
    lesions = int(with_lesions["lesions"].sum())
    about.append(
        ("Photographs", f"{count} test photographs of {sets}; {ill} of them have lesions, {lesions} in all")
    )
    about.append(("Explained", f"{settings.disease}: {_grades(table)}; gate of gmsm {settings.t:g}"))
    for (model, method), rows in table.groupby(["model", "method"], sort=False):
        empty, on = rows[rows["empty"] == 1], rows["lesions"] > 0
        about.append(
            (f"Empty maps: {model}, {method}",
             f"{len(empty)} of {len(rows)}: {int((empty['lesions'] > 0).sum())} of {int(on.sum())} with lesions, "
             f"{int((empty['lesions'] == 0).sum())} of {int((~on).sum())} without")
        )  # fmt: skip
    if notes:
        about.append(("Notes", "; ".join(note.rstrip(".") for note in notes)))
    return about


def _grades(table: pd.DataFrame) -> str:
    """Which answers the maps explain, of the first network."""
    rows = table[table["model"] == table["model"].iloc[0]].drop_duplicates(["set", "image", "fold", "seed"])
    if (rows["grade"] == -1).all():
        return "the severity"
    normal = int(((rows["grade"] == 0) & (rows["lesions"] > 0)).sum())
    return (
        f"the predicted grade, which is 0 for {normal} of the {int((rows['lesions'] > 0).sum())} with lesions"
    )


def _show(about: Sequence[tuple[str, str]], metrics: Mapping[str, Metric]) -> None:
    import textwrap

    for term, text in about:
        print("\n".join(textwrap.wrap(f"{term}: {text}", _WIDTH, subsequent_indent="  ")))
    names = ("pointing", "mass", "recall_10", "empty_with_lesions", "deletion_gain", "randomised")
    print(
        "\n"
        + " " * 22
        + "".join(f"{name:>9s}" for name in ("point", "mass", "found10", "empty", "del.gain", "random"))
    )
    for place in dict.fromkeys(key.rsplit("/", 1)[0] for key in metrics):
        prefix, model, method = place.rsplit("/", 2)
        numbers = "".join(f"{_number(metrics[f'{place}/{name}']['value']):>9s}" for name in names)
        chance = "".join(f"{_number(metrics[f'{place}/{name}_chance']['value']):>9s}" for name in names[:3])
        print(f"{prefix} {model}\n  {method:20s}{numbers}\n    {'uniform map':18s}{chance}")


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _text(side: tuple[str, str]) -> str:
    return f"{side[0]}, {side[1]}"


def _methods(given: str | None) -> tuple[Method, ...] | None:
    if given is None:
        return None
    from retinalab.explain.saliency import METHODS

    names = tuple(dict.fromkeys(name.strip() for name in given.split(",") if name.strip()))
    for name in names:
        if name not in METHODS:
            raise unknown("saliency method", name, METHODS)
    if not names:
        raise RetinalabError(f"--methods names none. Choose of: {', '.join(METHODS)}.")
    return cast("tuple[Method, ...]", names)


def _other_set(known: argparse.Namespace) -> OtherSet | None:
    from retinalab.predict.explained import OtherSet

    if known.set is None:
        if known.root is not None or known.option:
            raise RetinalabError("--root and --option are of a data set. Name it with --set.")
        return None
    options: dict[str, Any] = {}
    for pair in known.option:
        key, equals, value = pair.partition("=")
        if not equals:
            raise RetinalabError(
                f"--option {pair!r} is not of the form KEY=VALUE, such as task=segmentation."
            )
        options[key] = yaml.safe_load(value)
    return OtherSet(known.set.replace("-", "_"), known.root, options)


def _check_out(out: Path) -> None:
    if out.exists():
        raise RetinalabError(f"--out {out} is there already. Name a folder that is not, or remove it.")
    if not out.absolute().parent.is_dir():
        raise RetinalabError(
            f"--out {out}: there is no folder {out.absolute().parent}. Make it, or name another."
        )


@contextmanager
def _whole(out: Path) -> Iterator[Path]:
    """A folder that takes its name when everything is in it."""
    try:
        made = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.absolute().parent))
    except OSError as error:
        raise RetinalabError(
            f"Cannot write to {out}: {error.strerror or error}. Name another with --out."
        ) from error
    try:
        yield made
        made.chmod(0o755)
        made.rename(out)
    except BaseException:
        shutil.rmtree(made, ignore_errors=True)
        raise
