"""The search: every family first, the same twice, and going on from where it stopped."""

import dataclasses
from typing import Any

import numpy as np
import pytest

from custom_model.pipeline import CLASSIFIERS
from tabular.cross_validation import Trial, cross_validate
from tabular.errors import BadInput
from tabular.preparation import Prepared, prepare
from tabular.search import affordable, ranked, search


@pytest.fixture(scope="module")
def iris() -> Prepared:
    return prepare("iris", "", seed=42, say=lambda line: None)


def run(table: Prepared, **options: Any) -> list[Trial]:
    defaults: dict[str, Any] = {
        "classifiers": ["logistic_regression", "k_neighbors"],
        "trials": 4,
        "timeout": 0,
        "metric": "f1_macro",
        "jobs": 1,
        "seed": 7,
    }
    found = search(
        table.features, table.codes, table.dataset.columns, table.folds, **(defaults | options)
    )
    return list(found)


def without_times(trials: list[Trial]) -> list[Trial]:
    return [dataclasses.replace(trial, seconds=0.0) for trial in trials]


def test_each_family_starts_with_its_defaults(iris: Prepared) -> None:
    trials = run(iris, classifiers=list(CLASSIFIERS), trials=len(CLASSIFIERS))
    assert [trial.classifier for trial in trials] == list(CLASSIFIERS)
    assert trials[0].params == {"C": 1.0}
    assert all(not trial.error and trial.metrics["f1_macro"] > 0.8 for trial in trials)


@pytest.mark.parametrize("jobs", [1, 2])
def test_the_same_seed_gives_the_same_trials(iris: Prepared, jobs: int) -> None:
    first, second = (without_times(run(iris, trials=8, jobs=jobs)) for _ in range(2))
    assert first == second
    assert first != without_times(run(iris, trials=8, jobs=jobs, seed=8))


def test_trials_are_kept_exactly(iris: Prepared) -> None:
    assert len(run(iris, trials=5, jobs=2)) == 5


def test_no_trial_is_begun_after_the_time_is_up(iris: Prepared) -> None:
    assert 1 <= len(run(iris, trials=10_000, timeout=0.2)) < 1000


def test_a_search_goes_on_from_earlier_trials(iris: Prepared) -> None:
    whole = run(iris, trials=8)
    rest = run(iris, trials=8, done=whole[:3])
    assert [trial.number for trial in rest] == [3, 4, 5, 6, 7]
    tried = [(t.classifier, str(t.params)) for t in [*whole[:3], *rest]]
    assert len(set(tried)) == len(tried)


def test_a_failing_configuration_is_a_result_and_the_search_goes_on(iris: Prepared) -> None:
    few = dataclasses.replace(iris, folds=[(inside[:3], out) for inside, out in iris.folds])
    trials = run(few, classifiers=["k_neighbors", "logistic_regression"], trials=2)
    assert trials[0].error.startswith("ValueError")
    assert len(trials) == 2


def test_minimising_a_loss_ranks_the_lowest_first() -> None:
    trials = [
        Trial(0, "svc", {}, {"log_loss": 0.3}),
        Trial(1, "svc", {}, {"log_loss": 0.1}),
        Trial(2, "svc", {}, error="ValueError: no"),
    ]
    assert [trial.number for trial in ranked(trials, "log_loss")] == [1, 0]


def test_equals_are_ranked_by_log_loss_then_by_number() -> None:
    scores = [(0.9, 0.3), (0.9, 0.2), (0.9, 0.2)]
    trials = [
        Trial(i, "svc", {}, {"f1_macro": f1, "log_loss": loss})
        for i, (f1, loss) in enumerate(scores)
    ]
    assert [trial.number for trial in ranked(trials, "f1_macro")] == [1, 2, 0]


def test_a_search_without_any_success_says_why() -> None:
    with pytest.raises(BadInput, match="ValueError: no"):
        ranked([Trial(0, "svc", {}, error="ValueError: no")], "f1_macro")


def test_slow_families_are_left_out_of_large_tables() -> None:
    assert "svc" in affordable(500, np.arange(500) % 2)
    assert "svc" not in affordable(100_000, np.arange(100_000) % 2)
    assert "k_neighbors" not in affordable(100_000, np.arange(100_000) % 2)


def test_out_of_fold_metrics_are_of_every_training_row(iris: Prepared) -> None:
    trial = cross_validate(
        iris.features,
        iris.codes,
        iris.dataset.columns,
        iris.folds,
        classifier="logistic_regression",
        params={},
        metric="accuracy",
        seed=0,
    )
    hits = trial.metrics["accuracy"] * len(iris.codes)
    assert hits == pytest.approx(round(hits))
    assert trial.spread > 0
