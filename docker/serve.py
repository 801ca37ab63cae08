"""Serves the version that is in Production now, until it is stopped.

    python serve.py

Waits until there is one, and ends if its files are not those that were registered. Then this
process becomes MLflow's model server, as `mlflow models serve` would start it, but without that
command's own process in between, which neither passes a signal on nor waits for requests in flight.

The environment, beside MLflow's and uvicorn's own variables:

    MODEL_NAME              registered model
    MLFLOW_MODELS_WORKERS   processes
    UVICORN_UDS             Unix socket to listen on
"""

import os
import shlex
import signal
import sys
import tempfile
import time
import warnings
from pathlib import Path
from urllib.parse import quote

import mlflow
import uvicorn.main
from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.pyfunc import scoring_server

from custom_model.artifact import Changed, check

SECONDS_BETWEEN_LOOKS = 2


def version_in_production(name: str) -> ModelVersion:
    """Waits for it."""
    # Stages are what `models:/<name>/Production` names, deprecated or not.
    warnings.filterwarnings("ignore", category=FutureWarning)
    client, logged = MlflowClient(), ""
    while True:
        try:
            versions = client.get_latest_versions(name, stages=["Production"])
            if versions:
                return versions[0]
            why = f"no version of {name} is in Production yet"
        except MlflowException as error:
            why = str(error).splitlines()[0]
        if why != logged:
            print(f"waiting: {why}", flush=True)
            logged = why
        time.sleep(SECONDS_BETWEEN_LOOKS)


def main() -> None:
    """Becomes the server of one version, whatever goes into Production later."""
    # Process 1 of a container is deaf to a signal that it has no handler for; uvicorn has.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    name = os.environ["MODEL_NAME"]
    registered = version_in_production(name)
    version = registered.version
    folder = mlflow.artifacts.download_artifacts(
        f"models:/{name}/{version}", dst_path=tempfile.mkdtemp()
    )
    try:
        check(Path(folder), registered.tags, registered.run_id)
    except Changed as error:
        sys.exit(f"models:/{name}/{version} {error}")
    # Sent with every answer, and true: a version's number never gets another model.
    os.environ["UVICORN_HEADERS"] = f"X-Model-Version:{quote(name)}/{version}"
    # A killed server leaves its socket behind, and a second one could not bind it.
    Path(os.environ["UVICORN_UDS"]).unlink(missing_ok=True)
    workers = int(os.environ.get("MLFLOW_MODELS_WORKERS", "1"))
    command, environment = scoring_server.get_cmd(folder, nworkers=workers)
    os.environ.update(environment)
    print(f"serving {name} version {version}", flush=True)
    uvicorn.main.main(shlex.split(command)[1:])


if __name__ == "__main__":
    main()
