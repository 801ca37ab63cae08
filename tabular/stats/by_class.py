"""The F1 of each class, and a class as a part of a metric's name."""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from tabular.stats.compute import counted
from tabular.stats.formulas import f1_by_class

if TYPE_CHECKING:  # stats needs no MLflow
    from custom_model.served.columns import Label

LONGEST_NAME = 150  # of a class in a metric's name; MLflow takes 250 characters in all


def f1_per_class(
    y_true: np.ndarray,
    y_pred: np.ndarray,
    labels: "Sequence[Label]",
    sample_weight: np.ndarray | None = None,
) -> dict[str, float]:
    """F1 of each class that has rows, by the name `f1_class_<class>`.

    Args:
        y_true: (n_rows,) true classes.
        y_pred: (n_rows,) predicted classes.
        labels: the classes.
        sample_weight: (n_rows,) how often each row counts; None for once.
    """
    correct, true, pred = counted(y_true, y_pred, len(labels), sample_weight)
    scores = f1_by_class(correct, true, pred)[0]
    named = zip(metric_names(labels), scores, true[0], strict=True)
    return {f"f1_class_{name}": float(score) for name, score, rows in named if rows}


def metric_names(labels: "Sequence[Label]") -> list[str]:
    """Each class as a part of a metric's name: what MLflow does not allow becomes "_"."""
    names: list[str] = []
    for label in labels:
        name = re.sub(r"[^\w.\- ]", "_", str(label)).strip()[:LONGEST_NAME] or "_"
        while name in names:
            name += "_"
        names.append(name)
    return names
