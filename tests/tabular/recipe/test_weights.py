"""A row of weight 2 equals the row twice."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from custom_model.served.columns import Column
from tabular.families.classifiers import CLASSIFIERS, can_weigh
from tabular.families.pipeline import fit_model, make_model
from tabular.recipe import calibration, ensemble, threshold
from tabular.recipe.finish import finish
from tabular.search.cross_validation import Task, Trial, evaluate_configuration
from tabular.search.folds import Folds
from tabular.stats.compute import compute_metrics

EXACT: dict[str, dict[str, Any]] = {
    "logistic_regression": {},
    "naive_bayes": {},
}
"""Families whose fit neither draws nor counts rows."""

N_ROWS = 90
COLUMNS = [Column("city", "category"), Column("a", "number", False), Column("b", "number")]


def table() -> tuple[pd.DataFrame, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    y = rng.integers(0, 2, N_ROWS)
    a = rng.normal(size=N_ROWS) + y
    a[rng.random(N_ROWS) < 0.2] = np.nan
    city = rng.choice(["Ulm", "Bonn", "Kiel"], N_ROWS)
    features = pd.DataFrame({"city": city, "a": a, "b": rng.normal(size=N_ROWS)})
    return features, y, rng.integers(1, 4, N_ROWS)


def weighted_and_repeated() -> tuple[Folds, Folds]:
    """The folds with weights, and with every row as often as it counts."""
    features, y, weights = table()
    fold = np.arange(N_ROWS) % 3
    rows = np.repeat(np.arange(N_ROWS), weights)

    def positions(of: np.ndarray) -> list[Any]:
        return [(np.flatnonzero(of != f), np.flatnonzero(of == f)) for f in range(3)]

    once = Folds(features, y, COLUMNS, positions(fold), weights.astype(float))
    again = features.iloc[rows].reset_index(drop=True)
    return once, Folds(again, y[rows], COLUMNS, positions(fold[rows]))


@pytest.mark.parametrize("classifier", EXACT)
def test_a_fit_with_weights_equals_one_of_repeated_rows(classifier: str) -> None:
    features, y, weights = table()
    rows = np.repeat(np.arange(N_ROWS), weights)
    weighted, repeated = (
        make_model(COLUMNS, classifier, EXACT[classifier], seed=0) for _ in range(2)
    )
    fit_model(weighted, features, y, weights.astype(float))
    fit_model(repeated, features.iloc[rows], y[rows], None)
    proba = [model.predict_proba(features) for model in (weighted, repeated)]
    assert np.abs(proba[0] - proba[1]).max() < 1e-9


def test_cross_validation_and_recipe_with_weights_equal_those_of_repeated_rows() -> None:
    once, again = weighted_and_repeated()
    tasks = [
        Task(number, name, params, "f1_macro", 0)
        for number, (name, params) in enumerate(
            [("logistic_regression", {}), ("logistic_regression", {"C": 1e-3}), ("naive_bayes", {})]
        )
    ]
    trials: list[list[Trial]] = []
    for folds in (once, again):
        trials.append([evaluate_configuration(task, folds) for task in tasks])
    for one, other in zip(*trials, strict=True):
        assert one.metrics == pytest.approx(other.metrics, abs=1e-9)
        assert one.fold_scores == pytest.approx(other.fold_scores, abs=1e-9)
    recipes = [
        finish(of, folds, "f1_macro", seed=0)
        for of, folds in zip(trials, (once, again), strict=True)
    ]
    for a, b in zip(*recipes, strict=True):
        assert a.name == b.name
        assert a.metrics == pytest.approx(b.metrics, abs=1e-9)
        assert a.spread == pytest.approx(b.spread, abs=1e-9)


def test_ensemble_calibration_and_threshold_with_weights_equal_those_of_repeated_rows() -> None:
    rng = np.random.default_rng(0)
    y, weights = rng.integers(0, 2, 200), rng.integers(1, 5, 200)
    second = np.clip(rng.normal(0.4 + 0.2 * y, 0.2, (3, 200)), 0.01, 0.99)
    proba = np.stack([1 - second, second], axis=2)
    rows = np.repeat(np.arange(200), weights)
    assert ensemble.select(proba, y, weights) == pytest.approx(
        ensemble.select(proba[:, rows], y[rows])
    )
    for method in ("sigmoid", "temperature", "isotonic"):
        weighted = calibration.learn(method, proba[0], y, weights.astype(float))
        repeated = calibration.learn(method, proba[0][rows], y[rows])
        both = [one.predict_proba(proba[0]) for one in (weighted, repeated)]
        assert np.abs(both[0] - both[1]).max() < 1e-6, method
    tuned = [
        threshold.tune(*given, metric="f1_macro", seed=0)
        for given in ((second[0], y, weights.astype(float)), (second[0][rows], y[rows]))
    ]
    assert tuned[0] == pytest.approx(tuned[1], abs=1e-9)
    assert compute_metrics(y, proba[0], sample_weight=weights) == pytest.approx(
        compute_metrics(y[rows], proba[0][rows]), abs=1e-9
    )


def test_all_families_but_one_take_weights() -> None:
    assert [name for name in CLASSIFIERS if not can_weigh(name)] == ["k_neighbors"]
