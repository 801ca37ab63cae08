"""A version with its history, read from one tracking server and written to another one.

What is copied carries the tag `origin_run_id`: the run of the version, or of its sweep, where it
was made. By it a copy that was interrupted is found, and finished.
"""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import mlflow
import requests
import sqlalchemy
from mlflow import MlflowClient
from mlflow.entities import LoggedModelOutput, Metric, Param, RunTag
from mlflow.entities.run import Run
from mlflow.environment_variables import MLFLOW_REGISTRY_URI
from mlflow.exceptions import MlflowException
from mlflow.store.artifact.models_artifact_repo import REGISTERED_MODEL_META_FILE_NAME
from mlflow.store.db.db_types import DATABASE_ENGINES
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID

from custom_model.artifact import Changed, check
from tabular.errors import BadInput, first_line
from tabular.store import registry
from tabular.store.artifacts import download, fetch_model
from tabular.store.runs import make_tables, with_retry
from tabular.store.trials import OOF_FILE
from tabular.table.addresses import without_password

SECONDS_TO_ANSWER = 30
ORIGIN, FROM = "origin_run_id", "published_from"
OF_THE_PLACE = re.compile("promot|rolled_back|rollback|published_from$|sweep_run_id$")
"""Tags of a version that are true of the registry where it is, and of no other."""


@dataclass(frozen=True)
class Original:
    """A version as it was read.

    Args:
        uri: with its number.
        place: tracking URI where it is, without a password.
        tags: of the version.
        description: of the version.
        run: that it was logged in.
        sweep: the parent of this run; None where there is none.
        experiment: name of the run's experiment.
        files: of the model.
        folder: with the files of the `run` and the `sweep`.
    """

    uri: str
    place: str
    tags: dict[str, str]
    description: str
    run: Run
    sweep: Run | None
    experiment: str
    files: Path
    folder: Path

    @property
    def name(self) -> str:
        """Of the registered model."""
        return self.uri.removeprefix("models:/").rpartition("/")[0]


@contextmanager
def elsewhere(uri: str) -> Iterator[None]:
    """Inside the block every function of `store` talks to this tracking server and its registry.

    Raises:
        BadInput: it cannot be reached.
    """
    before, registry_before = mlflow.get_tracking_uri(), os.environ.get(MLFLOW_REGISTRY_URI.name)
    mlflow.set_tracking_uri(uri)
    MLFLOW_REGISTRY_URI.set(uri)
    try:
        try:
            _knock(uri)
            make_tables()
            registry.registered("iris")  # any name
            MlflowClient().search_experiments(max_results=1)
        except BadInput:
            raise
        except Exception as error:  # of MLflow, of SQLAlchemy, of the network
            where = without_password(uri)
            why = first_line(error).replace(uri, where)
            raise BadInput(f"nothing can be published to {where!r}: {why}") from None
        yield
    finally:
        mlflow.set_tracking_uri(before)
        MLFLOW_REGISTRY_URI.unset()
        if registry_before:
            MLFLOW_REGISTRY_URI.set(registry_before)


def _knock(uri: str) -> None:
    """Raises BadInput, or an error of SQLAlchemy, where MLflow would try for minutes."""
    if uri.startswith(("http://", "https://")):
        try:
            requests.get(uri, timeout=SECONDS_TO_ANSWER, stream=True).close()
        except requests.RequestException as error:
            where, why = without_password(uri), type(error).__name__
            raise BadInput(f"no server answers at {where!r} ({why})") from None
    elif uri.partition(":")[0].partition("+")[0] in DATABASE_ENGINES:
        sqlalchemy.create_engine(uri).connect().close()


def same_place(uri: str) -> bool:
    """Whether this is the registry that is in use now."""
    return uri.rstrip("/") == mlflow.get_registry_uri().rstrip("/")


def read_original(uri: str, folder: Path) -> Original:
    """Fetches a version of this project with everything that belongs to it.

    Raises:
        BadInput: there is no such version, it is another maker's, its files have changed, or its
            run is gone.
    """
    resolved = registry.resolve(uri)
    version = registry.version_of(resolved)
    if version is None:
        raise BadInput(
            f"{uri!r} is no registered version; give a URI such as models:/iris@champion"
        )
    if "bundle_sha256" not in version.tags:
        raise BadInput(
            f"{resolved} was not registered by this project: it has no hash to check a copy with, "
            "and no held-out rows"
        )
    client = MlflowClient()
    run = _run(version.run_id)
    if run is None:
        raise BadInput(f"the run of {resolved} is gone, and with it the rows to compare it on")
    _, files = fetch_model(resolved, folder / "model")
    (files / REGISTERED_MODEL_META_FILE_NAME).unlink(missing_ok=True)
    sweep = _run(run.data.tags.get(MLFLOW_PARENT_RUN_ID))
    for name, one in (("run", run), ("sweep", sweep)):
        (folder / name).mkdir()
        if one:
            _fetch_files(one.info.run_id, folder / name)
    return Original(
        uri=resolved,
        place=without_password(mlflow.get_tracking_uri()),
        tags=dict(version.tags),
        description=version.description or "",
        run=run,
        sweep=sweep,
        experiment=client.get_experiment(run.info.experiment_id).name,
        files=files,
        folder=folder,
    )


