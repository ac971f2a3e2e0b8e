"""Which photographs train, which choose the checkpoint, which are tested on; no patient on two sides."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from retinalab.data.grouping import hold_out, k_folds
from retinalab.data.leaks import fold_leaks, part_leaks
from retinalab.data.lists import Lists, read_lists
from retinalab.errors import RetinalabError
from retinalab.protocol import Protocol
from retinalab.records import PARTS, Records

__all__ = ["Split", "split"]

_FOLDS = 5
_REMEDY = (
    "Keep each patient and all copies of a picture on one side, or use protocol.split=as-published, where the "
    "result is labelled as leaky."
)


@dataclass(frozen=True)
class Split:
    """An assignment of photographs to parts.

    Attributes:
        train: positions in the records, ascending.
        val: likewise; the photographs that choose the checkpoint.
        test: likewise.
        origin: where the assignment comes from, in words.
        leaks: one line for each way in which the parts are not independent; empty unless the protocol is
            as-published.
        optimistic: whether the tested photographs also choose the checkpoint.
        records: the table that the positions refer to.
    """

    train: np.ndarray
    val: np.ndarray
    test: np.ndarray
    origin: str
    leaks: tuple[str, ...]
    optimistic: bool
    records: Records

    @property
    def parts(self) -> dict[str, np.ndarray]:
        """Part -> its rows."""
        return {"train": self.train, "val": self.val, "test": self.test}

    def frame(self) -> pd.DataFrame:
        """One row per photograph and part: ``row, set, image, patient, part``, to be saved with a run."""
        table = self.records.table[["set", "image", "patient"]]
        pieces = [table.iloc[rows].assign(row=rows, part=part) for part, rows in self.parts.items()]
        return pd.concat(pieces)[["row", "set", "image", "patient", "part"]].reset_index(drop=True)


def split(records: Records, protocol: Protocol, fold: int | None = None, folds: int | None = None) -> Split:
    """Assign photographs to parts as the protocol says.

    - ``protocol.lists``: the authors' published lists. Under any protocol but as-published, a training list
      that contains the whole of the other lists is replaced by every photograph outside them, and folds are
      refused where any of them depends on another.
    - ``held-out``: the official parts; without them a test part by patient. A validation part is taken from
      training by patient where there is none.
    - ``folds``: k-fold by patient over all photographs, official parts or not, with a validation part taken
      from training.
    - ``as-published``: the lists or official parts as they are, leaks included; with ``select_on: test`` the
      test part also chooses the checkpoint.

    Derived parts keep patients whole and grades in proportion (of the protocol's first disease), and follow
    from ``protocol.split_seed`` alone.

    Args:
        records: the photographs.
        protocol: how to split.
        fold: from 0; the first where None.
        folds: number of folds; 5 where None, the lists' own number where there are lists.

    Raises:
        RetinalabError: a photograph, a copy of one or a patient on two sides, lists that name unknown
            photographs, folds that do not exist, or selection on test outside as-published.
    """
    published = protocol.split == "as-published"
    if protocol.select_on == "test" and not published:
        raise RetinalabError(
            "protocol.select_on=test chooses the checkpoint on the test part. That is allowed only with "
            "protocol.split=as-published, where every result is labelled optimistic."
        )
    part, origin = _assigned(records, protocol, fold, folds)
    if protocol.select_on == "test":
        part["val"] = part["test"]
        origin += "; the test part chooses the checkpoint"
    elif not len(part["val"]) and len(part["train"]):
        part["train"], part["val"] = _validation(records, protocol, part["train"])
        origin += (
            f"; validation {protocol.validation:.0%} of the training patients, seed {protocol.split_seed}"
        )
    unused = len(records) - len(np.unique(np.concatenate(list(part.values()))))
    if unused:
        origin += f"; {unused} photographs in no part"
    optimistic = protocol.select_on == "test"
    leaks = part_leaks(records, part, optimistic)
    if leaks and not published:
        raise RetinalabError(f"The split ({origin}) is not independent: {'; '.join(leaks)}. {_REMEDY}")
    return Split(**part, origin=origin, leaks=leaks, optimistic=optimistic, records=records)


def _assigned(
    records: Records, protocol: Protocol, fold: int | None, folds: int | None
) -> tuple[dict[str, np.ndarray], str]:
    if protocol.lists is not None:
        lists = read_lists(protocol.lists, records)
        return _from_lists(records, lists, protocol, fold, folds)
    if protocol.split == "folds":
        return _from_folds(records, protocol, fold, folds)
    if folds is not None and folds > 1:
        raise RetinalabError(
            f"folds={folds} needs protocol.split=folds or published fold lists (protocol.lists)."
        )
    official = records.table["part"].to_numpy()
    if (official != "").any():
        return _official(official), "official parts"
    if protocol.split == "as-published":
        raise RetinalabError(
            "protocol.split=as-published needs official parts or protocol.lists, and these photographs "
            "have neither. Name the folder of the authors' lists, or use protocol.split=held-out or folds."
        )
    rows = np.arange(len(records))
    train, test = hold_out(
        rows, records.groups, _grades(records, protocol), protocol.test, protocol.split_seed
    )
    origin = f"test {protocol.test:.0%} by patient, seed {protocol.split_seed}"
    return {"train": train, "val": np.empty(0, np.int64), "test": test}, origin


def _official(official: np.ndarray) -> dict[str, np.ndarray]:
    without = int((official == "").sum())
    if without:
        raise RetinalabError(
            f"{without} of {len(official)} photographs have no official part while others have one. Fill "
            "the column 'part' (train, val or test) for all of them, or empty it for all."
        )
    part = {name: np.flatnonzero(official == name) for name in PARTS}
    for name in ("train", "test"):
        if not len(part[name]):
            raise RetinalabError(
                f"The official parts have no {name} photographs. Divide those that are there by patient with "
                "protocol.split=folds folds=5, or complete the set (of a table: empty the column 'part')."
            )
    return part


def _from_folds(
    records: Records, protocol: Protocol, fold: int | None, folds: int | None
) -> tuple[dict[str, np.ndarray], str]:
    count, chosen = folds or _FOLDS, fold or 0
    _check_fold(chosen, count)
    tests = k_folds(records.groups, _grades(records, protocol), count, protocol.split_seed)
    rows = np.arange(len(records))
    part = {"train": np.setdiff1d(rows, tests[chosen]), "val": np.empty(0, np.int64), "test": tests[chosen]}
    return part, f"fold {chosen + 1} of {count} by patient, seed {protocol.split_seed}"


def _from_lists(
    records: Records, lists: Lists, protocol: Protocol, fold: int | None, folds: int | None
) -> tuple[dict[str, np.ndarray], str]:
    origin = f"published lists in {lists.folder.name}"
    rows = np.arange(len(records))
    if lists.folds:
        count, chosen = len(lists.folds), fold or 0
        if folds is not None and folds not in (1, count):
            raise RetinalabError(f"folds={folds}, but {lists.folder} holds {count} folds. Use folds={count}.")
        _check_fold(chosen, count)
        test = lists.folds[chosen]
        others = np.concatenate([rows_ for k, rows_ in enumerate(lists.folds) if k != chosen])
        val = lists.validations[chosen] if lists.validations else np.empty(0, np.int64)
        if protocol.split != "as-published":
            _refuse_folds(records, lists)
        part = {"train": np.setdiff1d(others, val), "val": val, "test": test}
        return part, f"{origin}, fold {chosen + 1} of {count}"
    part = dict(lists.parts)
    held = np.union1d(part["val"], part["test"])
    inside = np.intersect1d(part["train"], held)
    if len(inside) and len(inside) == len(held) and protocol.split != "as-published":
        part["train"] = np.setdiff1d(rows, held)
        origin += (
            f"; the training list contains {len(inside)} photographs of the others, so all "
            f"{len(part['train'])} "
            "outside them train instead"
        )
    return part, origin


def _refuse_folds(records: Records, lists: Lists) -> None:
    leaks = fold_leaks(records, lists.folds)
    if leaks:
        raise RetinalabError(
            f"The published folds in {lists.folder.name} are not independent: {'; '.join(leaks)}. {_REMEDY}"
        )


def _check_fold(fold: int, folds: int) -> None:
    if not 0 <= fold < folds:
        raise RetinalabError(f"Fold {fold} does not exist: {folds} folds are counted from 0 to {folds - 1}.")


def _validation(records: Records, protocol: Protocol, train: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    groups, grades = records.groups[train], _grades(records, protocol)[train]
    return hold_out(train, groups, grades, protocol.validation, protocol.split_seed)


def _grades(records: Records, protocol: Protocol) -> np.ndarray:
    disease = next(iter(protocol.diseases), "dr")
    return records.table[disease].to_numpy() if disease in records.table else np.full(len(records), -1)
