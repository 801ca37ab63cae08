"""A rate that is to be held: its syntax, and that the thresholds that pass the test hold it."""

import re

import numpy as np
import pytest

from tabular.stats.constraint import LEVEL, Constraint, holding, read_constraint

GRID = np.linspace(0.01, 0.99, 99)


def test_the_second_class_or_a_named_one() -> None:
    assert read_constraint("precision:0.9", ["no", "yes"]) == Constraint("precision", 1, "yes", 0.9)
    found = read_constraint("recall[no]:.8", ["no", "yes"])
    assert found == Constraint("recall", 0, "no", 0.8)
    assert str(found) == "recall[no]:0.8"
    assert read_constraint(str(found), ["no", "yes"]) == found
    assert read_constraint("specificity[0]:0.5", [0, 1]).y == 0
    assert read_constraint("recall[a]:b]:0.5", ["a]:b", "c"]).label == "a]:b"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("precission:0.9", "expected precision, recall or specificity"),
        ("precision=0.9", "expected precision, recall or specificity"),
        ("precision[maybe]:0.9", "'maybe' is no class; possible: no, yes"),
        ("precision:90", "above 0 and below 1, found '90'"),
        ("precision:1.2.3", "above 0 and below 1"),
    ],
)
def test_what_is_no_constraint_is_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        read_constraint(text, ["no", "yes"])
    with pytest.raises(ValueError, match="for two classes, and there are 3"):
        read_constraint("recall:0.9", list("abc"))


def test_rates_are_those_of_the_confusion_matrix() -> None:
    y_true, y_pred = np.array([0, 0, 0, 1, 1, 1, 1]), np.array([0, 1, 1, 1, 1, 1, 0])
    rates = {"precision": (3, 5), "recall": (3, 4), "specificity": (1, 3)}
    for rate, counts in rates.items():
        assert Constraint(rate, 1, "b", 0.5).counts(y_true, y_pred) == counts
    assert Constraint("precision", 0, "a", 0.5).counts(y_true, y_pred) == (1, 2)
    estimate = Constraint("recall", 1, "b", 0.5).estimate(y_true, y_pred, 0.95)
    assert estimate.low < 0.75 < estimate.high
    assert estimate.low == pytest.approx(0.2486, abs=1e-4)  # of 3 in 4, one-sided 95 %


@pytest.mark.parametrize(
    "text", ["precision:0.8", "recall:0.8", "precision[0]:0.8", "specificity:0.9"]
)
def test_every_threshold_that_passes_holds_as_surely_as_stated(text: str) -> None:
    """Calibrated probabilities, so that the true rate of each threshold is known."""
    constraint = read_constraint(text, [0, 1])
    rng = np.random.default_rng(0)
    scores = rng.beta(0.7, 0.9, 200_000)
    truth = rng.random(200_000) < scores
    hits, of = zip(
        *(constraint.counts(truth.astype(int), (scores > t).astype(int)) for t in GRID), strict=True
    )
    true_rates = np.array(hits) / np.maximum(of, 1)
    broken = reached = 0
    for _ in range(400):
        proba = rng.beta(0.7, 0.9, 300)
        y_true = (rng.random(300) < proba).astype(int)
        held = holding(constraint, proba, y_true, GRID)
        reached += bool(held.any())
        broken += bool((true_rates[held] < constraint.value).any())
    assert reached >= 80
    assert broken <= 400 * LEVEL + 2 * np.sqrt(400 * LEVEL)
