"""Commands that are stopped, killed or left by who reads them, as processes of their own."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import mlflow
import pytest

from steps import run_step
from tests.conftest import ROOT, Store

pytestmark = pytest.mark.alone

MLFLOW_RUN = [sys.executable, "-m", "mlflow", "run", str(ROOT), "--env-manager", "local"]


@pytest.mark.parametrize("handled", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1])
def test_a_step_puts_the_signal_handlers_back(handled: signal.Signals) -> None:
    before = signal.getsignal(handled)
    with pytest.raises(SystemExit):
        run_step(lambda: None)
    assert signal.getsignal(handled) is before


def test_sigterm_is_an_exit_that_one_right_after_it_does_not_disturb() -> None:
    ended: list[str] = []

    def step() -> None:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        finally:
            os.kill(os.getpid(), signal.SIGTERM)
            ended.append("closed")

    with pytest.raises(SystemExit) as left:
        run_step(step)
    assert (left.value.code, ended) == (143, ["closed"])


@pytest.mark.parametrize("module", ["tabular.process", "mlflow.version", "optuna"])
def test_ctrl_c_during_the_imports_is_one_word(store: Store, module: str) -> None:
    environment = store.environment | {"PYTHONPROFILEIMPORTTIME": "1"}
    with subprocess.Popen(
        [sys.executable, "-m", "steps.sweep"],
        cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stderr
        for line in process.stderr:
            if line.split("|")[-1].strip() == module:
                process.send_signal(signal.SIGINT)
                break
        printed = [line for line in process.stderr if not line.startswith("import time:")]
    assert (process.returncode, printed) == (130, ["stopped\n"])
    assert not mlflow.search_runs(output_format="list")


def run_environment(store: Store) -> dict[str, str]:
    """The store's, but `mlflow run` takes an experiment's name or its id."""
    return {k: v for k, v in store.environment.items() if k != "MLFLOW_EXPERIMENT_ID"}


def processes_of(mark: str) -> list[str]:
    """The commands of the processes that have this text in their environment."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if mark.encode() in (folder / "environ").read_bytes():
                found.append((folder / "cmdline").read_text().replace("\0", " "))
        except OSError:  # another's, or ended meanwhile
            continue
    return found


def wait_for(process: subprocess.Popen[str], start: str) -> None:
    assert process.stdout
    assert any(line.startswith(start) for line in process.stdout)


@pytest.mark.slow
def test_commands_that_begin_together_in_an_empty_folder_all_succeed(tmp_path: Path) -> None:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("MLFLOW_")}
    environment["PYTHONPATH"] = str(ROOT)
    command = [sys.executable, "-m", "steps.train", "--model_name"]
    together = [
        subprocess.Popen(
            [*command, name], cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True
        )
        for name in ("one", "two", "three")
    ]
    ended = [process.communicate()[1][-500:] for process in together]
    assert [process.returncode for process in together] == [0, 0, 0], ended


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "moment"),
    [
        (signal.SIGTERM, "the step begins"),
        (signal.SIGKILL, "  t003"),
        (signal.SIGTERM, "  t003"),
        (signal.SIGKILL, "iris version"),
    ],
)
def test_with_mlflow_run_its_step_and_workers_end_and_the_run_is_closed(
    store: Store, moment: str, number: signal.Signals
) -> None:
    mark = f"MARK_OF_A_TEST={store.folder}"
    environment = run_environment(store) | dict([mark.split("=")]) | {"PYTHONUNBUFFERED": "1"}
    entry = "sweep" if moment == "  t003" else "main"
    options = ["-P", "trials=5000"] if entry == "sweep" else ["-P", "trials=3"]
    options += ["-P", "data=digits", "-P", "jobs=2"] if entry == "sweep" else []
    with subprocess.Popen(
        [*MLFLOW_RUN, "-e", entry, *options],
        cwd=store.folder, env=environment, stdout=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        if moment == "the step begins":
            while not any(f"steps.{entry}" in command for command in processes_of(mark)):
                assert process.poll() is None
                time.sleep(0.01)
        else:
            wait_for(process, moment)
        process.send_signal(number)
        killed = time.monotonic()
        while processes_of(mark):
            time.sleep(0.1)
            assert time.monotonic() - killed < 120, processes_of(mark)
        seconds = time.monotonic() - killed
    print(f"{moment}: {seconds:.1f} s")
    assert seconds < (10 if moment != "the step begins" else 60)  # its imports end first
    runs = mlflow.search_runs(output_format="list")
    assert "RUNNING" not in {run.info.status for run in runs}


@pytest.mark.slow
def test_a_reader_who_leaves_does_not_make_the_run_fail(store: Store) -> None:
    command = " ".join([*MLFLOW_RUN, "-e", "sweep", "-P", "trials=4", "2>&1", "| head -1"])
    subprocess.run(
        ["bash", "-c", command],
        cwd=store.folder,
        env=run_environment(store),
        check=True,
        timeout=600,
    )
    runs: list[Any] = mlflow.search_runs(output_format="list")
    assert {run.info.status for run in runs} == {"FINISHED"}
