"""What predictions cost: a matrix of what it costs to predict the column's class for the row's."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from custom_model.served.sets import decide_classes
from tabular.stats.intervals import Estimate

if TYPE_CHECKING:  # stats needs no MLflow
    from custom_model.served.columns import Label

PER = 1000  # rows that a cost is shown for


def align_costs(
    costs: np.ndarray | None, labels: "Sequence[Label]", classes: "Sequence[Label]"
) -> np.ndarray | None:
    """Costs in the order of other classes; None where one of these is not among the labels.

    Args:
        costs: (n_labels, n_labels); None gives None.
        labels: in the order of the costs.
        classes: wanted.
    """
    place = {str(label): y for y, label in enumerate(labels)}
    if costs is None or not all(str(one) in place for one in classes):
        return None
    order = [place[str(one)] for one in classes]
    return costs[np.ix_(order, order)]


def alternatives(
    y_true: np.ndarray,
    proba: np.ndarray | None,
    costs: np.ndarray,
    labels: "Sequence[Label]",
    sample_weight: np.ndarray | None = None,
) -> dict[str, float]:
    """Mean cost of what one could do without these decisions, by its name in words.

    Args:
        y_true: (n_rows,) true classes.
        proba: (n_rows, n_classes) probabilities; None where the model gives labels only.
        costs: (n_classes, n_classes).
        labels: the classes.
        sample_weight: (n_rows,) how often each row counts; None for once.
    """
    always = np.average(costs[y_true], axis=0, weights=sample_weight)
    cheapest = int(always.argmin())
    named = {f"always {labels[cheapest]!r}": float(always[cheapest])}
    if proba is not None:
        of_rows = costs[y_true, decide_classes(proba)]
        named["the most probable class"] = float(np.average(of_rows, weights=sample_weight))
    return named


def describe_costs(cost: Estimate, others: Mapping[str, float]) -> str:
    """What a thousand rows cost, in words.

    Args:
        cost: of a row, as a model decides.
        others: of `alternatives`.
    """
    ends = Estimate(PER * cost.value, PER * cost.low, PER * cost.high)
    between = f" ({words})" if (words := ends.between(".4g")) else ""
    listed = ", ".join(f"{PER * value:.4g} by {name}" for name, value in others.items())
    return f"{PER} rows cost {ends.value:.4g}{between} by these decisions; {listed}."
