"""The model card of a run: what its networks are for, what they learned from, how they did, and where that ends.

Reference: Mitchell et al., Model cards for model reporting, FAT* 2019 (the sections and their order, shortened).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from retinalab.documents import read_json
from retinalab.errors import RetinalabError
from retinalab.report.checklists import AUTHOR, data, methods, results
from retinalab.report.clinical import Clinical, Disease
from retinalab.report.folder import RunFolder
from retinalab.report.lesions import lesion_grid
from retinalab.report.markdown import escaped
from retinalab.report.numbers import interval, plain
from retinalab.report.render import write_text
from retinalab.report.results import Grid, confusions, few_intervals, headlines
from retinalab.report.summary import banners, data_sets, notes, protocol

__all__ = ["CARD", "card_markdown", "write_card"]

CARD = "model-card.md"
_ROBUSTNESS = ("robustness/robustness.json", "robustness.json")
_SUPPLY = f"**{AUTHOR[0].upper()}{AUTHOR[1:]}**"
_HEAD = (
    "Written by retinalab from the run's folder: its tables, figures and provenance. What these do not prove is "
    "marked "
)
_USE = (
    "Research on grading methods: comparing networks on photographs whose grades are known, under the protocol below, "
    "and studying their errors."
)
_NOT = (
    "Diagnosis, screening, triage, or any other decision about a person; photographs that are no colour fundus "
    "photographs; diseases and scales other than those below. It is not a medical device and was not validated as one."
)


@dataclass(frozen=True)
class _Table:
    """Rows under a head."""

    head: Sequence[str]
    rows: Sequence[Sequence[str]]


_Block = str | _Table
_Section = tuple[str, list[_Block]]


def write_card(run: RunFolder, clinical: Clinical | None) -> Path:
    """Write ``model-card.md`` into the run's folder, whole or not at all.

    Args:
        run: a finished one.
        clinical: its clinical reading; None where it graded no test photograph.

    Raises:
        RetinalabError: a table of robustness that cannot be read.
    """
    return write_text(card_markdown(run, clinical), run.path / CARD)


def card_markdown(run: RunFolder, clinical: Clinical | None) -> str:
    """The card as Markdown.

    Args:
        run: a finished one.
        clinical: as in :func:`write_card`.
    """
    name = " ".join(filter(None, (plain(run.experiment.get("paper")), plain(run.experiment.get("name")))))
    lines = [f"# Model card: {_text(name or run.path.name)}", "", f"{_HEAD}{_SUPPLY}.", ""]
    lines += [f"> **{_text(word)}**: {_text(meaning)}" for word, meaning in banners(run)]
    for title, blocks in _sections(run, clinical):
        lines += ["", f"## {title}"]
        for block in blocks:
            lines += ["", *(_lines(block) if isinstance(block, _Table) else [block])]
    return "\n".join(lines) + "\n"


def _sections(run: RunFolder, clinical: Clinical | None) -> list[_Section]:
    return [
        ("Model", _model(run)),
        ("Intended use", _intended(run)),
        ("Training data", _training_data(run)),
        ("Protocol", [_Table(("", ""), protocol(run))]),
        ("Figures", _figures(run)),
        ("Unacceptable errors", _unacceptable(run)),
        ("Operating points", _clinical(clinical, _points)),
        ("Calibration", _clinical(clinical, _calibration)),
        ("Subgroups", _clinical(clinical, _subgroups)),
        ("Robustness", _robustness(run)),
        ("Limits", _limits(run)),
        ("Ethics", [_term("Approval, consent, and who may be harmed by errors", "")]),
        ("Provenance", _provenance(run)),
    ]


def _model(run: RunFolder) -> list[_Block]:
    return _shown(
        run, "Method", methods.citation, "Networks", methods.model, "Start", methods.initialisation,
        "Input", data.preprocessing, "Output", methods.output, "Several networks", methods.ensembling,
    )  # fmt: skip


def _intended(run: RunFolder) -> list[_Block]:
    return [
        _term("For", _USE),
        _term("Not for", _NOT),
        _term("What is graded", methods.outcome(run)),
        _term("Who is meant to use it, and in which setting", ""),
    ]


def _training_data(run: RunFolder) -> list[_Block]:
    sets = data_sets(run)
    columns = [
        column
        for column in ("set", "stages", "kind", "photographs", "licence", "fingerprint")
        if column != "stages" or any(one[column] for one in sets)
    ]
    rows = [[one[column] for column in columns] for one in sets]
    blocks: list[_Block] = [_Table(columns, rows)] if rows else [_SUPPLY]
    return blocks + _shown(
        run, "Origin", data.sources, "Division", data.partitions, "Patients", data.disjoint,
        "Left out", data.exclusions, "Training", methods.training,
    ) + [_term("Persons, places and cameras that the photographs stand for", data.drawn(run))]  # fmt: skip


def _figures(run: RunFolder) -> list[_Block]:
    blocks: list[_Block] = []
    for prefix in run.tested:
        rows = [
            [one.target, one.measure, one.text, one.counted, _beside(one.baselines)]
            for one in headlines(run, prefix)
        ]
        if rows:
            part = "test" if prefix.startswith("test") else "validation"
            blocks += [
                f"**{_text(run.set_of(prefix))}** ({part}), with 95 % intervals:",
                _Table(("target", "measure", "value", "counted on", "baselines"), rows),
            ]
        if few := few_intervals(run, prefix):
            blocks.append(f"These intervals are {few}.")
        lesions = lesion_grid(run, prefix)
        if lesions is not None:
            blocks.append(_grid("lesion", lesions))
    spread = results.spread(run)
    return [*blocks, *([_text(spread)] if spread else [])] or [_SUPPLY]


def _beside(baselines: Mapping[str, tuple[str, str]]) -> str:
    return "; ".join(f"{name} {text}" for name, (text, _) in baselines.items() if text)


def _unacceptable(run: RunFolder) -> list[_Block]:
    found = [
        f"- {_text(f'{run.set_of(prefix)}, {one.title}: {one.errors}')}"
        for prefix in run.tested
        for one in confusions(run, prefix)
        if one.errors
    ]
    return ["\n".join(found)] if found else ["No scale of this run calls an error unacceptable."]


def _clinical(clinical: Clinical | None, show: Callable[[Disease], Iterable[_Block]]) -> list[_Block]:
    """What is shown of each disease of each test set."""
    if clinical is None:
        return ["Not applicable: the run graded no test photograph."]
    blocks: list[_Block] = []
    for title, diseases in clinical.sets:
        for disease in diseases:
            told = list(show(disease))
            if told:
                blocks += [f"**{_text(title)}, {_text(disease.title)}**", *told]
    return blocks or ["The run's tables show nothing of it."]


def _points(disease: Disease) -> Iterable[_Block]:
    for target in disease.targets:
        yield _text(f"{target.title}. {target.lead}")
        if target.points.rows:
            yield _grid("threshold", target.points)


def _calibration(disease: Disease) -> Iterable[_Block]:
    for target in disease.targets:
        yield _text(f"{target.title}. {target.calibration_note}")
        if target.calibration is not None:
            yield _grid("probabilities", target.calibration)


def _subgroups(disease: Disease) -> Iterable[_Block]:
    for name, grid in zip(disease.subgroup_names, disease.subgroups, strict=True):
        yield _grid(name, grid)
    if not disease.subgroups:
        yield f"The tested photographs carry no subgroups. Figures by age, sex, ethnicity and camera: {_SUPPLY}."


def _robustness(run: RunFolder) -> list[_Block]:
    """Figures by condition, where ``retinalab robustness`` wrote into the run's folder."""
    file = next((run.path / name for name in _ROBUSTNESS if (run.path / name).is_file()), None)
    if file is None:
        return ["Not measured. `retinalab robustness RUN` measures it."]
    try:
        metrics = read_json(file)["metrics"]
        rows = [[key, interval(one), str(one.get("n", ""))] for key, one in metrics.items()]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise RetinalabError(
            f"'{file}' cannot be read ({error}). Write it again with retinalab robustness, or remove it."
        ) from error
    return [_Table(("condition", "value", "n"), rows)]


