"""The model registry: registered models and their versions.

Where the registry has stages, every version is in one. Unity Catalog has none, and its searches
return no tags.
"""

import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import mlflow
from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion, RegisteredModel
from mlflow.exceptions import MlflowException
from mlflow.models import get_model_info
from mlflow.store.artifact.utils.models import get_model_name_and_version

from tabular.errors import BadInput, choices, first_line
from tabular.store.runs import make_tables
from tabular.table.structure import ALL_ALIKE, Structure, structure_of

GONE = ("RESOURCE_DOES_NOT_EXIST", "NOT_FOUND")
"""Error codes of what is not there, or not any more."""

WITHOUT_ALIASES = re.compile("databricks(?!-uc)|uc:")  # registries, by how their URI begins


@dataclass(frozen=True)
class Version:
    """A registered version.

    Args:
        stage: of MLflow; "" where the registry has no stages.
        metrics: of its run, all of them, by full name (`holdout_f1_macro`); none if it is gone.
        tags: of the version.
    """

    name: str
    number: int
    run_id: str
    stage: str
    metrics: dict[str, float]
    tags: dict[str, str]

    @property
    def ours(self) -> bool:
        """Whether this project registered it."""
        return "bundle_sha256" in self.tags


def register(
    name: str,
    *,
    model_id: str,
    run_id: str,
    tags: dict[str, str],
    description: str,
    model: str = "",
) -> Version:
    """Registers a logged model (`m-…`) as the next version of a model, which it makes if needed.

    `description` is the version's, and `model` that of the registered model, if it is made.
    """
    client = MlflowClient()
    try:
        client.create_registered_model(name, description=model or None)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    version = client.create_model_version(
        name,
        f"models:/{model_id}",
        run_id=run_id,
        tags=tags,
        description=description,
        model_id=model_id,
    )
    return _version(client, version)


def find(name: str, tags: Mapping[str, str]) -> Version | None:
    """The first version of a model with all of these tags; None if there is none."""
    for version in versions_of(name):
        if tags.items() <= version.tags.items():
            return _version(MlflowClient(), version)
    return None


def read_version(name: str, number: int) -> Version | None:
    """A version of a model, None if there is none of this number."""
    client = MlflowClient()
    try:
        return _version(client, client.get_model_version(name, str(number)))
    except MlflowException as error:
        if error.error_code in GONE:
            return None
        raise


def resolve(uri: str) -> str:
    """A model URI with a stage, an alias or `latest` as the one of the version it names now.

    Any other URI is returned as it is.

    Raises:
        BadInput: there is no such version.
    """
    if not uri.startswith("models:/"):
        return uri
    try:
        with stages_are_deprecated():
            resolved = get_model_name_and_version(MlflowClient(), uri)
    except MlflowException as error:
        name = re.split("[/@]", uri.removeprefix("models:/"))[0]
        hint = f"; `promote` puts a version there, and at models:/{name}@champion"
        hint = "" if "@" in uri else hint
        raise BadInput(f"model {uri!r} not found: {first_line(error)}{hint}") from None
    return f"models:/{'/'.join(map(str, resolved))}"


def version_of(uri: str) -> ModelVersion | None:
    """The registered version that a resolved URI names; None for any other URI.

    Raises:
        BadInput: there is no such version.
    """
    name, _, number = uri.removeprefix("models:/").rpartition("/")
    if not uri.startswith("models:/") or not name:
        return None
    try:
        return MlflowClient().get_model_version(name, number)
    except MlflowException as error:
        raise BadInput(f"model {uri!r} not found: {first_line(error)}") from None


def candidates(name: str) -> list[Version]:
    """All versions of a model that were not deleted, oldest first.

    Raises:
        BadInput: there is no such model, it has no version, or the registry has no aliases.
    """
    known = registered(name) is not None
    client = MlflowClient()
    if every := [_version(client, version) for version in versions_of(name)]:
        return sorted(every, key=lambda version: version.number)
    if known:
        raise BadInput(
            f"model {name!r} has no version; run `sweep` or `train` with model_name={name}"
        )
    names = [model.name for model in client.search_registered_models()]
    hint = choices(name, names) if names else "none is registered yet"
    raise BadInput(f"model {name!r} has no registered version; {hint}; run `sweep` or `train`")


def newest_structure(name: str) -> Structure:
    """The structure of the newest version of a model; an empty one where there is no version."""
    make_tables()
    numbers = [int(version.version) for version in versions_of(name)]
    if not numbers:
        return ALL_ALIKE
    try:
        return structure_of(get_model_info(f"models:/{name}/{max(numbers)}").metadata)
    except (MlflowException, OSError, ValueError):  # its files are gone
        return ALL_ALIKE


def _version(client: MlflowClient, version: ModelVersion) -> Version:
    return Version(
        name=version.name,
        number=int(version.version),
        run_id=version.run_id or "",
        stage=stage_of(version),
        metrics=_metrics(client, version.run_id),
        tags=dict(version.tags),
    )


def _metrics(client: MlflowClient, run_id: str | None) -> dict[str, float]:
    try:
        return dict(client.get_run(run_id).data.metrics) if run_id else {}
    except MlflowException as error:  # purged, or in another tracking store
        if error.error_code in (*GONE, "INVALID_PARAMETER_VALUE"):
            return {}
        raise


def registered(name: str) -> RegisteredModel | None:
    """A model with its aliases and tags, None if there is none of this name.

    Raises:
        BadInput: the registry has no aliases.
    """
    if WITHOUT_ALIASES.match(uri := mlflow.get_registry_uri()):
        raise BadInput(
            f"the registry {uri} has no aliases, so nothing can be promoted there; use an MLflow "
            "server (MLFLOW_TRACKING_URI) or Databricks' Unity Catalog "
            "(MLFLOW_REGISTRY_URI=databricks-uc)"
        )
    try:
        return MlflowClient().get_registered_model(name)
    except MlflowException as error:
        if error.error_code in GONE:
            return None
        raise


def versions_of(name: str) -> Iterator[ModelVersion]:
    """All versions that exist, with their tags."""
    client = MlflowClient()
    quote = '"' if "'" in name else "'"
    token = None
    while True:
        page = client.search_model_versions(f"name={quote}{name}{quote}", page_token=token)
        for version in page:
            try:
                yield (
                    version
                    if stage_of(version)
                    else client.get_model_version(name, version.version)
                )
            except MlflowException as error:  # deleted since
                if error.error_code not in GONE:
                    raise
        if not (token := page.token):
            return


def stage_of(version: ModelVersion) -> str:
    """Stage of a version, `None` for one in no stage; "" where the registry has none."""
    with stages_are_deprecated():
        return version.current_stage or ""


@contextmanager
def stages_are_deprecated() -> Iterator[None]:
    """MLflow warns at every use of a stage; they mirror the alias for as long as they exist."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        yield
