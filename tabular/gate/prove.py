"""Proof of serving: before a version may be promoted, MLflow's own server has to answer for it.

The artifact is loaded in a fresh process away from this repository, in which nothing can be
unpickled, and asked the same rows in every input format.
"""

import io
import os
import secrets
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import requests
from mlflow.pyfunc import scoring_server

from custom_model.packaging import to_request
from tabular.errors import BadInput
from tabular.gate import no_pickle

SECONDS_TO_START = 180
TOLERANCE = 1e-9


def prove(path: Path, rows: pd.DataFrame, expected: pd.DataFrame) -> None:
    """Serves an artifact and compares its answers in every format.

    Args:
        path: of the artifact.
        rows: (n_rows, n_columns) typed held-out rows.
        expected: (n_rows, 1 + n_classes) what `predict` answers to them in this process.

    Raises:
        BadInput: the artifact may hold a pickle, or the server does not start, unpickles, or
            answers differently.
    """
    _scan(path)
    with tempfile.TemporaryDirectory() as elsewhere:
        hook = Path(elsewhere, "hook", "sitecustomize.py")
        hook.parent.mkdir()
        shutil.copy(no_pickle.__file__, hook)
        try:
            _compare(path, rows, expected, elsewhere)
        finally:
            tried = hook.with_name(no_pickle.TRIED.name)
            if tried.exists():
                names = ", ".join(sorted(set(tried.read_text("utf-8").split())))
                raise BadInput(f"the model unpickles {names[:200]}; a version must do without")


def prove_start(path: Path) -> None:
    """Looks whether MLflow's server starts with a model, whoever made it.

    Raises:
        BadInput: it does not.
    """
    with tempfile.TemporaryDirectory() as elsewhere, _server(path, elsewhere):
        pass


def _scan(path: Path) -> None:
    """Refuses a file that is neither text nor the pipeline's archive of JSON and arrays."""
    for file in sorted(path.rglob("*")):
        strange = []
        if file.suffix == ".skops":
            names = zipfile.ZipFile(file).namelist()
            strange = [n for n in names if n != "schema.json" and not n.endswith((".npy", ".npz"))]
        elif file.is_file() and file.parent.name != "__pycache__":
            try:
                file.read_text("utf-8")
            except UnicodeDecodeError:
                strange = [file.name]
        if strange:
            raise BadInput(
                f"{strange[0]} in the artifact is neither text nor an array; it may be a pickle"
            )


def _compare(path: Path, rows: pd.DataFrame, expected: pd.DataFrame, folder: str) -> None:
    with _server(path, folder) as url:
        for form, options in requests_of(rows).items():
            answer = requests.post(f"{url}/invocations", timeout=60, **options)
            if answer.status_code != 200:
                raise BadInput(f"the server refuses held-out rows as {form}: {answer.text[:200]}")
            found = pd.DataFrame(answer.json()["predictions"])
            if not _same(found, expected):
                raise BadInput(f"the server answers held-out rows as {form} unlike predict")


def requests_of(rows: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """The same rows in every format of MLflow's server, as options of `requests.post`."""
    records = to_request(rows)
    names = list(rows.columns)
    values = [[record[name] for name in names] for record in records]
    parquet = io.BytesIO()
    rows.to_parquet(parquet)
    bodies = {
        "dataframe_split": {"columns": names, "data": values},
        "dataframe_records": records,
        "inputs": records,
        "instances": records,
    }
    asked: dict[str, dict[str, Any]] = {form: {"json": {form: b}} for form, b in bodies.items()}
    asked["csv"] = {"data": rows.to_csv(index=False).encode(), "headers": _type("text/csv")}
    asked["parquet"] = {
        "data": parquet.getvalue(), "headers": _type("application/vnd.apache.parquet")
    }  # fmt: skip
    return asked


def _type(mime: str) -> dict[str, str]:
    return {"Content-Type": mime}


def _same(found: pd.DataFrame, expected: pd.DataFrame) -> bool:
    if list(found.columns) != list(expected.columns) or len(found) != len(expected):
        return False
    labels = found["prediction"].tolist() == expected["prediction"].tolist()
    one, other = (f.drop(columns="prediction").to_numpy(float) for f in (found, expected))
    return labels and bool(np.allclose(one, other, rtol=0, atol=TOLERANCE))


def free_port() -> int:
    """Below the ports that the system gives to clients, which may take one before it is used."""
    while True:
        port = secrets.choice(range(10_000, 32_000))
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


@contextmanager
def _server(path: Path, folder: str) -> Iterator[str]:
    """What `mlflow models serve` runs, in a folder of its own, with nothing of ours but a hook."""
    port = free_port()
    command, environment = scoring_server.get_cmd(str(path), port, nworkers=1)
    ours = ("MLFLOW_RUN_ID", "MLFLOW_EXPERIMENT_ID", "MLFLOW_EXPERIMENT_NAME")
    env = {key: value for key, value in environment.items() if key not in ours}
    env["PYTHONPATH"] = str(Path(folder, "hook"))
    log = Path(folder, "server.log")
    started = time.monotonic()
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", *shlex.split(command)],
            cwd=folder, env=env, stdout=out, stderr=out, start_new_session=True,
        )  # fmt: skip
    try:
        url = f"http://127.0.0.1:{port}"
        while not _is_up(url):
            waited = time.monotonic() - started
            if process.poll() is not None or waited > SECONDS_TO_START:
                last = log.read_text(errors="replace").strip().splitlines()[-1:]
                raise BadInput(f"the model server does not start: {' '.join(last)[:200]}")
            time.sleep(0.1)
        yield url
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(10)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def _is_up(url: str) -> bool:
    try:
        return requests.get(f"{url}/ping", timeout=5).status_code == 200
    except requests.RequestException:
        return False
