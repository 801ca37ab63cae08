"""How each metric is computed, for one sample or for thousands of resamples at once.

A resample is a weight for each row. Metrics of predicted classes depend on three numbers of each
class alone: the weight of its rows that are predicted correctly, of its rows, and of its
predictions, (n_resamples, n_classes) each. Log loss and Brier score are means over the rows.
"""

from collections.abc import Callable

import numpy as np

Counts = np.ndarray  # (n_resamples, n_classes)
Weighted = Callable[[np.ndarray], np.ndarray]  # weights (n_resamples, n_rows) to (n_resamples,)


def weigh_classes(
    weights: np.ndarray, y_true: np.ndarray, y_pred: np.ndarray, n_classes: int
) -> tuple[Counts, Counts, Counts]:
    """Weight of the correct rows, the rows and the predictions of each class.

    Args:
        weights: (n_resamples, n_rows).
        y_true: (n_rows,) true classes.
        y_pred: (n_rows,) predicted classes.
        n_classes: number of classes.
    """
    true, pred = np.eye(n_classes)[y_true], np.eye(n_classes)[y_pred]
    return weights @ (true * pred), weights @ true, weights @ pred


def f1_by_class(correct: Counts, true: Counts, pred: Counts) -> Counts:
    """F1 of each class, 0 where it neither has rows nor is predicted."""
    return ratio(2 * correct, true + pred)


def ratio(above: Counts, below: Counts) -> Counts:
    """One divided by the other, 0 where that is undefined."""
    return np.divide(above, below, out=np.zeros(above.shape), where=below > 0)


def mean_of(values: Counts, counted: np.ndarray) -> np.ndarray:
    """Mean over the classes that are counted, (n_resamples,)."""
    return np.asarray((values * counted).sum(axis=1) / counted.sum(axis=1))


def log_losses(y_true: np.ndarray, proba: np.ndarray) -> np.ndarray:
    """Log loss of each row, (n_rows,); as scikit-learn, a probability of 0 counts as the least.

    Args:
        y_true: (n_rows,) true classes, 0 to n_classes - 1.
        proba: (n_rows, n_classes) probabilities.
    """
    eps = np.finfo(proba.dtype).eps
    return np.asarray(-np.log(np.clip(proba[np.arange(len(y_true)), y_true], eps, 1 - eps)))


def briers(y_true: np.ndarray, proba: np.ndarray) -> np.ndarray:
    """Brier score of each row, (n_rows,): 0 to 1 of two classes, else 0 to 2; as `log_losses`."""
    squares = ((proba - np.eye(proba.shape[1])[y_true]) ** 2).sum(axis=1)
    return np.asarray(squares / 2 if proba.shape[1] == 2 else squares)


def roc_auc(y_true: np.ndarray, proba: np.ndarray) -> Weighted:
    """Area under the ROC curve, the mean of each class against the rest; NaN where undefined.

    By the ranks of the rows (Mann & Whitney 1947).

    Args:
        y_true: (n_rows,) true classes.
        proba: (n_rows, n_classes) probabilities.
    """
    classes = range(1 if proba.shape[1] == 2 else 0, proba.shape[1])
    curves = []
    for scores, inside in ((proba[:, c], y_true == c) for c in classes):
        order = np.argsort(scores)
        new = np.diff(scores[order], prepend=-np.inf) > 0  # a score is equal to the one before
        curves.append((inside[order], order, np.flatnonzero(new)))

    def areas(weights: np.ndarray) -> np.ndarray:
        total = np.zeros(len(weights))
        for inside, order, starts in curves:
            ranked = weights[:, order]
            positive = np.add.reduceat(ranked * inside, starts, axis=1)
            negative = np.add.reduceat(ranked, starts, axis=1) - positive
            below = np.cumsum(negative, axis=1) - negative / 2
            pairs = positive.sum(axis=1) * negative.sum(axis=1)
            with np.errstate(invalid="ignore"):
                total += np.einsum("ij,ij->i", positive, below) / pairs
        return total / len(curves)

    return areas
