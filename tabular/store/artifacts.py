"""Files that the tracking server or the registry knows."""

import tempfile
from pathlib import Path

import mlflow
import pandas as pd
from mlflow.exceptions import MlflowException

from custom_model.artifact import Changed, check
from tabular.errors import BadInput, first_line
from tabular.store import registry


def download(uri: str, folder: Path) -> Path:
    """Fetches an artifact, by `runs:/…`, `models:/…` or any other URI of MLflow, into a folder.

    Raises:
        BadInput: there is no such artifact.
    """
    try:
        return Path(mlflow.artifacts.download_artifacts(uri, dst_path=str(folder)))
    except (MlflowException, OSError) as error:
        raise BadInput(f"{uri!r} cannot be fetched: {first_line(error)}") from None


def fetch_model(uri: str, folder: Path) -> tuple[str, Path]:
    """Fetches a model into a folder; the files of a registered version are compared with its hash.

    Returns:
        The URI with the version that a stage or alias names now, and the path of the artifact.

    Raises:
        BadInput: there is no such model, or it is not what was registered.
    """
    resolved = registry.resolve(uri)
    version = registry.version_of(resolved)
    try:
        path = Path(mlflow.artifacts.download_artifacts(resolved, dst_path=str(folder)))
    except Exception as error:  # stores raise many kinds
        raise BadInput(
            f"model {uri!r} cannot be fetched: {first_line(error)}; give a URI such as "
            "models:/iris@champion, models:/iris/3 or runs:/<run id>/model"
        ) from None
    if not any(path.iterdir()):
        raise BadInput(f"{resolved} cannot be fetched: its artifact is gone")
    try:
        check(path, dict(version.tags) if version else {}, version.run_id if version else "")
    except Changed as error:
        raise BadInput(f"{resolved} {error}") from None
    return resolved, path


def read_of_run(run_id: str, name: str) -> pd.DataFrame | None:
    """A Parquet file among the artifacts of a run, None where there is none."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            return pd.read_parquet(download(f"runs:/{run_id}/{name}", Path(folder)))
        except (BadInput, OSError):
            return None
