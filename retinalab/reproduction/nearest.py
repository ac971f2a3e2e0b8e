"""Which published row a run under another protocol comes nearest to."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from retinalab.reproduction.runs import MeasuredRun
from retinalab.reproduction.settings import Difference, differences, settings, trained_by
from retinalab.reproduction.ways import Recipe

__all__ = ["Comparison"]

_METHOD = re.compile(r"^(stages\..+\.(task\.(?!weights$|checkpoint$).+|diseases)|protocol\.diseases\..+)$")


class Comparison:
    """Runs held against the recipes of a paper; what was compared once is not compared again.

    Args:
        recipes: of every row of the paper. The options that they set tell its methods apart.
    """

    def __init__(self, recipes: Sequence[Recipe]) -> None:
        self._recipes = tuple(dict.fromkeys(recipes))
        self._of_recipe: dict[Recipe, dict[str, Any]] = {}
        self._of_run: dict[str, dict[str, Any]] = {}
        self._apart: dict[tuple[Recipe, str], tuple[Difference, ...]] = {}
        self._plain: dict[str, dict[str, Any]] = {}
        self._fitting: dict[tuple[Recipe, str], bool] = {}

    def apart(self, run: MeasuredRun, recipe: Recipe) -> tuple[Difference, ...]:
        """In what the run differs from the recipe; nothing: it measures it."""
        key = (recipe, run.name)
        if key not in self._apart:
            ours, theirs = self._settings(recipe), self._settings_of_run(run)
            self._apart[key] = differences(recipe.experiment, run.experiment, ours, theirs)
        return self._apart[key]

    def nearest(self, run: MeasuredRun, recipes: Sequence[Recipe]) -> Recipe | None:
        """Of the recipes of one column, the one that the run is a reduced or changed form of; None where it is none.

        The stages must train the same tasks. Options of the task, the diseases that a stage learns and grade scales
        tell the paper's rows apart: where a row sets one, the run must agree; where other rows set one, the run must
        not be what any of them is. Of several rows the one with the fewest differences is taken, then the one with the
        fewest overrides.
        """
        fitting = [recipe for recipe in dict.fromkeys(recipes) if self._fits(run, recipe)]
        if not fitting:
            return None
        return min(fitting, key=lambda one: (len(self.apart(run, one)), len(one.overrides)))

    def _fits(self, run: MeasuredRun, recipe: Recipe) -> bool:
        key = (recipe, run.name)
        if key not in self._fitting:
            same = trained_by(recipe.experiment) == trained_by(run.experiment)
            self._fitting[key] = same and self._same_method(run, recipe)
        return self._fitting[key]

    def _same_method(self, run: MeasuredRun, recipe: Recipe) -> bool:
        ours, theirs, own = self._settings(recipe), self._settings_of_run(run), self._own(recipe)
        if any(theirs.get(key) != ours[key] for key in own):
            return False
        others = {key for one in self._recipes for key in self._own(one)} - own
        return all(self._is_no_other(key, ours, theirs) for key in others)

    def _is_no_other(self, key: str, ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> bool:
        """Whether the run is, at a key that other rows set, not what one of those is."""
        if key not in theirs or key not in ours or theirs[key] == ours[key]:
            return True
        return all(theirs[key] != self._settings(one).get(key) for one in self._recipes)

    def _own(self, recipe: Recipe) -> frozenset[str]:
        """Keys of the method that the recipe's overrides set."""
        if not recipe.overrides:
            return frozenset()
        if recipe.name not in self._plain:
            self._plain[recipe.name] = settings(Recipe(recipe.paper, recipe.name).experiment)
        plain, ours = self._plain[recipe.name], self._settings(recipe)
        return frozenset(key for key, value in ours.items() if plain.get(key) != value and _METHOD.match(key))

    def _settings(self, recipe: Recipe) -> dict[str, Any]:
        if recipe not in self._of_recipe:
            self._of_recipe[recipe] = settings(recipe.experiment)
        return self._of_recipe[recipe]

    def _settings_of_run(self, run: MeasuredRun) -> dict[str, Any]:
        if run.name not in self._of_run:
            self._of_run[run.name] = settings(run.experiment)
        return self._of_run[run.name]
