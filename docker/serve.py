"""Serves the version that is in production, until it is stopped.

    python serve.py

Waits until there is one, and ends if its files are not those that were registered. Then this
process becomes MLflow's model server, as `mlflow models serve` would start it, but without that
command's own process in between, which neither passes a signal on nor waits for requests in flight.
With FOLLOW=true it stays, and changes over to each later version, see follow.py.

The environment, beside MLflow's and uvicorn's own variables:

    MODEL_NAME              registered model
    FOLLOW                  true: serve what goes into production later, too
    MLFLOW_MODELS_WORKERS   processes
    UVICORN_UDS             Unix socket to listen on
"""

import os
import signal
import sys
from pathlib import Path


def main() -> None:
    """Becomes the server of one version, or follows the registry."""
    # Process 1 of a container is deaf to a signal that it has no handler for; uvicorn has. It is
    # there before the imports, which take seconds.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    import uvicorn.main
    from follow import follow
    from registry import fetch, server_of, wait_for_version

    from custom_model.artifact import Changed

    name, socket = os.environ["MODEL_NAME"], os.environ["UVICORN_UDS"]
    following = os.environ.get("FOLLOW", "false")
    if following not in ("true", "false"):
        sys.exit(f"FOLLOW is {following!r}; it can be true or false")
    # A killed server leaves its socket behind, and a second one could not bind it.
    for left in Path(socket).parent.glob(f"{Path(socket).name}*"):
        left.unlink()
    version = wait_for_version(name)
    try:
        path = fetch(version)
    except Changed as error:
        sys.exit(f"models:/{name}/{version.version} {error}")
    if following == "true":
        follow(version, path, socket)
    arguments, environment = server_of(version, path, socket)
    os.environ.update(environment)
    print(f"serving {name} version {version.version}", flush=True)
    uvicorn.main.main(arguments)


if __name__ == "__main__":
    main()
