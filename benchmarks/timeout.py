"""Whether a sweep keeps its time: seconds asked for and taken, quiet and beside two busy processes.

    python -m benchmarks.timeout 60 vehicle.csv:class made:300000x30 made:100x6 texts:120x1000000

Each table is `path:target`, `made:<rows>x<columns>` of numbers, or `texts:<rows>x<letters>`, both
with two classes. Seconds are those of the whole process, from its start to its end; CPU those of
all its processes. Memory is the largest sum over these of what each has, with an equal part of what
it shares (PSS). The busy processes compute all the time at the same priority. `--quiet` does
without.
"""

import math
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import psutil

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
    kind, _, size = name.partition(":")
    if kind not in ("made", "texts"):
        data, _, target = name.rpartition(":")
        return str(Path(data).resolve()), target
    rows, columns = map(int, size.split("x"))
    rng = np.random.default_rng(0)
    if kind == "texts":
        texts(rng, rows, columns).to_csv(folder / "made.csv", index=False)
        return str(folder / "made.csv"), "y"
    numbers = pd.DataFrame(rng.normal(size=(rows, columns))).add_prefix("x")
    score = numbers @ rng.normal(size=columns) / math.sqrt(columns) + np.sin(3 * numbers["x0"])
    labels = np.where(score + rng.normal(size=rows) / 2 > 0, "yes", "no")
    numbers.assign(y=labels).to_parquet(folder / "made.parquet")
    return str(folder / "made.parquet"), "y"


def texts(rng: np.random.Generator, n_rows: int, n_letters: int) -> pd.DataFrame:
    """One column of long texts, in which some words say something about the class."""
    words = np.array([f"w{number}" for number in range(5_000)])
    labels = np.arange(n_rows) % 2
    places = [rng.exponential(600 + 200 * one, n_letters // 5).astype(int) for one in labels]
    rows = [" ".join(words[np.minimum(some, 4_999)])[:n_letters] for some in places]
    return pd.DataFrame({"text": rows, "y": np.where(labels, "yes", "no")})


def memory(process: psutil.Popen) -> int:
    """Bytes that a process and its children have."""
    n_bytes = 0
    for one in [process, *process.children(recursive=True)]:
        with suppress(psutil.Error):  # it has ended
            n_bytes += one.memory_full_info().pss
    return n_bytes


def cpu_seconds() -> float:
    """Of the processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def measure(name: str, seconds: float) -> str:
    """What one sweep took, its trials and its log loss, as cells of a table."""
    with tempfile.TemporaryDirectory() as folder:
        data, target = table_of(name, Path(folder))
        mlflow.set_tracking_uri(f"sqlite:///{folder}/mlflow.db")
        command = [sys.executable, "-m", "steps.sweep", "--data", data, "--target", target]
        command += ["--timeout", str(seconds), "--trials", "10000", "--model_name", "timed"]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        environment["MLFLOW_TRACKING_URI"] = f"sqlite:///{folder}/mlflow.db"
        started, before, peak = time.monotonic(), cpu_seconds(), 0
        with Path(folder, "out").open("w") as out, Path(folder, "err").open("w") as err:
            ended = psutil.Popen(command, cwd=folder, env=environment, stdout=out, stderr=err)
            while ended.poll() is None:
                peak = max(peak, memory(ended))
                time.sleep(0.5)
        taken = f"{time.monotonic() - started:.1f} | {cpu_seconds() - before:.0f}"
        taken += f" | {peak / 2**30:.1f}"
        printed, errors = (Path(folder, file).read_text() for file in ("out", "err"))
        if ended.returncode:
            return f"{taken} | none | {errors.strip().splitlines()[-1]} | "
        lines = printed.splitlines()
        trials = [line for line in lines if re.match(r"  t\d+ ", line)]
        left_out = [line.partition(": ")[2] for line in lines if "as the time was up:" in line]
        [version] = mlflow.MlflowClient().search_model_versions("name='timed'")
        loss = mlflow.get_run(str(version.run_id)).data.metrics["holdout_log_loss"]
    return f"{taken} | {len(trials)} | {loss:.3f} | {' '.join(left_out)}"


def main(seconds: str, *tables: str) -> None:
    quiet = "--quiet" in tables
    print("| table | beside it | asked | seconds | CPU | GiB | trials | log loss | left out |")
    print("|---|---|---|---|---|---|---|---|---|")
    for name in [name for name in tables if name != "--quiet"]:
        for n in (0,) if quiet else (0, BUSY):
            with busy(n):
                cells = measure(name, float(seconds))
            beside = f"{n} busy processes" if n else "nothing"
            label = (
                name if name.startswith(("made:", "texts:")) else Path(name.rpartition(":")[0]).name
            )
            print(f"| {label} | {beside} | {seconds} | {cells} |", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
