"""What predictions cost, and that decisions are those of least expected cost."""

import numpy as np
import pytest

from custom_model.served.sets import decide_classes, threshold_of
from tabular.stats.compute import compute_metric, compute_metrics, predicted
from tabular.stats.costs import align_costs, alternatives, describe_costs
from tabular.stats.intervals import Estimate, estimates
from tabular.stats.paired import Paired, gain

COSTS = np.array([[0.0, 2, 7], [1, 0, 3], [9, 4, -1]])


def rows(n_rows: int, n_classes: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(n_classes)
    y_true = rng.integers(0, n_classes, n_rows)
    odds = rng.gamma(0.5, size=(n_rows, n_classes)) + 1e-9
    odds[np.arange(n_rows), y_true] += 0.4
    return y_true, odds / odds.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("n_classes", [2, 3, 7])
def test_the_decision_is_that_of_every_label_tried(n_classes: int) -> None:
    rng = np.random.default_rng(0)
    _, proba = rows(500, n_classes)
    costs = rng.exponential(size=(n_classes, n_classes)) * (1 - np.eye(n_classes))
    costs -= np.diag(rng.random(n_classes))
    by_hand = [
        min(range(n_classes), key=lambda label: sum(p * costs[y, label] for y, p in enumerate(row)))
        for row in proba.tolist()
    ]
    assert predicted(proba, costs=costs).tolist() == by_hand


def test_the_decision_for_a_row_does_not_depend_on_the_others() -> None:
    _, proba = rows(300, 3)
    proba = proba.round(1)  # many are equal
    together = decide_classes(proba, costs=COSTS)
    assert [decide_classes(row[None], costs=COSTS)[0] for row in proba] == together.tolist()


def test_the_threshold_of_two_classes_is_the_point_of_equal_costs() -> None:
    assert threshold_of(np.array([[0, 1], [9, 0]])) == pytest.approx(0.1)
    assert threshold_of(np.array([[0, 10], [100, 10]])) == pytest.approx(0.1)  # 10 for any "yes"
    assert threshold_of(np.array([[0, 0], [1, 0]])) == 0
    assert threshold_of(None) == threshold_of(COSTS) == 0.5


def test_the_cost_is_the_mean_over_the_rows_with_its_interval() -> None:
    y_true, proba = rows(300, 3)
    y_pred = predicted(proba, costs=COSTS)
    expected = np.mean([COSTS[true, pred] for true, pred in zip(y_true, y_pred, strict=True)])
    assert compute_metrics(y_true, proba, costs=COSTS)["cost"] == pytest.approx(expected)
    options = {"confidence": 0.95, "resamples": 1000, "seed": 0}
    metrics, _ = estimates(y_true, y_pred, proba, 3, costs=COSTS, **options)
    error = COSTS[y_true, y_pred].std() / np.sqrt(300)
    assert metrics["cost"].low == pytest.approx(expected - 1.96 * error, abs=0.3 * error)
    assert metrics["cost"].high == pytest.approx(expected + 1.96 * error, abs=0.3 * error)
    assert "cost" not in compute_metrics(y_true, proba)


def test_a_lower_cost_is_a_gain_and_its_test_is_that_of_the_paired_rows() -> None:
    y_true, proba = rows(400, 3)
    before, after = predicted(proba), predicted(proba, costs=COSTS)
    gained = gain(Paired(y_true, proba, proba, before, after, COSTS), "cost", resamples=500, seed=0)
    differences = COSTS[y_true, before] - COSTS[y_true, after]
    assert gained.value == pytest.approx(differences.mean())
    assert gained.resampled.std() == pytest.approx(differences.std() / 20, rel=0.2)
    assert gained.value > 0


def test_alternatives_are_one_class_for_all_and_the_most_probable() -> None:
    y_true, proba = rows(300, 3)
    others = alternatives(y_true, proba, COSTS, ["a", "b", "c"])
    always = {label: COSTS[y_true, y].mean() for y, label in enumerate("abc")}
    cheapest = min(always, key=lambda label: always[label])
    assert others == {
        f"always {cheapest!r}": pytest.approx(always[cheapest]),
        "the most probable class": pytest.approx(
            compute_metric("cost", y_true, proba, proba.argmax(axis=1), costs=COSTS)
        ),
    }
    assert describe_costs(Estimate(0.25, 0.125, 0.375), {"always 'a'": 1.5}) == (
        "1000 rows cost 250 (125 to 375) by these decisions; 1500 by always 'a'."
    )


def test_costs_follow_their_classes() -> None:
    found = align_costs(COSTS, ["a", "b", "c"], ["c", "a"])
    assert found is not None
    assert found.tolist() == [[-1, 9], [7, 0]]
    assert align_costs(COSTS, ["a", "b", "c"], ["c", "d"]) is None
    assert align_costs(None, ["a"], ["a"]) is None