def find_copy(original: Original, name: str) -> int | None:
    """The number of the version that is this one, or a copy of it; None if there is none."""
    sha256, origin = original.tags["bundle_sha256"], _origin(original.run)
    if registry.registered(name) is None:
        return None
    for version in registry.versions_of(name):
        same = version.tags.get("bundle_sha256") == sha256
        if same and version.tags.get(ORIGIN, version.run_id) == origin:
            return int(version.version)
    return None


def write_version(original: Original, name: str, *, description: str, model: str) -> int:
    """Writes what was read, and registers last; what an interrupted call has left is finished.

    Args:
        original: as read elsewhere.
        name: in the registry.
        description: of the version.
        model: description of the registered model, if it is made.

    Returns:
        The number of the version.

    Raises:
        BadInput: the experiment was deleted, or the files that arrived are not those that were
            sent.
    """
    client, experiment_id = MlflowClient(), _experiment(original.experiment)
    tags = {key: value for key, value in original.tags.items() if not OF_THE_PLACE.match(key)}
    made = {FROM: f"{original.uri} of {original.place}"}
    if original.sweep:
        files = original.folder / "sweep"
        with _copied(original.sweep, files, experiment_id, made) as sweep_id:
            tags["sweep_run_id"] = sweep_id
        made[MLFLOW_PARENT_RUN_ID] = sweep_id
    with _copied(original.run, original.folder / "run", experiment_id, made) as run_id:
        of_sweep = original.sweep.data.tags if original.sweep else {}
        if of_sweep.get("best_child_run_id") == original.run.info.run_id:
            client.set_tag(sweep_id, "best_child_run_id", run_id)
        model_id = _write_model(original, experiment_id, run_id)
    version = registry.register(
        name,
        model_id=model_id,
        run_id=run_id,
        tags=tags | {FROM: made[FROM], ORIGIN: _origin(original.run)},
        description=description,
        model=model,
    )
    return version.number


@contextmanager
def _copied(run: Run, files: Path, experiment_id: str, tags: dict[str, str]) -> Iterator[str]:
    """A copy of a run, open until the block ends; its id."""
    client, origin = MlflowClient(), _origin(run)
    own = {key: v for key, v in run.data.tags.items() if key not in _OF_THE_STORE} | tags
    own[ORIGIN] = origin
    known = client.search_runs([experiment_id], f"tags.{ORIGIN} = '{origin}'", max_results=1)
    run_id = (
        known[0].info.run_id
        if known
        else client.create_run(
            experiment_id, run.info.start_time, {ORIGIN: origin}, run.info.run_name
        ).info.run_id
    )
    try:
        at = run.info.end_time or run.info.start_time
        client.log_batch(
            run_id,
            metrics=[Metric(key, value, at, 0) for key, value in run.data.metrics.items()],
            params=[Param(key, value) for key, value in run.data.params.items()],
            tags=[RunTag(key, value) for key, value in own.items()],
        )
        if run.inputs and run.inputs.dataset_inputs:
            with_retry(client.log_inputs, run_id, run.inputs.dataset_inputs)
        client.log_artifacts(run_id, str(files))
        yield run_id
    except BaseException:
        with suppress(Exception):
            client.set_terminated(run_id, "FAILED")
        raise
    status = run.info.status if run.info.status in ("FINISHED", "FAILED") else "KILLED"
    client.set_terminated(run_id, status, run.info.end_time)


_OF_THE_STORE = (MLFLOW_PARENT_RUN_ID, "best_child_run_id")  # tags that name another run


def _write_model(original: Original, experiment_id: str, run_id: str) -> str:
    """Uploads the files and compares what has arrived; the id of the logged model."""
    client = MlflowClient()
    known = client.search_logged_models([experiment_id], f"source_run_id = '{run_id}'")
    model = (
        known[0]
        if known
        else client.create_logged_model(experiment_id, "model", source_run_id=run_id)
    )
    client.log_model_artifacts(model.model_id, str(original.files))
    outputs = client.get_run(run_id).outputs
    if model.model_id not in {one.model_id for one in (outputs.model_outputs if outputs else ())}:
        client.log_outputs(run_id, [LoggedModelOutput(model.model_id, step=0)])
    arrived = download(f"models:/{model.model_id}", original.folder / "arrived")
    try:
        check(arrived, original.tags, run_id)
    except Changed as error:
        raise BadInput(f"the copy of {original.uri} {error}; publish it again") from None
    client.finalize_logged_model(model.model_id, "READY")
    return str(model.model_id)


def _fetch_files(run_id: str, folder: Path) -> None:
    for file in MlflowClient().list_artifacts(run_id):
        if file.path != OOF_FILE:  # large, and for a resumed sweep only
            download(f"runs:/{run_id}/{file.path}", folder)


def _run(run_id: str | None) -> Run | None:
    """A run, None if there is none, or it was deleted."""
    try:
        run = MlflowClient().get_run(run_id) if run_id else None
    except MlflowException as error:
        if error.error_code not in (*registry.GONE, "INVALID_PARAMETER_VALUE"):
            raise
        return None
    return run if run and run.info.lifecycle_stage == "active" else None


def _origin(run: Run) -> str:
    return str(run.data.tags.get(ORIGIN, run.info.run_id))


def _experiment(name: str) -> str:
    client = MlflowClient()
    known = client.get_experiment_by_name(name)
    if known is None:
        return str(client.create_experiment(name))
    if known.lifecycle_stage != "active":
        raise BadInput(f"the experiment {name!r} was deleted there; restore it, and publish again")
    return str(known.experiment_id)
