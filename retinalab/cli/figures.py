"""Figures on a terminal of 80 columns."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping
from typing import Any

__all__ = ["print_errors", "print_few", "print_figures", "print_headline", "print_labels"]

_HEADLINE = ("kappa", "auc", "auc_referable", "accuracy", "mae")


def print_headline(metrics: Mapping[str, Any]) -> None:
    """The test figures that a paper would name, beside the majority grade and what is reached without the retina."""
    print(f"\n{'':31s}{'value':>6s}  {'95 % interval':16s}{'majority':>9s}{'no retina':>10s}{'n':>6s}")
    for key, metric in metrics.items():
        room, _, name = key.rpartition("/")
        headline = name in _HEADLINE or "/lesion/mean" in room
        if not key.startswith("test") or not headline or metric["value"] is None:
            continue
        # on a scale of two grades the AUC is that for referable disease
        shortcut = (
            f"{room}/auc_referable" if name == "auc" and f"{room}/auc_referable" not in metrics else key
        )
        beside = [metrics.get(f"{key}_majority"), metrics.get(f"{shortcut}_shortcut")]
        majority, without = (
            f"{m['value']:9.3f}" if m and m["value"] is not None else " " * 9 for m in beside
        )
        print(f"{key:31s}{metric['value']:6.3f}  {_interval(metric):16s}{majority} {without}{metric['n']:6d}")
    print_errors(metrics)
    print_few(metrics)


def print_few(metrics: Mapping[str, Any]) -> None:
    """Which intervals resample so few that they say little."""
    from retinalab.units import FEWEST

    groups = [one.get("n_groups", FEWEST) for key, one in metrics.items() if key.startswith("test")]
    if min(groups, default=FEWEST) < FEWEST:
        text = (
            f"Intervals over fewer than {FEWEST} patients, or photographs of unknown patients, are too narrow and may "
            f"leave out the figure itself: here over {min(groups)} at the least."
        )
        print("\n".join(textwrap.wrap(text, 80)))


def print_labels(labels: Iterable[str]) -> None:
    """Print what qualifies a run's figures, as that its photographs are drawn."""
    for label in labels:
        print("\n".join(textwrap.wrap(f"The run is labelled {label!r}", 80, subsequent_indent="  ")))


def print_errors(metrics: Mapping[str, Any]) -> None:
    """Unacceptable errors of each test set and disease, counted."""
    from retinalab.metrics.measure import errors_text

    counted = {key: one for key, one in metrics.items() if key.startswith("test") and one.get("counts")}
    for number, (key, one) in enumerate(counted.items()):
        text = f"{key.rpartition('/')[0]} {errors_text(one['counts'], one['of'])}"
        print(
            "\n" * (number == 0)
            + "\n".join(textwrap.wrap(text, 80, subsequent_indent="  ", break_long_words=False))
        )


def print_figures(metrics: Mapping[str, Any]) -> None:
    """Every defined figure with its interval."""
    print(f"\n{'':44s}{'value':>8s}   {'95 % interval':17s}{'n':>7s}")
    for key, metric in metrics.items():
        if metric["value"] is not None:
            print(f"{key:44s}{metric['value']:8.3f}   {_interval(metric):17s}{metric['n']:7d}")
    print_few(metrics)


def _interval(metric: Mapping[str, Any]) -> str:
    low, high = metric["low"], metric["high"]
    return "" if low is None else f"[{low:.3f}, {high:.3f}]"
