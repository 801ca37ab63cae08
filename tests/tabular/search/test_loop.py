"""The search: every family first, the same twice, and going on from where it stopped."""

import dataclasses
import math
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest

from custom_model.served.columns import Column
from tabular.errors import BadInput
from tabular.families.classifiers import affordable, installed
from tabular.families.space import shape_of
from tabular.jobs.preparation import Prepared
from tabular.search.cross_validation import Task, Trial, evaluate_configuration
from tabular.search.folds import Folds
from tabular.search.loop import Budget, Goal, evaluate_again, ranked, search
from tabular.search.workers import InProcess, Processes


def run(
    table: Prepared, *, trials: int = 4, jobs: int = 1, seconds: float = math.inf,
    done: Sequence[Trial] = (), first: Any = (), **options: Any,
) -> list[Trial]:  # fmt: skip
    defaults: dict[str, Any] = {
        "classifiers": ["logistic_regression", "k_neighbors"],
        "metric": "f1_macro",
        "seed": 7,
    }
    folds = table.folds
    with InProcess(folds) if jobs == 1 else Processes(folds, jobs) as engine:
        budget = Budget(trials, time.monotonic() + seconds)
        goal = Goal(**(defaults | options))
        return list(search(engine, folds.shape, budget, goal, done=done, first=first))


def with_few_rows(table: Prepared, n_rows: int) -> Prepared:
    """Each fold fits on a few rows only."""
    folds = table.folds
    positions = [(inside[:n_rows], outside) for inside, outside in folds.positions]
    few = Folds(folds.features, folds.y, folds.columns, positions)
    return dataclasses.replace(table, folds=few)


def without_times(trials: list[Trial]) -> list[Trial]:
    return [dataclasses.replace(trial, seconds=0.0) for trial in trials]


def test_each_family_starts_with_its_defaults(iris: Prepared) -> None:
    trials = run(iris, classifiers=installed(), trials=len(installed()))
    assert [trial.classifier for trial in trials] == installed()
    assert trials[0].params == {"C": 1.0}
    assert all(trial.metrics["f1_macro"] > 0.8 or trial.stopped for trial in trials)


@pytest.mark.parametrize("jobs", [1, 2])
def test_the_same_seed_gives_the_same_trials(iris: Prepared, jobs: int) -> None:
    first, second = (without_times(run(iris, trials=8, jobs=jobs)) for _ in range(2))
    assert first == second
    assert len(first) == 8
    if jobs == 1:
        assert first != without_times(run(iris, trials=8, seed=8))


class InBunches:
    """Evaluates in this process; what has ended becomes known in bunches of any size and order."""

    slots = 3

    def __init__(self, folds: Folds, seed: int) -> None:
        self.folds, self.rng = folds, np.random.default_rng(seed)
        self.waiting: list[Task] = []

    def submit(self, task: Task, limit: float) -> None:
        self.waiting.append(task)

    def finished(self, timeout: float) -> list[Trial]:
        self.rng.shuffle(self.waiting)
        n = int(self.rng.integers(len(self.waiting) + 1))
        bunch, self.waiting = self.waiting[:n], self.waiting[n:]
        return [evaluate_configuration(task, self.folds) for task in bunch]

    def end(self, reason: str) -> list[Trial]:
        return []

    def __enter__(self) -> "InBunches":
        return self

    def __exit__(self, *_: object) -> None: ...


def test_it_makes_no_difference_which_trials_end_together(iris: Prepared) -> None:
    shape = iris.folds.shape
    families = ["logistic_regression", "naive_bayes", "k_neighbors"]
    found = [
        without_times(
            list(
                search(
                    InBunches(iris.folds, order), shape, Budget(16),
                    Goal(families, "log_loss", seed=7),
                )
            )
        )
        for order in range(4)
    ]  # fmt: skip
    assert found[0] == found[1] == found[2] == found[3]


def test_given_configurations_come_first_and_once(iris: Prepared) -> None:
    first = [("k_neighbors", {"n_neighbors": 9, "weights": "distance", "p": 1})] * 2
    first += [("logistic_regression", {"C": 1.0}), ("k_neighbors", {"n_neighbors": 10**6})]
    trials, again = (without_times(run(iris, trials=7, first=first)) for _ in range(2))
    assert trials == again
    tried = [(trial.classifier, trial.params) for trial in trials]
    assert tried[:2] == first[1:3]
    assert tried[2] == ("k_neighbors", {"n_neighbors": 46, "weights": "uniform", "p": 2})
    assert tried[3] == ("k_neighbors", {"n_neighbors": 5, "weights": "uniform", "p": 2})
    rest = run(iris, trials=7, first=first, done=trials[:1])
    assert [(trial.classifier, trial.params) for trial in rest][:2] == tried[1:3]


def test_no_trial_is_begun_after_the_time_is_up(iris: Prepared) -> None:
    assert 1 <= len(run(iris, trials=10_000, seconds=0.2)) < 1000


def test_a_search_goes_on_from_earlier_trials(iris: Prepared) -> None:
    whole = run(iris, trials=8)
    rest = run(iris, trials=8, done=whole[:3])
    assert [trial.number for trial in rest] == [3, 4, 5, 6, 7]
    tried = [(t.classifier, str(t.params)) for t in [*whole[:3], *rest]]
    assert len(set(tried)) == len(tried)


def test_a_failing_configuration_is_a_result_and_the_search_goes_on(iris: Prepared) -> None:
    few = with_few_rows(iris, 3)
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
    few, many = (shape_of(np.arange(n) % 2, n) for n in (500, 100_000))
    assert "svc" in affordable(few)
    assert not {"svc", "k_neighbors"} & set(affordable(many))


