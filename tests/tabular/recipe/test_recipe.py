"""Ensemble, calibration and threshold: each only where it helps, judged on rows not chosen by."""

import functools
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import VotingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.naive_bayes import GaussianNB

from custom_model.served.sets import calibrate, in_sets
from tabular.jobs.preparation import prepare
from tabular.recipe import calibration, ensemble, threshold
from tabular.recipe.cross_fitting import cross_fitted
from tabular.recipe.ensemble import MEMBERS
from tabular.recipe.finish import finish
from tabular.recipe.recipe import as_it_is
from tabular.search.cross_validation import Task, Trial, evaluate_configuration
from tabular.search.loop import pool
from tabular.stats.compute import compute_metric, compute_metrics
from tabular.stats.metrics import METRICS

N_ROWS, N_FOLDS = 3000, 5
RNG = np.random.default_rng(0)
TRUTH = (RNG.random(N_ROWS) < 0.2).astype(int)
FOLD = np.arange(N_ROWS) % N_FOLDS


def proba_with(noise: float, seed: int) -> np.ndarray:
    """Probabilities that know the truth through noise of their own."""
    known = 3.0 * TRUTH - 3.0 + noise * np.random.default_rng(seed).normal(size=N_ROWS)
    second = 1 / (1 + np.exp(-known))
    return np.column_stack([1 - second, second])


def test_independent_errors_average_out_in_an_ensemble() -> None:
    members = np.stack([proba_with(2.0, seed) for seed in range(3)])
    weights = ensemble.select(members, TRUTH)
    assert (weights > 0.2).all()
    assert weights.sum() == pytest.approx(1)
    alone = min(log_loss(TRUTH, member) for member in members)
    oof = cross_fitted(
        FOLD,
        lambda inside, outside: np.tensordot(
            ensemble.select(members[:, inside], TRUTH[inside]), members[:, outside], axes=1
        ),
    )
    assert log_loss(TRUTH, oof) < alone


def test_a_model_that_says_nothing_new_gets_no_weight() -> None:
    good, noise = proba_with(0.5, 0), np.full((N_ROWS, 2), 0.5)
    assert ensemble.select(np.stack([good, noise]), TRUTH).tolist() == [1, 0]


def test_an_ensemble_has_at_most_its_number_of_members() -> None:
    members = np.stack([proba_with(3.0, seed) for seed in range(12)])
    assert (ensemble.select(members, TRUTH) > 0).sum() == MEMBERS


@pytest.mark.parametrize("method", ["temperature", "sigmoid", "isotonic"])
def test_calibration_equals_that_of_scikit_learn_which_fits_again(method: str) -> None:
    X, y = load_breast_cancer(return_X_y=True)
    folds = list(StratifiedKFold(3, shuffle=True, random_state=0).split(X, y))
    model = VotingClassifier([("only", GaussianNB())], voting="soft")
    theirs = CalibratedClassifierCV(model, method=method, ensemble=False, cv=folds).fit(X, y)
    known = cross_val_predict(model, X, y, cv=folds, method="predict_proba")
    ours = calibration.attach(calibration.learn(method, known, y), model.fit(X, y))
    assert np.allclose(ours.predict_proba(X), theirs.predict_proba(X), atol=1e-12)


def test_a_calibrator_is_not_put_around_decision_values() -> None:
    X, y = load_breast_cancer(return_X_y=True)
    model = LogisticRegression(max_iter=10_000).fit(X / X.max(axis=0), y)
    learned = calibration.learn("sigmoid", model.predict_proba(X / X.max(axis=0)), y)
    with pytest.raises(TypeError, match="decision values"):
        calibration.attach(learned, model)


@pytest.mark.parametrize("metric", [name for name, metric in METRICS.items() if metric.tunable])
def test_the_tuned_threshold_scores_better_on_rows_it_was_not_tuned_on(metric: str) -> None:
    proba = proba_with(1.5, 1)
    proba[:, 1] /= 2  # which moves the best threshold away from 0.5
    second, tune = proba[:, 1], functools.partial(threshold.tune, metric=metric, seed=0)
    y_pred = cross_fitted(FOLD, lambda i, o: second[o] > tune(second[i], TRUTH[i])).astype(int)
    assert compute_metric(metric, TRUTH, proba, y_pred) > compute_metric(
        metric, TRUTH, proba, (second > 0.5).astype(int)
    )


def test_what_is_cross_fitted_keeps_its_rows_and_sees_no_row_of_its_fold() -> None:
    seen = cross_fitted(FOLD, lambda inside, outside: np.flatnonzero(outside))
    assert (seen == np.arange(N_ROWS)).all()
    learned = cross_fitted(FOLD, lambda i, o: np.full(o.sum(), len(np.unique(FOLD[i]))))
    assert (learned == N_FOLDS - 1).all()


class Rows:
    """What `finish` reads of folds."""

    y_true, fold_of_row, sample_weight = TRUTH, FOLD, None


def trial(number: int, proba: np.ndarray, metric: str = "f1_macro") -> Trial:
    scores = tuple(
        compute_metric(metric, TRUTH[fold == FOLD], proba[fold == FOLD]) for fold in range(N_FOLDS)
    )
    metrics = compute_metrics(TRUTH, proba)
    return Trial(number, "svc", {"C": number}, metrics, scores, oof=proba)


def finished(trials: list[Trial], metric: str = "f1_macro") -> Any:
    rows: Any = Rows()
    return finish(pool(trials, metric), rows, metric, seed=0)


