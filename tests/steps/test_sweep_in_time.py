"""A sweep with a time limit registers a version, whatever does not end."""

import dataclasses
import math
import time
from functools import partial
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient
from sklearn.utils.estimator_checks import check_is_fitted

from custom_model.served.columns import expand
from steps import sweep
from steps.sweep import make_plan
from tabular.jobs import last_fits, timing, versions
from tabular.jobs.last_fits import LastFits
from tabular.jobs.preparation import prepare, sampled
from tabular.jobs.timing import Timing
from tabular.recipe.fit import assemble, fit, fit_members
from tabular.recipe.recipe import Recipe
from tabular.search import workers
from tabular.search.cross_validation import Task, Trial, evaluate_configuration
from tabular.search.rungs import sample
from tabular.search.workers import Processes
from tests.conftest import Store
from tests.endless import endless


@pytest.fixture
def medium(tmp_path: Path) -> str:
    """Two classes, and more cells than are fitted in the command's own process."""
    rng = np.random.default_rng(0)
    numbers = pd.DataFrame(rng.normal(size=(500, 6)), columns=list("abcdef"))
    labels = np.where(numbers["a"] + rng.normal(size=500) > 0, "yes", "no")
    numbers.assign(label=labels).to_csv(tmp_path / "medium.csv", index=False)
    return str(tmp_path / "medium.csv")


def swept(capsys: pytest.CaptureFixture[str], **options: object) -> str:
    """What a sweep prints; it has registered a version that answers."""
    options = {"timeout": 6, **options}
    sweep.main([f"--{name}={value}" for name, value in options.items()])
    [version] = MlflowClient().search_model_versions()
    run = mlflow.get_run(version.run_id)
    assert run.data.metrics["cv_f1_macro"] > 0.6
    holdout = mlflow.artifacts.download_artifacts(
        run_id=version.run_id, artifact_path="holdout.parquet"
    )
    rows = pd.read_parquet(holdout).reset_index(drop=True)
    answers = mlflow.pyfunc.load_model(f"models:/{version.name}/1").predict(rows)
    assert len(answers) == len(rows)
    return capsys.readouterr().out


def left_out(printed: str) -> str:
    [line] = [line for line in printed.splitlines() if "Left out, as the time was up" in line]
    return line


