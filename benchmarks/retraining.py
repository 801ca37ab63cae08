"""A short sweep that begins with the recipe in production, against a long one from nothing.

    python -m benchmarks.retraining adult.parquet income-per-year

For each seed 40 trials on the first 80 % of the rows make the version in production. Then all rows
are there, and two sweeps are compared on the same held-out rows: 8 trials that begin with its
recipe, and 40 that do not. The objective is the log loss; ± is the standard error of the paired
difference. A third argument takes so many rows of the table, chosen at random, a fourth the
configurations side by side.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd

from tabular.table.files import read_table

ROOT = Path(__file__).resolve().parents[1]
SEEDS = (1, 2, 3)
EARLIER = 0.8
FEW, MANY = 8, 40


def sweep(data: Path, target: str, trials: int, seed: int, jobs: str, *more: str) -> float:
    """Seconds that it takes; the version goes into the registry of the environment."""
    options = {"data": data, "target": target, "trials": trials, "seed": seed, "jobs": jobs}
    options |= {"metric": "log_loss", "model_name": "again"}
    command = [f"--{name}={value}" for name, value in options.items()]
    started = time.monotonic()
    subprocess.run(
        [sys.executable, "-m", "steps.sweep", *command, *more],
        cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True,
    )  # fmt: skip
    return time.monotonic() - started


def row_losses(version: int) -> np.ndarray:
    """Log loss of each held-out row, by the model as it is served."""
    run_id = mlflow.MlflowClient().get_model_version("again", str(version)).run_id
    holdout = pd.read_parquet(
        mlflow.artifacts.download_artifacts(f"runs:/{run_id}/holdout.parquet")
    )
    target = holdout.columns[-1]
    table = mlflow.pyfunc.load_model(f"models:/again/{version}").predict(
        holdout.drop(columns=target).reset_index(drop=True)
    )
    proba = [
        table[f"probability_{label}"].iloc[row]
        for row, label in enumerate(holdout[target].astype(str))
    ]
    return -np.log(np.clip(np.array(proba), 1e-15, None))


def main(data: str, target: str, rows: str = "0", jobs: str = "-1") -> None:
    frame = read_table(data).frame
    if int(rows):
        frame = frame.sample(int(rows), random_state=0)
    print(f"{data}: {len(frame)} rows\n")
    heads = ["seed", f"{FEW} with the recipe", f"{MANY} from nothing", "difference", "seconds"]
    print(f"| {' | '.join(heads)} |\n{'|---' * len(heads)}|", flush=True)
    for seed in SEEDS:
        with tempfile.TemporaryDirectory() as folder:
            part, whole = Path(folder, "part.parquet"), Path(folder, "whole.parquet")
            frame[: int(EARLIER * len(frame))].to_parquet(part, index=False)
            frame.to_parquet(whole, index=False)
            os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{folder}/mlflow.db"
            os.environ["MLFLOW_EXPERIMENT_NAME"] = "retraining"
            client = mlflow.MlflowClient(os.environ["MLFLOW_TRACKING_URI"])
            client.create_experiment("retraining", artifact_location=f"{folder}/artifacts")
            mlflow.set_tracking_uri(os.environ["MLFLOW_TRACKING_URI"])
            sweep(part, target, MANY, seed, jobs)
            client.set_registered_model_alias("again", "champion", "1")
            few = sweep(whole, target, FEW, seed, jobs)
            many = sweep(whole, target, MANY, seed, jobs, "--warm_start", "false")
            short, long = row_losses(2), row_losses(3)
        gain = short - long
        error = gain.std(ddof=1) / np.sqrt(len(gain))
        print(
            f"| {seed} | {short.mean():.4f} | {long.mean():.4f} | {gain.mean():+.4f} ± {error:.4f} "
            f"| {few:.0f} and {many:.0f} |",
            flush=True,
        )


if __name__ == "__main__":
    main(*sys.argv[1:])
