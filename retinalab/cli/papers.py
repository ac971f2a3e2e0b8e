"""Commands on papers: what is installed, and one of them."""

from __future__ import annotations

import argparse

__all__ = ["papers", "show"]


def papers(known: argparse.Namespace) -> int:
    """List what is installed."""
    from retinalab.registry import Paper, installed_papers

    found = installed_papers()
    for name, paper in found.items():
        if isinstance(paper, Paper):
            print(f"{name}\n  {paper.title}\n  {paper.citation}")
            print(f"  tasks: {', '.join(paper.tasks)}")
            print(f"  experiments: {', '.join(paper.experiment_names()) or 'none'}")
        else:
            print(f"{name}\n  cannot be imported ({paper.distribution}): {paper.cause}")
    return 0


def show(known: argparse.Namespace) -> int:
    """Describe one paper."""
    from retinalab.registry import paper

    found = paper(known.paper)
    print(f"{found.name}: {found.title}\n{found.citation}\n{found.url}\n\nTasks:")
    for task in found.tasks:
        print(f"  {task}")
    print("\nExperiments:")
    for name in found.experiment_names():
        print(f"  retinalab exp {found.name} {name}")
    return 0
