"""Predictions for each fold that are learned without it."""

from collections.abc import Callable

import numpy as np


def cross_fitted(
    folds: np.ndarray, predict: Callable[[np.ndarray, np.ndarray], np.ndarray]
) -> np.ndarray:
    """Predictions for each fold that are learned without it.

    What is learned on the rows that it is judged on looks better than it is.

    Args:
        folds: (n_rows,) number of the fold that each row is in.
        predict: from (n_rows,) bool, the rows to learn from, and (n_rows,) bool, the rows to
            predict, to an array with a row for each of the latter.

    Returns:
        An array with a row for each row.
    """
    parts = [predict(folds != fold, folds == fold) for fold in np.unique(folds)]
    order = np.concatenate([np.flatnonzero(folds == fold) for fold in np.unique(folds)])
    return np.asarray(np.concatenate(parts)[np.argsort(order)])


def surely_above(
    differences: np.ndarray, sample_weight: np.ndarray | None, errors: float = 1.0
) -> bool:
    """Whether the mean is above 0 by more than so many standard errors."""
    n_rows = len(differences) if sample_weight is None else sample_weight.sum()
    mean = np.average(differences, weights=sample_weight)
    variance = np.average((differences - mean) ** 2, weights=sample_weight)
    return bool(mean > errors * np.sqrt(variance / max(n_rows - 1, 1e-9)))
