"""What a run's folder shows of its model, training and analysis; "" where it shows nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from retinalab.counted import counted
from retinalab.report.checklists.data import partitions, sizes
from retinalab.report.checklists.settings import by_stage, option, short, stages_of
from retinalab.report.folder import RunFolder
from retinalab.report.numbers import plain
from retinalab.report.results import tested_unit

__all__ = [
    "artefact",
    "availability",
    "balance",
    "building",
    "citation",
    "code",
    "detail",
    "development",
    "ensembling",
    "initialisation",
    "model",
    "outcome",
    "output",
    "prediction",
    "predictors",
    "referable",
    "selection",
    "software",
    "stored",
    "training",
    "uncertainty",
]


def citation(run: RunFolder) -> str:
    """The published method, where the run names one."""
    cited = plain(run.provenance.get("citation"))
    return f"Published as: {cited}" if cited else ""


def outcome(run: RunFolder) -> str:
    """Diseases with their grade scales, as the protocol names them."""
    texts = []
    for disease, scale in run.scales.items():
        levels = ", ".join(f"{grade} {level}" for grade, level in enumerate(scale.levels))
        texts.append(f"{disease.upper()} on the scale {scale.name}: {levels}.")
    return " ".join(texts)


def referable(run: RunFolder) -> str:
    """From which reference grade on a disease counts as referable."""
    return " ".join(
        f"{disease.upper()}: referable from grade {scale.referable} ({scale.levels[scale.referable]})."
        for disease, scale in run.scales.items()
    )


def predictors(run: RunFolder) -> str:
    """The size at which photographs enter the network."""
    sized = by_stage(run, lambda stage: plain(option(stage, "data", "size")))
    return f"The photograph's pixels; side in pixels: {sized}" if sized else ""


def model(run: RunFolder) -> str:
    """Task, variant and backbone of each stage."""
    shown = ("name", "variant", "network", "net", "backbone", "side", "widths", "output")

    def describe(stage: Mapping[str, Any]) -> str:
        task = option(stage, "task")
        if isinstance(task, Mapping) and task.get("backbone"):  # what a network of the paper's own would take
            task = {key: value for key, value in task.items() if key not in ("net", "side")}
        parts = [
            f"{name} {plain(task[name])}" for name in shown if isinstance(task, Mapping) and task.get(name)
        ]
        return ", ".join(part.removeprefix("name ") for part in parts)

    return by_stage(run, describe)


def initialisation(run: RunFolder) -> str:
    """Where the first weights of each stage come from."""

    def describe(stage: Mapping[str, Any]) -> str:
        weights, start = option(stage, "task", "weights"), option(stage, "start_from")
        known = {"none": "random weights"}
        parts = [known.get(weights, f"weights {plain(weights)}")] if weights else []
        if isinstance(start, Mapping):
            of = f" of {plain(start.get('run'))}" if start.get("run") else ""
            parts.append(
                f"then the {plain(start.get('which')) or 'best'} checkpoint of stage {plain(start.get('stage'))}{of}"
            )
        return ", ".join(parts)

    return by_stage(run, describe)


def training(run: RunFolder) -> str:
    """Optimiser, schedule, batches, sampling and augmentation of each stage."""

    def describe(stage: Mapping[str, Any]) -> str:
        parts = [
            f"{word} {short(value)}"
            for word, path in _TRAINING.items()
            if (value := option(stage, *path)) not in (None, "", [], {}, -1)
        ]
        drawn = option(stage, "data", "augment")
        moved = {k: v for k, v in drawn.items() if v not in _IDLE} if isinstance(drawn, Mapping) else {}
        parts += [f"augmentation {short(moved)}"] if moved else []
        return ", ".join(parts)

    seeds = plain(run.provenance.get("seeds"))
    texts = [by_stage(run, describe), f"Seeds: {seeds}." if seeds else "", detail(run)]
    return " ".join(filter(None, texts)) if texts[0] else ""


_TRAINING = {
    "optimiser": ("task", "optimiser"),
    "learning rate": ("task", "learning_rate"),
    "weight decay": ("task", "weight_decay"),
    "loss": ("task", "loss"),
    "batch": ("data", "batch_size"),
    "sampler": ("data", "sampler"),
    "epochs at most": ("trainer", "max_epochs"),
    "steps at most": ("trainer", "max_steps"),
    "batches an epoch at most": ("trainer", "limit_train_batches"),
    "early stopping": ("trainer", "early_stopping"),
}
_IDLE = (None, 0, 0.0, [1.0, 1.0], False)


def building(run: RunFolder) -> str:
    """Model, training and choice of the checkpoint, one after the other."""
    return " ".join(filter(None, [model(run), training(run), selection(run)]))


def selection(run: RunFolder) -> str:
    """The photographs that chose the checkpoint."""
    protocol = run.experiment.get("protocol")
    chosen = protocol.get("select_on") if isinstance(protocol, Mapping) else None
    words = {
        "val": "validation photographs",
        "test": "the test photographs, which makes the figures too good",
    }
    return f"The checkpoint is chosen on {words.get(chosen, plain(chosen))}." if chosen else ""


def balance(run: RunFolder) -> str:
    """How training photographs are drawn, where not each once."""
    kinds = {name: option(stage, "data", "sampler") for name, stage in stages_of(run).items()}
    drawn = {name: kind for name, kind in kinds.items() if kind}
    if not drawn:
        return ""
    if set(drawn.values()) == {"shuffle"} and len(drawn) == len(kinds):
        return "Training photographs are drawn once an epoch each; nothing is done about imbalance in the drawing."
    return f"Training photographs are drawn by sampler {plain(drawn)}."


def ensembling(run: RunFolder) -> str:
    """How figures of several networks are put together."""
    seeds, folds = run.provenance.get("seeds"), run.provenance.get("folds", run.experiment.get("folds"))
    if not isinstance(seeds, list) or not isinstance(folds, int):
        return ""
    texts = [f"Figures are means over {len(seeds)} networks (seeds)." if len(seeds) > 1 else "One seed."]
    texts += [f"{folds} folds; each photograph is judged by the network of its fold."] if folds > 1 else []
    return " ".join([*texts, "Predictions of several networks are not combined."])


def output(run: RunFolder) -> str:
    """Probabilities or scores, and how the table's grades follow from them; only what holds for every row of it."""
    if run.predictions is None:
        return ""
    texts = []
    for disease, scale in run.scales.items():
        table, names = run.predictions, [f"{disease}_p{k}" for k in range(scale.size)]
        if set(names) <= set(table):
            rows = table[table[names].notna().all(axis=1)]
            highest = rows[names].to_numpy().argmax(axis=1) == rows[f"{disease}_grade"].to_numpy()
            rule = "; the grade is the one of highest probability" if len(rows) and highest.all() else ""
            texts.append(f"{disease.upper()}: a probability of each of {scale.size} grades{rule}.")
        elif f"{disease}_score" in table:
            rows = table[table[f"{disease}_score"].notna()]
            score = np.clip(rows[f"{disease}_score"].to_numpy(), 0, scale.size - 1)
            near = np.abs(score - rows[f"{disease}_grade"].to_numpy()) <= 0.5
            rule = ", cut halfway between grades" if len(rows) and near.all() else ""
            texts.append(f"{disease.upper()}: a score from grade 0 to {scale.size - 1}{rule}.")
    return " ".join([*texts, referable(run)]) if texts else ""


