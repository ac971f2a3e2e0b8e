"""The command that writes the split that a run will use."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from retinalab.cli.data import write_csv
from retinalab.errors import RetinalabError, unknown
from retinalab.units import PATIENTS, unit_of

if TYPE_CHECKING:
    from retinalab.config import DataConfig
    from retinalab.data.splits import Split
    from retinalab.protocol import Protocol
    from retinalab.records import Records

__all__ = ["data_split"]


def data_split(known: argparse.Namespace) -> int:
    """Print the split that a run will use, and write it as lists or as one table."""
    from retinalab.data.parts import read_records
    from retinalab.data.splits import split

    data, protocol, count = _described(known)
    if known.out is not None:
        _outside(known.out, data.root)
    _, records, notes = read_records(data, protocol, {})
    number = _folds(protocol, count, records)
    splits = [split(records, protocol, fold=k, folds=number) for k in range(number)]
    for note in notes:
        print(note)
    for line in dict.fromkeys(made.origin for made in splits):
        print(line)
    print(_table(splits, protocol))
    for leak in _leaks(splits, records):
        print(f"leak: {leak}")
    if splits[0].optimistic:
        print("optimistic: the test part chooses the checkpoint")
    if known.out is not None:
        _write(known.out, splits, records, known.root)
    return 0


def _described(known: argparse.Namespace) -> tuple[DataConfig, Protocol, int]:
    """Data section, protocol and number of folds: an experiment's where one is named, else the set's own scales."""
    from retinalab.config import DataConfig
    from retinalab.data.sets import set_class
    from retinalab.experiment import load_experiment, resolve_model
    from retinalab.overrides import overridden
    from retinalab.protocol import Protocol

    words = [_whole(word, Protocol) for word in known.rest]
    name = known.set.replace("-", "_")
    if known.experiment is None:
        scales = dict(set_class(name).info.scales) or {"dr": "icdr5"}
        given = {
            "data": {"set": name, "root": known.root, "strict": known.strict},
            "protocol": {"diseases": scales},
        }
        raw = overridden(given, words)
        for key in raw.keys() - {"data", "protocol", "folds"}:
            raise unknown("setting", key, [*Protocol.model_fields, "folds", "options"])
        data = resolve_model(DataConfig, raw["data"], "data")
        return data, resolve_model(Protocol, raw["protocol"], "protocol"), _number(raw.get("folds", 0))
    paper, _, of = known.experiment.partition("/")
    if known.root:
        words.insert(0, f"data.root={known.root}")
    experiment = load_experiment(paper, of or "synthetic", words)
    stages = [stage.data for stage in experiment.stages.values() if stage.data.set == name]
    if not stages:
        sets = sorted({stage.data.set for stage in experiment.stages.values()})
        raise RetinalabError(
            f"Experiment {known.experiment!r} reads {', '.join(sets)}, not {name!r}. Name one of its sets, or "
            f"override it with data.set={name}."
        )
    folds = experiment.folds if experiment.folds > 1 else 0
    strict = known.strict or stages[-1].strict
    return stages[-1].model_copy(update={"strict": strict}), experiment.protocol, folds


def _whole(word: str, protocol: type[Protocol]) -> str:
    """``options.x`` is short for ``data.options.x``, a setting of the protocol for ``protocol.x``."""
    plain = word.removeprefix("--")
    first = plain.partition("=")[0].partition(".")[0]
    if first == "options":
        return f"data.{plain}"
    return f"protocol.{plain}" if first in protocol.model_fields else plain


def _number(folds: object) -> int:
    try:
        return int(str(folds))
    except ValueError:
        raise RetinalabError(f"folds={folds!s} is no whole number. Give folds=5, say.") from None


def _folds(protocol: Protocol, count: int, records: Records) -> int:
    from retinalab.data.lists import read_lists

    if protocol.lists is not None:
        return max(1, count or len(read_lists(protocol.lists, records).folds))
    return max(1, count or (5 if protocol.split == "folds" else 1))


def _leaks(splits: Sequence[Split], records: Records) -> list[str]:
    """Of folds, what they part all together; of one split, its own."""
    from retinalab.data.leaks import fold_leaks

    if len(splits) == 1:
        return list(splits[0].leaks)
    return list(fold_leaks(records, [made.test for made in splits]))


def _table(splits: Sequence[Split], protocol: Protocol) -> str:
    """Photographs, patients and grades of every part, aligned."""
    table = splits[0].records.table
    unit = unit_of(table["patient"])
    groups = splits[0].records.groups
    columns = [(d, grade) for d, scale in protocol.scales.items() for grade in (*range(scale.size), -1)]
    columns = [(d, grade) for d, grade in columns if grade >= 0 or (table[d] < 0).any()]
    heads = [f"{d}={'?' if grade < 0 else grade}" for d, grade in columns]
    rows = [["part", "photographs", unit if unit == PATIENTS else "independent", *heads]]
    for number, made in enumerate(splits, start=1):
        for part, chosen in made.parts.items():
            grades = table.iloc[chosen]
            counts = [str(int((grades[d] == grade).sum())) for d, grade in columns]
            name = f"{number} {part}" if len(splits) > 1 else part
            rows.append([name, str(len(chosen)), str(len(set(groups[chosen]))), *counts])
    widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
    lines = (
        [row[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True))]
        for row in rows
    )
    return "\n".join("  ".join(line) for line in lines)


def _outside(out: Path, root: Path | str | None) -> None:
    if root is not None and out.resolve().is_relative_to(Path(root).resolve()):
        raise RetinalabError(
            f"{out} lies in the folder of the data set, which is never written to. Name another place."
        )


def _write(out: Path, splits: Sequence[Split], records: Records, root: Path | None) -> None:
    import pandas as pd

    from retinalab.data.write_lists import write_folds, write_parts

    first = splits[0]
    if out.suffix.lower() == ".csv" and not out.is_dir():
        folds = [made.frame().assign(fold=k) for k, made in enumerate(splits)]
        write_csv(pd.concat(folds) if len(splits) > 1 else first.frame(), out, root)
        print(out)
        return
    if len(splits) > 1:
        vals = [] if first.optimistic else [made.val for made in splits]
        write_folds(out, records, [made.test for made in splits], vals)
    else:
        write_parts(
            out, records, {p: r for p, r in first.parts.items() if p != "val" or not first.optimistic}
        )
    print(
        f"Lists in {out}: a run uses them with protocol.lists={out}{f' folds={len(splits)}' * (len(splits) > 1)}"
    )
