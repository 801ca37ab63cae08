"""The search of a large table on samples of its rows."""

import dataclasses
import math
import time
from collections.abc import Sequence

import numpy as np
import pytest

from tabular.jobs.preparation import Prepared
from tabular.search import rungs as module
from tabular.search.cross_validation import Trial
from tabular.search.folds import Folds
from tabular.search.loop import Budget, Goal, pool, ranked, search
from tabular.search.rungs import reached, rungs_of, sample, search_rungs
from tabular.search.workers import InProcess

FAMILIES = ["logistic_regression", "naive_bayes", "k_neighbors"]


@pytest.fixture
def rungs(monkeypatch: pytest.MonkeyPatch, folds: Folds) -> list[Folds]:
    """A table as if it were large: rungs of about 30, 115 and 450 rows."""
    monkeypatch.setattr(module, "LARGE", 300)
    monkeypatch.setattr(module, "FEWEST_ROWS", 20)
    monkeypatch.setattr(module, "FEWEST_OF_CLASS", 1)
    return rungs_of(folds, seed=3)


@pytest.fixture
def folds(breast_cancer: Prepared) -> Folds:
    return breast_cancer.folds


@pytest.fixture(scope="module")
def breast_cancer() -> Prepared:
    from tabular.jobs.preparation import prepare

    return prepare("breast_cancer", "", seed=0, say=lambda _: None)


def run(
    rungs: list[Folds],
    seconds: float = math.inf,
    done: Sequence[Trial] = (),
    classifiers: Sequence[str] = FAMILIES,
) -> list[Trial]:
    budget = Budget(6, time.monotonic() + seconds)
    goal = Goal(classifiers, "log_loss", seed=1)
    with InProcess(rungs[-1]) as engine:
        return list(search_rungs(rungs, engine, budget, goal, done=done))


def test_a_small_table_has_one_rung_and_the_same_trials_as_ever(folds: Folds) -> None:
    [only] = rungs_of(folds, seed=3)
    assert only is folds
    trials = run([folds], classifiers=FAMILIES[:2])
    with InProcess(folds) as engine:
        before = search(
            engine, folds.shape, Budget(6), Goal(FAMILIES[:2], "log_loss", seed=1),
        )  # fmt: skip
        assert [dataclasses.replace(one, seconds=0) for one in before] == [
            dataclasses.replace(one, seconds=0) for one in trials
        ]


def test_rows_stay_in_their_folds_and_a_smaller_sample_is_part_of_a_larger_one(
    rungs: list[Folds],
) -> None:
    small, large, whole = rungs
    assert set(small.features.index) < set(large.features.index) < set(whole.features.index)
    for few in (small, large):
        at = whole.features.index.get_indexer(few.features.index)
        assert np.array_equal(few.y, whole.y[at])
        for fold, of_all in zip(few.positions, whole.positions, strict=True):
            for some, every in zip(fold, of_all, strict=True):
                assert set(few.features.index[some]) <= set(whole.features.index[every])
            assert sum(map(len, fold)) == len(few.y)


def test_each_class_has_its_share_of_a_sample_and_a_rare_one_all_its_rows(folds: Folds) -> None:
    shares = np.bincount(sample(folds, 300, seed=3).y) / np.bincount(folds.y)
    assert np.ptp(shares) < 0.05
    rare = Folds(folds.features, (folds.y == 0) * (np.cumsum(folds.y == 0) < 15), folds.columns,
                 folds.positions)  # fmt: skip
    assert np.bincount(sample(rare, 100, seed=3).y)[1] == 14


def test_every_family_climbs_to_the_last_rung(rungs: list[Folds]) -> None:
    trials = run(rungs)
    rows = [len(rung.y) for rung in rungs]
    assert [trial.number for trial in trials] == list(range(len(trials)))
    assert sorted({trial.rows for trial in trials}) == rows
    assert sum(trial.rows == rows[0] for trial in trials) == 6
    for n_rows in rows:
        assert {t.classifier for t in trials if t.rows == n_rows} == set(FAMILIES)
    assert reached(rungs, trials) == 2
    assert {trial.rows for trial in pool(trials, "log_loss")} == {rows[-1]}


def test_the_same_seed_gives_the_same_trials_on_rungs(rungs: list[Folds]) -> None:
    first, second = (
        [dataclasses.replace(trial, seconds=0.0) for trial in run(rungs)] for _ in range(2)
    )
    assert first == second


def test_a_search_goes_on_where_it_stopped_on_its_rung(rungs: list[Folds]) -> None:
    whole = [dataclasses.replace(trial, seconds=0.0) for trial in run(rungs)]
    on = [dataclasses.replace(t, seconds=0.0) for t in run(rungs, done=whole[:8])]
    assert [(t.number, t.rows, t.classifier, t.params) for t in on] == [
        (t.number, t.rows, t.classifier, t.params) for t in whole[8:]
    ]


def test_where_time_is_short_the_highest_rung_that_was_reached_counts(rungs: list[Folds]) -> None:
    budget = Budget(6, time.monotonic() + 60, reserve=lambda trials: 1e9 * bool(trials))
    with InProcess(rungs[-1]) as engine:
        trials = list(search_rungs(rungs, engine, budget, Goal(FAMILIES, "log_loss", seed=1)))
    assert {trial.rows for trial in trials} == {len(rungs[0].y)}
    assert reached(rungs, trials) == 0
    assert any(trial.metrics for trial in trials)


def test_where_the_best_is_too_slow_for_a_rung_no_other_trial_is_on_it(rungs: list[Folds]) -> None:
    """Or the best of what is quick would win, of more rows."""
    trials = run(rungs)
    lowest = [trial for trial in trials if trial.rows == len(rungs[0].y)]
    best = ranked(lowest, "log_loss")[0]
    done = [dataclasses.replace(t, seconds=1e6 if t is best else 0.0) for t in lowest]
    assert run(rungs, seconds=60, done=done) == []
    assert reached(rungs, done) == 0


def test_what_failed_on_a_larger_rung_is_tried_again_when_the_search_goes_on(
    rungs: list[Folds],
) -> None:
    trials = run(rungs)
    lowest = [trial for trial in trials if trial.rows == len(rungs[0].y)]
    late = dataclasses.replace(
        trials[len(lowest)], metrics={}, oof=None, fold_scores=(), error="took too long"
    )
    on = run(rungs, done=[*lowest, late])
    assert (on[0].classifier, on[0].params) == (late.classifier, late.params)
    assert on[0].number == len(lowest) + 1
    assert reached(rungs, [*lowest, late, *on]) == 2
