"""A fitted pipeline's arithmetic for a few rows at a time, without scikit-learn's cost per call.

scikit-learn spends milliseconds on one row: it checks and copies a frame at each step, and a forest
of 300 trees is 300 calls. `compile_model` takes a fitted model apart once and does the same sums in
the same order on plain arrays. Whether the result is the pipeline's is proved when a model is
logged.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.special import expit
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import (
    ExtraTreesClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
    VotingClassifier,
)
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline

from .encoding import Table, Uncompiled, compile_preprocessor
from .trees import Compiled, compile_boosting, compile_forest


def compile_model(model: Any) -> Callable[[Table], np.ndarray]:
    """Takes a fitted model apart.

    Args:
        model: a Pipeline of a ColumnTransformer and a classifier, a soft VotingClassifier of such,
            or a CalibratedClassifierCV of either.

    Returns:
        A function from a Table of n rows to probabilities, (n_rows, n_classes).

    Raises:
        Uncompiled: a part is of a kind that is not known here.
    """
    return _compile(model, behind_preprocessor=False).proba


def _compile(model: Any, *, behind_preprocessor: bool) -> Compiled:
    if type(model) is FrozenEstimator:
        return _compile(model.estimator, behind_preprocessor=behind_preprocessor)
    if type(model) is CalibratedClassifierCV:
        return _calibrated(model, behind_preprocessor=behind_preprocessor)
    if type(model) is VotingClassifier:
        return _voting(model, behind_preprocessor=behind_preprocessor)
    if not behind_preprocessor:
        return _pipeline(model)
    if type(model) is LogisticRegression:
        return _linear(model)
    if type(model) in (RandomForestClassifier, ExtraTreesClassifier):
        return compile_forest(model)
    if type(model) is HistGradientBoostingClassifier:
        return compile_boosting(model)
    # all others as they are: what they are given is already the matrix
    return Compiled(
        lambda matrix: model.predict_proba(matrix), getattr(model, "decision_function", None)
    )


def _pipeline(model: Any) -> Compiled:
    if type(model) is not Pipeline or len(model.steps) != 2:
        raise Uncompiled(f"{type(model).__name__} is no pipeline of preprocessing and classifier")
    encode = compile_preprocessor(model.steps[0][1])
    if model.steps[0][1].sparse_output_ and type(model.steps[1][1]) is not LogisticRegression:
        raise Uncompiled("words for a classifier that does more than multiply them")
    classifier = _compile(model.steps[1][1], behind_preprocessor=True)
    decide = classifier.decision
    return Compiled(
        lambda table: classifier.proba(encode(table)),
        None if decide is None else lambda table: decide(encode(table)),
    )


def _voting(model: VotingClassifier, *, behind_preprocessor: bool) -> Compiled:
    if model.voting != "soft":
        raise Uncompiled("a vote without probabilities")
    voters = [
        _compile(voter, behind_preprocessor=behind_preprocessor).proba
        for voter in model.estimators_
    ]
    weights = model._weights_not_none
    return Compiled(
        lambda rows: np.average(
            np.asarray([voter(rows) for voter in voters]), axis=0, weights=weights
        )
    )


def _calibrated(model: CalibratedClassifierCV, *, behind_preprocessor: bool) -> Compiled:
    """As `CalibratedClassifierCV.predict_proba` has it."""
    if len(model.calibrated_classifiers_) != 1:
        raise Uncompiled("several calibrated classifiers")
    calibrated = model.calibrated_classifiers_[0]
    inner = _compile(calibrated.estimator, behind_preprocessor=behind_preprocessor)
    calibrators, n_classes = calibrated.calibrators, len(calibrated.classes)
    if list(calibrated.estimator.classes_) != list(calibrated.classes):
        raise Uncompiled("a calibrated classifier that knows fewer classes")

    def scores(rows: Any) -> np.ndarray:
        if inner.decision is not None:
            values = inner.decision(rows)
        else:
            values = inner.proba(rows)
            values = values[:, 1] if n_classes == 2 else values
        return values.reshape(-1, 1) if values.ndim == 1 else values

    def by_class(rows: Any) -> np.ndarray:
        values = scores(rows)
        proba = np.zeros((len(values), n_classes))
        if n_classes == 2:
            proba[:, 1] = calibrators[0].predict(values[:, 0])
            proba[:, 0] = 1.0 - proba[:, 1]
        else:
            for code, calibrator in enumerate(calibrators):
                proba[:, code] = calibrator.predict(values[:, code])
            total = np.sum(proba, axis=1)[:, np.newaxis]
            even = np.full_like(proba, 1 / n_classes)
            proba = np.divide(proba, total, out=even, where=total != 0)
        return _at_most_one(proba)

    def by_temperature(rows: Any) -> np.ndarray:
        values = scores(rows)
        if n_classes == 2 and inner.decision is None:
            values = np.concatenate([1 - values, values], axis=1)
        return _at_most_one(calibrators[0].predict(values))

    methods = {"sigmoid": by_class, "isotonic": by_class, "temperature": by_temperature}
    if calibrated.method not in methods:
        raise Uncompiled(f"calibration by {calibrated.method}")
    return Compiled(methods[calibrated.method])


def _at_most_one(proba: np.ndarray) -> np.ndarray:
    proba[(proba > 1.0) & (proba <= 1.0 + 1e-5)] = 1.0
    return proba


def _linear(model: LogisticRegression) -> Compiled:
    weights, intercept = model.coef_.T, model.intercept_
    binary = len(model.classes_) == 2

    def decision(matrix: np.ndarray) -> np.ndarray:
        scores = matrix @ weights + intercept
        return scores.ravel() if binary else scores

    def proba(matrix: np.ndarray) -> np.ndarray:
        scores = decision(matrix)
        if binary:
            second = expit(scores)
            return np.stack([1 - second, second], axis=1)
        scores -= scores.max(axis=1, keepdims=True)
        np.exp(scores, out=scores)
        scores /= scores.sum(axis=1, keepdims=True)
        return scores

    return Compiled(proba, decision)
