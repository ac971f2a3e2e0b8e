"""The report of one run: a single HTML file that needs nothing but itself."""

from __future__ import annotations

from retinalab.report.page import write_report

__all__ = ["write_report"]
