"""Intervals hold what they promise, and their resamples are those of scikit-learn's metrics."""

import math

import numpy as np
import pytest
from scipy.stats import binomtest

from tabular.stats.intervals import _sorted, _weighted, estimates, interval, wilson
from tabular.stats.metrics import METRICS, evaluate, evaluate_one, predicted


def answers(n_rows: int, n_classes: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, n_classes, n_rows)
    scores = rng.normal(size=(n_rows, n_classes))
    scores[np.arange(n_rows), codes] += 1.2
    odds = np.exp(scores)
    return codes, odds / odds.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("n_classes", [2, 4])
def test_values_are_those_of_the_metrics_and_lie_in_their_intervals(n_classes: int) -> None:
    codes, shares = answers(300, n_classes)
    found, _ = estimates(
        codes, predicted(shares), shares, n_classes, confidence=0.95, resamples=300, seed=0
    )
    assert list(found) == list(METRICS)
    for name, value in evaluate(codes, shares).items():
        assert found[name].value == pytest.approx(value)
        assert found[name].low < value < found[name].high


@pytest.mark.parametrize("metric", METRICS)
def test_an_interval_is_that_of_rows_drawn_with_replacement(metric: str) -> None:
    codes, shares = answers(80, 3)
    found, _ = estimates(
        codes, predicted(shares), shares, 3, confidence=0.9, resamples=4000, seed=0
    )
    rng = np.random.default_rng(1)
    drawn = []
    for _ in range(400):
        rows = rng.integers(0, 80, 80)
        drawn.append(evaluate_one(metric, codes[rows], shares[rows]))
    by_hand = interval(0.0, np.array(drawn), 0.9)
    width = by_hand.high - by_hand.low
    assert found[metric].low == pytest.approx(by_hand.low, abs=0.25 * width)
    assert found[metric].high == pytest.approx(by_hand.high, abs=0.25 * width)


def test_intervals_cover_the_true_value_about_as_often_as_stated() -> None:
    rng = np.random.default_rng(3)
    covered = {"f1_macro": 0, "accuracy": 0}
    for _ in range(200):
        codes = np.arange(150) % 2
        said = np.where(rng.random(150) < 0.8, codes, 1 - codes)  # true macro-F1 is 0.8
        found, _ = estimates(codes, said, None, 2, confidence=0.9, resamples=400, seed=0)
        for name in covered:
            covered[name] += found[name].low <= 0.8 <= found[name].high
    assert all(170 <= times <= 192 for times in covered.values()), covered


def test_the_area_counts_equal_scores_by_half() -> None:
    codes, shares = answers(200, 2)
    shares = np.stack([1 - shares[:, 1].round(1), shares[:, 1].round(1)], axis=1)
    order, starts, inside = _sorted(shares[:, 1], codes == 1)
    from tabular.stats.intervals import _areas

    area = _areas(np.ones((1, 200)), order, starts, inside)[0]
    assert area == pytest.approx(evaluate_one("roc_auc", codes, shares))


def test_answers_without_an_error_have_an_interval_only_where_one_can_be_told() -> None:
    codes = np.array([0, 1] * 10)
    found, classes = estimates(codes, codes, None, 2, confidence=0.95, resamples=200, seed=0)
    assert found["f1_macro"].value == 1
    assert math.isnan(found["f1_macro"].low)
    assert found["accuracy"].low == pytest.approx(0.839, abs=0.001)
    assert classes[0].recall.high == pytest.approx(1)


def test_wilson_is_that_of_scipy() -> None:
    for hits, rows in ((0, 10), (3, 10), (990, 1000)):
        expected = binomtest(hits, rows).proportion_ci(0.9, method="wilson")
        found = wilson(hits, rows, 0.9)
        assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    assert math.isnan(wilson(0, 0, 0.9).value)


def test_very_many_rows_are_drawn_less_often(monkeypatch: pytest.MonkeyPatch) -> None:
    from tabular.stats import intervals

    monkeypatch.setattr(intervals, "MOST_CELLS", 100_000)
    codes, shares = answers(400, 3)
    drawn = _weighted(codes, shares, 1000, np.random.default_rng(0))
    assert {len(values) for values in drawn.values()} == {intervals.FEWEST_RESAMPLES}
    assert set(drawn) == {"log_loss", "brier"}
