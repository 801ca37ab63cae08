"""A sweep that is killed at random moments, and continued."""

import os
import random
import signal
import subprocess
import sys
import time

import mlflow
import pytest
from mlflow import MlflowClient

from tests.conftest import ROOT, Store

pytestmark = pytest.mark.slow

TRIALS, KILLS = 8, 10
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
