"""The model registry: versions, stages, aliases and tags. No other module touches them.

The alias `champion` says which version is in production; the stage `Production` mirrors it, because
`models:/<name>/Production` is what users serve and MLflow may one day drop stages.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from tabular.errors import BadInput, choices

CHAMPION = "champion"
PREVIOUS = "previous"
PRODUCTION = "Production"
ARCHIVED = "Archived"


@dataclass(frozen=True)
class Candidate:
    """A registered version and what it scored.

    Args:
        version: its number.
        run_id: of the run that made it.
        stage: of MLflow.
        classifier: from its tag.
        metrics: of its run, all of them, by full name (`holdout_f1_macro`).
        holdout_digest: which rows it was scored on.
    """

    version: int
    run_id: str
    stage: str
    classifier: str
    metrics: dict[str, float]
    holdout_digest: str


def register(
    name: str, *, model_id: str, run_id: str, tags: dict[str, str], description: str
) -> int:
    """Registers a logged model as the next version, whole in one call.

    Returns:
        The version's number.
    """
    client = MlflowClient()
    try:
        client.create_registered_model(name)
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
    return int(version.version)


def candidates(name: str) -> list[Candidate]:
    """All versions of a model, oldest first.

    Raises:
        BadInput: there is no such model, or it has no versions.
    """
    client = MlflowClient()
    found = []
    for version in _versions(client, name):
        run = client.get_run(version.run_id) if version.run_id else None
        found.append(
            Candidate(
                version=int(version.version),
                run_id=version.run_id or "",
                stage=_stage(version),
                classifier=version.tags.get("classifier", ""),
                metrics=dict(run.data.metrics) if run else {},
                holdout_digest=version.tags.get("holdout_digest", ""),
            )
        )
    if not found:
        names = [model.name for model in client.search_registered_models()]
        hint = choices(name, names) if names else "none is registered yet"
        raise BadInput(f"model {name!r} has no registered version; {hint}; run `sweep` or `train`")
    return sorted(found, key=lambda candidate: candidate.version)


def champion(name: str) -> int | None:
    """The version in production, None if there is none yet."""
    try:
        aliases = MlflowClient().get_registered_model(name).aliases
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return None
        raise
    return int(aliases[CHAMPION]) if CHAMPION in aliases else None


def promote(name: str, version: int, *, reason: str) -> int | None:
    """Puts a version into production; the one before is archived and keeps the alias `previous`.

    The alias decides: before it moves nothing has happened, and after it a second call completes
    what an interruption left. Where nothing is left to do, nothing is written.

    Args:
        name: of the model.
        version: to put into production.
        reason: one sentence for the version's tags.

    Returns:
        The version that was in production before, None if there was none.
    """
    client = MlflowClient()
    before = champion(name)
    if before != version:
        tags = {
            "promoted_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "promoted_from": "" if before is None else str(before),
            "promotion_reason": reason,
        }
        for tag, value in tags.items():
            client.set_model_version_tag(name, str(version), tag, value)
        if before is not None:
            client.set_registered_model_alias(name, PREVIOUS, str(before))
        client.set_registered_model_alias(name, CHAMPION, str(version))
    _mirror_stages(client, name, version)
    return before


def _mirror_stages(client: MlflowClient, name: str, version: int) -> None:
    for other in _versions(client, name):
        wanted = PRODUCTION if int(other.version) == version else ARCHIVED
        stage = _stage(other)
        if stage != wanted and PRODUCTION in (stage, wanted):
            with _stages_are_deprecated():
                client.transition_model_version_stage(name, other.version, wanted)


def _versions(client: MlflowClient, name: str) -> Iterator[ModelVersion]:
    token = None
    while True:
        quote = '"' if "'" in name else "'"
        page = client.search_model_versions(f"name={quote}{name}{quote}", page_token=token)
        yield from page
        token = page.token
        if not token:
            return


def _stage(version: ModelVersion) -> str:
    with _stages_are_deprecated():
        return str(version.current_stage)


@contextmanager
def _stages_are_deprecated() -> Iterator[None]:
    """MLflow warns at every use of a stage; they mirror the alias for as long as they exist."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        yield
