"""The files of examples/retraining: what each of them runs, run as it runs it."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from mlflow import MlflowClient
from sklearn.datasets import load_iris

from steps import train
from tabular.store import production
from tests.conftest import ROOT, Store

FILES = ROOT / "examples" / "retraining"
NAMES = {"MODEL", "RECENT", "DATA", "TARGET", "MLFLOW_TRACKING_URI"}
SCRIPT = "bash examples/retraining/retrain.sh"


def of_crontab() -> tuple[str, dict[str, str]]:
    """The command of the only job, and the variables above it."""
    lines = (FILES / "crontab").read_text(encoding="utf-8").splitlines()
    lines = [line for line in lines if line and not line.startswith("#")]
    *variables, job = lines
    match = re.fullmatch(r"(?:[\d*,/-]+ +){5}(.*)", job)
    assert match
    assert "%" not in job  # cron would take it for the end of the line
    return match[1], dict(line.split("=", 1) for line in variables)


def of_workflow() -> tuple[str, dict[str, str]]:
    text = (FILES / "retrain.yml").read_text(encoding="utf-8")
    workflow: dict[Any, Any] = yaml.safe_load(text)
    assert set(workflow[True]) == {"schedule", "workflow_dispatch"}  # YAML 1.1 reads `on` as true
    [job] = workflow["jobs"].values()
    return job["steps"][-1]["run"], job["env"]


def of_cron_job() -> tuple[str, dict[str, str]]:
    cron_job = yaml.safe_load((FILES / "cronjob.yaml").read_text(encoding="utf-8"))
    assert (cron_job["apiVersion"], cron_job["kind"]) == ("batch/v1", "CronJob")
    job = cron_job["spec"]["jobTemplate"]["spec"]
    assert job["podFailurePolicy"]["rules"][0]["onExitCodes"]["values"] == [2]
    pod = job["template"]["spec"]
    assert pod["restartPolicy"] == "Never"  # a pod failure policy demands it
    [container] = pod["containers"]
    assert all(set(one) == {"name", "value"} for one in container["env"])
    return " ".join(container["command"]), {one["name"]: one["value"] for one in container["env"]}


@pytest.mark.parametrize("read", [of_crontab, of_workflow, of_cron_job])
def test_each_schedule_runs_the_script_with_what_it_reads(read: Any) -> None:
    command, variables = read()
    assert command.endswith(SCRIPT)
    assert set(variables) >= NAMES
    script = (FILES / "retrain.sh").read_text(encoding="utf-8")
    assert set(re.findall(r"\$([A-Z]+)", script)) == NAMES - {"MLFLOW_TRACKING_URI"}


def test_the_schedules_are_at_the_same_time() -> None:
    texts = [
        (FILES / name).read_text("utf-8") for name in ("crontab", "retrain.yml", "cronjob.yaml")
    ]
    assert all("17 3 * * *" in text for text in texts)


def run(command: str, store: Store, **variables: str) -> subprocess.CompletedProcess[str]:
    given = {
        "MODEL": "iris",
        "DATA": "iris",
        "TARGET": "species",
        "PROJECT": str(ROOT),
        "TRIALS": "8",
    }
    env = store.environment | given | variables
    return subprocess.run(
        ["bash", "-e", "-c", command],
        cwd=ROOT,
        env=env,
        text=True,
        capture_output=True,
        check=False,
    )


@pytest.mark.slow
def test_what_the_crontab_runs_retrains_after_drift_and_only_then(store: Store) -> None:
    train.main(["--C", "0.0001"])
    production.put_forward("iris", 1, reason="a test", by="a test")
    flowers = load_iris(as_frame=True).data
    drifted, few = Path("drifted.csv").resolve(), Path("few.csv").resolve()
    (flowers + 1).to_csv(drifted, index=False)
    flowers[::12].to_csv(few, index=False)
    command, _ = of_crontab()
    command = command.replace(".retrain.lock", str(store.folder / "lock"))
    path = f"PATH={Path(sys.executable).parent}:$PATH "
    command = re.sub(r'PATH="[^"]*" ', path, command)

    fine = run(command, store, RECENT="iris")
    assert (fine.returncode, "retrain: no drift, nothing to do" in fine.stdout) == (0, True)
    unsure = run(command, store, RECENT=str(few))
    assert (unsure.returncode, "too few rows to tell, nothing to do" in unsure.stdout) == (0, True)
    wrong = run(command, store, RECENT="nowhere.csv")
    assert wrong.returncode == 2
    assert "retrain: monitor failed with 2" in wrong.stderr
    assert len(MlflowClient().search_model_versions("name='iris'")) == 1

    again = run(command, store, RECENT=str(drifted))
    assert again.returncode == 0, again.stderr
    assert "Begins with the recipe of models:/iris/1: logistic_regression." in again.stdout
    assert MlflowClient().get_model_version_by_alias("iris", "champion").version == 2
    nothing = run(command, store, RECENT=str(drifted))  # the model has seen no such rows
    assert nothing.returncode == 0
    assert "Nothing to do: models:/iris/2" in nothing.stdout
