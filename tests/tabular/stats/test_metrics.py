"""Metrics by the names that versions carry."""

from collections.abc import Callable

import numpy as np
import pytest
from scipy.stats import ks_2samp
from sklearn import metrics as sk

from tabular.stats.by_class import f1_per_class, metric_names
from tabular.stats.compute import compute_metric, compute_metrics, predicted, weighted
from tabular.stats.metrics import METRICS, OF_LABELS, OF_RANKS

Y_TRUE = np.array([0, 0, 1, 1, 2, 2])
PROBA = np.array(
    [
        [0.8, 0.1, 0.1],
        [0.4, 0.5, 0.1],
        [0.1, 0.8, 0.1],
        [0.2, 0.6, 0.2],
        [0, 0.1, 0.9],
        [0, 0.3, 0.7],
    ]
)

WITHOUT_COSTS = [name for name in METRICS if name != "cost"]


def test_every_metric_is_there_and_right_on_a_small_case() -> None:
    values = compute_metrics(Y_TRUE, PROBA)
    assert list(values) == WITHOUT_COSTS
    assert values["accuracy"] == pytest.approx(5 / 6)
    assert values["f1_macro"] == pytest.approx((2 / 3 + 4 / 5 + 1) / 3)
    assert values["balanced_accuracy"] == values["recall_macro"] == pytest.approx(5 / 6)
    expected = -np.log([0.8, 0.4, 0.8, 0.6, 0.9, 0.7]).mean()
    assert values["log_loss"] == pytest.approx(expected)
    assert values["roc_auc"] == pytest.approx(1.0)
    one_hot = np.eye(3)[Y_TRUE]
    assert values["brier"] == pytest.approx(((PROBA - one_hot) ** 2).sum(axis=1).mean())


def over_classes(
    metric: Callable[[np.ndarray, np.ndarray], float], y_true: np.ndarray, proba: np.ndarray
) -> float:
    """Of two classes that of the second, of more the mean of each against the rest."""
    classes = range(1 if proba.shape[1] == 2 else 0, proba.shape[1])
    return float(np.mean([metric(y_true == c, proba[:, c]) for c in classes]))


def lift_of_a_tenth(inside: np.ndarray, scores: np.ndarray) -> float:
    """Row by row; of equal scores at the edge, the mean of every order."""
    n_highest = len(scores) // 10
    edge = np.sort(scores)[-n_highest]
    above, equal = scores > edge, scores == edge
    hits = inside[above].sum() + inside[equal].mean() * (n_highest - above.sum())
    return float(hits / n_highest / inside.mean())


OF_SCIKIT_LEARN: dict[str, Callable[[np.ndarray, np.ndarray, np.ndarray], float]] = {
    "f1_macro": lambda y, p, _: sk.f1_score(y, p, average="macro", zero_division=0),
    "f1_weighted": lambda y, p, _: sk.f1_score(y, p, average="weighted", zero_division=0),
    "accuracy": lambda y, p, _: sk.accuracy_score(y, p),
    "balanced_accuracy": lambda y, p, _: sk.recall_score(
        y, p, labels=np.unique(y), average="macro", zero_division=0
    ),
    "precision_macro": lambda y, p, _: sk.precision_score(y, p, average="macro", zero_division=0),
    "recall_macro": lambda y, p, _: sk.recall_score(y, p, average="macro", zero_division=0),
    "log_loss": lambda y, _, P: sk.log_loss(y, P, labels=range(P.shape[1])),
    "roc_auc": lambda y, _, P: sk.roc_auc_score(
        y, P[:, 1] if P.shape[1] == 2 else P, multi_class="ovr", labels=range(P.shape[1])
    ),
    "brier": lambda y, _, P: sk.brier_score_loss(y, P, labels=range(P.shape[1])),
    "average_precision": lambda y, _, P: over_classes(sk.average_precision_score, y, P),
    "mcc": lambda y, p, _: sk.matthews_corrcoef(y, p),
    "cohen_kappa": lambda y, p, _: sk.cohen_kappa_score(y, p),
    "ks": lambda y, _, P: over_classes(
        lambda inside, s: ks_2samp(s[~inside], s[inside], alternative="greater").statistic, y, P
    ),
    "lift_10": lambda y, _, P: over_classes(lift_of_a_tenth, y, P),
}