def test_a_sweep_whose_configurations_never_end_registers_a_simple_model(
    store: Store, medium: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(workers, "evaluate_configuration", endless)
    assert "on a sample of the rows" in swept(capsys, data=medium, target="label")


@pytest.mark.slow
def test_a_sweep_whose_last_fit_never_ends_registers_what_was_fitted_on_a_sample(
    store: Store, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("tabular.jobs.preparation.SAMPLE_CELLS", 60)
    monkeypatch.setattr(
        last_fits,
        "fit",
        lambda dataset, split, *rest, **options: (
            endless() if split.left_out is None else fit(dataset, split, *rest, **options)
        ),
    )
    printed = swept(capsys, trials=2, classifiers="naive_bayes")
    assert "the last fit of naive_bayes" in left_out(printed)
    assert "on a sample of the rows" in printed


@pytest.mark.slow
def test_a_sweep_whose_importance_never_ends_leaves_it_out(
    store: Store, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(versions, "column_importance", endless)
    printed = swept(capsys, trials=2, classifiers="naive_bayes")
    assert "the importance of the columns" in left_out(printed)


def test_members_fitted_in_processes_are_those_fitted_here(medium: str) -> None:
    table = prepare(medium, "label", seed=0, say=lambda line: None)
    families = ["logistic_regression", "hist_gradient_boosting", "extra_trees"]
    trials = tuple(Trial(number, family, {}) for number, family in enumerate(families))
    recipe = Recipe(trials, (0.5, 0.3, 0.2), {})
    with Processes(table.folds, 2) as engine:
        fitted = fit_members(table.dataset, table.split, trials, engine, seed=0, until=math.inf)
    there = assemble(table.dataset, recipe, [fitted[n] for n in range(3)], seed=0)
    here = fit(table.dataset, table.split, recipe, seed=0)
    check_is_fitted(there)
    rows = expand(table.dataset.typed, table.dataset.columns)
    assert np.array_equal(there.predict_proba(rows), here.predict_proba(rows))


def test_work_that_never_ends_is_ended_and_the_rest_is_done(medium: str) -> None:
    table = prepare(medium, "label", seed=0, say=lambda line: None)
    with Processes(table.folds, 2) as engine:
        assert None not in engine.run([time.monotonic] * 2, math.inf)  # both processes have started
        done, ended = engine.run([time.monotonic, endless], time.monotonic() + 2)
    assert done
    assert ended is None


def test_a_sample_has_rows_of_every_class(medium: str, monkeypatch: pytest.MonkeyPatch) -> None:
    table = prepare(medium, "label", seed=0, say=lambda line: None)
    monkeypatch.setattr("tabular.jobs.preparation.SAMPLE_CELLS", 600)
    few = sampled(table, seed=1)
    assert 90 <= few.split.train.sum() <= 101
    assert few.split.left_out is not None
    assert not (few.split.train & (few.split.left_out | few.split.holdout)).any()
    assert set(few.folds.y) == {0, 1}
    assert few.dataset is table.dataset


@pytest.mark.slow
def test_where_the_last_fit_is_late_the_best_that_is_sure_to_be_in_time_is_registered(
    medium: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = prepare(medium, "label", seed=0, say=lambda line: None)
    families = ("extra_trees", "logistic_regression", "naive_bayes")
    task = partial(Task, params={}, metric="f1_macro", seed=0)
    late, good, quick = (
        dataclasses.replace(evaluate_configuration(task(n, family), table.folds), seconds=seconds)
        for n, (family, seconds) in enumerate(zip(families, (1e6, 1.0, 0.5), strict=True))
    )
    plan = make_plan(vars(sweep.make_parser("").read(["--timeout", "600"])))
    monkeypatch.setattr(
        last_fits,
        "fit_members",
        lambda dataset, split, trials, *rest, **options: fit_members(
            dataset, split, [trial for trial in trials if trial != late], *rest, **options
        ),
    )
    with Processes(table.folds, 2) as engine:
        last = LastFits(
            table,
            [table.folds],
            engine,
            Timing(600),
            plan,
            families,
            None,
            None,
            lambda: 3,
            lambda trial: None,
        )
        made, _, model = last.fit(Recipe((late,), (1.0,), {}), [late, good, quick])
    assert [trial.number for trial in made.members] == [good.number]
    check_is_fitted(model)


@pytest.mark.parametrize(("seconds_of_a_megabyte", "n_rows"), [(0.0, 400), (1e9, 200)])
def test_a_model_of_more_rows_whose_file_would_be_late_gives_way_to_one_of_fewer(
    seconds_of_a_megabyte: float, n_rows: int, medium: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timing, "MEGABYTE_IMPORTS", seconds_of_a_megabyte)
    table = prepare(medium, "label", seed=0, say=lambda line: None)
    rungs = [sample(table.folds, 200, seed=0), table.folds]
    plan = make_plan(vars(sweep.make_parser("").read(["--timeout", "600"])))
    trial = evaluate_configuration(Task(0, "extra_trees", {}, "f1_macro", 0), rungs[0])
    trial = dataclasses.replace(trial, rows=200)
    with Processes(rungs[0], 1) as engine:
        last = LastFits(
            table, rungs, engine, Timing(600), plan, [trial.classifier], None, None,
            lambda: 1, lambda trial: None,
        )  # fmt: skip
        made, split, model = last.fit(Recipe((trial,), (1.0,), {}), [trial])
    check_is_fitted(model)
    assert made.members == (trial,)
    assert abs(split.train.sum() - n_rows) < 40
    late = ["the last fit of extra_trees"] if n_rows == 200 else []
    assert [what.partition(" on ")[0] for what in last.timing.deadline.left_out] == late
