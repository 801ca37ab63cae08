"""Loads any model of MLflow."""

import dataclasses
import tempfile
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import mlflow
from mlflow.exceptions import MlflowException

from tabular.errors import BadInput, first_line
from tabular.models import bundles, foreign
from tabular.models.model import LoadedModel
from tabular.store.artifacts import fetch_model
from tabular.store.registry import version_of


def load_model(uri: str, folder: str, params: Mapping[str, Any] | None = None) -> LoadedModel:
    """Fetches a model and loads it.

    Args:
        uri: of MLflow: `models:/<name>/<version>`, `models:/<name>@<alias>`, `runs:/...`, a path.
        folder: to keep its files in; they are needed for as long as the model is asked.
        params: of inference, for every prediction.

    Raises:
        BadInput: there is no such model, it cannot be loaded, it has no such params, or it is a
            registered version whose files have changed.
    """
    resolved, path = fetch_model(uri, Path(tempfile.mkdtemp(dir=folder)))
    model, version = open_model(path, resolved, params), version_of(resolved)
    if version and version.run_id:  # one that was published names the run that it has left behind
        return dataclasses.replace(model, run_id=version.run_id)
    return model


def open_model(path: Path, uri: str, params: Mapping[str, Any] | None = None) -> LoadedModel:
    """Loads a model from the folder of its artifact; `uri` names it in messages.

    Raises:
        BadInput: it cannot be loaded, or has no such params.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            pyfunc = mlflow.pyfunc.load_model(str(path))
    except Exception as error:  # flavours raise many kinds
        raise BadInput(f"model {uri!r} cannot be loaded: {first_line(error)}") from None
    run_id = str(getattr(pyfunc.metadata, "run_id", "") or "")
    try:
        inside = pyfunc.unwrap_python_model()
    except (MlflowException, AttributeError):
        inside = None
    if bundles.is_bundle(inside):
        about: dict[str, Any] = {"uri": uri, "path": path, "pyfunc": pyfunc, "run_id": run_id}
        return bundles.as_bundle(inside, params or {}, **about)
    if params:
        raise BadInput(f"{uri} is not of this project, so it has no {' and '.join(params)}")
    return foreign.as_foreign(pyfunc, uri=uri, path=path, run_id=run_id)
