"""A sweep begins with the recipe in production, and `main` leaves a table that it knows alone."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pytest
from mlflow import MlflowClient
from sklearn.datasets import load_iris

from steps import main, sweep, train
from tabular.families.classifiers import CLASSIFIERS, nearest_params, space_of
from tabular.families.space import Shape
from tabular.jobs.retraining import champion_of, first_trials, is_made_of
from tabular.search.cross_validation import Trial
from tabular.stats.constraint import read_constraint
from tabular.store import production
from tabular.store.trials import WARM_START, read_members, read_trials
from tabular.table.dataset import Dataset, load_dataset, make_dataset
from tests.conftest import Store
from tests.snapshots import once

SEARCH = ["--classifiers", "logistic_regression,naive_bayes", "--jobs", "1"]


def to_production(version: int) -> None:
    production.put_forward("iris", version, reason="a test", by="a test")


def make_champion() -> None:
    train.main([])
    to_production(1)


def sweeps() -> list[mlflow.entities.Run]:
    """Runs of sweeps, the newest first."""
    runs = mlflow.search_runs(output_format="list")
    return [run for run in runs if run.info.run_name.startswith("sweep ")]


def trials_of(run: mlflow.entities.Run) -> list[Trial]:
    digest = run.inputs.dataset_inputs[0].dataset.digest
    trials = read_trials(run.info.run_id, "f1_macro", digest, {})
    return [dataclasses.replace(trial, seconds=0) for trial in trials.values()]


def configurations(trials: list[Trial]) -> list[tuple[str, dict[str, Any]]]:
    return [(trial.classifier, trial.params) for trial in trials]


def test_a_sweep_begins_with_the_recipe_in_production_and_resumes_as_it_began(
    store: Store, capsys: Any
) -> None:
    train.main(["--C", "7.5"])
    to_production(1)
    sweep.main([*SEARCH, "--trials", "2"])
    begun = sweeps()[0]
    first = trials_of(begun)
    assert configurations(first)[0] == ("logistic_regression", {"C": 7.5})
    assert begun.data.tags[WARM_START] == "models:/iris/1"
    line = "  Begins with the recipe of models:/iris/1: logistic_regression."
    assert line in capsys.readouterr().out

    to_production(2)
    sweep.main([*SEARCH, "--trials", "4", "--resume", begun.info.run_id])
    whole = trials_of(sweeps()[0])
    assert whole[:2] == first
    assert line in capsys.readouterr().out
    sweep.main([*SEARCH, "--trials", "2", "--warm_start", "false"])
    assert WARM_START not in sweeps()[0].data.tags
    defaults = [("logistic_regression", {"C": 1.0}), ("naive_bayes", {"var_smoothing": 1e-9})]
    assert configurations(trials_of(sweeps()[0])) == defaults


def test_the_members_of_an_ensemble_come_first_in_the_order_of_their_weights(
    store: Store,
) -> None:
    sweep.main(["--jobs", "1", "--trials", "3", "--warm_start", "false"])
    version = MlflowClient().get_model_version("iris", "1")
    members = mlflow.get_run(version.run_id).data.params.get("members", "")
    assert members.count("t0") > 1
    to_production(1)
    dataset = load_dataset("iris")
    first = first_trials("models:/iris/1", dataset, list(CLASSIFIERS), print)
    assert first == configurations(read_members(version.run_id))
    assert {name for name, _ in first} < set(CLASSIFIERS)
    of_two = first_trials("models:/iris/1", dataset, [first[0][0], "svc"], print)
    assert of_two == first[:1]


def without_sha(dataset: Dataset) -> Dataset:
    MlflowClient().delete_model_version_tag("iris", "1", "bundle_sha256")
    return dataset


def without_run(dataset: Dataset) -> Dataset:
    MlflowClient().delete_run(MlflowClient().get_model_version("iris", "1").run_id)
    return dataset


def without_version(dataset: Dataset) -> Dataset:
    MlflowClient().delete_model_version("iris", "1")
    return dataset


def without_files(dataset: Dataset) -> Dataset:
    for file in Path().rglob("bundle.json"):
        file.unlink()
    return dataset


def of_another_target(_: Dataset) -> Dataset:
    frame = load_iris(as_frame=True).frame
    return make_dataset(frame.round(0), "petal width (cm)", name="iris", source="iris")


def with_another_column(_: Dataset) -> Dataset:
    frame = load_iris(as_frame=True).frame.rename(columns={"target": "species"})
    return make_dataset(frame.assign(bees=frame.index % 7), "species", name="iris", source="iris")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (without_sha, "it was not registered by this project"),
        (without_run, "its run was deleted"),
        (without_version, "it was deleted"),
        (without_files, "its files cannot be read"),
        (of_another_target, "it predicts 'species'"),
        (with_another_column, "'bees' is not in its table"),
    ],
)
def test_a_champion_whose_recipe_cannot_be_taken_is_one_line(
    store: Store, change: Callable[[Dataset], Dataset], reason: str
) -> None:
    once(make_champion)
    champion = champion_of("iris")
    lines: list[str] = []
    dataset = change(load_dataset("iris"))
    assert first_trials(champion, dataset, list(CLASSIFIERS), lines.append) == []
    assert lines == [f"  Begins without the recipe of models:/iris/1: {reason}."]


@pytest.mark.parametrize("classifier", CLASSIFIERS)
@pytest.mark.parametrize("shape", [Shape(20, 2, 4, True), Shape(50_000, 12, 4000, False)])
def test_hyperparameters_from_elsewhere_become_the_nearest_of_the_space(
    classifier: str, shape: Shape
) -> None:
    space = space_of(classifier, shape)
    first = {name: range_.nearest(range_.first) for name, range_ in space.items()}
    assert nearest_params(classifier, {}, shape) == first
    assert nearest_params(classifier, dict.fromkeys(space, "a word"), shape) == first
    assert nearest_params(classifier, first | {"unknown": 1}, shape) == first
    for extreme in (-1e9, 1e9):
        params = nearest_params(classifier, dict.fromkeys(space, extreme), shape)
        assert nearest_params(classifier, params, shape) == params
        assert list(params) == list(space)


@pytest.mark.usefixtures("unproven")
def test_main_does_nothing_for_the_table_in_production_unless_it_is_forced(
    store: Store, capsys: Any
) -> None:
    table = load_iris(as_frame=True).frame.rename(columns={"target": "species"})
    table.to_csv("first.csv", index=False)
    table[::-1].to_csv("same.csv", index=False)
    options = [*SEARCH, "--trials", "2", "--target", "species", "--model_name", "iris", "--data"]
    main.main([*options, "first.csv"])
    runs = len(mlflow.search_runs(output_format="list"))
    main.main([*options, "same.csv"])
    out = capsys.readouterr().out
    assert "Nothing to do: models:/iris/1, in production, is of this table; force=true" in out
    assert len(mlflow.search_runs(output_format="list")) == runs
    main.main([*options, "same.csv", "--force", "true"])
    assert len(MlflowClient().search_model_versions("name='iris'")) == 2


def test_another_table_or_purpose_is_a_reason_to_sweep(store: Store) -> None:
    frame = load_iris(as_frame=True).frame[:100]  # two classes
    frame.to_csv("two.csv", index=False)
    data = ["--data", "two.csv", "--target", "target"]
    sweep.main([*data, "--trials", "1", "--classifiers", "naive_bayes"])
    train.main([*data, "--classifier", "naive_bayes"])
    dataset = load_dataset("two.csv", "target")
    usual = (["", "f1_macro"], None, None)
    made = "models:/two/1"
    assert is_made_of(made, dataset, *usual)
    assert not is_made_of("models:/two/2", dataset, *usual)  # of no sweep
    assert not is_made_of("models:/two/3", dataset, *usual)  # that is not there
    assert not is_made_of("", dataset, *usual)
    assert not is_made_of(made, dataset, ["log_loss"], None, None)
    assert not is_made_of(made, dataset, usual[0], np.array([[0.0, 1.0], [2.0, 0.0]]), None)
    constraint = read_constraint("recall:0.8", dataset.labels)
    assert not is_made_of(made, dataset, usual[0], None, constraint)
    fewer = make_dataset(frame[1:], "target", name="two", source="")
    assert not is_made_of(made, fewer, *usual)
