"""Metrics of classifiers, under the names that versions carry. All of them are scikit-learn's."""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from sklearn import metrics as sk

if TYPE_CHECKING:  # worker processes import this file and need no MLflow
    from custom_model.served.columns import Label

# Each takes the true codes (n_rows,), the predicted codes (n_rows,), the probabilities (n_rows,
# n_classes) and all codes, and raises ValueError where it is undefined.
METRICS: dict[str, Callable[[np.ndarray, np.ndarray, np.ndarray, np.ndarray], float]] = {
    "f1_macro": lambda y, p, P, k: sk.f1_score(y, p, average="macro", zero_division=0),
    "f1_weighted": lambda y, p, P, k: sk.f1_score(y, p, average="weighted", zero_division=0),
    "accuracy": lambda y, p, P, k: sk.accuracy_score(y, p),
    "balanced_accuracy": lambda y, p, P, k: sk.recall_score(
        y, p, labels=np.unique(y), average="macro", zero_division=0
    ),
    "precision_macro": lambda y, p, P, k: sk.precision_score(
        y, p, average="macro", zero_division=0
    ),
    "recall_macro": lambda y, p, P, k: sk.recall_score(y, p, average="macro", zero_division=0),
    "log_loss": lambda y, p, P, k: sk.log_loss(y, P, labels=k),
    "roc_auc": lambda y, p, P, k: _roc_auc(y, P, k),
    "brier": lambda y, p, P, k: sk.brier_score_loss(y, P, labels=k),
}

MEANING = {
    "f1_macro": "mean over the classes of F1, the harmonic mean of precision and recall",
    "f1_weighted": "the same mean, each class weighted by its rows",
    "accuracy": "share of rows whose predicted class is the true one",
    "balanced_accuracy": "mean recall of the classes that have rows",
    "precision_macro": "mean over the classes of precision: of what is said to be it, the share "
    "that is",
    "recall_macro": "mean over the classes of recall: of what is it, the share that is said to be",
    "log_loss": "mean of -log of the probability of the true class",
    "roc_auc": "area under the ROC curve; of more than two classes the mean of each against the "
    "rest",
    "brier": "mean squared distance of the probabilities from the truth: of two classes 0 to 1, "
    "of more 0 to 2",
}
"""Of `METRICS`, in a few words; a class that nobody predicts has precision 0."""

LONGEST_NAME = 150  # of a class in a metric's name; MLflow takes 250 characters in all

LOWER_IS_BETTER = frozenset({"log_loss", "brier"})


def sign(metric: str) -> int:
    """1 where higher is better and -1 where lower is: `sign(metric) * value` is to be high."""
    return -1 if metric in LOWER_IS_BETTER else 1


def rank_key(metric: str, metrics: Mapping[str, float], prefix: str = "") -> tuple[float, float]:
    """Sorts the best first: by the metric, equals by log loss; what is undefined comes last.

    Args:
        metric: a key of `METRICS`.
        metrics: value by name.
        prefix: of the names in `metrics`.
    """
    value = -sign(metric) * metrics.get(prefix + metric, math.nan)
    loss = metrics.get(f"{prefix}log_loss", math.inf)
    return (math.inf if math.isnan(value) else value), loss


def log_losses(y_true: np.ndarray, proba: np.ndarray) -> np.ndarray:
    """Log loss of each row, (n_rows,); as scikit-learn, a probability of 0 counts as the least.

    Args:
        y_true: (n_rows,) true classes, 0 to n_classes - 1.
        proba: (n_rows, n_classes) probabilities.
    """
    eps = np.finfo(proba.dtype).eps
    return np.asarray(-np.log(np.clip(proba[np.arange(len(y_true)), y_true], eps, 1 - eps)))


def predicted(probabilities: np.ndarray, threshold: float = 0.5) -> np.ndarray:
    """The class of each row, (n_rows,) codes: the most probable, the first of equals.

    Args:
        probabilities: (n_rows, n_classes).
        threshold: of two classes, the second is predicted where its probability is above this.
    """
    if threshold != 0.5:
        return (probabilities[:, 1] > threshold).astype(np.intp)
    return np.asarray(probabilities.argmax(axis=1))


def evaluate(
    codes: np.ndarray, probabilities: np.ndarray, said: np.ndarray | None = None
) -> dict[str, float]:
    """All metrics that are defined.

    Args:
        codes: (n_rows,) true classes, 0 to n_classes - 1.
        probabilities: (n_rows, n_classes), rows sum to 1.
        said: (n_rows,) predicted classes; None for the most probable ones.

    Returns:
        Value by name; a metric that is undefined on these rows is left out.
    """
    results = {}
    for name in METRICS:
        value = evaluate_one(name, codes, probabilities, said)
        if math.isfinite(value):
            results[name] = value
    return results


def evaluate_one(
    name: str, codes: np.ndarray, probabilities: np.ndarray, said: np.ndarray | None = None
) -> float:
    """One metric, NaN where it is undefined.

    Args:
        name: a key of `METRICS`.
        codes: (n_rows,) true classes.
        probabilities: (n_rows, n_classes).
        said: (n_rows,) predicted classes; None for the most probable ones.
    """
    every = np.arange(probabilities.shape[1])
    said = predicted(probabilities) if said is None else said
    try:
        return float(METRICS[name](codes, said, probabilities, every))
    except ValueError:
        return math.nan


def _roc_auc(codes: np.ndarray, probabilities: np.ndarray, every: np.ndarray) -> float:
    if len(np.unique(codes)) < len(every):
        raise ValueError("undefined: a class has no row")
    if len(every) == 2:
        return float(sk.roc_auc_score(codes, probabilities[:, 1]))
    return float(
        sk.roc_auc_score(codes, probabilities, multi_class="ovr", average="macro", labels=every)
    )


def f1_per_class(
    codes: np.ndarray, said: np.ndarray, labels: "Sequence[Label]"
) -> dict[str, float]:
    """F1 of each class that has rows, by the name `f1_class_<class>`.

    Args:
        codes: (n_rows,) true classes.
        said: (n_rows,) predicted classes.
        labels: the classes.
    """
    every = np.arange(len(labels))
    scores = sk.f1_score(codes, said, labels=every, average=None, zero_division=0)
    present = set(codes.tolist())
    names = metric_names(labels)
    return {f"f1_class_{names[c]}": float(scores[c]) for c in every if c in present}


def metric_names(labels: "Sequence[Label]") -> list[str]:
    """Each class as a part of a metric's name: what MLflow does not allow becomes "_"."""
    names: list[str] = []
    for label in labels:
        name = re.sub(r"[^\w.\- ]", "_", str(label)).strip()[:LONGEST_NAME] or "_"
        while name in names:
            name += "_"
        names.append(name)
    return names
