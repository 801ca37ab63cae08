"""A sweep of a table as if it were large: what is tried on samples of its rows, made and logged."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient
from mlflow.entities.run import Run
from sklearn.pipeline import Pipeline
from sklearn.utils.estimator_checks import check_is_fitted

from steps import sweep
from steps.sweep import make_plan
from tabular.jobs import last_fits
from tabular.jobs import sweep as sweeping
from tabular.jobs.last_fits import LastFits
from tabular.jobs.preparation import prepare
from tabular.jobs.timing import Timing
from tabular.recipe.fit import fit_members
from tabular.recipe.recipe import Recipe
from tabular.search import rungs
from tabular.search.cross_validation import Task, Trial, evaluate_configuration
from tabular.search.workers import Processes
from tabular.store.trials import log_trial
from tabular.table.dataset import Dataset
from tabular.table.split import Split
from tests.conftest import Store

FAMILIES = "logistic_regression,naive_bayes,hist_gradient_boosting"


@pytest.fixture(autouse=True)
def large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rungs, "LARGE", 300)
    monkeypatch.setattr(rungs, "FEWEST_ROWS", 60)


@pytest.fixture
def options(tmp_path: Path) -> list[str]:
    rng = np.random.default_rng(0)
    table = pd.DataFrame(rng.normal(size=(700, 5)), columns=list("abcde"))
    score = table["a"] * table["b"] + rng.normal(size=700) / 2
    table.assign(label=np.where(score > 0, "yes", "no")).to_csv(tmp_path / "t.csv", index=False)
    given = {"data": tmp_path / "t.csv", "target": "label", "trials": 6, "classifiers": FAMILIES}
    return [f"--{name}={value}" for name, value in {**given, "model_name": "t", "jobs": 1}.items()]


def children() -> list[Run]:
    """Runs of trials, in their order."""
    runs = mlflow.search_runs(search_all_experiments=True, output_format="list")
    return sorted(
        (r for r in runs if str(r.info.run_name)[0] == "t"), key=lambda r: r.info.run_name
    )


def proba(version: str) -> np.ndarray:
    """Of the rows of the first version's holdout."""
    first = MlflowClient().get_model_version("t", "1")
    file = mlflow.artifacts.download_artifacts(run_id=first.run_id, artifact_path="holdout.parquet")
    rows = pd.read_parquet(file).reset_index(drop=True)
    answers = mlflow.pyfunc.load_model(f"models:/t/{version}").predict(rows)
    return answers.filter(like="probability_").to_numpy()


def test_an_interrupted_sweep_on_rungs_goes_on_and_makes_the_same_model(
    store: Store, options: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep.main(options)
    trials = children()
    rows = [int(run.data.tags["rows"]) for run in trials]
    assert rows == sorted(rows)
    assert len(set(rows)) == 3
    [best] = [run for run in trials if run.data.tags.get("is_best") == "true"]
    assert int(best.data.tags["rows"]) == max(rows)
    logged = list[object]()

    def killed(*args: Any) -> str:
        if len(logged) == 8:  # on the second rung
            raise KeyboardInterrupt
        logged.append(args)
        return log_trial(*args)

    monkeypatch.setattr(sweeping, "log_trial", killed)
    with pytest.raises((KeyboardInterrupt, SystemExit)):
        sweep.main([*options, "--warm_start=false"])
    monkeypatch.setattr(sweeping, "log_trial", log_trial)
    newest = mlflow.search_runs(
        search_all_experiments=True, filter_string="attributes.run_name LIKE 'sweep%'",
        output_format="list",
    )[0]  # fmt: skip
    sweep.main([*options, "--warm_start=false", f"--resume={newest.info.run_id}"])
    again = [r for r in children() if r.data.tags["mlflow.parentRunId"] == newest.info.run_id]
    assert [int(run.data.tags["rows"]) for run in again] == rows
    assert [run.info.run_name for run in again] == [run.info.run_name for run in trials]
    assert np.array_equal(proba("1"), proba("2"))


@pytest.mark.parametrize(
    ("families", "left", "n_rungs_up"),
    [
        (["naive_bayes"], ["naive_bayes"], 1),  # the rows of the second of three rungs
        (["naive_bayes", "logistic_regression"], ["logistic_regression"], 2),
        # what is in time is much worse
        (["extra_trees", "k_neighbors"], ["extra_trees", "k_neighbors"], 1),
    ],
)
def test_where_the_last_fit_on_all_rows_is_late_fewer_rows_or_members_are_fitted(
    families: list[str],
    left: list[str],
    n_rungs_up: int,
    options: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plan = make_plan(vars(sweep.make_parser("").read([*options, "--timeout=600"])))
    table = prepare(plan.data, plan.target, seed=0, say=lambda line: None)
    some = rungs.rungs_of(table.folds, 0)
    trials = [
        dataclasses.replace(
            evaluate_configuration(Task(number, family, {}, "f1_macro", 0), some[0]),
            rows=len(some[0].y),
            seconds=1e6 if number == 0 else 0.1,
        )
        for number, family in enumerate(families)
    ]

    def late(
        dataset: Dataset, split: Split, wanted: Sequence[Trial], *rest: Any, **given: Any
    ) -> dict[int, Pipeline]:
        in_time = [trial for trial in wanted if trial.number or split.left_out is not None]
        return fit_members(dataset, split, in_time, *rest, **given)

    monkeypatch.setattr(last_fits, "fit_members", late)
    with Processes(table.folds, 2) as engine:
        last = LastFits(
            table, some, engine, Timing(600), plan, families, None, None, lambda: len(trials),
            lambda trial: None,
        )  # fmt: skip
        recipe = Recipe(tuple(trials), (1 / len(trials),) * len(trials), {})
        made, split, model = last.fit(recipe, trials)
    assert [trial.classifier for trial in made.members] == left
    assert split.train.sum() == len(some[n_rungs_up].y)
    assert not (split.train & split.holdout).any()
    assert last.timing.deadline.left_out == [f"the last fit of {recipe.name} on 568 rows"]
    check_is_fitted(model)
