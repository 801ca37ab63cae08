"""What a sweep leaves to read."""

import numpy as np
import pytest

from tabular.families.space import shape_of
from tabular.recipe.recipe import as_it_is
from tabular.report import leaderboard
from tabular.search.cross_validation import Trial
from tabular.search.loop import Budget
from tabular.search.progress import Progress

SHAPE = shape_of(np.arange(300) % 3, 240)


def trials() -> list[Trial]:
    whole = [
        Trial(
            n,
            "logistic_regression",
            {"C": 10.0 ** (n / 2 - 3)},
            {"f1_macro": 0.5 + n / 100},
            (0.5,),
        )
        for n in range(10)
    ]
    return [
        *whole,
        Trial(10, "svc", {"C": 1.0}, fold_scores=(0.2,), stopped=True),
        Trial(11, "mlp", {}, error="ValueError: <b>no</b>"),
    ]


def test_the_recipe_comes_first_then_the_trials_by_rank() -> None:
    best = as_it_is(trials()[9])
    frame = leaderboard.table(trials(), best, "f1_macro", {9: "abc"}, "abc")
    assert frame["rank"].tolist() == ["best", *map(str, range(1, 11)), "", ""]
    assert frame["cv_f1_macro"].iloc[1:11].is_monotonic_decreasing
    assert frame["state"].iloc[-2:].tolist() == ["given up after 1 fold", "ValueError: <b>no</b>"]
    assert frame["run_id"].iloc[1] == "abc"


def test_the_page_escapes_what_comes_from_outside() -> None:
    frame = leaderboard.table(trials(), as_it_is(trials()[9]), "f1_macro", {}, "abc")
    page = leaderboard.page(frame, "<script>")
    assert "<script>" not in page
    assert "ValueError: &lt;b&gt;no" in page


def test_the_history_shows_every_complete_trial_and_the_best_so_far() -> None:
    axes = leaderboard.optimization_history(trials(), "f1_macro").axes[0]
    assert len(axes.collections[0].get_offsets()) == 10
    so_far = np.asarray(axes.lines[0].get_ydata())
    assert (np.diff(so_far) >= 0).all()


def test_importance_is_shown_for_families_with_enough_trials() -> None:
    names = ["logistic_regression", "svc"]
    figure = leaderboard.hyperparameter_importance(trials(), "f1_macro", names, SHAPE)
    assert figure is not None
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert labels == ["logistic_regression.C"]
    assert leaderboard.hyperparameter_importance(trials()[:5], "f1_macro", names, SHAPE) is None


def test_without_a_terminal_each_trial_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    lines: list[str] = []
    with Progress(lines.append, Budget(12), "f1_macro", []) as progress:
        for trial in trials():
            progress.show(trial)
    assert len(lines) == 12
    assert "t009 logistic_regression" in lines[9]
    assert "f1_macro=0.5900" in lines[9]
    assert capsys.readouterr().err == ""
