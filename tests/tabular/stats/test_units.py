"""A row of weight 2 is the row twice, and the rows of a group are drawn and swapped together."""

from typing import Any

import numpy as np
import pytest

from tabular.stats.by_class import f1_per_class
from tabular.stats.compute import compute_metrics
from tabular.stats.intervals import estimates
from tabular.stats.metrics import METRICS
from tabular.stats.paired import Paired, gain, mcnemar
from tabular.stats.units import units_of

COSTS = np.array([[0.0, 1, 2], [5, 0, 1], [3, 4, 0]])


def rows(n_rows: int, n_classes: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    y_true = rng.integers(0, n_classes, n_rows)
    one, other = (np.exp(rng.normal(size=(n_rows, n_classes))).round(1) + 0.1 for _ in range(2))
    one[np.arange(n_rows), y_true] += 1
    return y_true, one / one.sum(1, keepdims=True), other / other.sum(1, keepdims=True)


def assert_equal(one: object, other: object) -> None:
    np.testing.assert_allclose(np.array(one), np.array(other), rtol=0, atol=1e-9)


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("seed", range(4))
def test_a_row_of_weight_2_is_the_row_twice_in_every_metric(n_classes: int, seed: int) -> None:
    y_true, proba, _ = rows(40, n_classes, seed)
    times = np.random.default_rng(seed).integers(1, 4, 40)
    costs = COSTS[:n_classes, :n_classes]
    weighted = compute_metrics(y_true, proba, costs=costs, sample_weight=times.astype(float))
    repeated = compute_metrics(y_true.repeat(times), proba.repeat(times, axis=0), costs=costs)
    assert weighted.keys() == repeated.keys() == METRICS.keys()
    assert_equal(list(weighted.values()), list(repeated.values()))
    y_pred, labels = proba.argmax(axis=1), list("abc"[:n_classes])
    by_class = f1_per_class(y_true, y_pred, labels, times.astype(float))
    again = f1_per_class(y_true.repeat(times), y_pred.repeat(times), labels)
    assert by_class == pytest.approx(again, abs=1e-9)


def test_what_is_undefined_of_the_rows_twice_is_undefined_of_weights() -> None:
    proba = np.array([[0.3, 0.7], [0.2, 0.8]])
    one_class = np.ones(2, dtype=int)
    weighted = compute_metrics(one_class, proba, sample_weight=np.array([2.0, 1]))
    repeated = compute_metrics(one_class.repeat([2, 1]), proba.repeat([2, 1], axis=0))
    assert weighted == pytest.approx(repeated)
    assert "roc_auc" not in weighted
    assert compute_metrics(one_class, proba, sample_weight=np.zeros(2)) == {}


def test_the_intervals_of_weights_are_those_of_rows_repeated_in_a_group() -> None:
    y_true, proba, _ = rows(60, 3)
    times = np.random.default_rng(1).integers(1, 4, 60)
    options: dict[str, Any] = {"confidence": 0.9, "resamples": 300, "seed": 3, "costs": COSTS}
    y_pred = proba.argmax(axis=1)
    weighted, classes = estimates(
        y_true, y_pred, proba, 3, sample_weight=times.astype(float), **options
    )
    y_true, y_pred, proba, groups = (
        part.repeat(times, axis=0) for part in (y_true, y_pred, proba, np.arange(60))
    )
    repeated, again_classes = estimates(y_true, y_pred, proba, 3, groups=groups, **options)
    for name in METRICS:
        one, other = weighted[name], repeated[name]
        assert_equal([one.value, one.low, one.high], [other.value, other.low, other.high])
    for of_class, other_class in zip(classes, again_classes, strict=True):
        for one, other in (
            (of_class.recall, other_class.recall),
            (of_class.precision, other_class.precision),
            (of_class.f1, other_class.f1),
        ):
            assert_equal([one.value, one.low, one.high], [other.value, other.low, other.high])


@pytest.mark.parametrize("metric", METRICS)
def test_the_gain_of_weights_is_that_of_rows_repeated_in_a_group(metric: str) -> None:
    y_true, one, other = rows(40, 3)
    times = np.random.default_rng(2).integers(1, 4, 40)
    weighted = Paired(y_true, one, other, costs=COSTS, sample_weight=times.astype(float))
    y_true, one, other, groups = (
        part.repeat(times, axis=0) for part in (y_true, one, other, np.arange(40))
    )
    repeated = Paired(y_true, one, other, costs=COSTS, groups=groups)
    gains = [gain(paired, metric, resamples=200, seed=1) for paired in (weighted, repeated)]
    assert gains[0].p_value == gains[1].p_value
    assert_equal(gains[0].value, gains[1].value)
    assert_equal(gains[0].resampled, gains[1].resampled)
    assert mcnemar(weighted) == mcnemar(repeated)


@pytest.mark.parametrize("n_rows", [20, 200])
def test_groups_of_one_row_are_no_groups(n_rows: int) -> None:
    y_true, one, other = rows(n_rows, 3, seed=5)
    alone = Paired(y_true, one, other)
    grouped = Paired(y_true, one, other, groups=np.arange(n_rows))
    assert mcnemar(grouped) == pytest.approx(mcnemar(alone), abs=0.01)
    p_values = [gain(p, "f1_macro", resamples=2000, seed=0).p_value for p in (alone, grouped)]
    assert p_values[0] == pytest.approx(p_values[1], abs=0.05)
    options: dict[str, Any] = {"confidence": 0.9, "resamples": 1000, "seed": 0}
    y_pred = one.argmax(axis=1)
    by_row, _ = estimates(y_true, y_pred, one, 3, **options)
    by_group, _ = estimates(y_true, y_pred, one, 3, groups=np.arange(n_rows), **options)
    for name, estimate in by_row.items():
        unit = 10 if name == "lift_10" else 1
        assert by_group[name].low == pytest.approx(estimate.low, abs=0.06 * unit), name
        assert by_group[name].high == pytest.approx(estimate.high, abs=0.06 * unit), name


def test_copies_of_a_row_in_one_group_make_nothing_surer() -> None:
    y_true, one, other = rows(50, 2, seed=7)
    again = [part.repeat(10, axis=0) for part in (y_true, one, other, np.arange(50))]
    few = Paired(y_true, one, other)
    many = Paired(again[0], again[1], again[2], groups=again[3])
    for metric in ("accuracy", "log_loss", "roc_auc"):
        gained = [gain(p, metric, resamples=1000, seed=0) for p in (few, many)]
        assert gained[0].value == pytest.approx(gained[1].value)
        assert gained[0].resampled.std() == pytest.approx(gained[1].resampled.std(), rel=0.15)
        assert gained[0].p_value == pytest.approx(gained[1].p_value, abs=0.05)
    options: dict[str, Any] = {"confidence": 0.95, "resamples": 100, "seed": 0}
    y_pred = again[1].argmax(axis=1)
    grouped, _ = estimates(again[0], y_pred, again[1], 2, groups=again[3], **options)
    alone, _ = estimates(y_true, one.argmax(axis=1), one, 2, **options)
    for end in ("low", "high"):
        ends = [getattr(found["accuracy"], end) for found in (grouped, alone)]
        assert ends[0] == pytest.approx(ends[1], abs=0.01)


def test_the_exact_test_of_a_few_groups_counts_every_change_of_sides() -> None:
    y_true = np.zeros(60, dtype=int)
    right, wrong = np.eye(2)[y_true], np.eye(2)[1 - y_true]
    paired = Paired(y_true, wrong, right, groups=np.arange(60) // 10)
    assert mcnemar(paired) == 2 * 2**-6
    assert gain(paired, "accuracy", resamples=20_000, seed=0).p_value == pytest.approx(
        2**-6, abs=0.004
    )


def test_all_right_or_all_wrong_has_the_interval_of_the_groups() -> None:
    units = units_of(100, groups=np.arange(100) // 10)
    assert units is not None
    every = np.ones(100, dtype=bool)
    assert units.effective_rows(every, every) == (1.0, 10.0)
