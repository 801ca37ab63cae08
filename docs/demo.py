"""A store of its own with real runs of the project's commands, for docs/pictures.py.

The story: a k-neighbours classifier of the penguins goes into production, a sweep finds a better
one, which replaces it, and a third version is trained and waits. Then a later table is monitored.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import terminal

ROOT = Path(__file__).resolve().parents[1]
TABLE = "examples/penguins_raw.csv"
TARGET = "Sex"
SHIFTED = "Body Mass (g)"
MODEL = "penguins"
TRIALS = 16
PENGUINS = ("-P", f"data={TABLE}", "-P", f"target={TARGET}", "-P", f"model_name={MODEL}")


@dataclass(frozen=True)
class Demo:
    """What the commands have left.

    Args:
        url: of the tracking server, while the demo lasts.
        folder: where artifacts can be put.
        names: values for the addresses of the tracking UI: ids of the experiment and of runs.
        screens: terminals as pages of HTML, by the name of their picture.
    """

    url: str
    folder: Path
    names: dict[str, str]
    screens: dict[str, str]

    def artifact(self, run: str, name: str) -> Path:
        """Fetches a file of a run, given by its key in `names`."""
        import mlflow

        place = tempfile.mkdtemp(dir=self.folder)
        found = mlflow.artifacts.download_artifacts(
            run_id=self.names[run], artifact_path=name, dst_path=place, tracking_uri=self.url
        )
        return Path(found)


@contextmanager
def demo() -> Iterator[Demo]:
    """Runs everything, about two minutes, and ends the server afterwards."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        clone = _clone(folder)
        with _server(folder) as url:
            screens = _commands(clone, url)
            yield Demo(url, folder, _names(url), screens)


def _clone(folder: Path) -> Path:
    """The repository as it is now, committed or not, in a folder named like the project."""
    clone = folder / "mlflow-classification-pipeline"
    subprocess.run(["git", "clone", "-q", ROOT, clone], check=True)
    subprocess.run(["git", "checkout", "-q", "-B", "main"], cwd=clone, check=True)
    listing = ["git", "ls-files", "-z", "--modified", "--others", "--exclude-standard"]
    changed = subprocess.run(listing, cwd=ROOT, check=True, capture_output=True, text=True)
    for name in filter(None, changed.stdout.split("\0")):
        (clone / name).parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).exists():
            shutil.copy(ROOT / name, clone / name)
        else:
            (clone / name).unlink()
    return clone


@contextmanager
def _server(folder: Path) -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [
        *(sys.executable, "-m", "mlflow", "server", "--workers", "1"),
        *("--host", "127.0.0.1", "--port", str(port)),
        *("--backend-store-uri", f"sqlite:///{folder}/mlflow.db"),
        *("--artifacts-destination", f"{folder}/artifacts"),
    ]
    env = _environment("") | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    log = folder / "server.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            command, cwd=folder, env=env, stdout=out, stderr=out, start_new_session=True
        )
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(300):
            with suppress(URLError, ConnectionError), urlopen(f"{url}/health", timeout=5):
                break
            if process.poll() is not None:
                sys.exit(f"mlflow server did not start:\n{log.read_text()[-3000:]}")
            time.sleep(0.2)
        yield url
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        process.wait(30)


def _environment(url: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
    return kept | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "MLFLOW_TRACKING_URI": url,
        "MLFLOW_EXPERIMENT_NAME": MODEL,
        "MLFLOW_DISABLE_TELEMETRY": "true",
        # its lines begin with emoji, for which many machines have no font
        "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
        "LOGNAME": "demo",  # who promoted, instead of the name on this machine
        "TERM": "xterm-256color",
    }


def _commands(clone: Path, url: str) -> dict[str, str]:
    env = _environment(url)
    screens = {}

    def project(entry: str, *parameters: str) -> list[str]:
        return ["mlflow", "run", ".", "-e", entry, "--env-manager", "local", *parameters]

    def quiet(command: Sequence[str], *, codes: tuple[int, ...] = (0,), **changes: str) -> None:
        ended = subprocess.run(
            command, cwd=clone, env=env | changes, capture_output=True, text=True, check=False
        )
        if ended.returncode not in codes:
            sys.exit(f"{' '.join(command)}\n{ended.stdout[-2000:]}\n{ended.stderr[-2000:]}")

    promote = project("promote", "-P", f"model_name={MODEL}")
    quiet(project("train", *PENGUINS, "-P", "classifier=k_neighbors"))
    quiet(promote)
    sweep = project("sweep", *PENGUINS, "-P", f"trials={TRIALS}")
    half = f"{TRIALS // 2}/{TRIALS} trials"
    screens["terminal-sweep"], screens["terminal-sweep-end"] = terminal.run(sweep, clone, env, half)
    _, screens["terminal-promote"] = terminal.run(promote, clone, env)
    quiet(project("train", *PENGUINS, "-P", "classifier=random_forest"))
    steps = [sys.executable, "-m"]
    quiet([*steps, "steps.train"], MLFLOW_EXPERIMENT_NAME="iris")
    later = _later(clone)
    watch = [*steps, "steps.monitor", "--model", f"models:/{MODEL}/Production", "--data", later]
    quiet(watch, codes=(3,), MLFLOW_EXPERIMENT_NAME="monitoring")  # 3: drift, as it should be
    return screens


def _later(clone: Path) -> str:
    """A table like that of training, but its animals are heavier."""
    import pandas as pd

    table = pd.read_csv(clone / TABLE)
    table[SHIFTED] += table[SHIFTED].std() / 2
    table.drop(columns=TARGET).to_csv(clone / "penguins_later.csv", index=False)
    return "penguins_later.csv"


def _names(url: str) -> dict[str, str]:
    from mlflow import MlflowClient

    client = MlflowClient(url)
    ids = {entry.name: entry.experiment_id for entry in client.search_experiments()}
    runs = client.search_runs([ids[MODEL]])
    [sweep] = [run for run in runs if str(run.info.run_name).startswith("sweep")]
    trials = [run for run in runs if "rank" in run.data.tags]
    trials.sort(key=lambda run: int(run.data.tags["rank"]))
    [watch] = client.search_runs([ids["monitoring"]])
    in_production = client.get_model_version_by_alias(MODEL, "champion")
    [promotion] = [run for run in runs if run.data.tags.get("promoted_version") == "2"]
    if in_production.version != "2":
        sys.exit("the sweep's model did not get into production: the pictures would tell nothing")
    return {
        "experiment": str(ids[MODEL]),
        "sweep": str(sweep.info.run_id),
        "best": str(in_production.run_id),
        "promotion": str(promotion.info.run_id),
        # the last ones are so far off that they would press all others together
        "trials": ",".join(f'"{run.info.run_id}"' for run in trials[:-2]),
        "watch": str(watch.info.run_id),
        "iris": str(client.get_model_version("iris", "1").run_id),
    }
