"""Standings as plain text in 80 columns, and as Markdown."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping
from typing import Any

from retinalab.leaderboard.standings import Row, Standings
from retinalab.report.markdown import escaped, table_row

__all__ = ["into", "markdown", "standings_lines"]

_WIDTH = 80


def standings_lines(found: Standings) -> list[str]:
    """Lines of at most 80 columns."""
    reference = next(row.title for row in found.rows if row.key == found.board.reference)
    lines = [found.board.title]
    for term, text in found.about:
        lines += textwrap.wrap(text, _WIDTH, initial_indent=f"  {term + ':':11s}", subsequent_indent=" " * 13)
    for label in found.labels:
        lines += textwrap.wrap(label, _WIDTH, initial_indent="  ! ", subsequent_indent="    ")
    measured = [row for row in found.rows if row.run is not None]
    width = max(12, *(len(row.title) for row in found.rows), *(len(one.title) + 2 for one in found.baselines))
    for figure in found.figures:
        if not measured:
            break
        first = figure == found.board.figure
        head = f"{'':{width}s}  {figure + ' [95 %]':28s}{'sd of seeds':>12s}"
        lines += ["", head.rstrip()]
        for row in measured:
            metric = (row.figures or {}).get(figure)
            lines.append(f"{row.title:{width}s}  {_value(metric):28s}{_spread(metric):>12s}".rstrip())
        for one in found.baselines:
            if figure in one.figures:
                lines.append(f"{'(' + one.title + ')':{width}s}  {_value(one.figures[figure])}")
        if first and any(row.difference for row in measured):
            lines += ["", f"Minus {reference}, trained megapixels (MP) and minutes:"]
            lines.append(f"{'':{width}s}  {'[95 %]':>24s}{'p (Holm)':>10s}{'MP':>7s}{'min':>6s}")
            for row in measured:
                lines.append(
                    f"{row.title:{width}s}  {_difference(row):24s}{_p(row):>10s}{_number(row.megapixels):>7s}"
                    f"{_minutes(row):>6s}".rstrip()
                )
    for row in found.missing:
        lines += ["", f"{row.title} is not measured:", f"  {row.command}"]
    return lines


def markdown(found: Standings, command: str) -> list[str]:
    """The table for a README, with the command that made it."""
    reference = next(row.title for row in found.rows if row.key == found.board.reference)
    lines = [f"**{escaped(found.board.title)}**", ""]
    lines += [f"- {term}: {escaped(text)}" for term, text in found.about]
    lines += [f"- {escaped(label)}" for label in found.labels]
    heads = [f"{figure} [95 %]" for figure in found.figures]
    columns = [
        "",
        "learns from",
        heads[0],
        "sd over seeds",
        f"minus {reference} [95 %]",
        "p (Holm)",
        *heads[1:],
    ]
    columns += ["megapixels", "minutes"]
    lines += ["", table_row(columns), "|---|---|" + "---|" * (len(columns) - 2)]
    for row in found.rows:
        if row.run is None:
            lines.append(table_row([row.title, row.learns_from, "not measured", *[""] * (len(columns) - 3)]))
            continue
        figures = row.figures or {}
        cells = [row.title, row.learns_from, _value(figures.get(found.board.figure))]
        cells += [_spread(figures.get(found.board.figure)), _difference(row), _p(row)]
        cells += [_value(figures.get(name)) for name in found.board.beside]
        lines.append(table_row([*cells, _number(row.megapixels), _minutes(row)]))
    for one in found.baselines:
        cells = [f"({one.title})", "", _value(one.figures.get(found.board.figure)), "", "", ""]
        cells += [_value(one.figures.get(name)) for name in found.board.beside]
        lines.append(table_row([*cells, "", ""]))
    lines += ["", f"Made by `{command}`; code {', '.join(_commits(found.rows)) or 'unknown'}."]
    return lines


def into(text: str, name: str, table: Iterable[str]) -> str | None:
    """A document whose part between the marks of a board is replaced; None where it has no such marks.

    The marks are the lines ``<!-- leaderboard NAME -->`` and ``<!-- end of leaderboard NAME -->``.
    """
    begin, end = f"<!-- leaderboard {name} -->", f"<!-- end of leaderboard {name} -->"
    before, found, rest = text.partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        return None
    return f"{before}{begin}\n" + "\n".join(table) + f"\n{end}{after}"


def _value(metric: Mapping[str, Any] | None) -> str:
    if not metric or metric.get("value") is None:
        return "–"
    low, high = metric.get("low"), metric.get("high")
    bounds = "" if low is None or high is None else f" [{low:.3f}, {high:.3f}]"
    return f"{metric['value']:.3f}{bounds}"


def _minutes(row: Row) -> str:
    return f"{'≥ ' if row.resumed else ''}{_number(row.minutes)}"


def _spread(metric: Mapping[str, Any] | None) -> str:
    spread = (metric or {}).get("sd_seeds")
    return "" if spread is None else f"{spread:.3f}"


def _difference(row: Row) -> str:
    one = row.difference
    if one is None or one["difference"] is None:
        return ""
    low, high = one["low"], one["high"]
    bounds = "" if low is None or high is None else f" [{low:+.3f}, {high:+.3f}]"
    return f"{one['difference']:+.3f}{bounds}"


def _p(row: Row) -> str:
    return "" if row.p is None else "< 0.001" if row.p < 0.001 else f"{row.p:.3f}"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.0f}"


def _commits(rows: Iterable[Row]) -> list[str]:
    return list(dict.fromkeys(row.commit[:12] for row in rows if row.commit))
