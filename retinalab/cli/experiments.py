"""The command that runs an experiment."""

from __future__ import annotations

import argparse

from retinalab.cli.figures import print_headline
from retinalab.errors import RetinalabError

__all__ = ["exp"]


def exp(known: argparse.Namespace) -> int:
    """Run an experiment, or print it."""
    from retinalab.experiment import as_yaml, load_experiment
    from retinalab.smoke import smoke

    words = [*known.rest_words, *known.rest]
    overrides = [word for word in words if "=" in word]
    names = [word for word in words if "=" not in word]
    wrong = [word for word in names if word.startswith("-")]
    if wrong or len(names) > 1:
        raise RetinalabError(
            f"Unexpected {(wrong or names[1:])[0]!r}. Give one experiment, then overrides as key=value."
        )
    if known.strict:
        overrides.append("data.strict=true")
    experiment = load_experiment(known.paper, names[0] if names else "synthetic", overrides)
    if known.smoke:
        experiment = smoke(experiment)
    if known.show:
        print(as_yaml(experiment), end="")
        return 0
    from retinalab.runner import run

    result = run(experiment)
    print_headline(result.metrics)
    print(f"\nAll figures: {result.folder / 'metrics.json'}\nReport: {result.folder / 'report.html'}")
    print("Research use only: not for diagnosis.")
    return 0
