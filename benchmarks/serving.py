"""How fast MLflow's own server answers, against a hand-written FastAPI `/predict`.

    python -m benchmarks.serving                 # five minutes; needs wrk and ab
    python -m benchmarks.serving --soak          # also 100,000 requests, and memory

wrk and ab are Debian's `wrk` and `apache2-utils`. All servers run at once, one worker each, and are
asked in turn in every round, so that a noisy moment meets all of them; medians of rounds. The CPU
time that a server takes for a request is steadier than requests per second where other work runs.
The rival (`benchmarks.hand_written`) scales and classifies iris, and is what the mixed table with
its eleven columns is compared with too. It runs as `pip install fastapi uvicorn` leaves it, and
once more with uvloop and httptools, which a model of this project brings along.
"""

import argparse
import io
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import joblib
import mlflow
import numpy as np
import pandas as pd
import requests
from mlflow.pyfunc import scoring_server
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from benchmarks.servers import (
    Load,
    Server,
    Target,
    load,
    median,
    median_time,
    serve,
    server,
    worker_memory,
)
from custom_model.served.few import read_few
from steps import train
from tests.tables import MIXED_ROW, mixed_table

IRIS_COLUMNS = ["sepal length (cm)", "sepal width (cm)", "petal length (cm)", "petal width (cm)"]
IRIS_ROW = dict(zip(IRIS_COLUMNS, [5.1, 3.5, 1.4, 0.2], strict=True))
LINEAR, FOREST, BOOSTING = "logistic_regression", "random_forest", "hist_gradient_boosting"
HAND_WRITTEN = "hand-written"
SIZES = (1, 10, 100, 1000)


def inputs(row: dict[str, Any], n_rows: int = 1) -> dict[str, Any]:
    return {"inputs": [row] * n_rows}


def split(row: dict[str, Any], n_rows: int = 1) -> dict[str, Any]:
    return {"dataframe_split": {"columns": list(row), "data": [list(row.values())] * n_rows}}


# --- servers ------------------------------------------------------------------------------------


def train_all(folder: Path) -> None:
    """Registers `iris_<classifier>` and `mixed_<classifier>`, and saves the rival's files."""
    mlflow.set_tracking_uri(f"sqlite:///{folder}/mlflow.db")
    mlflow.set_experiment(experiment_id=experiment(folder))
    mixed_table().to_csv(folder / "mixed.csv", index=False)
    mixed = ["--data", str(folder / "mixed.csv"), "--target", "label"]
    for classifier in (LINEAR, FOREST, BOOSTING):
        options = ["--classifier", classifier, "--model_name"]
        train.main([*options, f"iris_{classifier}"])
        train.main([*options, f"mixed_{classifier}", *mixed])
    X, y = load_iris(return_X_y=True)
    scaler = StandardScaler().fit(X)
    model = LogisticRegression(max_iter=1000).fit(scaler.transform(X), y)
    joblib.dump(scaler, folder / "scaler.joblib")
    joblib.dump(model, folder / "model.joblib")


def experiment(folder: Path) -> str:
    return mlflow.MlflowClient().create_experiment(
        "serving", artifact_location=str(folder / "artifacts")
    )


# --- load ---------------------------------------------------------------------------------------


# --- questions ----------------------------------------------------------------------------------


def one_row(targets: dict[str, Target], folder: Path, rounds: int) -> dict[str, Load]:
    """Requests per second of one row, and ratios; returns the medians of one client."""
    alone: dict[str, Load] = {}
    for clients in (1, 16):
        loads: dict[str, list[Load]] = {name: [] for name in targets}
        for target in targets.values():
            load(target, folder, clients=clients, seconds=1)
        for _ in range(rounds):
            for name, target in targets.items():
                loads[name].append(load(target, folder, clients=clients))
        print(
            f"\n| one row, concurrency {clients} | requests/s (all rounds) | to hand-written |",
            end="",
        )
        print(" CPU ms | hand-written to this |\n|---|---|---|---|---|")
        middle = {name: median(found) for name, found in loads.items()}
        rival = middle[HAND_WRITTEN]
        for name, found in middle.items():
            shown = ", ".join(f"{one.rate:.0f}" for one in loads[name])
            print(
                f"| {name} | {found.rate:.0f} ({shown}) | {found.rate / rival.rate:.2f} |", end=""
            )
            print(f" {found.cpu:.2f} | {rival.cpu / found.cpu:.2f} |", flush=True)
        for table in ("iris", "mixed"):
            linear = middle[f"{table} {LINEAR} inputs"]
            for trees in (FOREST, BOOSTING):
                other = middle[f"{table} {trees} inputs"]
                print(
                    f"{table}: {trees} takes {linear.rate / other.rate:.2f} times as long as "
                    f"{LINEAR}, {other.cpu / linear.cpu:.2f} times the CPU"
                )
        alone = alone or middle
    return alone


