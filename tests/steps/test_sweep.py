"""The sweep as a user runs it: what is logged, what is registered, and what a Ctrl-C leaves."""

import os
import signal
from typing import Any

import mlflow
import pandas as pd
import pytest
from mlflow import MlflowClient
from mlflow.entities.run import Run

from steps import run_step, sweep
from tabular.errors import BadInput
from tabular.jobs import sweep as sweeping
from tabular.store import trials as tracking
from tests.conftest import Store
from tests.snapshots import once
from tests.tables import mixed_table


def parent_of(runs: list[Run]) -> Run:
    [parent] = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    return parent


def all_runs() -> list[Run]:
    return list(mlflow.search_runs(output_format="list"))


def trials_of(runs: list[Run]) -> list[Run]:
    return sorted(
        (run for run in runs if run.info.run_name.startswith("t0")), key=lambda r: r.info.run_name
    )


def test_a_sweep_has_a_child_for_each_trial_and_registers_its_best(store: Store) -> None:
    sweep.main(["--trials", "4", "--jobs", "1", "--classifiers", "logistic_regression,svc"])
    runs = all_runs()
    parent = parent_of(runs)
    children = [run for run in runs if "mlflow.parentRunId" in run.data.tags]
    assert {run.data.tags["mlflow.parentRunId"] for run in children} == {parent.info.run_id}
    names = [run.info.run_name.split()[0] for run in trials_of(runs)]
    assert names == ["t000", "t001", "t002", "t003"]
    assert all(run.info.status == "FINISHED" for run in runs)
    version = MlflowClient().get_model_version("iris", "1")
    assert parent.data.tags["best_child_run_id"] == version.run_id
    assert version.run_id in {run.info.run_id for run in children}
    best = max(trials_of(runs), key=lambda run: run.data.metrics["cv_f1_macro"])
    registered = mlflow.get_run(version.run_id).data.metrics
    assert registered["cv_log_loss"] <= best.data.metrics["cv_log_loss"]
    assert parent.data.metrics["holdout_f1_macro"] > 0.8


def test_the_best_few_are_registered_on_demand(store: Store) -> None:
    sweep.main(["--trials", "3", "--classifiers", "k_neighbors", "--register", "2", "--jobs", "1"])
    versions = [MlflowClient().get_model_version("iris", str(n)) for n in (1, 2)]
    assert len({version.tags["recipe"] for version in versions}) == 2


def test_a_sweep_goes_on_where_it_stopped(store: Store) -> None:
    options = ["--classifiers", "k_neighbors", "--jobs", "1"]
    sweep.main(["--trials", "2", *options])
    [parent] = [
        r for r in mlflow.search_runs(output_format="list") if "best_child_run_id" in r.data.tags
    ]
    sweep.main(["--trials", "5", *options, "--resume", parent.info.run_id])
    children = MlflowClient().search_runs(
        [parent.info.experiment_id], f"tags.mlflow.parentRunId = '{parent.info.run_id}'"
    )
    trials = trials_of(list(children))
    assert [run.info.run_name.split()[0] for run in trials] == [f"t00{n}" for n in range(5)]
    params = [str(run.data.params) for run in trials]
    assert len(set(params)) == len(params)


COSTS = """,setosa,versicolor,virginica
setosa,0,1,1
versicolor,1,0,5
virginica,1,5,0
"""


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        (["--data", "wine"], "another table"),
        (["--seed", "7"], "has seed 42"),
        (["--metric", "accuracy"], "has metric f1_macro"),
        (["--metric", "f1_macro", "--cost", COSTS], "has no cost"),
    ],
)
def test_a_sweep_of_something_else_is_not_continued(
    store: Store, changed: list[str], words: str, capfd: Any
) -> None:
    options = ["--classifiers", "k_neighbors", "--jobs", "1"]
    once(sweep.main, ("--trials", "1", *options))
    [parent] = [
        r for r in mlflow.search_runs(output_format="list") if "best_child_run_id" in r.data.tags
    ]
    with pytest.raises(BadInput, match=words):
        sweep.main(["--trials", "2", *options, "--resume", parent.info.run_id, *changed])


