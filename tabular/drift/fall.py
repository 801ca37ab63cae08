"""How far the metric of a model has fallen since the holdout, where a table has labels."""

import dataclasses

import numpy as np

from tabular.drift.checks import Comparison, CurrentPredictions, DriftCheck
from tabular.drift.profile import PredictionProfile
from tabular.stats.compute import weighted
from tabular.stats.intervals import Estimate, interval
from tabular.stats.metrics import sign
from tabular.stats.two_sample import permutation_test


def check_metric(
    profile: PredictionProfile, now: CurrentPredictions, by: Comparison
) -> tuple[Estimate | None, DriftCheck | None]:
    """Fall of the metric since the holdout, and whether it is one.

    Returns:
        The fall with its interval, above 0 where the metric is worse now, and the check; None and
        None for a table without labels.
    """
    rule = by.rule
    if now.y_true is None or not profile.pairs:
        return None, None
    labelled = now.y_true >= 0
    n_classes = len(profile.labels) + 1  # one more for classes that the model does not know
    of_cost = rule.metric == "cost"
    if of_cost:  # what these cost is not known
        labelled &= now.y_true < len(profile.labels)
        n_classes = len(profile.labels)
    if not labelled.any():
        return None, None
    shape = (n_classes, n_classes)
    y_true, y_pred, rows = profile.columns
    reference = np.zeros(shape)
    reference[y_true, y_pred] = rows * profile.effective / profile.rows
    if not np.round(reference).any():
        return None, None
    units = now.units.among(labelled) if now.units else None
    by = dataclasses.replace(by, units=units)
    current = np.zeros(shape)
    weights = units.sample_weight if units else 1
    np.add.at(current, (now.y_true[labelled], now.y_pred[labelled]), weights)
    current *= by.worth  # independent rows, so that the interval is of these
    if not current.any():
        return None, None
    cells = np.nonzero(reference + current)
    old, new = reference[cells], current[cells]
    score = weighted(rule.metric, cells[0], cells[1], n_classes, costs=now.costs)

    def falls(current: np.ndarray, reference: np.ndarray) -> np.ndarray:
        return sign(rule.metric) * (score(reference) - score(current))

    p_value = permutation_test(
        np.round(old), np.round(new), falls, smallest=by.smallest, rng=by.rng
    )
    drawn = [
        by.rng.multinomial(max(1, round(c.sum())), c / c.sum(), size=1000).astype(float)
        for c in (old, new)
    ]
    before, after = (float(score(counts[None])[0]) for counts in (old, new))
    fall = interval(sign(rule.metric) * (before - after), falls(drawn[1], drawn[0]), 1 - rule.level)
    note = f"{rule.metric}: {before:.4f} on the holdout, {after:.4f} now"
    limit = rule.max_fall * (abs(before) if of_cost else 1)
    return fall, DriftCheck("", "metric", fall.value, limit, p_value, note=note)