def prediction(run: RunFolder) -> str:
    """The command that predicts with the run's networks, where their checkpoints are there."""
    if not _checkpoints(run):
        return ""
    return f"From the run's checkpoints ({counted(_checkpoints(run), 'file')}); other photographs: retinalab predict."


def artefact(run: RunFolder) -> str:
    """Settings, code and checkpoints, which together are the model."""
    kept = _checkpoints(run)
    texts = [code(run), f"{counted(kept, 'checkpoint file')} in the run's folder." if kept else ""]
    return " ".join(
        filter(None, [*texts, "Every setting is in this report's resolved experiment." if kept else ""])
    )


def software(run: RunFolder) -> str:
    """Versions of libraries, and the machine."""
    versions, device = run.provenance.get("versions"), run.provenance.get("device")
    texts = [plain(versions).replace(":", "") if isinstance(versions, Mapping) else ""]
    version = plain(run.provenance.get("retinalab"))
    texts = [f"retinalab {version}" if version else "", *texts]
    machine = f" Machine: {plain(device)}." if device else ""
    found = "; ".join(filter(None, texts))
    return f"{found}.{machine}" if found else ""


def code(run: RunFolder) -> str:
    """The state of the code and the command."""
    commit, command = plain(run.provenance.get("commit")), plain(run.provenance.get("command"))
    texts = [f"Code: commit {commit}." if commit else "", f"Command: “{command}”." if command else ""]
    return " ".join(filter(None, texts))


def availability(run: RunFolder) -> str:
    """Licences of the data, the state of the code, and the checkpoints kept."""
    from retinalab.report.checklists.data import licences

    kept = _checkpoints(run)
    texts = [
        licences(run),
        code(run),
        f"{counted(kept, 'checkpoint file')} in the run's folder." if kept else "",
    ]
    return " ".join(filter(None, texts))


def detail(run: RunFolder) -> str:
    """Where every setting stands."""
    return "Every setting is in this report's resolved experiment." if run.experiment.get("stages") else ""


def development(run: RunFolder) -> str:
    """Parts, their sizes and the training."""
    parts = partitions(run) or sizes(run)
    trained = training(run)
    return f"{parts} {trained}" if parts and trained else ""


def uncertainty(run: RunFolder) -> str:
    """Which figures have intervals, what was resampled, and the spread between seeds."""
    with_interval = [key for key, one in run.metrics.items() if one.get("low") is not None]
    if not with_interval or not run.tested:
        return ""
    units = dict.fromkeys(tested_unit(run, prefix) for prefix in run.tested)
    text = f"95 % intervals for {len(with_interval)} of {len(run.metrics)} figures, resampling {', '.join(units)}."
    seeds = max((len(one.get("seeds") or ()) for one in run.metrics.values()), default=0)
    return f"{text} Standard deviations over {seeds} seeds apart from them." if seeds > 1 else text


def stored(run: RunFolder) -> str:
    """The tables of outputs that lie in the run's folder."""
    tables = {
        "predictions.parquet": run.predictions,
        "lesions.parquet": run.lesions,
        "windows.parquet": run.windows,
    }
    texts = [
        f"{name} ({len(table):,} row{'s' * (len(table) != 1)})"
        for name, table in tables.items()
        if table is not None
    ]
    return f"In the run's folder: {', '.join(texts)}; every figure is computed from them." if texts else ""


def _checkpoints(run: RunFolder) -> int:
    return sum(1 for _ in run.path.glob("**/checkpoints/**/*.ckpt"))
