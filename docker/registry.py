"""Which version is in production, and MLflow's server of it."""

import os
import shlex
import shutil
import tempfile
import time
import warnings
from pathlib import Path
from urllib.parse import quote

import mlflow
from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.pyfunc import scoring_server

from custom_model.artifact import check

SECONDS_BETWEEN_LOOKS = 5


def version_in_production(name: str) -> ModelVersion:
    """The version of the alias `champion`; where there is none, the newest in stage Production.

    Raises:
        MlflowException: there is no such version, or the registry does not answer.
    """
    # stages are what `models:/<name>/Production` names, deprecated or not
    warnings.filterwarnings("ignore", category=FutureWarning)
    client = MlflowClient()
    model = client.get_registered_model(name)
    stages = {version.current_stage: version.version for version in model.latest_versions}
    number = model.aliases.get("champion") or stages.get("Production")
    if not number:
        raise MlflowException(f"no version of {name} is in Production yet")
    return client.get_model_version(name, str(number))


def wait_for_version(name: str) -> ModelVersion:
    """Asks until one is in production."""
    logged = ""
    while True:
        try:
            return version_in_production(name)
        except MlflowException as error:
            why = str(error).splitlines()[0]
        if why != logged:
            print(f"waiting: {why}", flush=True)
            logged = why
        time.sleep(SECONDS_BETWEEN_LOOKS)


def fetch(version: ModelVersion) -> Path:
    """The files of a version, in a new folder of its own; after an error there is none.

    Raises:
        Changed: they are not those that were registered, or not signed by whom we trust.
        Exception: the store does not hand them out; stores raise many kinds.
    """
    folder = tempfile.mkdtemp()
    try:
        uri = f"models:/{version.name}/{version.version}"
        path = Path(mlflow.artifacts.download_artifacts(uri, dst_path=folder))
        check(path, version.tags, version.run_id)
    except BaseException:
        shutil.rmtree(folder)
        raise
    return path


def server_of(version: ModelVersion, path: Path, socket: str) -> tuple[list[str], dict[str, str]]:
    """Arguments of uvicorn and its environment, as `mlflow models serve` would choose them."""
    workers = int(os.environ.get("MLFLOW_MODELS_WORKERS", "1"))
    command, environment = scoring_server.get_cmd(str(path), nworkers=workers)
    # Sent with every answer, and true: a version's number never gets another model.
    header = f"X-Model-Version:{quote(version.name)}/{version.version}"
    return shlex.split(command)[1:], {
        **environment,
        "UVICORN_HEADERS": header,
        "UVICORN_UDS": socket,
    }
