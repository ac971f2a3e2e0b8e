"""Why a figure of a clinical reading is undefined."""

from __future__ import annotations

from collections.abc import Mapping

from retinalab.metrics.measure import Metric

__all__ = ["explained", "reasons"]

_UNDEFINED = "undefined: "
_LACKING = {
    "sensitivity": "no positive",
    "specificity": "no negative",
    "ppv": "none is called positive",
    "npv": "none is called negative",
    "referrals": "there is none",
    "auc": "no positive, or no negative",
}


def explained(figures: Mapping[str, Metric]) -> dict[str, Metric]:
    """The figures of one reading, those that are undefined with a note that says what is lacking.

    Args:
        figures: some of :data:`retinalab.metrics.clinical.screening.FIGURES`, and ``auc``.
    """
    return {name: _explained(name, metric, figures) for name, metric in figures.items()}


def _explained(name: str, metric: Metric, figures: Mapping[str, Metric]) -> Metric:
    plain = name.removesuffix("_stated")
    if metric["value"] is not None or plain not in _LACKING:
        return metric
    causes = [plain]
    if plain != name:  # Bayes' rule needs both rates
        rates = ("sensitivity", "specificity")
        causes = [rate for rate in rates if rate in figures and figures[rate]["value"] is None] or causes
    why = " and ".join(_LACKING[cause] for cause in causes)
    seeds = metric.get("seeds", [])
    some = sum(value is None for value in seeds)
    where = f" (in {some} of {len(seeds)} seeds)" if 0 < some < len(seeds) else ""
    return {**metric, "note": f"{_UNDEFINED}{why}{where}"}


def reasons(figures: Mapping[str, Metric], words: Mapping[str, str]) -> list[str]:
    """A line for each reason why some of the figures are undefined.

    Args:
        figures: with notes.
        words: figure -> what it is called, in the order in which they are named.

    Example:
        >>> lost = Metric(value=None, low=None, high=None, n=3, n_groups=3, note="undefined: no positive")
        >>> reasons({"sensitivity": lost, "auc": lost}, {"auc": "AUC", "sensitivity": "sensitivity"})
        ['AUC and sensitivity undefined: no positive']
    """
    found: dict[str, list[str]] = {}
    for name, called in words.items():
        metric = figures.get(name)
        if metric is not None and metric["value"] is None:
            why = metric.get("note", "").removeprefix(_UNDEFINED)
            found.setdefault(why, []).append(called)
    return [
        f"{' and '.join(filter(None, [', '.join(names[:-1]), names[-1]]))} undefined{': ' * bool(why)}{why}"
        for why, names in found.items()
    ]
