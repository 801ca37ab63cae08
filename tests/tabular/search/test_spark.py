"""The search on a real Spark cluster: the trials of worker processes, whatever is lost."""

import dataclasses
import math
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from mlflow import MlflowClient

from steps import sweep
from tabular.errors import BadInput
from tabular.jobs.preparation import Prepared, prepare
from tabular.search import rungs as of_rows
from tabular.search.cross_validation import Task, Trial
from tabular.search.folds import Folds
from tabular.search.loop import Budget, Goal, ranked, search
from tabular.search.rungs import rungs_of, search_rungs
from tabular.search.spark import SparkEngine
from tabular.search.workers import Engine, Processes
from tests.conftest import ROOT, Store
from tests.spark_cluster import Cluster, children, forget_the_jvm, standalone_cluster

pytestmark = pytest.mark.xdist_group("spark")

ENDLESS = Task(0, "mlp", {"max_iter": 10**9, "n_iter_no_change": 10**9, "tol": 0.0}, "accuracy", 0)
FAMILIES = ["logistic_regression", "hist_gradient_boosting", "naive_bayes", "k_neighbors"]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> "Iterator[Cluster]":
    pytest.importorskip("pyspark", reason="pip install -r requirements-spark.txt")
    with (
        standalone_cluster(tmp_path_factory.mktemp("cluster"), n_workers=2) as started,
        pytest.MonkeyPatch.context() as patch,
    ):
        for name, value in started.environment.items():
            patch.setenv(name, value)
        forget_the_jvm()
        yield started
        forget_the_jvm()


@pytest.fixture(scope="module")
def iris() -> Prepared:
    return prepare("iris", "", seed=42, say=lambda line: None)


@pytest.fixture(scope="module")
def folds(iris: Prepared) -> Folds:
    return iris.folds


def searched(engine: Engine, table: Prepared, trials: int = 12) -> "Iterator[Trial]":
    budget = Budget(trials)
    return search(engine, table.folds.shape, budget, Goal(FAMILIES, "log_loss", seed=7))


@pytest.fixture(scope="module")
def local(iris: Prepared, folds: Folds) -> list[Trial]:
    """The trials of two worker processes."""
    with Processes(folds, 2) as engine:
        return list(searched(engine, iris))


def assert_identical(there: list[Trial], here: list[Trial]) -> None:
    for one, other in zip(there, here, strict=True):
        assert dataclasses.replace(one, seconds=0) == dataclasses.replace(other, seconds=0)
        assert (one.oof is None) == (other.oof is None)
        if one.oof is not None:
            assert np.array_equal(one.oof, other.oof)
    assert ranked(there, "log_loss")[0].number == ranked(here, "log_loss")[0].number


def collected(engine: Engine, n_trials: int) -> dict[int, Trial]:
    deadline = time.monotonic() + 120
    trials: list[Trial] = []
    while len(trials) < n_trials and time.monotonic() < deadline:
        trials += engine.finished(timeout=10)
    return {trial.number: trial for trial in trials}


@pytest.mark.spark
def test_the_trials_are_those_of_worker_processes(
    cluster: Cluster, iris: Prepared, folds: Folds, local: list[Trial]
) -> None:
    with SparkEngine(folds, 2) as engine:
        assert engine._context.master == cluster.url
        assert_identical(list(searched(engine, iris)), local)


@pytest.mark.spark
def test_on_rungs_too_the_trials_are_those_of_worker_processes(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"LARGE": 300, "FEWEST_ROWS": 20, "FEWEST_OF_CLASS": 1}.items():
        monkeypatch.setattr(of_rows, name, value)
    table = prepare("breast_cancer", "", seed=0, say=lambda line: None)
    rungs, goal = rungs_of(table.folds, seed=3), Goal(FAMILIES[2:], "log_loss", seed=7)
    trials = []
    for engine in (SparkEngine(rungs[-1], 2), Processes(rungs[-1], 2)):
        with engine:
            trials.append(list(search_rungs(rungs, engine, Budget(4), goal)))
    assert {trial.rows for trial in trials[0]} == {len(rung.y) for rung in rungs}
    assert_identical(*trials)


@pytest.mark.spark
def test_without_a_number_of_jobs_there_are_as_many_as_cores(
    cluster: Cluster, folds: Folds
) -> None:
    wait_until_free(cluster)
    with SparkEngine(folds, -1) as engine:
        assert engine.slots == 2
        assert len(cluster.executors()) == 2
    wait_until_free(cluster)


def wait_until_free(cluster: Cluster) -> None:
    deadline = time.monotonic() + 60
    while cluster.executors():
        assert time.monotonic() < deadline, "an application has left its executors behind"
        time.sleep(0.1)


@pytest.mark.spark
def test_a_killed_executor_costs_a_retry_and_not_a_trial(
    cluster: Cluster, iris: Prepared, folds: Folds, local: list[Trial]
) -> None:
    trials = []
    wait_until_free(cluster)
    with SparkEngine(folds, 2) as engine:
        for trial in searched(engine, iris):
            trials.append(trial)
            if len(trials) == 3:
                assert engine._running  # a task is lost with it
                before = cluster.executors()
                os.kill(before[0], signal.SIGKILL)
        assert set(cluster.executors()) != set(before)
    assert_identical(trials, local)


