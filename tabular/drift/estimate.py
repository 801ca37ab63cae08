"""What the metrics of a table without labels would be, by the probabilities of the model.

If a class comes true as often as its probability says, the expected confusion matrix of a table
follows from the probabilities alone, and the metrics from it: confidence-based performance
estimation. As in its adaptive form (PAPE, Białek et al. 2024, arXiv 2401.08348) the probabilities
are first calibrated on the holdout, whose rows count by how much they are like those of the table.

The interval is that of draws. Each draws a calibration, then a label for every row:

- A calibration is a slope and an intercept for each class of the logarithms of the probabilities
  (Platt 1999; of more classes Guo et al. 2017), with a normal prior about none. What the holdout
  leaves open is a normal distribution (Laplace's method). Rows that count less tell less.
- How much the rows are alike is an estimate too. So the step from the calibration of all held-out
  rows to that of those like the table is itself uncertain, by half of its length.

A relation of features and class that has changed is not seen: only labels tell of it.
"""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize

from tabular.stats.compute import weighted
from tabular.stats.intervals import Estimate, interval
from tabular.stats.metrics import METRICS, OF_LABELS
from tabular.stats.units import Units, units_of

ESTIMATED = (*OF_LABELS, "log_loss", "brier")
"""Metrics that follow from an expected label of each row."""

PRIOR = 0.5  # standard deviation of the logarithm of the slope, and of an intercept
UNSURE = 0.5  # of the step to the calibration for the table, as a standard deviation
MOST_INTERCEPTS = 20  # classes; with more there is the slope alone
LEAST = 1e-6  # a lower probability counts as this in a calibration
MOST_CELLS = 40_000  # rows times classes of a draw


@dataclass(frozen=True)
class Calibration:
    """`softmax(exp(s) * log(p) + b)`, not exactly known.

    Args:
        centre: (n_parameters,) `s`, then `b` of each class, or of none.
        covariance: (n_parameters, n_parameters).
    """

    centre: np.ndarray
    covariance: np.ndarray


AS_IT_IS = Calibration(np.zeros(1), np.zeros((1, 1)))


def fit_calibration(
    y_true: np.ndarray,
    proba: np.ndarray,
    likeness: np.ndarray,
    groups: np.ndarray | None = None,
    sample_weight: np.ndarray | None = None,
) -> Calibration:
    """Calibrates probabilities on held-out rows, for a table of other rows.

    Args:
        y_true: (n_rows,) true classes.
        proba: (n_rows, n_classes).
        likeness: (n_rows,) how much more often rows like this one are in the table.
        groups: (n_rows,) of rows that belong together; None for each by itself.
        sample_weight: (n_rows,) how often each row counts; None for once.
    """
    alike = likeness if sample_weight is None else likeness * sample_weight
    of_all, _ = _fit(y_true, proba, units_of(len(y_true), groups, sample_weight))
    centre, covariance = _fit(y_true, proba, units_of(len(y_true), groups, alike))
    step = UNSURE * (centre - of_all)
    return Calibration(centre, covariance + np.outer(step, step))


def _fit(
    y_true: np.ndarray, proba: np.ndarray, units: Units | None
) -> tuple[np.ndarray, np.ndarray]:
    """The most probable parameters and their covariance; units count by what they are worth."""
    n_rows, n_classes = proba.shape
    logs, one_hot = _logs(proba), np.eye(n_classes)[y_true]
    weights = np.ones(n_rows) if units is None else units.sample_weight * units.worth
    size = 1 + (n_classes if n_classes <= MOST_INTERCEPTS else 0)

    def loss(x: np.ndarray) -> tuple[float, np.ndarray]:
        q = _calibrated(logs, x)
        gaps = weights[:, None] * (q - one_hot)
        slope = np.exp(x[0]) * (gaps * logs).sum()
        gradient = np.concatenate([[slope], gaps.sum(axis=0)])[:size] + x / PRIOR**2
        return -float(weights @ np.log((q * one_hot).sum(axis=1))) + x @ x / PRIOR**2 / 2, gradient

    def information(x: np.ndarray) -> np.ndarray:
        """Fisher's, with the prior's."""
        q, scores = _calibrated(logs, x), np.exp(x[0]) * logs
        of_row = weights[:, None] * q
        scores = scores - (q * scores).sum(axis=1, keepdims=True)
        matrix = np.empty((1 + n_classes, 1 + n_classes))
        matrix[0, 0] = (of_row * scores**2).sum()
        matrix[0, 1:] = matrix[1:, 0] = (of_row * scores).sum(axis=0)
        matrix[1:, 1:] = np.diag(of_row.sum(axis=0)) - of_row.T @ q
        return matrix[:size, :size] + np.eye(size) / PRIOR**2

    best = minimize(loss, np.zeros(size), jac=True, hess=information, method="trust-exact").x
    return best, np.linalg.inv(information(best))


