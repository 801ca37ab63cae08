"""Files that MLflow keeps: a model's artifact, and the files of a run."""

import tempfile
from pathlib import Path

import mlflow
import pandas as pd
from mlflow.exceptions import MlflowException

from custom_model.packaging import bundle_sha256
from tabular.errors import BadInput, first_line
from tabular.store import registry


def fetch_model(uri: str, folder: str) -> tuple[str, Path]:
    """Downloads a model's artifact; that of a registered version is compared with its hash.

    Args:
        uri: of MLflow, with a stage or alias or without.
        folder: to put it in.

    Returns:
        The URI with the version that a stage or alias names now, and the path of the artifact.

    Raises:
        BadInput: there is no such model, or it is not what was registered.
    """
    resolved = registry.resolve(uri)
    sha256 = registry.tags_of(resolved).get("bundle_sha256")
    try:
        path = Path(mlflow.artifacts.download_artifacts(resolved, dst_path=folder))
    except Exception as error:  # stores raise many kinds
        raise BadInput(
            f"model {uri!r} cannot be fetched: {first_line(error)}; give a URI such as "
            "models:/iris/Production, models:/iris/3 or runs:/<run id>/model"
        ) from None
    if sha256 and _sha256(path, resolved) != sha256:
        raise BadInput(f"{resolved} is not what was registered: its files have another hash")
    return resolved, path


def _sha256(path: Path, uri: str) -> str:
    inside = path / "artifacts"
    files = [path / "bundle.py", inside / "pipeline.skops", inside / "bundle.json"]
    try:
        return bundle_sha256([*files, *inside.glob("compiled.py")])  # older versions have none
    except OSError:
        raise BadInput(f"{uri} cannot be fetched: its artifact is gone") from None


def read_of_run(run_id: str, name: str) -> pd.DataFrame | None:
    """A Parquet file of a run, None where there is none.

    Args:
        run_id: of the run.
        name: of the file among the run's artifacts.
    """
    with tempfile.TemporaryDirectory() as folder:
        try:
            return pd.read_parquet(
                mlflow.artifacts.download_artifacts(
                    run_id=run_id, artifact_path=name, dst_path=folder
                )
            )
        except (MlflowException, OSError):
            return None
