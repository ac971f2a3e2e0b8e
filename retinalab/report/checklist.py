"""Reporting checklists of a run: for its page, and as Markdown to go on with."""

from __future__ import annotations

from pathlib import Path

from retinalab.errors import RetinalabError
from retinalab.report.checklists import AUTHOR, Filled, FilledChecklist, filled
from retinalab.report.folder import RunFolder, read_run

__all__ = ["checklist_markdown", "checklist_sections", "write_checklist"]


def checklist_sections(run: RunFolder) -> tuple[FilledChecklist, ...]:
    """What the template ``checklist.html`` shows."""
    return filled(run)


def write_checklist(folder: Path, target: Path) -> Path:
    """Write the checklists of a finished run as Markdown.

    Raises:
        RetinalabError: no finished run, or a file that cannot be written.
    """
    text = checklist_markdown(filled(read_run(Path(folder))), Path(folder).name)
    try:
        target.write_text(text, encoding="utf-8")
    except OSError as error:
        raise RetinalabError(
            f"Cannot write {target}: {error.strerror}. Name a file in a folder that exists."
        ) from error
    return target


def checklist_markdown(lists: tuple[FilledChecklist, ...], name: str) -> str:
    """Checklists as Markdown tables, one after the other.

    Args:
        lists: filled from a run.
        name: of the run, for the title.
    """
    lines = [f"# Reporting checklists of run {name}", "", _HEAD]
    for one in lists:
        lines += [
            "",
            f"## {one.checklist.name}",
            "",
            f"{_capital(one.checklist.about)}. {one.checklist.source}.",
        ]
        lines += [f"{counts(one)}", "", "| Item | Section | Topic | From the run |", "|---|---|---|---|"]
        lines += [f"| {' | '.join(map(_cell, _columns(item)))} |" for item in one.items]
    return "\n".join(lines) + "\n"


_HEAD = (
    "Topics are in short and in our own words; the published checklists have the full wording. An item is filled with "
    f"what the run's folder proves and with nothing else; the rest is marked **{AUTHOR}**."
)


def counts(one: FilledChecklist) -> str:
    """Numbers of rows by how far the run fills them."""
    return (
        f"{one.count('filled')} rows filled, {one.count('in part')} in part, "
        f"{one.count('author must supply')} for the author, of {len(one.items)}."
    )


def _columns(one: Filled) -> tuple[str, str, str, str]:
    text = one.text or f"**{AUTHOR}**"
    rest = f" **{_capital(AUTHOR)}:** {one.lacks}." if one.lacks else ""
    return one.item.number, one.item.section, one.item.topic, text + rest


def _cell(text: str) -> str:
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("\n", " ")


def _capital(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}"
