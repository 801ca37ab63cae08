"""Engines: a process per place, each ended on its own, and the trials of one process."""

import dataclasses
import itertools
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tabular.families.classifiers import installed
from tabular.jobs.preparation import Prepared
from tabular.search.cross_validation import Task, evaluate_configuration
from tabular.search.workers import InProcess, Processes
from tests.conftest import ROOT

SMALL: dict[str, dict[str, Any]] = {
    "random_forest": {"n_estimators": 10},
    "extra_trees": {"n_estimators": 10},
    "hist_gradient_boosting": {"max_iter": 10},
    "mlp": {"max_iter": 20},
}


@pytest.fixture(scope="module")
def engine(iris: Prepared) -> Iterator[Processes]:
    with Processes(iris.folds, 2) as engine:
        yield engine


def test_a_configuration_that_takes_too_long_is_ended_and_the_others_go_on(
    engine: Processes,
) -> None:
    endless = Task(
        0, "mlp", {"max_iter": 10**9, "n_iter_no_change": 10**9, "tol": 0.0}, "accuracy", 0
    )
    quick = Task(1, "naive_bayes", {}, "accuracy", 0)
    engine.submit(endless, limit=3.0)
    engine.submit(quick, limit=math.inf)
    started = time.monotonic()
    trials = list(itertools.islice(_every(engine), 2))
    assert time.monotonic() - started < 60
    engine.submit(dataclasses.replace(quick, number=2), limit=math.inf)
    trials += list(itertools.islice(_every(engine), 1))
    by_number = {trial.number: trial for trial in trials}
    assert by_number[0].error.startswith("took too long (3.")
    assert by_number[1].metrics == by_number[2].metrics


def _every(engine: Processes) -> Any:
    while True:
        yield from engine.finished(timeout=60)


def test_a_killed_worker_costs_its_trial_and_not_the_search(iris: Prepared) -> None:
    endless = Task(
        0, "mlp", {"max_iter": 10**9, "n_iter_no_change": 10**9, "tol": 0.0}, "accuracy", 0
    )
    with Processes(iris.folds, 1) as engine:
        engine.submit(endless, limit=math.inf)
        os.kill(engine._workers[0].process.pid, signal.SIGKILL)
        (lost,) = engine.finished(timeout=60)
        engine.submit(Task(1, "naive_bayes", {}, "accuracy", 0), limit=math.inf)
        (next_one,) = itertools.islice(_every(engine), 1)
    assert lost.error.startswith("its process was killed")
    assert next_one.metrics["accuracy"] > 0.9


def test_worker_processes_give_the_trials_of_this_process(
    engine: Processes, iris: Prepared
) -> None:
    tasks = [
        Task(i, name, SMALL.get(name, {}), "log_loss", 3) for i, name in enumerate(installed())
    ]
    for task in tasks:
        engine.submit(task, limit=math.inf)
    for trial in itertools.islice(_every(engine), len(tasks)):
        here = evaluate_configuration(tasks[trial.number], iris.folds)
        assert here.metrics == trial.metrics
        assert np.array_equal(here.oof, trial.oof)


def test_a_fit_in_this_process_is_ended_too(iris: Prepared) -> None:
    params = {"max_iter": 10**9, "n_iter_no_change": 10**9, "tol": 0.0}
    engine = InProcess(iris.folds)
    engine.submit(Task(0, "mlp", params, "accuracy", 0), limit=0.5)
    (endless,) = engine.finished(timeout=1)
    assert endless.error.startswith("took too long (")
    engine.submit(Task(0, "random_forest", {}, "accuracy", 0), limit=0.05)
    (trial,) = engine.finished(timeout=1)
    assert trial.error.startswith("took too long (")
    assert not trial.metrics


SEARCH = """
import time
from tabular.search.cross_validation import Task
from tabular.jobs.preparation import prepare
from tabular.search.workers import Processes
table = prepare("iris", "", seed=42, say=lambda line: None)
with Processes(table.folds, 1) as engine:
    endless = {"max_iter": 10**9, "n_iter_no_change": 10**9, "tol": 0.0}
    engine.submit(Task(0, "mlp", endless, "accuracy", 0), 1e9)
    engine.finished(5)
    print(engine._workers[0].process.pid, engine._folder.name, flush=True)
    time.sleep(600)
"""


def test_a_killed_search_leaves_no_worker_and_no_folder_for_long(iris: Prepared) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        [sys.executable, "-c", SEARCH], env=environment, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        worker, folder = process.stdout.readline().split()
        process.kill()
    until = time.monotonic() + 30
    while is_alive(int(worker)) and time.monotonic() < until:
        time.sleep(0.1)
    assert not is_alive(int(worker))
    assert Path(folder).exists()
    with Processes(iris.folds, 1):
        assert not Path(folder).exists()


def is_alive(pid: int) -> bool:
    try:
        return "(zombie)" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False
