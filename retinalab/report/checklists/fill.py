"""The checklists of journals, each item with what a run's folder proves of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Literal

import yaml
from pydantic import Field

from retinalab.config.base import Model
from retinalab.report.checklists import data, methods, results
from retinalab.report.folder import RunFolder

__all__ = ["AUTHOR", "Checklist", "Filled", "FilledChecklist", "Item", "checklists", "filled"]

AUTHOR = "author must supply"
Status = Literal["filled", "in part", "author must supply"]

_EVIDENCE: Mapping[str, Callable[[RunFolder], str]] = {
    name: getattr(module, name) for module in (data, methods, results) for name in module.__all__
}
_FILES = ("tripod_ai", "claim", "stard_ai")


class Item(Model):
    """An item of a checklist."""

    number: str = Field(description="of the published checklist")
    section: str
    topic: str = Field(description="what it asks for, in short and in our own words")
    evidence: str | None = Field(
        None, description="what a run may show of it; none: only its author can tell"
    )
    lacks: str | None = Field(None, description="what a run never shows of it")


class Checklist(Model):
    """A published checklist."""

    name: str
    about: str
    source: str
    items: tuple[Item, ...]


@dataclass(frozen=True)
class Filled:
    """An item, what the run shows of it, and what its author must add.

    Attributes:
        text: "" where the run shows nothing.
        lacks: "" where nothing is left to the author.
    """

    item: Item
    text: str

    @property
    def status(self) -> Status:
        """Filled by the run, in part, or left to the author."""
        if not self.text:
            return "author must supply"
        return "in part" if self.item.lacks else "filled"

    @property
    def lacks(self) -> str:
        """What is left to the author of an item that is filled in part."""
        return (self.item.lacks or "") if self.text else ""


@dataclass(frozen=True)
class FilledChecklist:
    """A checklist with every item as far as the run fills it."""

    checklist: Checklist
    items: tuple[Filled, ...]

    def count(self, status: Status) -> int:
        """Items of one status."""
        return sum(one.status == status for one in self.items)


@cache
def checklists() -> tuple[Checklist, ...]:
    """TRIPOD+AI, CLAIM and STARD-AI."""
    folder = files("retinalab.report.checklists")
    texts = [(folder / f"{name}.yaml").read_text(encoding="utf-8") for name in _FILES]
    return tuple(Checklist.model_validate(yaml.safe_load(text)) for text in texts)


def filled(run: RunFolder) -> tuple[FilledChecklist, ...]:
    """Every checklist with what the run's folder proves; an item that it proves nothing of has no text."""
    shown: dict[str, str] = {}
    out = []
    for checklist in checklists():
        items = []
        for item in checklist.items:
            if item.evidence is not None and item.evidence not in shown:
                shown[item.evidence] = _EVIDENCE[item.evidence](run).strip()
            items.append(Filled(item, shown.get(item.evidence or "", "")))
        out.append(FilledChecklist(checklist, tuple(items)))
    return tuple(out)
