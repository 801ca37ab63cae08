"""Classes are the same whatever the types of their labels."""

import pandas as pd

from tabular.models.classes import align, key


def test_a_class_is_the_same_in_every_type() -> None:
    assert {key(one) for one in (1, 1.0, "1", "1.0")} == {"1"}
    assert key(1.5) == "1.5"
    assert key(True) == key("True") != key(1)
    assert key("01") != key("1")


def test_probabilities_follow_the_order_of_the_classes() -> None:
    proba = pd.DataFrame({"2.0": [0.9, 0.2], "1.0": [0.1, 0.8]})
    y_pred, aligned = align([2.0, 1.0], proba, (1, 2, 3))
    assert y_pred.tolist() == [1, 0]
    assert aligned is not None
    assert aligned.tolist() == [[0.1, 0.9, 0], [0.8, 0.2, 0]]
