"""What `score` costs above the classifier itself, and its memory.

    python -m benchmarks.score

A linear model of three classes, 4 and 30 columns of doubles, 1,000,000 rows. CPU seconds of this
process (all threads), medians of interleaved rounds:

- `predict_proba` of the fitted pipeline on a pandas frame in memory;
- `score` from an Arrow table to an Arrow table, in its own chunks;
- `score` from a Parquet file to a Parquet file, with all that the command does to the table;
- a naive path: `pandas.read_parquet`, `mlflow.pyfunc` `predict`, `to_parquet`.

Peak memory is of one process for each number of rows.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from threadpoolctl import threadpool_limits

from custom_model.packaging import log_bundle
from custom_model.served.columns import Column
from tabular.families.pipeline import fit_model, make_model
from tabular.jobs.score import write_scored
from tabular.models.batches import added_columns, score_batch
from tabular.models.load import open_model
from tabular.models.model import LoadedModel
from tabular.table.chunks import of_arrow
from tabular.table.files import open_table

ROOT = Path(__file__).resolve().parents[1]
ROWS = 1_000_000
ROUNDS = 5

PEAK = """
import sys
from pathlib import Path
from tabular.table.files import open_table
from tabular.models.batches import added_columns
from tabular.models.load import open_model
from tabular.jobs.score import write_scored

model = open_model(Path(sys.argv[1]), sys.argv[1])
with open_table(sys.argv[2]) as table:
    added = added_columns(model, table.head, sys.argv[2], as_text=table.as_text)
    output, side = Path(sys.argv[3]), Path(sys.argv[3] + ".rejected")
    write_scored(model, added, table, output, side, {}, say=print)
status = Path("/proc/self/status").read_text()
print(int(status.split("VmHWM:")[1].split()[0]) // 1024)
"""


def make_table(n_columns: int, rows: int, seed: int = 0) -> pd.DataFrame:
    values = np.random.default_rng(seed).normal(size=(rows, n_columns))
    return pd.DataFrame(values, columns=[f"x{i}" for i in range(n_columns)])


def log_linear(n_columns: int, folder: str) -> Any:
    """Logs a linear model of three classes; returns its fitted pipeline and where it is."""
    frame = make_table(n_columns, 5000, seed=1)
    codes = (frame.sum(axis=1) > 0).to_numpy(int) + (frame["x0"] > 0.5).to_numpy(int)
    columns = [Column(str(name), "number") for name in frame.columns]
    pipeline = fit_model(make_model(columns, "logistic_regression", {}, seed=0), frame, codes, None)
    mlflow.set_tracking_uri(f"sqlite:///{folder}/mlflow.db")
    if mlflow.get_experiment_by_name("score") is None:
        mlflow.create_experiment("score", artifact_location=f"{folder}/artifacts")
    mlflow.set_experiment("score")
    with mlflow.start_run():
        labels, names = ["a", "b", "c"], [*map(str, frame)]
        packed = log_bundle(
            pipeline, columns, labels, names, "y", frame[:3], proof=frame[:200], about={}
        )
    where = mlflow.artifacts.download_artifacts(packed.info.model_uri, dst_path=folder)
    return pipeline, where


def in_memory(model: LoadedModel, table: pa.Table) -> pa.Table:
    source = of_arrow(table, "table")
    added = added_columns(model, source.head, "table", as_text=False)
    parts = [score_batch(model, added, c.rows, as_text=False).rows for c in source.chunks()]
    return pa.Table.from_batches(parts)


def file_to_file(model: LoadedModel, data: str, output: str) -> None:
    with open_table(data) as table:
        assert table.digest  # which the command logs
        added = added_columns(model, table.head, data, as_text=False)
        side = Path(output + ".rejected")
        write_scored(model, added, table, Path(output), side, {}, say=lambda _: None)


def naive(loaded: Any, data: str, output: str) -> None:
    frame = pd.read_parquet(data)
    pd.concat([frame, loaded.predict(frame)], axis=1).to_parquet(output)


def cpu(work: Callable[[], Any]) -> float:
    before = time.process_time()
    work()
    return time.process_time() - before


def costs(n_columns: int, folder: str) -> None:
    pipeline, where = log_linear(n_columns, folder)
    model = open_model(Path(where), where)
    frame = make_table(n_columns, ROWS)
    table = pa.Table.from_pandas(frame)
    data, output = f"{folder}/in.parquet", f"{folder}/out.parquet"
    frame.to_parquet(data)
    ways: dict[str, Callable[[], Any]] = {
        "predict_proba": lambda: pipeline.predict_proba(frame),
        "in memory": lambda: in_memory(model, table),
        "Parquet to Parquet": lambda: file_to_file(model, data, output),
        "naive": lambda: naive(model.pyfunc, data, output),
    }
    found: dict[str, list[float]] = {way: [] for way in ways}
    with threadpool_limits(1, "blas"):  # for all of them alike; spinning threads are no work
        for _ in range(ROUNDS):
            for way, work in ways.items():
                found[way].append(cpu(work))
    middle = {way: statistics.median(seconds) for way, seconds in found.items()}
    for way, seconds in middle.items():
        ratios = [a / b for a, b in zip(found[way], found["predict_proba"], strict=True)]
        print(
            f"| {n_columns} | {way} | {seconds:.3f} | {statistics.median(ratios):.2f} "
            f"({min(ratios):.2f} to {max(ratios):.2f}) |",
            flush=True,
        )


def peaks(folder: str) -> None:
    _, where = log_linear(30, folder)
    for millions in (1, 10):
        data = f"{folder}/{millions}.parquet"
        schema = pa.Schema.from_pandas(make_table(30, 1))
        with pq.ParquetWriter(data, schema) as writer:
            for part in range(millions):
                writer.write_table(pa.Table.from_pandas(make_table(30, 1_000_000, part), schema))
        ended = subprocess.run(
            [sys.executable, "-c", PEAK, where, data, f"{folder}/out.parquet"],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=True,
        )
        print(f"| {millions},000,000 x 30 | {ended.stdout.split()[-1]} MB |", flush=True)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        print("| columns | way | CPU seconds | to predict_proba |\n|---|---|---|---|")
        for n_columns in (4, 30):
            costs(n_columns, folder)
        print("\n| table | peak memory |\n|---|---|")
        peaks(folder)


if __name__ == "__main__":
    main()
