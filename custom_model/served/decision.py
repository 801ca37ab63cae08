"""From probabilities to a decision: the most probable class, or the one of least expected cost."""

import numpy as np


def decide_classes(
    proba: np.ndarray, threshold: float = 0.5, costs: np.ndarray | None = None
) -> np.ndarray:
    """The predicted class of each row, (n_rows,); the first of equals.

    Args:
        proba: (n_rows, n_classes) probabilities.
        threshold: of two classes, the second is predicted where its probability is above this.
        costs: (n_classes, n_classes) of predicting column for row; of more than two classes the one
            of least expected cost is predicted (Elkan 2001); those of two are `threshold_of`.
    """
    if proba.shape[1] == 2:
        return (proba[:, 1] > threshold).astype(np.intp)
    if costs is None:
        return np.asarray(proba.argmax(axis=1))
    # one class after the other: the sum of a row does not depend on how many rows there are
    expected = sum(proba[:, [y]] * costs[y] for y in range(proba.shape[1]))
    return np.asarray(expected).argmin(axis=1)


def threshold_of(costs: np.ndarray | None) -> float:
    """The threshold of two classes above which the second costs less; 0.5 without costs.

    Args:
        costs: (2, 2) of predicting column for row; a right prediction costs no more than a wrong
            one, and not every prediction costs the same.
    """
    if costs is None or len(costs) != 2:
        return 0.5
    wrongly, missed = costs[0, 1] - costs[0, 0], costs[1, 0] - costs[1, 1]
    return float(wrongly / (wrongly + missed))
