"""Sweeps that are killed and continued, run side by side, lose their server or the time of day."""

import os
import random
import signal
import subprocess
import sys
import time

import mlflow
import pytest
from mlflow import MlflowClient

from tabular.gate.prove import free_port
from tests.conftest import ROOT, Store, tracking_server

pytestmark = pytest.mark.slow

TRIALS, KILLS = 8, 5
SWEEP = [
    sys.executable, "-m", "steps.sweep", "--classifiers", "naive_bayes,k_neighbors",
    "--trials", str(TRIALS), "--register", "2",
]  # fmt: skip


@pytest.mark.parametrize("kill", range(KILLS))
def test_after_a_kill_the_sweep_goes_on_with_every_trial_once(store: Store, kill: int) -> None:
    chance = random.Random(kill)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(SWEEP, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        trials_seen, wanted = 0, chance.randint(1, TRIALS)
        while trials_seen < wanted:
            trials_seen += process.stdout.readline().startswith("  t0")
        # after the last trial: anywhere between the ensemble and the end of the registration
        time.sleep(chance.random() * (6 if wanted == TRIALS else 0.2))
        process.send_signal(signal.SIGKILL)
    runs = mlflow.search_runs(output_format="list")
    [parent] = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    subprocess.run([*SWEEP, "--resume", parent.info.run_id], env=environment, check=True)

    runs = mlflow.search_runs(output_format="list")
    names = sorted(r.info.run_name[:4] for r in runs if r.info.status in ("FINISHED", "FAILED"))
    trials = [name for name in names if name.startswith("t0")]
    assert trials == [f"t{number:03d}" for number in range(TRIALS)]
    assert "RUNNING" not in {run.info.status for run in runs}
    versions = MlflowClient().search_model_versions("name='iris'")
    assert len(versions) == 2
    assert len({version.tags["recipe"] for version in versions}) == 2


def test_two_sweeps_of_one_model_at_once_register_a_version_each(store: Store) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    seeds = ["1", "2"]
    sweeps = [subprocess.Popen([*SWEEP, "--seed", seed], env=environment) for seed in seeds]
    assert [sweep.wait(600) for sweep in sweeps] == [0, 0]
    runs = mlflow.search_runs(output_format="list")
    assert {run.info.status for run in runs} == {"FINISHED"}
    parents = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    versions = MlflowClient().search_model_versions("name='iris'")
    assert sorted(int(version.version) for version in versions) == [1, 2, 3, 4]
    made = [version.tags["sweep_run_id"] for version in versions]
    assert {made.count(parent.info.run_id) for parent in parents} == {2}
    for parent in parents:
        trials = [
            run.info.run_name[:4]
            for run in runs
            if run.data.tags.get("mlflow.parentRunId") == parent.info.run_id
            and run.info.run_name.startswith("t0")
        ]
        assert sorted(trials) == [f"t{number:03d}" for number in range(TRIALS)]


def test_a_sweep_waits_for_a_tracking_server_that_was_killed(store: Store) -> None:
    port = free_port()
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
    environment |= {"MLFLOW_TRACKING_URI": f"http://127.0.0.1:{port}"}
    environment.pop("MLFLOW_EXPERIMENT_ID", None)
    with tracking_server(store.uri, store.folder, port) as server:
        sweep = subprocess.Popen(SWEEP, env=environment, stdout=subprocess.PIPE, text=True)
        assert sweep.stdout
        while not sweep.stdout.readline().startswith("  t002"):
            assert sweep.poll() is None
        os.killpg(server.pid, signal.SIGKILL)
    time.sleep(5)
    with tracking_server(store.uri, store.folder, port):
        sweep.communicate(timeout=600)
    assert sweep.returncode == 0
    runs = mlflow.search_runs(search_all_experiments=True, output_format="list")
    ended = [run for run in runs if run.info.status == "FINISHED"]
    trials = [run.info.run_name[:4] for run in ended if run.info.run_name.startswith("t0")]
    assert sorted(trials) == [f"t{number:03d}" for number in range(TRIALS)]
    assert len(MlflowClient().search_model_versions("name='iris'")) == 2


@pytest.mark.parametrize("hours", [-30, 30])
def test_a_clock_that_jumps_changes_no_trial_and_no_limit(store: Store, hours: int) -> None:
    jumping = f"""
import sys, time
from steps import sweep
real, begun = time.time, time.time()
time.time = lambda: real() + {hours} * 3600 * (real() > begun + 2)
sys.exit(sweep.main({SWEEP[3:]} + ["--timeout", "600"]))
"""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", jumping], env=environment, check=True, timeout=600)
    runs = mlflow.search_runs(output_format="list")
    assert {run.info.status for run in runs} == {"FINISHED"}
    trials = [run for run in runs if run.info.run_name.startswith("t0")]
    assert len(trials) == TRIALS
    unregistered = [run for run in trials if "holdout_f1_macro" not in run.data.metrics]
    assert unregistered  # the others go on once more, by a clock that may have jumped meanwhile
    assert all(0 <= run.info.end_time - run.info.start_time < 600_000 for run in unregistered)
    assert len(MlflowClient().search_model_versions("name='iris'")) == 2
