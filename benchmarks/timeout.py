"""Whether a sweep keeps its time: seconds asked for and taken, quiet and beside two busy processes.

    python -m benchmarks.timeout 60 vehicle.csv:class made:300000x30 made:100x6

Each table is `path:target`, or `made:<rows>x<columns>` with two classes. Seconds are those of the
whole process, from its start to its end. The busy processes compute all the time at the same
priority.
"""

import math
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd

ROOT = Path(__file__).resolve().parents[1]
BUSY = 2


@contextmanager
def busy(n: int) -> Iterator[None]:
    """So many processes that compute all the time."""
    processes = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(n)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def table_of(name: str, folder: Path) -> tuple[str, str]:
    """Path and target of a table; a made one is written."""
    if not name.startswith("made:"):
        data, _, target = name.rpartition(":")
        return str(Path(data).resolve()), target
    rows, columns = map(int, name.removeprefix("made:").split("x"))
    rng = np.random.default_rng(0)
    numbers = pd.DataFrame(rng.normal(size=(rows, columns))).add_prefix("x")
    score = numbers @ rng.normal(size=columns) / math.sqrt(columns) + np.sin(3 * numbers["x0"])
    labels = np.where(score + rng.normal(size=rows) / 2 > 0, "yes", "no")
    numbers.assign(y=labels).to_parquet(folder / "made.parquet")
    return str(folder / "made.parquet"), "y"


def measure(name: str, seconds: float) -> str:
    """Seconds taken, trials and log loss of one sweep, as cells of a table."""
    with tempfile.TemporaryDirectory() as folder:
        data, target = table_of(name, Path(folder))
        mlflow.set_tracking_uri(f"sqlite:///{folder}/mlflow.db")
        command = [sys.executable, "-m", "steps.sweep", "--data", data, "--target", target]
        command += ["--timeout", str(seconds), "--trials", "10000", "--model_name", "timed"]
        started = time.monotonic()
        ended = subprocess.run(
            command,
            cwd=folder,
            env={
                **os.environ,
                "PYTHONPATH": str(ROOT),
                "MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db",
            },
            capture_output=True,
            text=True,
            check=False,
        )
        taken = time.monotonic() - started
        if ended.returncode:
            return f"{taken:.1f} | none | {ended.stderr.strip().splitlines()[-1]} | "
        lines = ended.stdout.splitlines()
        trials = [line for line in lines if re.match(r"  t\d+ ", line)]
        left_out = [line.partition(": ")[2] for line in lines if "as the time was up:" in line]
        [version] = mlflow.MlflowClient().search_model_versions("name='timed'")
        loss = mlflow.get_run(str(version.run_id)).data.metrics["holdout_log_loss"]
    return f"{taken:.1f} | {len(trials)} | {loss:.3f} | {' '.join(left_out)}"


def main(seconds: str, *tables: str) -> None:
    print("| table | beside it | asked (s) | taken (s) | trials | log loss | left out |")
    print("|---|---|---|---|---|---|---|")
    for name in tables:
        for n in (0, BUSY):
            with busy(n):
                cells = measure(name, float(seconds))
            beside = f"{n} busy processes" if n else "nothing"
            label = name if name.startswith("made:") else Path(name.rpartition(":")[0]).name
            print(f"| {label} | {beside} | {seconds} | {cells} |", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
