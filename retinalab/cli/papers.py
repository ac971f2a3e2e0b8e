"""Commands on papers: what is installed, and one of them."""

from __future__ import annotations

import argparse
import textwrap

__all__ = ["papers", "show"]


def papers(known: argparse.Namespace) -> int:
    """List what is installed."""
    from retinalab.registry import Paper, installed_papers

    found = installed_papers()
    for name, paper in found.items():
        if isinstance(paper, Paper):
            print(name)
            _print(paper.title, "  ")
            _print(paper.citation, "  ")
            _print(f"tasks: {', '.join(paper.tasks)}", "  ")
            _print(f"experiments: {', '.join(paper.experiment_names()) or 'none'}", "  ")
        else:
            print(f"{name}\n  cannot be imported ({paper.distribution}): {paper.cause}")
    return 0


def show(known: argparse.Namespace) -> int:
    """Describe one paper."""
    from retinalab.registry import paper

    found = paper(known.paper)
    _print(f"{found.name}: {found.title}")
    _print(found.citation)
    if found.url:
        print(found.url)
    print("\nTasks:")
    for task in found.tasks:
        print(f"  {task}")
    print("\nExperiments:")
    for name in found.experiment_names():
        print(f"  retinalab exp {found.name} {name}")
    return 0


def _print(text: str, indent: str = "") -> None:
    """Print it in lines of at most 80 characters; no name is parted."""
    print(
        textwrap.fill(
            text,
            80,
            initial_indent=indent,
            subsequent_indent=f"{indent}  ",
            break_on_hyphens=False,
            break_long_words=False,
        )
    )
