"""When a configuration is given up."""

import numpy as np

from tabular.search.cross_validation import Trial
from tabular.search.racing import BEHIND, ENOUGH, bounds


def trial(number: int, scores: list[float], metric: str = "accuracy") -> Trial:
    return Trial(number, "svc", {}, {metric: float(np.mean(scores))}, tuple(scores))


LEADER = [0.9, 0.8, 0.7]
WHOLE = [
    trial(0, LEADER),
    trial(1, [0.88, 0.79, 0.70]),
    trial(2, [0.89, 0.76, 0.68]),
    trial(3, [0.86, 0.79, 0.69]),
]


def test_nothing_is_given_up_before_enough_is_known() -> None:
    assert len(WHOLE) == ENOUGH
    assert bounds(WHOLE[:-1], "accuracy") == ()


def test_the_bound_lies_behind_the_leaders_mean_on_the_same_folds() -> None:
    differences = [np.std(np.subtract(t.fold_scores, LEADER), ddof=1) for t in WHOLE[1:]]
    usual = np.median(differences)
    expected = [0.9 - BEHIND * usual, 0.85 - BEHIND * usual / np.sqrt(2)]
    assert np.allclose(bounds(WHOLE, "accuracy"), expected)


def test_for_a_loss_the_bound_lies_above() -> None:
    losses = [trial(t.number, [1 - s for s in t.fold_scores], "log_loss") for t in WHOLE]
    assert np.allclose(bounds(losses, "log_loss"), 1 - np.array(bounds(WHOLE, "accuracy")))


def test_trials_that_were_given_up_or_failed_do_not_count() -> None:
    others = [
        Trial(8, "svc", {}, fold_scores=(0.99,), stopped=True),
        Trial(9, "svc", {}, error="ValueError: no"),
    ]
    assert bounds([*WHOLE, *others], "accuracy") == bounds(WHOLE, "accuracy")


def test_equal_configurations_are_not_given_up() -> None:
    same = [trial(number, LEADER) for number in range(4)]
    assert bounds(same, "accuracy") == (0.9, 0.8500000000000001)