@pytest.mark.spark
def test_a_trial_beyond_its_limit_is_ended_and_frees_its_core(
    cluster: Cluster, folds: Folds
) -> None:
    quick = Task(2, "naive_bayes", {}, "accuracy", 0)
    with SparkEngine(folds, 2) as engine:
        for number in (0, 1):  # both cores
            engine.submit(dataclasses.replace(ENDLESS, number=number), limit=10.0)
        engine.submit(quick, limit=math.inf)
        trials: dict[int, Trial] = {}
        fitting: set[int] = set()
        while not trials:
            fitting = pythons(cluster) or fitting
            trials = {trial.number: trial for trial in engine.finished(timeout=0.5)}
        trials |= collected(engine, 3 - len(trials))
        assert trials[0].error.startswith("took too long (10.")
        assert trials[1].error.startswith("took too long (10.")
        assert trials[2].metrics["accuracy"] > 0.9
        deadline = time.monotonic() + 30
        while fitting & pythons(cluster):
            assert time.monotonic() < deadline, "the fit goes on"
            time.sleep(0.2)
        assert fitting


def pythons(cluster: Cluster) -> set[int]:
    daemons = [pid for executor in cluster.executors() for pid in children(executor)]
    return {pid for daemon in daemons for pid in children(daemon)}


@pytest.mark.spark
def test_what_is_running_can_be_ended_and_more_be_asked_for(cluster: Cluster, folds: Folds) -> None:
    with SparkEngine(folds, 2) as engine:
        engine.submit(ENDLESS, limit=math.inf)
        engine.submit(dataclasses.replace(ENDLESS, number=1), limit=math.inf)
        engine.submit(dataclasses.replace(ENDLESS, number=2), limit=math.inf)  # has not begun
        ended = engine.end("stopped")
        assert [(t.number, t.error.partition(" (")[0]) for t in ended] == [
            (0, "stopped"),
            (1, "stopped"),
        ]
        engine.submit(Task(3, "naive_bayes", {}, "accuracy", 0), limit=math.inf)
        assert collected(engine, 1)[3].metrics["accuracy"] > 0.9


@pytest.mark.spark
def test_a_cluster_that_goes_away_ends_the_search_with_one_sentence(
    cluster: Cluster, folds: Folds
) -> None:
    with SparkEngine(folds, 2) as engine:
        for number in (0, 1):
            engine.submit(dataclasses.replace(ENDLESS, number=number), limit=math.inf)
        time.sleep(1)
        engine._context.stop()
        with pytest.raises(ConnectionError, match="the Spark application has ended"):
            collected(engine, 1)


@pytest.mark.spark
def test_executors_without_the_packages_are_named_before_a_run_is_opened(
    cluster: Cluster, store: Store
) -> None:
    bare = store.folder / "bare"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(bare)], check=True)
    env = {"PYSPARK_PYTHON": str(bare / "bin" / "python")}
    ended = run_sweep(store, cluster.environment | env)
    assert ended.returncode == 2
    said = ended.stderr.splitlines()[-1]
    assert said.startswith("error: the Spark executors cannot evaluate: ModuleNotFoundError")
    assert not MlflowClient().search_runs([experiment_of(store)])


def run_sweep(
    store: Store, env: dict[str, str], **options: Any
) -> "subprocess.CompletedProcess[str]":
    given = {"engine": "spark", "trials": 6, "jobs": 2} | options
    return subprocess.run(
        [sys.executable, "-m", "steps.sweep", *(f"--{k}={v}" for k, v in given.items())],
        cwd=store.folder,
        env=env | store.environment | env | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )


def experiment_of(store: Store) -> str:
    return str(MlflowClient().get_experiment_by_name("tests").experiment_id)


@pytest.mark.spark
def test_a_sweep_on_the_cluster_ends_with_a_registered_version(
    cluster: Cluster, store: Store
) -> None:
    ended = run_sweep(store, cluster.environment)
    assert ended.returncode == 0, ended.stderr
    assert "iris version 1: f1_macro" in ended.stdout
    (version,) = MlflowClient().search_model_versions("name='iris'")
    parent = MlflowClient().get_run(version.run_id).data.tags["mlflow.parentRunId"]
    runs = MlflowClient().search_runs(
        [experiment_of(store)], f"tags.`mlflow.parentRunId` = '{parent}'"
    )
    assert sum(bool(re.match(r"t\d{3} ", run.info.run_name)) for run in runs) == 6


def test_without_pyspark_the_command_that_installs_it_is_named(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("pyspark", "pyspark.sql"):
        monkeypatch.setitem(sys.modules, name, None)  # as if it were not installed
    with pytest.raises(BadInput, match=r"pip install -r requirements-spark\.txt"):
        sweep.main(["--engine", "spark"])
    assert not MlflowClient().search_runs([experiment_of(store)])
