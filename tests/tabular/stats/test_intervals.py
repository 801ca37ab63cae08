"""Intervals hold what they promise, and their resamples are those of scikit-learn's metrics."""

import math

import numpy as np
import pytest
from scipy.stats import binomtest

from tabular.stats.compute import compute_metric, compute_metrics, predicted
from tabular.stats.intervals import Estimate, estimates, interval, wilson
from tabular.stats.metrics import METRICS

WITHOUT_COSTS = [name for name in METRICS if name != "cost"]


def predictions(n_rows: int, n_classes: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    y_true = rng.integers(0, n_classes, n_rows)
    scores = rng.normal(size=(n_rows, n_classes))
    scores[np.arange(n_rows), y_true] += 1.2
    odds = np.exp(scores)
    return y_true, odds / odds.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("n_classes", [2, 4])
def test_values_are_those_of_the_metrics_and_lie_in_their_intervals(n_classes: int) -> None:
    y_true, proba = predictions(300, n_classes)
    metrics, _ = estimates(
        y_true, predicted(proba), proba, n_classes, confidence=0.95, resamples=300, seed=0
    )
    assert list(metrics) == WITHOUT_COSTS
    for name, value in compute_metrics(y_true, proba).items():
        assert metrics[name].value == pytest.approx(value)
        assert metrics[name].low < value < metrics[name].high


@pytest.mark.parametrize("metric", WITHOUT_COSTS)
def test_an_interval_is_that_of_rows_drawn_with_replacement(metric: str) -> None:
    y_true, proba = predictions(80, 3)
    metrics, _ = estimates(
        y_true, predicted(proba), proba, 3, confidence=0.9, resamples=4000, seed=0
    )
    rng = np.random.default_rng(1)
    drawn = []
    for _ in range(400):
        rows = rng.integers(0, 80, 80)
        drawn.append(compute_metric(metric, y_true[rows], proba[rows]))
    by_hand = interval(0.0, np.array(drawn), 0.9)
    width = by_hand.high - by_hand.low
    assert metrics[metric].low == pytest.approx(by_hand.low, abs=0.25 * width)
    assert metrics[metric].high == pytest.approx(by_hand.high, abs=0.25 * width)


def test_intervals_cover_the_true_value_about_as_often_as_stated() -> None:
    rng = np.random.default_rng(3)
    covered = {"f1_macro": 0, "accuracy": 0}
    for _ in range(200):
        y_true = np.arange(150) % 2
        y_pred = np.where(rng.random(150) < 0.8, y_true, 1 - y_true)  # true macro-F1 is 0.8
        metrics, _ = estimates(y_true, y_pred, None, 2, confidence=0.9, resamples=400, seed=0)
        for name in covered:
            covered[name] += metrics[name].low <= 0.8 <= metrics[name].high
    assert all(170 <= times <= 192 for times in covered.values()), covered


def test_predictions_without_an_error_have_an_interval_only_where_resamples_differ() -> None:
    y_true = np.array([0, 1] * 10)
    metrics, classes = estimates(y_true, y_true, None, 2, confidence=0.95, resamples=200, seed=0)
    assert metrics["f1_macro"].value == 1
    assert math.isnan(metrics["f1_macro"].low)
    assert metrics["accuracy"].low == pytest.approx(0.839, abs=0.001)
    assert classes[0].recall.high == pytest.approx(1)


def test_a_share_of_no_rows_is_undefined() -> None:
    assert math.isnan(wilson(0, 0, 0.9).value)


@pytest.mark.parametrize("rows", [1, 7, 10, 1000])
def test_the_interval_of_a_share_is_that_of_scipy(rows: int) -> None:
    for count in range(0, rows + 1, max(1, rows // 10)):
        ends = binomtest(count, rows).proportion_ci(0.95, method="wilson")
        found = wilson(count, rows, 0.95)
        assert (found.low, found.high) == pytest.approx((ends.low, ends.high), abs=1e-14)
    assert (wilson(0, rows, 0.95).low, wilson(rows, rows, 0.95).high) == (0, 1)


def test_very_many_rows_are_drawn_less_often(monkeypatch: pytest.MonkeyPatch) -> None:
    from tabular.stats import intervals

    monkeypatch.setattr(intervals, "MOST_CELLS", 100_000)
    y_true, proba = predictions(400, 3)
    metrics, _ = estimates(
        y_true, predicted(proba), proba, 3, confidence=0.9, resamples=1000, seed=0
    )
    assert math.isnan(metrics["roc_auc"].low)
    assert metrics["log_loss"].low < metrics["log_loss"].value < metrics["log_loss"].high


def test_an_estimate_without_an_interval_names_its_value_alone() -> None:
    whole, bare = Estimate(0.5, 0.25, 0.75), Estimate(0.5)
    assert whole.named("f1") == {"f1": 0.5, "f1_low": 0.25, "f1_high": 0.75}
    assert (whole.between(".1%"), bare.between(".1%")) == ("25.0% to 75.0%", "")
    assert bare.named("f1") == {"f1": 0.5}
    assert Estimate(math.nan).named("f1") == {}
