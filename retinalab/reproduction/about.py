"""What must be known before a table is compared: photographs, the published protocol, the protocol here."""

from __future__ import annotations

from collections.abc import Sequence

from retinalab.claims import PublishedProtocol
from retinalab.reproduction.filled import FilledTable
from retinalab.reproduction.settings import needed_stages
from retinalab.reproduction.ways import Recipe

__all__ = ["about"]

_SELECTION = {
    "test": "checkpoint chosen on the test photographs (optimistic)",
    "validation": "checkpoint chosen on validation photographs",
    "unknown": "what chose the checkpoint is not known",
}
_PATIENTS = {
    "apart": "patients apart",
    "mixed": "patients known to be on both sides",
    "unknown": "whether patients are apart is not known",
}


def about(table: FilledTable) -> list[tuple[str, str]]:
    """What a reader must know before comparing: photographs, published protocol, and the protocol here."""
    lines = [("Published on", text) for text in _photographs(table)]
    lines += [
        ("Published", _with_rows(_protocol(one), rows, table)) for one, rows in _protocols(table).items()
    ]
    lines += [("Surrogate", _with_rows(text, rows, table)) for text, rows in _surrogates(table).items()]
    return lines + [("Here", text) for text in _here(table)]


def _photographs(table: FilledTable) -> list[str]:
    """Each data set of the published figures, and whether it can be had."""
    found: dict[tuple[str, bool | None], None] = {}
    for cell in table.cells:
        claim = cell.claim
        if claim.data is not None:
            trained = f", trained on {claim.trained_on}" if claim.trained_on else ""
            found[f"{claim.data}{trained}", claim.public] = None
    words = {True: "public", False: "not public", None: "whether public is not known"}
    by_word: dict[str, list[str]] = {}
    for data, public in found:
        by_word.setdefault(words[public], []).append(data)
    return ["; ".join(f"{' / '.join(data)} ({word})" for word, data in by_word.items())] if by_word else []


def _protocols(table: FilledTable) -> dict[PublishedProtocol, list[str]]:
    found: dict[PublishedProtocol, list[str]] = {}
    for cell in table.cells:
        if cell.claim.protocol is not None:
            rows = found.setdefault(cell.claim.protocol, [])
            rows += [cell.claim.place.row] * (cell.claim.place.row not in rows)
    return found


def _surrogates(table: FilledTable) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for cell in table.cells:
        if cell.claim.surrogate is not None:
            rows = found.setdefault(cell.claim.surrogate, [])
            rows += [cell.claim.place.row] * (cell.claim.place.row not in rows)
    return found


def _with_rows(text: str, rows: Sequence[str], table: FilledTable) -> str:
    return text if len(rows) == len(table.rows) else f"{'; '.join(rows)}: {text}"


def _protocol(one: PublishedProtocol) -> str:
    folds = [f"{one.folds} folds"] if one.folds > 1 else []
    spread = [] if one.spread == "none printed" else [one.spread]
    facts = [one.split, *folds, _PATIENTS[one.patients], _SELECTION[one.selection], *spread]
    return "; ".join(facts) + (f". {one.note.rstrip('.')}" if one.note else "") + "."


def _here(table: FilledTable) -> list[str]:
    """The protocol of each experiment that the table names."""
    found: dict[str, None] = {}
    for cell in table.cells:
        if cell.recipe is not None:
            found[_own_protocol(cell.recipe)] = None
    return list(found)


def _own_protocol(recipe: Recipe) -> str:
    experiment = recipe.experiment
    protocol = experiment.protocol
    split = {"held-out": "held-out or official split", "folds": f"{experiment.folds} folds by patient"}
    scales = ", ".join(f"{disease} as {scale}" for disease, scale in protocol.diseases.items())
    sets = dict.fromkeys(experiment.stages[name].data.set for name in needed_stages(experiment))
    parts = [f"{recipe.name}: {', '.join(sets)}", split.get(protocol.split, "split as published"), scales]
    parts.append(_SELECTION["test" if protocol.select_on == "test" else "validation"])
    return "; ".join(parts) + "."