def _logs(proba: np.ndarray) -> np.ndarray:
    return np.log(np.clip(proba, LEAST, 1))


def _calibrated(logs: np.ndarray, parameters: np.ndarray) -> np.ndarray:
    """Probabilities, (n_rows, n_classes), from logarithms of probabilities."""
    scores = np.exp(parameters[0]) * logs + (parameters[1:] if len(parameters) > 1 else 0)
    shares = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.asarray(shares / shares.sum(axis=1, keepdims=True))


def estimate_metrics(
    y_pred: np.ndarray,
    proba: np.ndarray,
    calibration: Calibration = AS_IT_IS,
    *,
    costs: np.ndarray | None = None,
    units: Units | None = None,
    confidence: float = 0.95,
    draws: int = 1000,
    seed: int = 42,
) -> dict[str, Estimate]:
    """The metrics that a table would have with labels, with their intervals.

    Args:
        y_pred: (n_rows,) predicted classes.
        proba: (n_rows, n_classes) probabilities.
        calibration: of these.
        costs: (n_classes, n_classes) of predicting column for row; None without.
        units: of the rows; None where each is one and counts once. One random number draws the
            labels of all rows of a group, so that it counts no more than one row.
        confidence: of the two-sided intervals.
        draws: of labels for all rows.
        seed: of the draws.

    Returns:
        By name, those that are defined.
    """
    rng = np.random.default_rng(seed)
    n_rows, n_classes = proba.shape
    weights = np.ones(n_rows) if units is None else units.sample_weight
    cells = np.indices((n_classes, n_classes)).reshape(2, -1)
    by_counts = {
        name: weighted(name, cells[0], cells[1], n_classes, costs=costs)
        for name in OF_LABELS
        if name != "cost" or costs is not None
    }
    by_row = {  # (n_rows, n_classes): what a row adds with each label
        name: np.column_stack([rule(np.full(n_rows, y), proba) for y in range(n_classes)])
        for name in ESTIMATED
        if (rule := METRICS[name].per_row)
    }
    expected = weights[:, None] * _calibrated(_logs(proba), calibration.centre)
    counts = (expected.T @ np.eye(n_classes)[y_pred]).reshape(1, -1)
    points = {name: float(score(counts)[0]) for name, score in by_counts.items()}
    points |= {name: float((of * expected).sum() / weights.sum()) for name, of in by_row.items()}

    most = max(1, MOST_CELLS // n_classes)  # of more rows the labels' chance is small
    rows = np.arange(n_rows) if n_rows <= most else rng.permutation(n_rows)[:most]
    logs, w = _logs(proba)[rows], weights[rows]
    unit, n_units = (
        (np.arange(len(rows)), len(rows)) if units is None else (units.of_row[rows], units.n)
    )
    drawn = np.empty((draws, n_classes**2))
    means = {name: np.empty(draws) for name in by_row}
    normal = rng.multivariate_normal(
        calibration.centre, calibration.covariance, draws, method="eigh"
    )
    for n, parameters in enumerate(normal):
        upper = _calibrated(logs, parameters).cumsum(axis=1)[:, :-1]
        y = (upper < rng.random(n_units)[unit, None]).sum(axis=1)
        drawn[n] = np.bincount(y * n_classes + y_pred[rows], w, n_classes**2)
        for name, of in by_row.items():
            means[name][n] = w @ of[rows, y] / w.sum()
    samples = {name: score(drawn) for name, score in by_counts.items()} | means
    return {
        name: interval(points[name], samples[name], confidence)
        for name in METRICS
        if np.isfinite(points.get(name, np.nan))
    }
