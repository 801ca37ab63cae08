"""Prediction sets hold the true class as often as they say."""

import itertools
import json
from typing import Any

import numpy as np
import pytest

from custom_model.served.sets import calibrate, groups_for, in_sets


def draw(n_rows: int, seed: int, shares: tuple[float, ...] = (0.6, 0.3, 0.1)) -> Any:
    """Classes, and probabilities of a model that is too sure of itself."""
    rng = np.random.default_rng(seed)
    y_true = rng.choice(len(shares), n_rows, p=shares)
    scores = rng.normal(size=(n_rows, len(shares))) + 1.5 * np.eye(len(shares))[y_true]
    proba = np.exp(3 * scores)
    return y_true, proba / proba.sum(axis=1, keepdims=True)


def covered(y_true: np.ndarray, inside: np.ndarray) -> np.ndarray:
    return np.asarray(inside[np.arange(len(y_true)), y_true])


@pytest.mark.parametrize("coverage", [0.8, 0.9, 0.95])
def test_coverage_holds_on_fresh_rows_also_within_each_class(coverage: float) -> None:
    hits = np.zeros((20, 3))
    for seed in range(20):
        calibration = calibrate(*draw(1000, seed))
        y_true, proba = draw(4000, 1000 + seed)
        found = covered(y_true, in_sets(calibration, proba, coverage))
        hits[seed] = [found[y_true == y].mean() for y in range(3)]
    n_calibrated = 20 * 1000 * np.array([0.6, 0.3, 0.1])
    error = np.sqrt(coverage * (1 - coverage) / n_calibrated)
    assert (hits.mean(axis=0) > coverage - 2 * error).all()
    assert (hits.mean(axis=0) < coverage + 2 * error + 3 / 100).all()  # and sets are not too large


def test_more_coverage_has_larger_sets() -> None:
    calibration = calibrate(*draw(700, 1))
    proba = draw(300, 2)[1]
    nested = [in_sets(calibration, proba, c) for c in (0.01, 0.5, 0.555, 0.9, 0.95, 0.999, 0.9999)]
    for smaller, larger in itertools.pairwise(nested):
        assert (smaller <= larger).all()
    assert nested[-1].all()  # no 700 rows can promise this with less


def test_every_row_counts_up_to_the_largest_possible_coverage() -> None:
    y_true, proba = draw(120, 3, (1.0, 0.0))
    calibration = calibrate(y_true, proba)
    lowest = np.sort(proba[:, 0])[:2]
    rows = np.array([[lowest[0], 1 - lowest[0]], [lowest[1], 1 - lowest[1]]])
    assert in_sets(calibration, rows, 1 - 1 / 120)[:, 0].tolist() == [True, True]
    assert in_sets(calibration, rows - [[1e-6, 0]], 1 - 1 / 120)[:, 0].tolist() == [False, True]


def test_classes_of_few_rows_share_their_bounds() -> None:
    y_true = np.repeat([0, 1, 2, 3], [400, 40, 9, 25])
    proba = draw(474, 5, (0.25,) * 4)[1]
    calibration = calibrate(y_true, proba)
    assert [(g["classes"], g["rows"]) for g in groups_for(calibration, 0.9)] == [
        ([2, 3], 34),
        ([1], 40),
        ([0], 400),
    ]
    assert [g["classes"] for g in groups_for(calibration, 0.95)] == [[0, 1, 2, 3]]
    few = calibrate(np.repeat([0, 1], 10), proba[:20, :2])
    assert [g["classes"] for g in groups_for(few, 0.5)] == [[0, 1]]


def test_a_calibration_is_small_and_the_same_each_time() -> None:
    calibration = calibrate(*draw(200_000, 4))
    assert calibration == calibrate(*draw(200_000, 4)) == json.loads(json.dumps(calibration))
    assert sum(len(g["bounds"]) for g in [*calibration["groups"], calibration["pooled"]]) < 600