def _limits(run: RunFolder) -> list[_Block]:
    """What the figures do not show, as far as the run's own files tell."""
    found = [f"{word}: {meaning}" for word, meaning in banners(run)[1:]]
    if not results.external(run):
        found.append("No photographs of a set that was not trained on were tested.")
    if len(run.provenance.get("seeds") or ()) == 1:
        found.append("One seed: how far figures move with another is not known.")
    if not any("patient" in one for one in (data.partitions(run), data.sizes(run))):
        found.append("Nothing says how many patients the photographs come from.")
    found += [f"{disease.upper()}: {_few(run, disease)}" for disease in run.diseases if _few(run, disease)]
    found += notes(run)
    listed = [f"- {_text(one)}" for one in dict.fromkeys(found)]
    return ["\n".join(listed), _term("Further limits known to the author", "")]


def _few(run: RunFolder, disease: str) -> str:
    """Grades with few tested photographs."""
    rows = run.rows(run.tested[0], disease) if run.tested else None
    if rows is None or not len(rows):
        return ""
    counts = rows[rows["seed"] == rows["seed"].min()][disease].value_counts()
    levels = run.scales[disease].levels
    few = [f"{level} {counts.get(k, 0)}" for k, level in enumerate(levels) if counts.get(k, 0) < _FEW]
    return f"fewer than {_FEW} tested photographs of: {', '.join(few)}." if few else ""


_FEW = 20


def _provenance(run: RunFolder) -> list[_Block]:
    known: Mapping[str, Any] = run.provenance
    rows = [
        ("Run", run.path.resolve().name),
        ("Code", plain(known.get("commit"))),
        ("Digests of the code", plain(known.get("code"))),
        ("Command", plain(known.get("command"))),
        ("Finished", plain(known.get("finished"))),
        ("Precision", plain(known.get("precision"))),
        ("Software and machine", methods.software(run)),
    ]
    return [
        _Table(("", ""), [row for row in rows if row[1]]),
        _term("Licence of the weights, contact, how to cite", ""),
    ]


def _shown(run: RunFolder, *named: str | Callable[[RunFolder], str]) -> list[_Block]:
    """Terms with what the run shows of them; its author must supply the rest."""
    out: list[_Block] = []
    for term, evidence in zip(named[::2], named[1::2], strict=True):
        assert callable(evidence)
        out.append(_term(str(term), evidence(run)))
    return out


def _term(term: str, text: str) -> str:
    return f"**{term}**: {_text(text) if text else _SUPPLY}"


def _grid(corner: str, grid: Grid) -> _Table:
    return _Table((corner, *grid.columns), [(name, *cells) for name, cells in grid.rows])


def _lines(table: _Table) -> list[str]:
    width = len(table.head)
    rows = [_row(table.head), "|" + "---|" * width]
    return rows + [_row(row) for row in table.rows]


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(map(_text, cells))} |"


def _text(text: str) -> str:
    """Text that is no Markdown, link or element, whatever stands in it."""
    plainly = escaped(text.replace("this report's", "report.html's"))
    for sign in "[]`~":
        plainly = plainly.replace(sign, f"\\{sign}")
    return " ".join(plainly.split())