def test_the_recipe_is_an_ensemble_where_that_is_better() -> None:
    recipes = finished([trial(number, proba_with(2.0, number)) for number in range(3)])
    assert recipes[0].classifier == "ensemble"
    assert len(recipes) == 4
    alone = max(recipe.metrics["f1_macro"] for recipe in recipes[1:])
    assert recipes[0].metrics["f1_macro"] > alone


def test_the_luckiest_of_many_trials_is_no_better_than_an_ensemble_of_equal_worth() -> None:
    """Of half of the rows nothing can be known: two trials say so, sixty decide at random."""
    taken, luckier = [], []
    for draw in range(10):
        rng = np.random.default_rng(draw)
        y_true, folds = rng.integers(0, 3, 300), np.arange(300) % N_FOLDS
        rows: Any = SimpleNamespace(y_true=y_true, fold_of_row=folds, sample_weight=None)
        known = np.arange(300) < 150
        trials = []
        for number, certainty in enumerate([0.9] * 60 + [0.34] * 2):
            decided = np.where(known, y_true, rng.integers(0, 3, 300))
            certain = np.where(known, 0.9, certainty)[:, None]
            proba = np.where(np.arange(3) == decided[:, None], certain, (1 - certain) / 2)
            metrics = compute_metrics(y_true, proba)
            trials.append(Trial(number, "svc", {"C": number}, metrics, oof=proba))
        first, second = finish(pool(trials, "accuracy"), rows, "accuracy", seed=0, most=2)
        taken.append(first.classifier == "ensemble")
        best = max(first, second, key=lambda recipe: recipe.metrics["accuracy"])
        luckier.append(best.metrics["accuracy"] > first.metrics["accuracy"] + best.spread / 5**0.5)
    assert sum(taken) >= 8
    assert sum(luckier) >= 5


def test_equal_models_are_not_an_ensemble() -> None:
    recipes = finished([trial(number, proba_with(1.0, 5)) for number in range(3)])
    assert [len(recipe.members) for recipe in recipes] == [1, 1, 1]


def test_overconfident_proba_are_calibrated_and_right_ones_are_not() -> None:
    wrong = proba_with(1.5, 3) ** 4
    wrong /= wrong.sum(axis=1, keepdims=True)
    (recipe,) = finished([trial(0, wrong, "log_loss")], "log_loss")
    assert recipe.method
    assert recipe.metrics["log_loss"] < 0.9 * log_loss(TRUTH, wrong)
    right = np.clip(recipe.calibrator.predict_proba(wrong), 1e-6, 1)
    (again,) = finished([trial(0, right, "log_loss")], "log_loss")
    assert not again.method


def test_weighted_classes_are_calibrated_where_a_threshold_undoes_the_weights() -> None:
    right = proba_with(3.0, 3)
    weighted = right * np.array([1, 9])  # as a classifier with balanced class weights has them
    weighted /= weighted.sum(axis=1, keepdims=True)
    (recipe,) = finished([trial(0, weighted)])
    (alone,) = finished([trial(0, right)])
    assert recipe.method
    assert recipe.threshold != 0.5
    assert recipe.metrics["log_loss"] < alone.metrics["log_loss"] + 0.01
    assert recipe.metrics["f1_macro"] > alone.metrics["f1_macro"] - 0.01


def test_sets_of_a_calibrated_recipe_are_made_from_what_it_will_answer() -> None:
    wrong = proba_with(1.5, 3) ** 4
    wrong /= wrong.sum(axis=1, keepdims=True)
    (recipe,) = finished([trial(0, wrong, "log_loss")], "log_loss")
    served = recipe.calibrator.predict_proba(wrong)
    assert recipe.method
    assert recipe.sets == calibrate(TRUTH, served)
    inside = in_sets(recipe.sets, served, 0.9)[np.arange(N_ROWS), TRUTH]
    for y in (0, 1):
        assert inside[y == TRUTH].mean() >= 0.9


def test_a_class_that_no_fold_validates_leaves_probabilities_uncalibrated() -> None:
    wrong = proba_with(1.5, 3) ** 4
    wrong = np.column_stack([wrong, np.full(N_ROWS, 1e-6)])
    wrong /= wrong.sum(axis=1, keepdims=True)
    (recipe,) = finished([trial(0, wrong, "log_loss")], "log_loss")
    assert not recipe.method


@pytest.mark.parametrize("metric", ["log_loss", "roc_auc", "brier"])
def test_objectives_of_proba_leave_the_threshold_alone(metric: str) -> None:
    (recipe,) = finished([trial(0, proba_with(1.5, 1), metric)], metric)
    assert recipe.threshold == 0.5


def test_a_bare_trial_keeps_its_metrics() -> None:
    one = trial(0, proba_with(1.5, 1))
    recipe = as_it_is(one)
    assert recipe.bare
    assert (recipe.metrics, recipe.spread) == (one.metrics, one.spread)


def test_real_trials_of_three_classes_end_in_recipes() -> None:
    table = prepare("iris", "", seed=42, say=lambda line: None)
    names = ["logistic_regression", "naive_bayes", "k_neighbors"]
    tasks = [Task(number, name, {}, "f1_macro", 0) for number, name in enumerate(names)]
    trials = [evaluate_configuration(task, table.folds) for task in tasks]
    recipes = finish(pool(trials, "f1_macro"), table.folds, "f1_macro", seed=0)
    assert all(recipe.metrics["f1_macro"] > 0.85 for recipe in recipes)
    assert all(recipe.threshold == 0.5 for recipe in recipes)