def many_rows(pairs: dict[str, tuple[Target, Target]], folder: Path, rounds: int) -> None:
    """Rows per second in requests of 1,000 rows and one by one."""
    print("\n| 1,000 rows in a request | rows/s | rows/s one by one | ratio | ratio of CPU |")
    print("|---|---|---|---|---|")
    for name, (one, thousand) in pairs.items():
        single, bulk = [], []
        for _ in range(rounds):
            single.append(load(one, folder, clients=1))
            bulk.append(load(thousand, folder, clients=1))
        alone, together = median(single), median(bulk)
        ratios = 1000 * together.rate / alone.rate, 1000 * alone.cpu / together.cpu
        print(f"| {name} | {1000 * together.rate:.0f} | {alone.rate:.0f} |", end="")
        print(f" {ratios[0]:.0f} | {ratios[1]:.0f} |", flush=True)


def million_rows(asked: Server) -> None:
    """One Parquet request of 1,000,000 rows, and the server's memory."""
    table = pd.DataFrame(
        np.random.default_rng(0).uniform(0.1, 8, (1_000_000, 4)).round(1), columns=IRIS_COLUMNS
    )
    buffer = io.BytesIO()
    table.to_parquet(buffer)
    before = worker_memory(asked.pid, "VmRSS")
    started = time.perf_counter()
    answer = requests.post(
        asked.url,
        data=buffer.getvalue(),
        headers={"Content-Type": "application/vnd.apache.parquet"},
        timeout=600,
    )
    seconds = time.perf_counter() - started
    answer.raise_for_status()
    print(
        f"\n1,000,000 rows as Parquet: {seconds:.1f} s, {len(answer.content) / 1e6:.0f} MB of "
        f"JSON; the worker's memory {before:.0f} MB before, "
        f"{worker_memory(asked.pid, 'VmHWM'):.0f} MB at its peak, "
        f"{worker_memory(asked.pid, 'VmRSS'):.0f} MB after",
        flush=True,
    )


def soak(asked: Server, folder: Path) -> None:
    """100,000 requests by sixteen clients: errors and memory."""
    body = folder / "body.json"
    body.write_text(json.dumps(inputs(IRIS_ROW)))
    command = ["ab", "-q", "-k", "-c", "16", "-p", str(body), "-T", "application/json"]
    subprocess.run([*command, "-n", "2000", asked.url], capture_output=True, check=True)
    memory = [worker_memory(asked.pid, "VmRSS")]
    for _ in range(4):
        said = subprocess.run(
            [*command, "-n", "25000", asked.url], capture_output=True, text=True, check=True
        ).stdout
        failed = re.search(r"Failed requests:\s+(\d+)", said)
        assert failed and failed[1] == "0" and "Non-2xx" not in said, said
        memory.append(worker_memory(asked.pid, "VmRSS"))
    shown = ", ".join(f"{mb:.1f}" for mb in memory)
    print(f"\n100,000 requests at concurrency 16: no error; worker's MB after each 25,000: {shown}")


