"""A weighted ensemble of trials, chosen greedily on their out-of-fold proba.

Ensemble selection with replacement, Caruana et al. 2004 (doi 10.1145/1015330.1015432).
"""

import numpy as np

MEMBERS = 4  # different models; an answer costs at most what four models cost
ROUNDS = 20


def select(
    proba: np.ndarray, y_true: np.ndarray, sample_weight: np.ndarray | None = None
) -> np.ndarray:
    """Weights of the ensemble whose log loss is lowest.

    Begins with the best model, then adds, again and again, the one that lowers the loss of the
    average most; how often a model was taken is its weight. The loss decides, whatever the
    objective is: it is smooth where F1 and accuracy jump.

    Args:
        proba: (n_models, n_rows, n_classes) out of fold.
        y_true: (n_rows,) classes.
        sample_weight: (n_rows,) how often each row counts; None for once.

    Returns:
        (n_models,) weights that sum to 1, at most `MEMBERS` of them above 0.
    """
    right = proba[:, np.arange(len(y_true)), y_true]
    taken, total = np.zeros(len(right)), np.zeros(right.shape[1])
    lowest, best = np.inf, taken
    for size in range(1, ROUNDS + 1):
        full = (taken > 0).sum() >= MEMBERS
        possible = np.flatnonzero(taken > 0) if full else np.arange(len(right))
        averages = (total + right[possible]) / size
        of_rows = -np.log(np.maximum(averages, np.finfo(float).eps))
        losses = np.average(of_rows, axis=1, weights=sample_weight)
        choice = possible[losses.argmin()]
        taken[choice] += 1
        total += right[choice]
        if losses.min() < lowest:
            lowest, best = losses.min(), taken.copy()
    return np.asarray(best / best.sum())
