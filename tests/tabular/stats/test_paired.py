"""Resampled differences are those of scikit-learn's metrics, and their tests are exact."""

import numpy as np
import pytest

from tabular.stats.compute import compute_metric
from tabular.stats.metrics import METRICS, sign
from tabular.stats.paired import Paired, gain, mcnemar

WITHOUT_COSTS = [name for name in METRICS if name != "cost"]


def predictions(n_rows: int, n_classes: int, strength: float, seed: int = 0) -> Paired:
    rng = np.random.default_rng(seed)
    y_true = rng.integers(0, n_classes, n_rows)
    proba = []
    for extra in (1.0, strength):
        scores = rng.normal(size=(n_rows, n_classes))
        scores[np.arange(n_rows), y_true] += extra
        odds = np.exp(scores)
        proba.append(odds / odds.sum(axis=1, keepdims=True))
    return Paired(y_true, *proba)


@pytest.mark.parametrize("metric", WITHOUT_COSTS)
@pytest.mark.parametrize("n_classes", [2, 4])
def test_the_gain_is_the_difference_of_the_metric(metric: str, n_classes: int) -> None:
    paired = predictions(150, n_classes, 1.4)
    gained = gain(paired, metric, resamples=200, seed=0)
    one, other = (
        compute_metric(metric, paired.y_true, proba)
        for proba in (paired.champion, paired.challenger)
    )
    assert gained.value == pytest.approx(sign(metric) * (other - one), abs=1e-9)
    unit = 3 if metric == "lift_10" else 1
    assert gained.resampled.mean() == pytest.approx(gained.value, abs=0.03 * unit)
    assert gained.bound(0.95) < gained.value


@pytest.mark.parametrize("metric", WITHOUT_COSTS)
def test_a_resample_scores_as_the_metric_does(metric: str) -> None:
    paired = predictions(60, 3, 1.4)
    gained = gain(paired, metric, resamples=300, seed=3)
    rng = np.random.default_rng(1)
    by_hand = []
    for _ in range(300):
        rows = rng.integers(0, 60, 60)
        one, other = (
            compute_metric(metric, paired.y_true[rows], proba[rows])
            for proba in (paired.champion, paired.challenger)
        )
        by_hand.append((other - one) * sign(metric))
    assert np.nanstd(by_hand) == pytest.approx(gained.resampled.std(), rel=0.2)


def test_the_same_seed_gives_the_same_evidence() -> None:
    paired = predictions(100, 3, 1.2)
    one, other = (gain(paired, "f1_macro", resamples=100, seed=5) for _ in range(2))
    assert (one.resampled == other.resampled).all()
    assert one.p_value == other.p_value


def test_the_exact_test_of_a_few_rows_counts_every_swap() -> None:
    proba = np.eye(2)
    y_true = np.zeros(6, dtype=int)
    right, wrong = proba[y_true], proba[1 - y_true]
    paired = Paired(y_true, wrong, right)
    gained = gain(paired, "accuracy", resamples=20_000, seed=0)
    assert gained.value == 1.0
    assert gained.p_value == pytest.approx(2**-6, abs=0.004)
    assert mcnemar(paired) == pytest.approx(2 * 2**-6)


def test_equal_predictions_have_no_gain_and_no_evidence() -> None:
    paired = predictions(50, 3, 1.0)
    same = Paired(paired.y_true, paired.champion, paired.champion)
    gained = gain(same, "f1_macro", resamples=100, seed=0)
    assert (gained.value, gained.p_value, mcnemar(same)) == (0.0, 1.0, 1.0)


def test_a_large_gain_is_certain() -> None:
    gained = gain(predictions(500, 3, 3.0), "f1_macro", resamples=1000, seed=0)
    assert gained.p_value < 0.01
    assert gained.bound(0.95) > 0.1


def test_an_undefined_metric_has_no_evidence() -> None:
    paired = predictions(60, 3, 3.0)
    few = paired.y_true < 2
    same = Paired(paired.y_true[few], paired.champion[few], paired.challenger[few])
    gained = gain(same, "roc_auc", resamples=100, seed=0, level=0.01)
    assert np.isnan(gained.value) and np.isnan(gained.bound(0.95))
    assert gained.p_value == 1.0


def test_equal_scores_count_half_in_every_resample_of_the_area() -> None:
    y_true = np.array([0, 0, 1, 1])
    blind, sharp = np.full((4, 2), 0.5), np.eye(2)[y_true]
    gained = gain(Paired(y_true, blind, sharp), "roc_auc", resamples=200, seed=0)
    assert gained.value == 0.5
    assert (gained.resampled == 0.5).all()