def test_a_sweep_of_a_project_with_the_default_metric_is_continued(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = ["--classifiers", "k_neighbors", "--jobs", "1"]
    with mlflow.start_run() as run:  # as `mlflow run` does
        mlflow.log_params(dict.fromkeys(("metric", "cost", "at_least"), "''"))
    monkeypatch.setenv("MLFLOW_RUN_ID", run.info.run_id)
    sweep.main(["--trials", "1", *options])
    sweep.main(["--trials", "2", *options, "--resume", run.info.run_id])
    assert len(trials_of(all_runs())) == 2
    with pytest.raises(BadInput, match="has no metric"):
        sweep.main([*options, "--resume", run.info.run_id, "--metric", "accuracy"])


def test_roc_auc_of_a_class_of_one_row_is_refused_before_any_trial(
    store: Store, tmp_path: Any
) -> None:
    table = mixed_table()
    table.loc[0, "label"] = "perhaps"
    table.to_csv(tmp_path / "mixed.csv", index=False)
    data = ["--data", str(tmp_path / "mixed.csv"), "--target", "label"]
    with pytest.raises(BadInput, match="class 'perhaps' has one row to train on"):
        sweep.main([*data, "--metric", "roc_auc"])
    assert not all_runs()


@pytest.fixture
def table(tmp_path: Any) -> str:
    path = tmp_path / "mixed.csv"
    mixed_table().to_csv(path, index=False)
    return str(path)


def test_children_are_ranked_and_the_parent_has_a_leaderboard(store: Store, tmp_path: Any) -> None:
    names = "logistic_regression,naive_bayes"
    sweep.main(["--trials", "20", "--classifiers", names, "--jobs", "1"])
    parent = parent_of(all_runs())
    found = mlflow.artifacts.download_artifacts(
        run_id=parent.info.run_id, artifact_path="leaderboard.csv", dst_path=str(tmp_path)
    )
    board = pd.read_csv(found)
    assert len(board) == 21
    assert board["run_id"][0] == parent.data.tags["best_child_run_id"]
    ranked = board[board["state"] == "finished"]
    tags = [mlflow.get_run(run_id).data.tags for run_id in ranked["run_id"]]
    assert [tag["rank"] for tag in tags] == [str(n + 1) for n in range(len(ranked))]
    assert [tag["is_best"] for tag in tags] == ["true"] + ["false"] * (len(ranked) - 1)
    files = {file.path for file in MlflowClient().list_artifacts(parent.info.run_id)}
    assert files == {
        "out_of_fold.npz",
        "leaderboard.csv",
        "leaderboard.html",
        "optimization_history.png",
        "hyperparameter_importance.png",
    }


def test_what_was_given_up_is_a_finished_child_without_metrics(store: Store) -> None:
    sweep.main(["--trials", "30", "--classifiers", "logistic_regression", "--jobs", "1"])
    stopped = [run for run in all_runs() if "stopped" in run.data.tags]
    assert stopped
    assert {run.info.status for run in stopped} == {"FINISHED"}
    assert all(not run.data.metrics and "rank" not in run.data.tags for run in stopped)
    assert all("given up after" in run.info.run_name for run in stopped)


def test_a_tuned_recipe_has_a_child_of_its_own_and_answers_as_it_was_measured(
    store: Store, table: str
) -> None:
    options = ["--data", table, "--target", "label", "--trials", "3", "--jobs", "1"]
    sweep.main([*options, "--classifiers", "naive_bayes"])  # overconfident: it is calibrated
    version = MlflowClient().get_model_version("mixed", "1")
    run = mlflow.get_run(version.run_id)
    assert run.info.run_name.startswith("best: ")
    assert {"members", "calibration", "threshold"} <= set(run.data.params)
    holdout = pd.read_parquet(
        mlflow.artifacts.download_artifacts(run_id=version.run_id, artifact_path="holdout.parquet")
    )
    answers = mlflow.pyfunc.load_model("models:/mixed/1").predict(holdout.reset_index(drop=True))
    hits = (answers["prediction"].astype(str).to_numpy() == holdout["label"].astype(str)).mean()
    assert hits == pytest.approx(run.data.metrics["holdout_accuracy"])


def test_a_version_that_is_there_is_not_registered_again(store: Store) -> None:
    options = ["--classifiers", "naive_bayes", "--jobs", "1", "--trials", "3"]
    sweep.main(options)
    sweep.main([*options, "--resume", parent_of(all_runs()).info.run_id])
    assert len(MlflowClient().search_model_versions("name='iris'")) == 1


def test_resumed_and_uninterrupted_trials_make_the_same_recipe(store: Store, table: str) -> None:
    options = ["--data", table, "--target", "label", "--jobs", "1", "--trials", "5"]
    options += ["--classifiers", "logistic_regression,naive_bayes,k_neighbors"]
    sweep.main(options)
    parent = parent_of(all_runs())
    first = MlflowClient().get_model_version("mixed", "1")
    MlflowClient().delete_model_version("mixed", "1")
    sweep.main([*options, "--resume", parent.info.run_id])
    again = MlflowClient().get_model_version("mixed", "2")
    assert again.tags["recipe"] == first.tags["recipe"]
    scores = [mlflow.get_run(v.run_id).data.metrics["holdout_log_loss"] for v in (first, again)]
    assert scores[0] == scores[1]


def interrupt_at(call: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sends Ctrl-C when the given trial is logged."""
    calls = []
    real = tracking.log_trial

    def log(*args: Any) -> str:
        calls.append(1)
        if len(calls) == call:
            os.kill(os.getpid(), signal.SIGINT)
        return real(*args)

    monkeypatch.setattr(sweeping, "log_trial", log)


def test_ctrl_c_ends_the_search_and_registers_the_best_so_far(
    store: Store, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    interrupt_at(3, monkeypatch)
    sweep.main(["--trials", "50", "--classifiers", "naive_bayes", "--jobs", "1"])
    runs = all_runs()
    assert {run.info.status for run in runs} == {"FINISHED"}
    assert len(trials_of(runs)) == 3
    assert len(MlflowClient().search_model_versions("name='iris'")) == 1
    assert "stopping: the best so far will be registered" in capsys.readouterr().out


def test_a_sweep_that_is_left_at_once_leaves_no_run_open(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def leave(*_: Any) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr(sweeping, "log_trial", leave)
    with pytest.raises(SystemExit) as ended:
        run_step(lambda: sweep.main(["--trials", "5", "--classifiers", "svc", "--jobs", "1"]))
    assert ended.value.code == 130
    assert "RUNNING" not in {run.info.status for run in all_runs()}
    assert not MlflowClient().search_model_versions("name='iris'")


def test_a_sweep_ends_when_its_time_is_up(store: Store, table: str) -> None:
    options = ["--data", table, "--target", "label", "--trials", "100000", "--timeout", "8"]
    sweep.main([*options, "--jobs", "1", "--classifiers", "naive_bayes,logistic_regression"])
    assert len(MlflowClient().search_model_versions("name='mixed'")) == 1
    children = trials_of(all_runs())
    assert 0 < len(children) < 100_000


def test_no_time_at_all_is_said(store: Store, table: str) -> None:
    with pytest.raises(BadInput, match="time was up"):
        sweep.main(["--data", table, "--target", "label", "--timeout", "0.001"])
    assert "RUNNING" not in {run.info.status for run in all_runs()}
