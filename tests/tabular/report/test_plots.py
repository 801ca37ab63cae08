"""Pictures for any number of classes, also those without rows or with odd names."""

from io import BytesIO
from typing import Any

import numpy as np
import pytest

from tabular.drift.checks import Check
from tabular.report import plots

DRAW = [plots.roc, plots.precision_recall, plots.calibration]


def case(n_classes: int) -> tuple[np.ndarray, np.ndarray, list[Any]]:
    rng = np.random.default_rng(0)
    codes = rng.integers(0, max(1, n_classes - 1), 200)  # the last class has no row
    shares = rng.dirichlet(np.ones(n_classes), 200)
    return codes, shares, [f"class ${code} with a long, long name" for code in range(n_classes)]


@pytest.mark.parametrize("draw", DRAW)
@pytest.mark.parametrize("n_classes", [2, 3, 12, 120])
def test_a_picture_is_drawn(draw: Any, n_classes: int) -> None:
    buffer = BytesIO()
    draw(*case(n_classes)).savefig(buffer, format="png")
    assert buffer.getvalue().startswith(b"\x89PNG")


@pytest.mark.parametrize("n_classes", [2, 12, 120])
def test_a_confusion_matrix_is_drawn_of_labels_alone(n_classes: int) -> None:
    codes, shares, labels = case(n_classes)
    figure = plots.confusion_matrix(codes, shares.argmax(axis=1), labels)
    assert plots.png(figure).startswith(b"\x89PNG")


def test_a_drifted_column_is_drawn_beside_the_training_table() -> None:
    bins = ("$a$", "b", "a level with a very long name indeed")
    check = Check("x", "values", 0.3, 0.1, 0.01, True, "", (1, 2, 3), (30, 0, 1), bins)
    first = plots.drifted(check).axes[0].containers[0]
    assert list(first.datavalues) == pytest.approx([1 / 6, 2 / 6, 3 / 6])  # type: ignore[attr-defined]
    assert plots.png(plots.effects([check] * 40)).startswith(b"\x89PNG")
    assert plots.png(plots.effects([])).startswith(b"\x89PNG")


def test_curves_are_of_the_most_frequent_classes() -> None:
    axes = plots.roc(*case(40)).axes[0]
    assert len(axes.get_lines()) == plots.MOST_CURVES + 1  # and that of chance
    assert "most frequent" in axes.get_title()


def test_two_classes_have_one_curve() -> None:
    codes, shares, labels = case(3)
    assert len(plots.roc(codes, shares[:, :2], labels[:2]).axes[0].get_lines()) == 1 + 1


def test_importance_shows_the_largest_twenty() -> None:
    names = [f"column {i}" for i in range(50)]
    figure = plots.feature_importance(names, np.arange(50.0), np.zeros(50))
    assert figure.axes[0].get_title() == "Permutation importance"  # of any rows, not of a holdout
    shown = [text.get_text() for text in figure.axes[0].get_yticklabels()]
    assert shown == names[30:]
