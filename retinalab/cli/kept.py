"""The commands on photographs that were prepared: what lies there, and removing what was not read for long."""

from __future__ import annotations

import argparse
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from retinalab.counted import counted
from retinalab.errors import RetinalabError

if TYPE_CHECKING:
    from retinalab.data.kept import Kept

__all__ = ["cache_list", "cache_prune"]

_DAYS = 30


def cache_list(known: argparse.Namespace) -> int:
    """List what is prepared."""
    from retinalab.data.kept import kept_below
    from retinalab.data.space import as_text, free_disk

    _refuse_words(known, "list")
    if known.unused is not None or known.yes:
        raise RetinalabError(
            "data cache list removes nothing. Leave out --unused and --yes, or use data cache prune."
        )
    place = _place(known)
    kept = kept_below(place)
    _table(kept, place)
    total = as_text(sum(one.size for one in kept))
    where = "" if kept else f" in {place}"
    print(f"{counted(len(kept), 'prepared data set')}, {total}{where}; free: {as_text(free_disk(place))}")
    _say_unread(place)
    return 0


def cache_prune(known: argparse.Namespace) -> int:
    """Say what was not read for long, and remove it where that was asked for."""
    from retinalab.data.kept import kept_below, remove_kept
    from retinalab.data.space import as_text

    _refuse_words(known, "prune")
    days = _DAYS if known.unused is None else known.unused
    if days < 2:
        raise RetinalabError(
            f"--unused {days} would take what a training may be reading, which a disk notes once a day. Give 2 or more."
        )
    place = _place(known)
    before = datetime.now() - timedelta(days=days)
    kept = [one for one in kept_below(place) if one.read < before]
    if not kept:
        print(f"Nothing in {place} was unread for {days} days.")
        return 0
    _table(kept, place)
    total = as_text(sum(one.size for one in kept))
    _say_unread(place)
    if not known.yes:
        print(f"{total} can go, unread for {days} days. Nothing was removed; --yes removes it.")
        return 0
    print(f"{as_text(sum(map(remove_kept, kept)))} removed. A run that needs them prepares them again.")
    return 0


def _place(known: argparse.Namespace) -> Path:
    from retinalab.data.home import default_cache

    place: Path = known.cache or default_cache()
    return place


def _refuse_words(known: argparse.Namespace, action: str) -> None:
    words = [*known.words, *known.rest]
    if words or known.estimate:
        raise RetinalabError(
            f"Unexpected {(words or ['--estimate'])[0]!r}. data cache {action} takes --cache PATH and no experiment."
        )


def _table(kept: list[Kept], place: Path) -> None:
    from retinalab.data.space import as_text

    if kept:
        print(f"in {place}:")
        heads = f"{'data set':20s}{'pixels':>7s}  {'codec':7s}{'photographs':>12s}{'size':>10s}  {'last read':10s}"
        print(f"{heads}  folder")
    for one in kept:
        name = one.name if len(one.name) <= 20 else f"{one.name[:19]}…"
        row = f"{name:20s}{one.side:7d}  {one.codec:7s}{one.photographs:12,d}{as_text(one.size):>10s}"
        print(f"{row}  {one.read:%Y-%m-%d}  …{one.digest[:6]}…")


def _say_unread(place: Path) -> None:
    from retinalab.data.kept import notes_reading

    if place.is_dir() and not notes_reading(place):
        print("This disk does not note reading: the dates are those of the preparation.")
