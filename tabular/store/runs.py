"""Runs in MLflow: the command's own run, and the data set that it used."""

import fcntl
import hashlib
import os
import re
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pyarrow as pa
from mlflow import MlflowClient
from mlflow.data.code_dataset_source import CodeDatasetSource
from mlflow.data.dataset_source import DatasetSource
from mlflow.data.dataset_source_registry import resolve_dataset_source
from mlflow.data.meta_dataset import MetaDataset
from mlflow.entities.run import Run
from mlflow.exceptions import MlflowException
from mlflow.store.db.db_types import DATABASE_ENGINES
from mlflow.types import ColSpec, DataType, Schema

from tabular.errors import BadInput
from tabular.table.addresses import BUILT_IN
from tabular.table.dataset import Dataset

SCHEMA_ROWS, SCHEMA_CELLS = 1000, 100_000  # at most, by which a schema is inferred
TRIES = 5  # of a write that another one of the same moment refuses


def make_tables() -> None:
    """Has MLflow make the tables of a database that is new, one process at a time.

    MLflow looks, then makes them; of two processes that begin in an empty folder one would fail.
    """
    uri = mlflow.get_tracking_uri()
    if uri.partition(":")[0].partition("+")[0] not in DATABASE_ENGINES:
        return
    name = hashlib.sha256(f"{Path.cwd()} {uri}".encode()).hexdigest()[:16]
    with Path(tempfile.gettempdir(), f"mlflow-tables-{os.getuid()}-{name}").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        MlflowClient().search_experiments(max_results=1)


def with_retry(method: Callable[..., object], *arguments: object) -> None:
    """Calls a method of MLflow that looks, then inserts.

    Of two at once one is refused; it finds what the other wrote at its next try.
    """
    for _ in range(TRIES - 1):
        try:
            method(*arguments)
        except MlflowException as error:
            if error.error_code not in ("BAD_REQUEST", "TEMPORARILY_UNAVAILABLE"):
                raise
        else:
            return
    method(*arguments)


@contextmanager
def start_run(name: str, params: Mapping[str, Any], *, resume: str = "") -> Iterator[Run]:
    """Opens the command's run, or joins the one that `mlflow run` has made for it.

    An exception leaves the run FAILED.

    Args:
        name: of the run.
        resume: id of an older run to go on with instead.
        params: of the command; those that `mlflow run` has logged already are left as they are.

    Raises:
        BadInput: the experiment was deleted.
    """
    make_tables()
    try:
        opened = mlflow.start_run(run_id=resume or None)
    except MlflowException as error:
        if not (deleted := re.search(r"experiment (\d+) must be .* is deleted", error.message)):
            raise
        raise BadInput(
            f"the experiment {deleted[1]} was deleted; restore it with `mlflow experiments restore "
            f"--experiment-id {deleted[1]}`, or name another one by MLFLOW_EXPERIMENT_NAME"
        ) from None
    with opened as run:
        mlflow.set_tag("mlflow.runName", name)
        known = MlflowClient().get_run(run.info.run_id).data.params
        mlflow.log_params({key: value for key, value in params.items() if key not in known})
        yield run


def fail_if_running(run_id: str) -> None:
    """Ends a run and its children that nobody else will end."""
    client = MlflowClient()
    run = client.get_run(run_id)
    ours = f"tags.`mlflow.parentRunId` = '{run_id}' and attributes.status = 'RUNNING'"
    for each in [*client.search_runs([run.info.experiment_id], ours), run]:
        if each.info.status == "RUNNING":
            client.set_terminated(each.info.run_id, "FAILED")


def log_results(
    metrics: Mapping[str, float] | None = None,
    *,
    tags: Mapping[str, str] | None = None,
    folder: str | Path = "",
    tables: Mapping[str, pd.DataFrame] | None = None,
) -> None:
    """Logs what a command found to the active run.

    Args:
        metrics: by name.
        tags: of the run.
        folder: whose files become the run's artifacts; "" for none.
        tables: by name of the artifact, as `mlflow.load_table` reads them.
    """
    mlflow.set_tags(dict(tags or {}))
    mlflow.log_metrics(dict(metrics or {}))
    if folder:
        mlflow.log_artifacts(str(folder))
    for name, table in (tables or {}).items():
        mlflow.log_table(table, name)


def log_input(name: str, source: str, digest: str, schema: pa.Schema) -> None:
    """Logs a table that is scored as an input of the active run, without reading it again."""

    def kind(field: pa.DataType) -> DataType:
        tests = {
            DataType.long: pa.types.is_integer,
            DataType.double: pa.types.is_floating,
            DataType.boolean: pa.types.is_boolean,
            DataType.datetime: pa.types.is_temporal,
        }
        return next((kind for kind, test in tests.items() if test(field)), DataType.string)

    columns = Schema([ColSpec(kind(field.type), field.name) for field in schema])
    logged = MetaDataset(_source(source), name, digest, columns)  # type: ignore[abstract]
    with_retry(mlflow.log_input, logged, "scoring")


def _source(data: str) -> DatasetSource:
    """Where a table came from; a tag says it where MLflow has no kind of source for it."""
    with warnings.catch_warnings(), suppress(MlflowException):
        # MLflow finds its own source for local files twice
        warnings.filterwarnings("ignore", "The specified dataset source can be", UserWarning)
        if data not in BUILT_IN:
            return resolve_dataset_source(data)
    return CodeDatasetSource(tags={"data": data})


def log_dataset(dataset: Dataset, *, context: str = "training") -> None:
    """Logs the table as an input of the active run: its columns, types, digest and source."""
    everything = np.ones(len(dataset.codes), dtype=bool)
    frame = dataset.labelled(everything)
    with warnings.catch_warnings():
        # MLflow hints that integers cannot hold missing values; this schema is for the eye
        warnings.filterwarnings("ignore", "Hint: Inferred schema contains integer", UserWarning)
        logged = mlflow.data.from_pandas(  # type: ignore[attr-defined]
            frame,
            source=_source(dataset.source),
            targets=dataset.target,
            name=dataset.name,
            digest=dataset.digest,
        )
        # MLflow looks at each cell; those of a few rows have the same schema as all of them
        few = mlflow.data.from_pandas(_few_rows(frame), digest=dataset.digest)  # type: ignore[attr-defined]
        logged.schema = few.schema
        with_retry(mlflow.log_input, logged, context)


def log_inputs_of(run: Run) -> None:
    """Logs the data set of another run as that of the active one."""
    client, active = MlflowClient(), mlflow.active_run()
    inputs = client.get_run(run.info.run_id).inputs
    if active and inputs:
        with_retry(client.log_inputs, active.info.run_id, inputs.dataset_inputs)


def _few_rows(frame: pd.DataFrame) -> pd.DataFrame:
    """The first rows of a table, and of each column the first row where it is missing."""
    n_rows = min(len(frame), max(1, min(SCHEMA_ROWS, SCHEMA_CELLS // frame.shape[1])))
    rows = np.union1d(np.arange(n_rows), frame.isna().to_numpy().argmax(axis=0))
    return frame.iloc[rows]
