"""How much better one classifier is than another on the same rows, by every metric."""

import math

import numpy as np

from custom_model.served.columns import Label
from tabular.stats.intervals import GainEstimate, interval
from tabular.stats.metrics import METRICS, OF_LABELS
from tabular.stats.paired import Paired, gain, mcnemar
from tabular.table.structure import Roles

MOST_DRAWN = 100_000_000  # rows in all, for the gains of metrics that are drawn by rows


def assess_gains(
    y_true: np.ndarray,
    aligned: list[tuple[np.ndarray, np.ndarray | None]],
    classes: tuple[Label, ...],
    confidence: float,
    resamples: int,
    seed: int,
    costs: np.ndarray | None,
    roles: Roles,
) -> tuple[dict[str, GainEstimate], str]:
    """Gains of the first model over the second, and McNemar's test in words."""
    (y_pred, proba), (other_pred, other_proba) = aligned
    one_hot = np.eye(len(classes))
    drawn = {"groups": roles.groups, "sample_weight": roles.sample_weight}
    of_labels = Paired(
        y_true, one_hot[other_pred], one_hot[y_pred], other_pred, y_pred, costs, **drawn
    )
    of_proba = None
    if proba is not None and other_proba is not None:
        of_proba = Paired(y_true, other_proba, proba, **drawn)
    gains = {}
    for metric in METRICS:
        paired, times = of_labels, resamples
        if metric not in OF_LABELS:
            if of_proba is None:
                continue
            paired, times = of_proba, max(200, min(resamples, MOST_DRAWN // len(y_true)))
        gained = gain(paired, metric, resamples=times, seed=seed)
        if math.isfinite(gained.value):
            ends = interval(gained.value, gained.resampled, confidence)
            gains[metric] = GainEstimate(gained.value, ends.low, ends.high, gained.p_value)
    test = "McNemar's exact p-value"
    if of_labels.units:
        test = f"p-value of the signs of {'rows' if roles.groups is None else 'groups'}"
    right, other_right = y_pred == y_true, other_pred == y_true
    return gains, (
        f"Of {len(y_true)} rows, {(right & ~other_right).sum()} are predicted right by the first "
        f"model alone and {(other_right & ~right).sum()} by the second alone ({test} "
        f"{mcnemar(of_labels):.4f})."
    )
