"""Methods side by side: one data set, one protocol, one budget, the same photographs."""

from __future__ import annotations

from retinalab.leaderboard.board import Board, Candidate, Entry, candidates, read_board
from retinalab.leaderboard.standings import Baseline, Row, Standings, standings

__all__ = [
    "Baseline",
    "Board",
    "Candidate",
    "Entry",
    "Row",
    "Standings",
    "candidates",
    "read_board",
    "standings",
]
