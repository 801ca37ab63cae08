"""Files that the tracking server or the registry knows."""

from pathlib import Path

import mlflow
from mlflow.exceptions import MlflowException

from tabular.errors import BadInput, first_line


def download(uri: str, folder: Path) -> Path:
    """Fetches an artifact into a folder.

    Args:
        uri: `runs:/<run id>/<path>`, `models:/<name>/<version>/<path>`, `mlflow-artifacts:/…`, or
            any other that MLflow fetches.
        folder: where to.

    Returns:
        The file or folder that was fetched.

    Raises:
        BadInput: there is no such artifact.
    """
    try:
        return Path(mlflow.artifacts.download_artifacts(uri, dst_path=str(folder)))
    except (MlflowException, OSError) as error:
        raise BadInput(f"{uri!r} cannot be fetched: {first_line(error)}") from None
