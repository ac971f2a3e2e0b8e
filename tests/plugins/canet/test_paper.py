"""The light description."""

from __future__ import annotations

from pathlib import Path

from retinalab_canet.config import CanetConfig
from retinalab_canet.paper import paper

from retinalab.registry import Paper


def test_it_names_its_task_and_its_experiments(repository: Path) -> None:
    assert isinstance(paper, Paper)
    module, _, name = paper.tasks["canet"].partition(":")
    assert (module, name) == (CanetConfig.__module__, CanetConfig.__name__)
    assert paper.experiments.resolve() == repository / "experiments" / "canet"
