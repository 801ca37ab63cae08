"""Probability calibration learned on out-of-fold probabilities.

scikit-learn's `CalibratedClassifierCV(ensemble=False)` would cross-validate the model once more to
get the very probabilities that a search has already.
"""

import copy
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator

ISOTONIC_ROWS = 2_000  # below, its steps follow the noise (Niculescu-Mizil and Caruana 2005)


class _Known(ClassifierMixin, BaseEstimator):
    """A classifier whose rows are its answers."""

    def __init__(self, n_classes: int) -> None:
        self.n_classes = n_classes
        self.classes_ = np.arange(n_classes)

    def fit(self, probabilities: np.ndarray, truth: np.ndarray) -> Self:
        return self

    def predict(self, probabilities: np.ndarray) -> np.ndarray:
        return np.asarray(probabilities.argmax(axis=1))

    def predict_proba(self, probabilities: np.ndarray) -> np.ndarray:
        return probabilities


def methods(n_rows: int) -> list[str]:
    """The methods that may be tried on so many rows."""
    return ["temperature", "sigmoid", *(["isotonic"] if n_rows >= ISOTONIC_ROWS else [])]


def learn(method: str, probabilities: np.ndarray, truth: np.ndarray) -> CalibratedClassifierCV:
    """A calibrator of probabilities: its rows are a model's answers.

    Args:
        method: of `CalibratedClassifierCV`.
        probabilities: (n_rows, n_classes) out of fold.
        truth: (n_rows,) classes, each with a row.
    """
    known = FrozenEstimator(_Known(probabilities.shape[1]))
    everything = np.arange(len(truth))
    calibrator = CalibratedClassifierCV(
        known, method=method, ensemble=False, cv=[(everything, everything)]
    )
    return calibrator.fit(probabilities, truth)


def attach(calibrator: CalibratedClassifierCV, model: Any) -> CalibratedClassifierCV:
    """The calibrator around a fitted model, instead of around known answers.

    Args:
        calibrator: of `learn`.
        model: fitted, with `predict_proba` and without `decision_function`, whose values
            scikit-learn would prefer to the probabilities that the calibrator has learned from.

    Raises:
        TypeError: the model has a `decision_function`.
    """
    if hasattr(model, "decision_function"):
        raise TypeError("a calibrator of probabilities cannot take decision values")
    attached = copy.deepcopy(calibrator).set_params(estimator=model, cv=None)
    for part in attached.calibrated_classifiers_:
        part.estimator = model
    return attached


def cross_fitted(
    method: str, probabilities: np.ndarray, truth: np.ndarray, folds: np.ndarray
) -> np.ndarray | None:
    """Calibrated answers, each by a calibrator that was learned without its fold.

    Args:
        method: of `CalibratedClassifierCV`.
        probabilities: (n_rows, n_classes) out of fold.
        truth: (n_rows,) classes.
        folds: (n_rows,) number of the fold that each row is in.

    Returns:
        (n_rows, n_classes); None where a class has rows in one fold only.
    """
    answers = np.empty_like(probabilities)
    for fold in np.unique(folds):
        inside = folds != fold
        if len(np.unique(truth[inside])) < probabilities.shape[1]:
            return None
        calibrator = learn(method, probabilities[inside], truth[inside])
        answers[~inside] = calibrator.predict_proba(probabilities[~inside])
    return answers