def where_the_time_goes(alone: dict[str, Load]) -> None:
    """CPU milliseconds of one row's request, by layer; all but HTTP is measured in this process."""
    os.environ[scoring_server._SERVER_MODEL_PATH] = "as in a model server"
    columns: list[list[float]] = []
    for table, row in (("iris", IRIS_ROW), ("mixed", MIXED_ROW)):
        model = mlflow.pyfunc.load_model(f"models:/{table}_{LINEAR}/1")
        ours = model.unwrap_python_model()
        about = (ours.columns, ours.table_columns, ours.target)
        for form in (inputs, split):
            parse = partial(
                scoring_server._parse_json_data, json.dumps(form(row)), model.metadata, None
            )
            parsed = parse().data
            cells, answer = read_few(parsed, *about), ours.predict(None, parsed, {})
            reading = median_time(partial(read_few, parsed, *about))
            scoring = median_time(partial(ours.few, cells))
            whole = median_time(partial(ours.predict, None, parsed, {}))
            wrapped = median_time(partial(model.predict, parsed))
            writing = median_time(
                partial(scoring_server.predictions_to_json, answer, io.StringIO())
            )
            parsing = median_time(parse)
            request = alone[f"{table} {LINEAR} {form.__name__}"].cpu
            known = [parsing, wrapped - whole, reading, scoring, whole - reading - scoring, writing]
            columns.append([request - sum(known), *known, request])
    names = [
        "HTTP: uvicorn, FastAPI, MLflow's middleware and thread, access line",
        "MLflow: JSON to rows or a frame",
        "MLflow: around predict",
        "ours: cells to Python values",
        "ours: the model",
        "ours: the answer and the thread limit",
        "MLflow: rows to JSON",
        "all",
    ]
    print("\n| CPU ms of one row | iris inputs | iris split | mixed inputs | mixed split |")
    print("|---|---|---|---|---|")
    for name, *values in zip(names, *columns, strict=True):
        print(f"| {name} | " + " | ".join(f"{value:.3f}" for value in values) + " |")


def proba_by_frame(ours: Any, rows: list[dict[str, Any]]) -> Any:
    return ours.predict_proba(pd.DataFrame(rows))


def borders() -> None:
    """Where reading cell by cell stops being faster than columns at once."""
    print("\n| CPU ms of predict: few / many | " + " | ".join(f"{n} rows" for n in SIZES) + " |")
    print("|---" * (len(SIZES) + 1) + "|")
    for table, row in (("iris", IRIS_ROW), ("mixed", MIXED_ROW)):
        for classifier in (LINEAR, FOREST, BOOSTING):
            ours = mlflow.pyfunc.load_model(f"models:/{table}_{classifier}/1").unwrap_python_model()
            shown = []
            for n_rows in SIZES:
                rows = [row] * n_rows
                short = median_time(partial(ours._proba_of_few, rows), 10)
                long = median_time(partial(proba_by_frame, ours, rows), 10)
                shown.append(f"{short:.2f} / {long:.2f}")
            print(f"| {table} {classifier} | " + " | ".join(shown) + " |", flush=True)


def main(rounds: int, with_soak: bool) -> None:
    with tempfile.TemporaryDirectory() as place, ExitStack() as running:
        folder = Path(place)
        train_all(folder)
        uvicorn = [sys.executable, "-m", "uvicorn", "benchmarks.hand_written:app"]
        plain = [*uvicorn, "--loop", "asyncio", "--http", "h11"]
        rival = running.enter_context(server(plain, folder, "/predict"))
        faster = running.enter_context(server(uvicorn, folder, "/predict"))
        servers = {
            (table, classifier): running.enter_context(serve(f"{table}_{classifier}", folder))
            for table in ("iris", "mixed")
            for classifier in (LINEAR, FOREST, BOOSTING)
        }
        features = {"features": list(IRIS_ROW.values())}
        targets = {
            HAND_WRITTEN: Target(rival, features),
            f"{HAND_WRITTEN}, uvloop": Target(faster, features),
        }
        pairs = {}
        for table, row in (("iris", IRIS_ROW), ("mixed", MIXED_ROW)):
            linear = servers[table, LINEAR]
            for form in (inputs, split):
                one = Target(linear, form(row))
                targets[f"{table} {LINEAR} {form.__name__}"] = one
                pairs[f"{table} {form.__name__}"] = (one, Target(linear, form(row, 1000)))
            for trees in (FOREST, BOOSTING):
                targets[f"{table} {trees} inputs"] = Target(servers[table, trees], inputs(row))
        alone = one_row(targets, folder, rounds)
        many_rows(pairs, folder, rounds)
        if with_soak:
            soak(servers["iris", LINEAR], folder)
        million_rows(servers["iris", LINEAR])
        where_the_time_goes(alone)
        borders()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--soak", action="store_true", help="also 100,000 requests")
    given = parser.parse_args()
    main(given.rounds, given.soak)
