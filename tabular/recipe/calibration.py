"""Probability calibration learned on out-of-fold probabilities.

scikit-learn's `CalibratedClassifierCV(ensemble=False)` would cross-validate the model once more to
get the very probabilities that a search has already.
"""

import copy
import warnings
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator

ISOTONIC_ROWS = 2_000  # below, its steps follow the noise (Niculescu-Mizil and Caruana 2005)


class _Known(ClassifierMixin, BaseEstimator):
    """A classifier whose rows are its probabilities."""

    def __init__(self, n_classes: int) -> None:
        self.n_classes = n_classes
        self.classes_ = np.arange(n_classes)

    def fit(self, proba: np.ndarray, y_true: np.ndarray) -> Self:
        return self

    def predict(self, proba: np.ndarray) -> np.ndarray:
        return np.asarray(proba.argmax(axis=1))

    def predict_proba(self, proba: np.ndarray) -> np.ndarray:
        return proba


def methods(n_rows: int) -> list[str]:
    """The methods that may be tried on so many rows."""
    return ["temperature", "sigmoid", *(["isotonic"] if n_rows >= ISOTONIC_ROWS else [])]


def learn(
    method: str, proba: np.ndarray, y_true: np.ndarray, sample_weight: np.ndarray | None = None
) -> CalibratedClassifierCV:
    """A calibrator of probabilities: its rows are a model's probabilities.

    Args:
        method: of `CalibratedClassifierCV`.
        proba: (n_rows, n_classes) out of fold.
        y_true: (n_rows,) classes, each with a row.
        sample_weight: (n_rows,) how often each row counts; None for once.
    """
    known = FrozenEstimator(_Known(proba.shape[1]))
    everything = np.arange(len(y_true))
    calibrator = CalibratedClassifierCV(
        known, method=method, ensemble=False, cv=[(everything, everything)]
    )
    with warnings.catch_warnings():
        # scikit-learn warns that the frozen model does not take the weights; it needs no fit
        warnings.filterwarnings("ignore", "Since FrozenEstimator", UserWarning)
        return calibrator.fit(proba, y_true, sample_weight=sample_weight)


def attach(calibrator: CalibratedClassifierCV, model: Any) -> CalibratedClassifierCV:
    """The calibrator around a fitted model, instead of around known probabilities.

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
