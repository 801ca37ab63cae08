"""Resampled differences are those of scikit-learn's metrics, and their tests are exact."""

import numpy as np
import pytest

from tabular.stats.metrics import LOWER_IS_BETTER, METRICS, evaluate_one
from tabular.stats.paired import Paired, gain, mcnemar


def answers(n_rows: int, n_classes: int, strength: float, seed: int = 0) -> Paired:
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, n_classes, n_rows)
    shares = []
    for extra in (1.0, strength):
        scores = rng.normal(size=(n_rows, n_classes))
        scores[np.arange(n_rows), codes] += extra
        odds = np.exp(scores)
        shares.append(odds / odds.sum(axis=1, keepdims=True))
    return Paired(codes, *shares)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("n_classes", [2, 4])
def test_the_gain_is_the_difference_of_the_metric(metric: str, n_classes: int) -> None:
    paired = answers(150, n_classes, 1.4)
    found = gain(paired, metric, resamples=200, seed=0)
    one, other = (
        evaluate_one(metric, paired.codes, shares)
        for shares in (paired.champion, paired.challenger)
    )
    sign = -1 if metric in LOWER_IS_BETTER else 1
    assert found.value == pytest.approx(sign * (other - one), abs=1e-9)
    assert found.resampled.mean() == pytest.approx(found.value, abs=0.03)
    assert found.bound(0.95) < found.value


@pytest.mark.parametrize("metric", METRICS)
def test_a_resample_scores_as_the_metric_does(metric: str) -> None:
    paired = answers(60, 3, 1.4)
    found = gain(paired, metric, resamples=300, seed=3)
    rng = np.random.default_rng(1)
    by_hand = []
    for _ in range(300):
        rows = rng.integers(0, 60, 60)
        one, other = (
            evaluate_one(metric, paired.codes[rows], shares[rows])
            for shares in (paired.champion, paired.challenger)
        )
        by_hand.append((other - one) * (-1 if metric in LOWER_IS_BETTER else 1))
    assert np.nanstd(by_hand) == pytest.approx(found.resampled.std(), rel=0.2)


def test_the_same_seed_gives_the_same_evidence() -> None:
    paired = answers(100, 3, 1.2)
    one, other = (gain(paired, "f1_macro", resamples=100, seed=5) for _ in range(2))
    assert (one.resampled == other.resampled).all()
    assert one.p_value == other.p_value


def test_the_exact_test_of_a_few_rows_counts_every_swap() -> None:
    shares = np.eye(2)
    codes = np.zeros(6, dtype=int)
    right, wrong = shares[codes], shares[1 - codes]
    paired = Paired(codes, wrong, right)
    found = gain(paired, "accuracy", resamples=20_000, seed=0)
    assert found.value == 1.0
    assert found.p_value == pytest.approx(2**-6, abs=0.004)
    assert mcnemar(paired) == pytest.approx(2 * 2**-6)


def test_equal_answers_have_no_gain_and_no_evidence() -> None:
    paired = answers(50, 3, 1.0)
    same = Paired(paired.codes, paired.champion, paired.champion)
    found = gain(same, "f1_macro", resamples=100, seed=0)
    assert (found.value, found.p_value, mcnemar(same)) == (0.0, 1.0, 1.0)


def test_a_large_gain_is_certain() -> None:
    found = gain(answers(500, 3, 3.0), "f1_macro", resamples=1000, seed=0)
    assert found.p_value < 0.01
    assert found.bound(0.95) > 0.1
