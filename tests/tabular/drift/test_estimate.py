"""The metrics of a table without labels: what they are by definition, what the interval holds."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit

from custom_model.served.columns import Column
from tabular.drift.density_ratio import density_ratio
from tabular.drift.estimate import AS_IT_IS, ESTIMATED, estimate_metrics, fit_calibration
from tabular.stats.compute import compute_metrics
from tabular.stats.metrics import METRICS
from tabular.stats.units import units_of

COLUMNS = (Column("x", "number"), Column("day", "date"), Column("c", "category"))


def case(n_rows: int, seed: int, slope: float = 1) -> tuple[np.ndarray, np.ndarray]:
    """True classes, and probabilities that are right with slope 1 and too sure with more."""
    rng = np.random.default_rng(seed)
    logit = rng.normal(0, 1.5, n_rows)
    y_true = (rng.random(n_rows) < expit(logit)).astype(int)
    p = expit(slope * logit)
    return y_true, np.column_stack([1 - p, p])


def test_the_estimate_is_that_of_the_expected_confusion_matrix() -> None:
    proba = np.array([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8], [0.3, 0.7]])
    costs = np.array([[0, 1], [5, 0]])
    found = estimate_metrics(proba.argmax(axis=1), proba, costs=costs, draws=50)
    assert found["accuracy"].value == pytest.approx(np.mean([0.9, 0.6, 0.8, 0.7]))
    assert found["cost"].value == pytest.approx((0.1 * 5 + 0.4 * 5 + 0.2 + 0.3) / 4)
    entropy = -(proba * np.log(proba)).sum(axis=1).mean()
    assert found["log_loss"].value == pytest.approx(entropy)
    f1 = [2 * 1.5 / (2 + 2), 2 * 1.5 / (2 + 2)]
    assert found["f1_macro"].value == pytest.approx(np.mean(f1))
    assert list(found) == [name for name in METRICS if name in ESTIMATED]


@pytest.mark.parametrize("n_classes", [2, 3, 30])
def test_with_certain_probabilities_the_metrics_are_those_of_the_labels(n_classes: int) -> None:
    rng = np.random.default_rng(0)
    y_true = np.arange(20 * n_classes) % n_classes
    y_pred = np.where(rng.random(len(y_true)) < 0.8, y_true, (y_true + 1) % n_classes)
    proba = np.eye(n_classes)[y_true] * (1 - 1e-9) + 1e-9 / n_classes
    true = compute_metrics(y_true, proba, y_pred)
    found = estimate_metrics(y_pred, proba, draws=20)
    assert {name: one.value for name, one in found.items()} == pytest.approx(
        {name: true[name] for name in found}, abs=0.01
    )


def test_probabilities_that_are_too_sure_are_calibrated_on_the_holdout() -> None:
    y_before, before = case(4000, 1, slope=3)
    y_true, proba = case(4000, 2, slope=3)
    calibration = fit_calibration(y_before, before, np.ones(4000))
    assert np.exp(calibration.centre[0]) == pytest.approx(1 / 3, rel=0.1)
    y_pred = proba.argmax(axis=1)
    true = compute_metrics(y_true, proba, y_pred)["accuracy"]
    found = estimate_metrics(y_pred, proba, calibration)["accuracy"]
    assert found.low < true < found.high
    assert found.high - found.low < 0.06
    naive = estimate_metrics(y_pred, proba, AS_IT_IS)["accuracy"]
    assert naive.low > true + 0.05


@pytest.mark.parametrize(("n_before", "n_rows"), [(80, 300), (400, 100), (1000, 1000)])
def test_the_interval_holds_the_metrics(n_before: int, n_rows: int) -> None:
    held = []
    for seed in range(40):
        y_before, before = case(n_before, 1000 + seed, slope=1.5)
        y_true, proba = case(n_rows, 2000 + seed, slope=1.5)
        y_pred = proba.argmax(axis=1)
        calibration = fit_calibration(y_before, before, np.ones(n_before))
        found = estimate_metrics(y_pred, proba, calibration, draws=200, seed=seed)
        true = compute_metrics(y_true, proba, y_pred)
        names = ("accuracy", "f1_macro", "log_loss")
        held += [found[name].low <= true[name] <= found[name].high for name in names]
    assert np.mean(held) > 0.9


def test_fewer_held_out_rows_give_a_wider_interval() -> None:
    _, proba = case(2000, 2)
    widths = []
    for n_rows in (50, 500, 5000):
        calibration = fit_calibration(*case(n_rows, 1), np.ones(n_rows))
        one = estimate_metrics(proba.argmax(axis=1), proba, calibration, draws=200)["accuracy"]
        widths.append(one.high - one.low)
    assert widths[0] > 1.5 * widths[1] > 2 * widths[2]


def test_a_shifted_table_is_calibrated_on_the_rows_that_are_like_it() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=6000)
    truth = np.where(x > 0.5, 0.55, 0.9)  # the model says 0.8 everywhere
    y = (rng.random(6000) < truth).astype(int)
    proba = np.tile([0.2, 0.8], (6000, 1))
    now = rng.normal(2, 0.5, 1500)
    likeness = density_ratio(pd.DataFrame({"x": x}), pd.DataFrame({"x": now}), COLUMNS[:1], seed=0)
    y_pred, there = np.ones(1500, dtype=int), np.tile([0.2, 0.8], (1500, 1))
    found = estimate_metrics(y_pred, there, fit_calibration(y, proba, likeness))["accuracy"]
    assert found.value == pytest.approx(0.56, abs=0.05)
    assert found.low < 0.55 < found.high
    unaware = estimate_metrics(y_pred, there, fit_calibration(y, proba, np.ones(6000)))["accuracy"]
    assert unaware.low > 0.7


def test_a_group_counts_no_more_than_one_row_and_a_weight_as_often_as_it_says() -> None:
    y_true, proba = case(40, 3)
    y_pred = proba.argmax(axis=1)
    times = np.repeat(np.arange(40), 5)
    alone = estimate_metrics(y_pred, proba)
    grouped = estimate_metrics(y_pred[times], proba[times], units=units_of(200, times))
    weighed = estimate_metrics(y_pred, proba, units=units_of(40, None, np.full(40, 5.0)))
    independent = estimate_metrics(y_pred[times], proba[times])
    for name, one in alone.items():
        for other in (grouped[name], weighed[name]):
            assert (other.value, other.low, other.high) == pytest.approx(
                (one.value, one.low, one.high), abs=0.06
            )
    width = independent["accuracy"].high - independent["accuracy"].low
    assert width < 0.6 * (grouped["accuracy"].high - grouped["accuracy"].low)
    calibration = fit_calibration(y_true[times], proba[times], np.ones(200), groups=times)
    assert calibration.covariance == pytest.approx(
        fit_calibration(y_true, proba, np.ones(40)).covariance, rel=0.01
    )


def frame(n_rows: int, shift: float, seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    days = pd.Timestamp("2024-01-01") + pd.to_timedelta(rng.integers(0, 99, n_rows), "D")
    x = pd.Series(rng.normal(shift, 1, n_rows)).mask(rng.random(n_rows) < 0.1)
    day = pd.Series(days).astype("datetime64[us]").mask(rng.random(n_rows) < 0.1)
    return pd.DataFrame({"x": x, "day": day, "c": rng.choice(["a", "b"], n_rows)})


def test_rows_that_are_more_frequent_in_the_other_table_have_a_higher_ratio() -> None:
    before = frame(2000, 0, 1)
    alike = density_ratio(before, frame(2000, 0, 2), COLUMNS, seed=0)
    moved = density_ratio(before, frame(2000, 1, 2), COLUMNS, seed=0)
    assert alike.mean() == pytest.approx(1) and moved.mean() == pytest.approx(1)
    assert alike.std() < 0.4
    known = before["x"].notna().to_numpy()
    expected = np.exp(before["x"].to_numpy()[known] - 0.5)
    assert np.corrcoef(np.log(moved[known]), np.log(expected))[0, 1] > 0.85


@pytest.mark.parametrize(
    ("n_rows", "n_others", "columns"), [(5, 500, COLUMNS), (500, 5, COLUMNS), (500, 500, ())]
)
def test_of_too_little_all_rows_are_alike(n_rows: int, n_others: int, columns: Any) -> None:
    ratio = density_ratio(frame(n_rows, 0, 1), frame(n_others, 1, 2), columns, seed=0)
    assert ratio.tolist() == [1] * n_rows