def test_out_of_fold_metrics_are_of_every_training_row(iris: Prepared) -> None:
    task = Task(0, "logistic_regression", {}, "accuracy", seed=0)
    trial = evaluate_configuration(task, iris.folds)
    hits = trial.metrics["accuracy"] * len(iris.folds.y)
    assert hits == pytest.approx(round(hits))
    assert trial.spread > 0
    assert trial.oof is not None
    said = trial.oof.argmax(axis=1)
    assert (said == iris.folds.y_true).sum() == round(hits)


def test_nothing_is_tried_twice(iris: Prepared) -> None:
    trials = run(iris, trials=20, classifiers=["k_neighbors"])
    tried = [str(trial.params) for trial in trials]
    assert len(set(tried)) == len(tried)


def test_a_used_up_space_still_gives_every_trial(iris: Prepared) -> None:
    few = with_few_rows(iris, 6)
    assert len(run(few, trials=30, classifiers=["k_neighbors"])) == 30


def test_hopeless_configurations_are_given_up(iris: Prepared) -> None:
    trials = run(iris, trials=30)
    stopped = [trial for trial in trials if trial.stopped]
    assert stopped
    assert all(0 < len(trial.fold_scores) < 5 and not trial.metrics for trial in stopped)
    assert not {t.number for t in stopped} & {t.number for t in ranked(trials, "f1_macro")}


def test_giving_up_does_not_change_the_winner(iris: Prepared) -> None:
    trials = run(iris, trials=30)
    folds = iris.folds
    whole = [
        evaluate_configuration(Task(t.number, t.classifier, t.params, "f1_macro", 7), folds)
        for t in trials
    ]
    assert ranked(whole, "f1_macro")[0].number == ranked(trials, "f1_macro")[0].number


class InPairs(InProcess):
    """Two places; the second of two trials ends first, and both are seen at once or one by one."""

    slots = 2

    def __init__(self, folds: Folds, at_once: bool) -> None:
        super().__init__(folds)
        self.at_once, self.ended = at_once, list[Trial]()

    def finished(self, timeout: float) -> list[Trial]:
        """See `Engine`."""
        if self.at_once:
            return [*super().finished(timeout), *super().finished(timeout)][::-1]
        return super().finished(timeout)


def test_when_trials_end_does_not_decide_what_is_tried(iris: Prepared) -> None:
    shape = iris.folds.shape
    searched = [
        [
            (trial.classifier, trial.params, trial.fold_scores)
            for trial in search(
                InPairs(iris.folds, at_once),
                shape,
                Budget(16),
                Goal(["naive_bayes", "logistic_regression"], "f1_macro", seed=0),
            )
        ]
        for at_once in (True, False)
    ]
    assert searched[0] == searched[1]


def test_probabilities_that_are_no_numbers_are_a_failure() -> None:
    codes = np.arange(20) % 2
    features = pd.DataFrame({"x": np.ones(20)})  # no variance at all: 0 / 0 in naive Bayes
    halves = [(np.arange(10), np.arange(10, 20)), (np.arange(10, 20), np.arange(10))]
    folds = Folds(features, codes, [Column("x", "number")], halves)
    with np.errstate(all="ignore"):
        trial = evaluate_configuration(Task(0, "naive_bayes", {}, "f1_macro", 0), folds)
    assert trial.error == "ValueError: its probabilities are not all numbers"


def test_a_score_that_is_undefined_on_a_fold_is_no_warning(iris: Prepared) -> None:
    codes = np.where(np.arange(len(iris.folds.y)) < 3, 0, 1)  # three rows of a class, five folds
    order = np.array_split(np.arange(len(codes))[::-1], 5)
    halves = [(np.setdiff1d(np.arange(len(codes)), fold), fold) for fold in order]
    folds = Folds(iris.folds.features, codes, iris.dataset.columns, halves)
    trial = evaluate_configuration(Task(0, "naive_bayes", {}, "roc_auc", 0), folds)
    assert not trial.error
    assert np.isnan(trial.fold_scores).tolist() == [True] * 4 + [False]


def test_many_classes_of_few_rows_are_no_warning() -> None:
    codes = np.tile(np.arange(30), 2)  # one row of each class in each half
    features = pd.DataFrame({"x": np.arange(60.0)})
    halves = [(np.arange(30, 60), np.arange(30)), (np.arange(30), np.arange(30, 60))]
    folds = Folds(features, codes, [Column("x", "number")], halves)
    trial = evaluate_configuration(Task(0, "extra_trees", {}, "f1_macro", 0), folds)
    assert not trial.error


def test_a_family_that_is_new_to_a_resumed_sweep_begins_with_its_defaults(iris: Prepared) -> None:
    earlier = run(iris, trials=3, classifiers=["naive_bayes"])
    names = ["logistic_regression", "naive_bayes", "k_neighbors"]
    later = run(iris, trials=5, classifiers=names, done=earlier)
    assert [trial.classifier for trial in later] == ["logistic_regression", "k_neighbors"]
    assert later[0].params == {"C": 1.0}


def test_what_a_resumed_sweep_lacks_is_evaluated_again_within_its_time(iris: Prepared) -> None:
    trials = ranked(run(iris, trials=4), "f1_macro")
    bare = [dataclasses.replace(trial, oof=None) for trial in trials]
    budgets = {
        "in time": Budget(4),
        "late": Budget(4, deadline=time.monotonic() - 1),
        "stopped": Budget(4, stopped=lambda: True),
    }
    for name, budget in budgets.items():
        with InProcess(iris.folds) as engine:
            again = evaluate_again(engine, bare, budget, Goal([], "f1_macro", seed=7))
        assert again == trials
        for trial, before in zip(again, trials, strict=True):
            assert (trial.oof is None) == (name != "in time")
            assert trial.oof is None or np.array_equal(trial.oof, before.oof)
