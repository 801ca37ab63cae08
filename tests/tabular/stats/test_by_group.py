"""Rates by group and their gaps are those of fairlearn."""

import numpy as np
import pytest

from tabular.stats.by_group import DIFFERENCES, by_group, gaps
from tabular.stats.compute import compute_metrics
from tabular.stats.intervals import Estimate

DRAWS = {"confidence": 0.95, "resamples": 200, "seed": 0}


def rows(n_rows: int, n_classes: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(n_classes)
    groups = rng.choice(np.array(["sex = a", "sex = b", "sex = c"], dtype=object), n_rows)
    y_true = rng.integers(0, n_classes, n_rows)
    wrong = rng.random(n_rows) < np.where(groups == "sex = a", 0.1, 0.4)
    return y_true, np.where(wrong, rng.integers(0, n_classes, n_rows), y_true), groups


def test_gaps_of_a_small_case_by_hand() -> None:
    y_true = np.repeat([0, 1, 0, 1], 10)
    y_pred = np.repeat([0, 1, 0, 1, 0], [8, 2 + 9, 1 + 7, 3 + 4, 6])  # wrong: 2, 1, 3 and 6 of 10
    groups = np.repeat(np.array(["a", "b"], dtype=object), 20)
    found = gaps(y_true, y_pred, groups, ["no", "yes"], **DRAWS)
    values = {name: round(gap.value, 10) for name, gap in found.items()}
    assert values == {
        "demographic_parity": 0.2,  # 11 and 7 of 20
        "equal_opportunity": 0.5,  # 9 and 4 of 10
        "false_positive_rate": 0.1,  # 2 and 3 of 10
        "equalized_odds": 0.5,
    }
    assert found["equal_opportunity"].where == "recall is highest where a, lowest where b"
    assert all(gap.low <= gap.high for gap in found.values())


def test_gaps_are_those_of_fairlearn() -> None:
    fairlearn = pytest.importorskip("fairlearn.metrics")
    y_true, y_pred, groups = rows(400, 2)
    found = gaps(y_true, y_pred, groups, ["no", "yes"], **DRAWS)
    for name in ("demographic_parity", "equal_opportunity", "equalized_odds"):
        metric = getattr(fairlearn, f"{name}_difference")
        expected = metric(y_true, y_pred, sensitive_features=groups)
        assert found[name].value == pytest.approx(expected)


def test_of_more_classes_each_is_compared_with_the_rest() -> None:
    y_true, y_pred, groups = rows(600, 3)
    found = gaps(y_true, y_pred, groups, ["x", "y", "z"], **DRAWS)
    one_by_one = [
        gaps((y_true == c).astype(int), (y_pred == c).astype(int), groups, ["no", "yes"], **DRAWS)
        for c in range(3)
    ]
    for name in DIFFERENCES:
        assert found[name].value == pytest.approx(max(one[name].value for one in one_by_one))
    assert found["equal_opportunity"].rate in {"recall_x", "recall_y", "recall_z"}


def test_each_group_has_every_metric_and_rate_with_its_interval() -> None:
    y_true, y_pred, groups = rows(300, 2)
    groups[:290][groups[:290] == "sex = c"] = "sex = b"  # nearly nothing is left of the last
    groups[299] = "sex = c"
    parts = by_group(y_true, y_pred, np.eye(2)[y_pred], groups, ["no", "yes"], **DRAWS)
    assert [part.rows for part in parts] == sorted((part.rows for part in parts), reverse=True)
    assert [part.small for part in parts] == [False, False, True]
    for part in parts[:2]:
        inside = groups == part.name
        for name, value in compute_metrics(
            y_true[inside], np.eye(2)[y_pred[inside]], y_pred[inside]
        ).items():
            assert part.metrics[name].value == pytest.approx(value)
        rate = part.metrics["selection_rate"]
        assert rate.value == pytest.approx(y_pred[inside].mean())
        assert rate.low < rate.value < rate.high


def test_a_rate_of_few_rows_counts_in_no_gap() -> None:
    y_true, y_pred, groups = rows(200, 2)
    groups[:] = "a"
    groups[:9] = "b"
    assert gaps(y_true, y_pred, groups, ["no", "yes"], **DRAWS) == {}


def test_an_interval_of_a_gap_covers_the_gap_of_all_rows_about_as_often_as_stated() -> None:
    rng = np.random.default_rng(0)
    covered = 0
    for seed in range(200):
        groups = np.repeat(np.array(["a", "b"], dtype=object), 200)
        y_true = np.ones(400, dtype=int)
        y_pred = (rng.random(400) < np.where(groups == "a", 0.9, 0.6)).astype(int)
        gap = gaps(y_true, y_pred, groups, [0, 1], confidence=0.9, resamples=300, seed=seed)[
            "equal_opportunity"
        ]
        covered += gap.low <= 0.3 <= gap.high
    assert 170 <= covered <= 192
    assert isinstance(gap, Estimate)
