"""The photographs of every stage, with those of a later stage's test parts kept out of what it starts from."""

from __future__ import annotations

from collections.abc import Mapping

from retinalab.config import Experiment, TestConfig
from retinalab.data.module import FundusDataModule
from retinalab.data.overlap import settle
from retinalab.data.part import Part
from retinalab.errors import RetinalabError
from retinalab.runner.annotated import check_lesions
from retinalab.runner.check import ancestors

__all__ = ["evaluated_parts", "settled", "stage_module", "stage_modules"]


def stage_modules(experiment: Experiment, fold: int | None, seed: int) -> dict[str, FundusDataModule]:
    """Stage -> its data module, read, split and prepared.

    A network that starts from an earlier stage's weights has seen that stage's photographs: they count as trained on.

    Raises:
        RetinalabError: anything wrong with the data, photographs on two sides, or masks without a lesion to learn.
    """
    modules = {name: stage_module(experiment, name, fold, seed) for name in experiment.stages}
    settled(experiment, modules)
    parts = {name: module.parts for name, module in modules.items()}
    check_lesions(experiment, parts, {name: ancestors(experiment, name) for name in experiment.stages})
    return modules


def settled(experiment: Experiment, modules: Mapping[str, FundusDataModule]) -> None:
    """Keep tested photographs out of the stages whose weights a tested one starts from.

    Args:
        experiment: whose stages they are.
        modules: stage -> its photographs; a stage that is not there is passed over.

    Raises:
        RetinalabError: photographs on two sides, with the stage's name.
    """
    published = experiment.protocol.split == "as-published"
    for name in [one for one in experiment.evaluated if one in modules]:
        tested = list(modules[name].parts.tests.values())
        for earlier in [one for one in ancestors(experiment, name) if one in modules]:
            module = modules[earlier]
            try:
                module.use(settle(module.parts, module.data.overlap, published, tested))
            except RetinalabError as error:
                lines = str(error).splitlines()
                where = f"Stage {earlier!r}, whose weights {name!r} starts from:"
                raise RetinalabError(*(f"{where} {line}" for line in lines)) from error


def evaluated_parts(experiment: Experiment, modules: Mapping[str, FundusDataModule]) -> dict[str, Part]:
    """Data set -> photographs that the experiment is tested on: of the evaluated stages, then what others add."""
    found: dict[str, Part] = {}
    for name in (*experiment.evaluated, *modules):
        for kind, part in modules[name].parts.tests.items():
            found.setdefault(kind, part)
    return found


def stage_module(experiment: Experiment, stage: str, fold: int | None, seed: int) -> FundusDataModule:
    """The data module of one stage, which reads, splits and prepares when its photographs are first asked for."""
    described = experiment.stages[stage]
    return FundusDataModule(
        described.data,
        experiment.protocol,
        described.diseases,
        seed,
        experiment.roots,
        experiment.test if stage in experiment.evaluated else TestConfig(),
        fold,
        experiment.folds,
        described.stream,
    )
