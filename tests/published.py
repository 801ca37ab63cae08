"""What was published, seen with MLflow's own client."""

import tempfile
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
from mlflow import MlflowClient

from custom_model.artifact import bundle_sha256
from steps import publish
from tabular.store import copies
from tabular.store.artifacts import fetch_model

ROWS = pd.DataFrame([[5.1, 3.5, 1.4, 0.2], [6.3, 2.9, 5.6, 1.8]])


def publish_iris(to: str, **others: str) -> None:
    arguments = {"model": "models:/iris/1", "to": to, **others}
    publish.main([text for name, value in arguments.items() for text in (f"--{name}", value)])


def at(uri: str) -> MlflowClient:
    return MlflowClient(uri, uri)


def runs(uri: str) -> list[Any]:
    return list(at(uri).search_runs([one.experiment_id for one in at(uri).search_experiments()]))


def predictions(uri: str) -> pd.DataFrame:
    """Of version 1, fetched there, by the files that the hash is about."""
    with copies.elsewhere(uri), tempfile.TemporaryDirectory() as folder:
        _, path = fetch_model("models:/iris/1", Path(folder))
        sha256 = MlflowClient().get_model_version("iris", "1").tags["bundle_sha256"]
        assert bundle_sha256(path) == sha256
        columns = (mlflow.models.Model.load(str(path)).metadata or {})["input_columns"]
        rows = ROWS.set_axis([column["name"] for column in columns], axis=1)
        answered: pd.DataFrame = mlflow.pyfunc.load_model(str(path)).predict(rows)
        return answered.assign(sha256=sha256)


def assert_whole(source: str, to: str) -> None:
    """One version, its run and its sweep's, none open, one model, and the same predictions."""
    assert {run.info.status for run in runs(to)} == {"FINISHED"}
    assert len(runs(to)) == 2
    [version] = at(to).search_model_versions("name='iris'")
    models = at(to).search_logged_models([runs(to)[0].info.experiment_id])
    assert [str(one.status) for one in models] == ["READY"]
    files = {file.path for file in at(to).list_artifacts(version.run_id or "")}
    assert {"holdout.parquet", "training_rows.parquet", "report.html"} <= files
    pd.testing.assert_frame_equal(predictions(source), predictions(to), check_exact=True)
