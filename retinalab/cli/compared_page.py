"""The page that ``retinalab compare --html`` writes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from retinalab.cli.written import check_output
from retinalab.errors import RetinalabError

if TYPE_CHECKING:
    from retinalab.metrics.comparison import Comparison
    from retinalab.report.folder import RunFolder
    from retinalab.report.gallery import Picture

__all__ = ["check_writable", "write_compared_page"]


def check_writable(target: Path | None) -> None:
    """Refuse what no file can be written to.

    Raises:
        RetinalabError: it is a folder, or its folder does not exist.
    """
    check_output(target)


def write_compared_page(comparison: Comparison, runs: Sequence[RunFolder], target: Path) -> Path:
    """Write the page, with photographs where the first run's data are at hand."""
    from retinalab.report.comparison import write_comparison

    return write_comparison(comparison, runs, target, _pictures(runs[0]))


def _pictures(run: RunFolder) -> Picture | None:
    from retinalab.experiment import resolve
    from retinalab.runner import pictures_of

    try:
        return pictures_of(resolve(dict(run.experiment)))
    except RetinalabError as error:
        print(f"without photographs: {error}")
        return None
