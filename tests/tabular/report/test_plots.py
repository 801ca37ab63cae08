"""Pictures for any number of classes, also those without rows or with odd names."""

from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

from tabular.drift.checks import DriftCheck
from tabular.report import plots
from tabular.report.importance import Importance


def case(n_classes: int) -> tuple[np.ndarray, np.ndarray, list[Any]]:
    rng = np.random.default_rng(0)
    y_true = rng.integers(0, max(1, n_classes - 1), 200)  # the last class has no row
    proba = rng.dirichlet(np.ones(n_classes), 200)
    return y_true, proba, [f"class ${code} with a long, long name" for code in range(n_classes)]


def curve(kind: str, y_true: np.ndarray, proba: np.ndarray, labels: list[Any]) -> Figure:
    return plots.pictures(y_true, proba.argmax(axis=1), proba, labels)[kind]


@pytest.mark.parametrize("kind", plots.CURVES)
@pytest.mark.parametrize("n_classes", [2, 3, 12, 120])
def test_a_picture_is_drawn(kind: str, n_classes: int) -> None:
    assert plots.png(curve(kind, *case(n_classes))).startswith(b"\x89PNG")


@pytest.mark.parametrize("n_classes", [2, 12, 120])
def test_a_confusion_matrix_is_drawn_of_labels_alone(n_classes: int) -> None:
    y_true, proba, labels = case(n_classes)
    figure = plots.pictures(y_true, proba.argmax(axis=1), None, labels)["confusion_matrix"]
    assert plots.png(figure).startswith(b"\x89PNG")


def test_a_drifted_column_is_drawn_beside_the_training_table() -> None:
    bins = ("$a$", "b", "a level with a very long name indeed")
    check = DriftCheck("x", "values", 0.3, 0.1, 0.01, True, "", (1, 2, 3), (30, 0, 1), bins)
    first = plots.compared_bins(check).axes[0].containers[0]
    assert list(first.datavalues) == pytest.approx([1 / 6, 2 / 6, 3 / 6])  # type: ignore[attr-defined]
    assert plots.png(plots.effects([check] * 40)).startswith(b"\x89PNG")
    assert plots.png(plots.effects([])).startswith(b"\x89PNG")


def test_curves_are_of_the_most_frequent_classes() -> None:
    axes = curve("roc", *case(40)).axes[0]
    assert len(axes.get_lines()) == plots.MOST_CURVES + 1  # and that of chance
    assert "most frequent" in axes.get_title()


def test_two_classes_have_one_curve() -> None:
    y_true, proba, labels = case(3)
    assert len(curve("roc", y_true, proba[:, :2], labels[:2]).axes[0].get_lines()) == 1 + 1


def test_importance_shows_the_largest_twenty() -> None:
    names = [f"column {i}" for i in range(50)]
    columns = Importance(names, np.arange(50.0), np.zeros(50))
    one = np.zeros(5, dtype=int)
    figure = plots.pictures(one, one, None, ["a", "b"], columns)["feature_importance"]
    assert figure.axes[0].get_title() == "Permutation importance"  # of any rows, not of a holdout
    shown = [text.get_text() for text in figure.axes[0].get_yticklabels()]
    assert shown == names[30:]