@pytest.mark.parametrize("name", WITHOUT_COSTS)
@pytest.mark.parametrize("n_classes", [2, 3, 12])
@pytest.mark.parametrize("digits", [1, 9])  # of the probabilities: with one, many are equal
def test_a_metric_is_that_of_scikit_learn_or_scipy(name: str, n_classes: int, digits: int) -> None:
    rng = np.random.default_rng(n_classes)
    for n_rows in (40, 300):
        y_true = rng.permutation(np.arange(n_rows) % n_classes)
        proba = rng.dirichlet(np.ones(n_classes), n_rows).round(digits)
        proba[:, 0] = np.clip(1 - proba[:, 1:].sum(axis=1), 0, 1)
        proba /= proba.sum(axis=1, keepdims=True)
        for y_pred in (predicted(proba), predicted(proba[:, : n_classes - 1])):
            value = compute_metric(name, y_true, proba, y_pred)
            expected = OF_SCIKIT_LEARN[name](y_true, y_pred, proba)
            assert value == pytest.approx(expected, rel=1e-12)
            few = y_true < n_classes - 1  # the last class has no row
            undefined = (*OF_RANKS, *(("mcc", "cohen_kappa") if n_classes == 2 else ()))
            if name not in undefined:
                value = compute_metric(name, y_true[few], proba[few], y_pred[few])
                expected = OF_SCIKIT_LEARN[name](y_true[few], y_pred[few], proba[few])
                assert value == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("name", WITHOUT_COSTS)
def test_a_weight_counts_a_row_as_often_as_it_says(name: str) -> None:
    weights = np.array([[2, 1, 1, 3, 1, 2], [1, 1, 1, 1, 1, 1]])
    predictions = predicted(PROBA) if name in OF_LABELS else PROBA
    values = weighted(name, Y_TRUE, predictions, 3)(weights)
    repeated = np.repeat(np.arange(6), weights[0])
    assert values[0] == pytest.approx(compute_metric(name, Y_TRUE[repeated], PROBA[repeated]))
    assert values[1] == pytest.approx(compute_metric(name, Y_TRUE, PROBA))


def test_a_metric_is_undefined_without_rows_and_of_what_is_no_probability() -> None:
    assert compute_metrics(Y_TRUE[:0], PROBA[:0]) == {}
    for wrong in (np.nan, -0.1, 1.1):
        proba = np.vstack([PROBA[:5], [wrong, 0, 0]])
        assert set(compute_metrics(Y_TRUE, proba)) == {*OF_LABELS} - {"cost"}


def test_an_undefined_metric_is_left_out_and_not_zero() -> None:
    values = compute_metrics(Y_TRUE[:4], PROBA[:4])
    assert set(WITHOUT_COSTS) - set(values) == set(OF_RANKS)
    alone = compute_metrics(np.zeros(4, dtype=int), PROBA[[0, 0, 0, 0]])
    assert set(WITHOUT_COSTS) - set(alone) == {*OF_RANKS, "mcc", "cohen_kappa"}


def test_chance_corrected_agreement_does_not_overflow_on_many_rows() -> None:
    y_true = np.arange(200_000) % 2
    values = compute_metrics(y_true, np.eye(2)[y_true])
    assert values["mcc"] == pytest.approx(1)
    assert values["cohen_kappa"] == 1


@pytest.mark.parametrize("name", WITHOUT_COSTS)
def test_a_metric_lies_in_its_range_whatever_is_predicted(name: str) -> None:
    low, high = METRICS[name].range
    rng = np.random.default_rng(0)
    for n_classes in (2, 3):
        for proba in (
            np.eye(n_classes),
            np.eye(n_classes)[::-1],
            rng.dirichlet([1] * n_classes, 3),
        ):
            y_true = np.arange(40) % n_classes
            value = compute_metric(name, y_true, proba[y_true % len(proba)])
            assert low <= value <= high


def test_two_classes_use_the_second_one() -> None:
    shares = np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]])
    assert compute_metric("roc_auc", np.array([0, 1, 1]), shares) == 1.0
    assert compute_metric("brier", np.array([0, 1, 1]), shares) == pytest.approx(
        (0.01 + 0.04 + 0.36) / 3
    )


def test_the_first_of_equals_is_predicted() -> None:
    assert predicted(np.array([[0.5, 0.5], [0.2, 0.8]])).tolist() == [0, 1]


def test_f1_per_class_leaves_out_classes_without_rows() -> None:
    scores = f1_per_class(Y_TRUE[:4], predicted(PROBA[:4]), ["a", "b", "c"])
    assert scores == {"f1_class_a": pytest.approx(2 / 3), "f1_class_b": pytest.approx(4 / 5)}


def test_names_of_classes_become_names_that_mlflow_takes() -> None:
    assert metric_names(["a&b", "a_b", "<=50K", 1, True]) == ["a_b", "a_b_", "__50K", "1", "True"]


def test_a_long_name_of_a_class_is_cut() -> None:
    names = metric_names(["x" * 400, "x" * 500])
    assert len(set(names)) == 2
    assert max(map(len, names)) < 200
