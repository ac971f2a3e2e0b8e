"""What a run's folder shows of its results; "" where it shows nothing."""

from __future__ import annotations

from retinalab.metrics.baselines import BASELINES
from retinalab.report.checklists.settings import learned
from retinalab.report.folder import RunFolder
from retinalab.report.numbers import interval, known, number
from retinalab.report.results import confusions, headlines

__all__ = [
    "accuracy",
    "by_set",
    "crossed",
    "explanations",
    "external",
    "failures",
    "internal",
    "labels",
    "measures",
    "performance",
    "spread",
]

_ACCURACY = ("sensitivity", "specificity", "auc", "auc_referable", "recall", "precision", "accuracy")


def performance(run: RunFolder) -> str:
    """The headline figures of every tested set with their intervals."""
    return " ".join(filter(None, (_headlines(run, prefix) for prefix in run.tested)))


def accuracy(run: RunFolder) -> str:
    """Sensitivities, areas and accuracies of the tested photographs, with their intervals."""
    texts = []
    for key, metric in run.metrics.items():
        prefix, _, name = key.partition("/")
        last = name.rpartition("/")[2]
        wanted = last in _ACCURACY or last.startswith(("sensitivity_", "specificity_"))
        if prefix in run.tested and wanted and not last.endswith(tuple(f"_{one}" for one in BASELINES)):
            texts.append(f"{key} {interval(metric)}")
    return f"{'; '.join(texts)}." if texts else ""


def measures(run: RunFolder) -> str:
    """Names of the measures, each once, and of the baselines beside them."""
    names = dict.fromkeys(
        key.rpartition("/")[2] for key in run.metrics if key.partition("/")[0] in run.tested
    )
    beside = [one for one in BASELINES if any(name.endswith(f"_{one}") for name in names)]
    own = [name for name in names if not name.endswith(tuple(f"_{one}" for one in BASELINES))]
    if not own:
        return ""
    text = f"{', '.join(own)}."
    return f"{text} Beside them baselines: {', '.join(BASELINES[one] for one in beside)}." if beside else text


def crossed(run: RunFolder) -> str:
    """Rows of every confusion matrix, which is that of the first seed where there are several."""
    texts = []
    for prefix in run.tested:
        for one in confusions(run, prefix):
            rows = [f"{grade}: {' '.join(str(count) for count, _ in cells)}" for grade, cells, _ in one.rows]
            head = f"{run.set_of(prefix)}, {one.title}{_first(run)}"
            texts.append(
                f"{head}, photographs by predicted grade, a row a reference grade: {'; '.join(rows)}."
            )
    return " ".join(texts)


def failures(run: RunFolder) -> str:
    """Unacceptable errors, and that wrong photographs are shown."""
    if not run.diseases:
        return ""
    found = [(prefix, one) for prefix in run.tested for one in confusions(run, prefix) if one.errors]
    errors = [f"{run.set_of(prefix)}, {one.title}{_first(run)}: {one.errors}" for prefix, one in found]
    return " ".join([*errors, "Confusion matrices and wrong photographs are in this report."])


def explanations(run: RunFolder) -> str:
    """Kinds of maps that the run kept over its photographs."""
    if run.maps is None or run.maps.empty:
        return ""
    return f"Maps over photographs, kept: {len(run.maps):,} ({', '.join(dict.fromkeys(run.maps['map']))})."


def internal(run: RunFolder) -> str:
    """Figures of test photographs from the sets that were trained on."""
    return _on(run, trained=True)


def external(run: RunFolder) -> str:
    """Figures of test photographs from sets that no stage trained on."""
    return _on(run, trained=False)


def spread(run: RunFolder) -> str:
    """Standard deviation of headline figures over seeds, and figures of several test sets."""
    texts = []
    for prefix in run.tested:
        for one in headlines(run, prefix):
            metric = run.metrics[one.key]
            if known(metric.get("sd_seeds")) and len(metric.get("seeds") or ()) > 1:
                count = len(metric["seeds"])
                texts.append(
                    f"{one.key}: standard deviation {number(metric['sd_seeds'])} over {count} seeds."
                )
    return " ".join(filter(None, [*texts, by_set(run)]))


def by_set(run: RunFolder) -> str:
    """Headline figures of several test sets side by side; "" where there is one."""
    return f"By test set: {performance(run)}" if len(run.tested) > 1 else ""


def labels(run: RunFolder) -> str:
    """Labels that qualify the result, such as drawn photographs or leaks."""
    given = run.provenance.get("labels")
    return " ".join(f"{str(one).rstrip('.')}." for one in given) if isinstance(given, list) else ""


def _on(run: RunFolder, trained: bool) -> str:
    texts = []
    for prefix in run.tested:
        if learned(run, run.set_of(prefix)) is trained and prefix.startswith("test"):
            texts.append(_headlines(run, prefix))
    return " ".join(filter(None, texts))


def _headlines(run: RunFolder, prefix: str) -> str:
    found = [f"{one.target} {one.measure} {one.text}" for one in headlines(run, prefix)]
    part = "test" if prefix.startswith("test") else "validation"
    return f"{run.set_of(prefix)} ({part}): {'; '.join(found)}." if found else ""


def _first(run: RunFolder) -> str:
    seeds = 0 if run.predictions is None else run.predictions["seed"].nunique()
    return f" (first of {seeds} seeds)" if seeds > 1 else ""
