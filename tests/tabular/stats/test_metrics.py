"""Metrics by the names that versions carry."""

import numpy as np
import pytest

from tabular.stats.metrics import (
    METRICS,
    evaluate,
    evaluate_one,
    f1_per_class,
    metric_names,
    predicted,
)

CODES = np.array([0, 0, 1, 1, 2, 2])
SHARES = np.array(
    [
        [0.8, 0.1, 0.1],
        [0.4, 0.5, 0.1],
        [0.1, 0.8, 0.1],
        [0.2, 0.6, 0.2],
        [0, 0.1, 0.9],
        [0, 0.3, 0.7],
    ]
)


def test_every_metric_is_there_and_right_on_a_small_case() -> None:
    found = evaluate(CODES, SHARES)
    assert list(found) == list(METRICS)
    assert found["accuracy"] == pytest.approx(5 / 6)
    assert found["f1_macro"] == pytest.approx((2 / 3 + 4 / 5 + 1) / 3)
    assert found["balanced_accuracy"] == found["recall_macro"] == pytest.approx(5 / 6)
    expected = -np.log([0.8, 0.4, 0.8, 0.6, 0.9, 0.7]).mean()
    assert found["log_loss"] == pytest.approx(expected)
    assert found["roc_auc"] == pytest.approx(1.0)
    one_hot = np.eye(3)[CODES]
    assert found["brier"] == pytest.approx(((SHARES - one_hot) ** 2).sum(axis=1).mean())


def test_an_undefined_metric_is_left_out_and_not_zero() -> None:
    found = evaluate(CODES[:4], SHARES[:4])
    assert "roc_auc" not in found
    assert "log_loss" in found


def test_two_classes_use_the_second_one() -> None:
    shares = np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]])
    assert evaluate_one("roc_auc", np.array([0, 1, 1]), shares) == 1.0
    assert evaluate_one("brier", np.array([0, 1, 1]), shares) == pytest.approx(
        (0.01 + 0.04 + 0.36) / 3
    )


def test_the_first_of_equals_is_predicted() -> None:
    assert predicted(np.array([[0.5, 0.5], [0.2, 0.8]])).tolist() == [0, 1]


def test_f1_per_class_leaves_out_classes_without_rows() -> None:
    scores = f1_per_class(CODES[:4], predicted(SHARES[:4]), ["a", "b", "c"])
    assert scores == {"f1_class_a": pytest.approx(2 / 3), "f1_class_b": pytest.approx(4 / 5)}


def test_names_of_classes_become_names_that_mlflow_takes() -> None:
    assert metric_names(["a&b", "a_b", "<=50K", 1, True]) == ["a_b", "a_b_", "__50K", "1", "True"]


def test_a_long_name_of_a_class_is_cut() -> None:
    names = metric_names(["x" * 400, "x" * 500])
    assert len(set(names)) == 2
    assert max(map(len, names)) < 200
