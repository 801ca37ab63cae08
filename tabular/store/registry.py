"""The model registry: versions, stages, aliases and tags. No other module touches them.

The alias `champion` says which version is in production; the stage `Production` mirrors it, because
`models:/<name>/Production` is what users serve and MLflow may one day drop stages.
"""

import dataclasses
import json
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import mlflow
from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.store.artifact.utils.models import get_model_name_and_version

from tabular.errors import BadInput, choices
from tabular.store.history import Move, now, rollback_target, unwritten

CHAMPION = "champion"
PREVIOUS = "previous"
PRODUCTION = "Production"
ARCHIVED = "Archived"
# Registries without stages or aliases, by how their URI begins.
LACKING = ("databricks", "uc:")
TRIES = 5  # of a write that another one of the same moment refuses


@dataclass(frozen=True)
class Version:
    """A registered version.

    Args:
        name: of the model.
        number: of the version.
        run_id: of the run that made it.
        stage: of MLflow.
        metrics: of its run, all of them, by full name (`holdout_f1_macro`).
        tags: of the version.
    """

    name: str
    number: int
    run_id: str
    stage: str
    metrics: dict[str, float]
    tags: dict[str, str]


def register(
    name: str, *, model_id: str, run_id: str, tags: dict[str, str], description: str
) -> Version:
    """Registers a logged model as the next version, whole in one call.

    Args:
        name: of the model, made if there is none.
        model_id: of the logged model, `m-…`.
        run_id: of the run that made it.
        tags: of the version.
        description: a sentence.
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
    return _version(client, version)


def find(name: str, tags: Mapping[str, str]) -> Version | None:
    """The first version of a model with all of these tags; None if there is none.

    Args:
        name: of the model.
        tags: names and values that the version must have.
    """
    client = MlflowClient()
    for version in _versions(client, name):
        if tags.items() <= version.tags.items():
            return _version(client, version)
    return None


def resolve(uri: str) -> str:
    """A model URI with a stage, an alias or `latest` as the one of the version it names now.

    Any other URI is returned as it is.

    Raises:
        BadInput: there is no such version.
    """
    if not uri.startswith("models:/"):
        return uri
    try:
        with _stages_are_deprecated():
            found = get_model_name_and_version(MlflowClient(), uri)
    except MlflowException as error:
        raise BadInput(f"model {uri!r} not found: {error.message}") from None
    return f"models:/{'/'.join(map(str, found))}"


def tags_of(uri: str) -> dict[str, str]:
    """Tags of the registered version that a URI names by its number; none for any other URI.

    Args:
        uri: from `resolve`.

    Raises:
        BadInput: there is no such version.
    """
    name, _, number = uri.removeprefix("models:/").rpartition("/")
    if not uri.startswith("models:/") or not name:
        return {}
    try:
        return dict(MlflowClient().get_model_version(name, number).tags)
    except MlflowException as error:
        raise BadInput(f"model {uri!r} not found: {error.message}") from None


def candidates(name: str) -> list[Version]:
    """All versions of a model, oldest first.

    Raises:
        BadInput: there is no such model, or it has no versions, or the registry is of a kind that
            cannot promote.
    """
    if (uri := mlflow.get_registry_uri()).startswith(LACKING):
        raise BadInput(
            f"the registry {uri} cannot promote: Unity Catalog has no stages, and Databricks' "
            "workspace registry has no aliases; set MLFLOW_TRACKING_URI to an MLflow server"
        )
    client = MlflowClient()
    versions = [_version(client, version) for version in _versions(client, name)]
    if not versions:
        names = [model.name for model in client.search_registered_models()]
        hint = choices(name, names) if names else "none is registered yet"
        raise BadInput(f"model {name!r} has no registered version; {hint}; run `sweep` or `train`")
    return sorted(versions, key=lambda version: version.number)


def _version(client: MlflowClient, version: ModelVersion) -> Version:
    run = client.get_run(version.run_id) if version.run_id else None
    return Version(
        name=version.name,
        number=int(version.version),
        run_id=version.run_id or "",
        stage=_stage(version),
        metrics=dict(run.data.metrics) if run else {},
        tags=dict(version.tags),
    )


def champion(name: str) -> int | None:
    """The version in production, None if there is none yet."""
    try:
        aliases = MlflowClient().get_registered_model(name).aliases
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return None
        raise
    return int(aliases[CHAMPION]) if CHAMPION in aliases else None


def promote(name: str, version: int, *, reason: str, by: str) -> Move | None:
    """Puts a version into production; the one before is archived and keeps the alias `previous`.

    The alias `champion` decides: before it moves nothing has happened, and after it any later call
    completes what an interruption left. Where nothing is left to do, nothing is written.

    Args:
        name: of the model.
        version: to put into production.
        reason: one sentence.
        by: who.

    Returns:
        The move, None if the version was in production already.
    """
    before = champion(name)
    repair(name)
    if before == version:
        return None
    move = Move("promote", before, version, now(history(name)), by, reason)
    origin = "" if before is None else str(before)
    tags = {"promoted_at": move.at, "promoted_from": origin, "promotion_reason": reason}
    _tag(name, version, tags)
    client = MlflowClient()
    sentence = (client.get_model_version(name, str(version)).description or "").split(_SINCE)[0]
    said = f"{sentence}{_SINCE}{move.at[:10]}: {reason}."
    client.update_model_version(name, str(version), said)
    _move(name, move)
    return move


def rollback(name: str, *, reason: str, by: str) -> Move:
    """Puts the version before back into production; called twice, the one before that.

    Args:
        name: of the model.
        reason: one sentence.
        by: who.

    Raises:
        BadInput: there is no version before.
    """
    repair(name)
    before = champion(name)
    moves = history(name)
    target = rollback_target(moves)
    if before is None or target is None:
        raise BadInput(f"model {name!r} has no version to go back to; promote another one first")
    move = Move("rollback", before, target, now(moves), by, reason)
    _tag(name, before, {"rolled_back_at": move.at, "rollback_reason": reason})
    _move(name, move)
    return move


def history(name: str) -> list[Move]:
    """Every change of the version in production, oldest first.

    What several processes wrote of one change counts once.
    """
    tags = MlflowClient().get_registered_model(name).tags
    moves: list[Move] = []
    for key in sorted(key for key in tags if key.startswith(_MOVE)):
        source = moves[-1].target if moves else None
        move = dataclasses.replace(Move(**json.loads(tags[key])), source=source)
        if move.target != source:
            moves.append(move)
    return moves


def version_before(name: str) -> int | None:
    """The version that a rollback would put back, None if there is none."""
    return rollback_target(history(name))


def repair(name: str) -> None:
    """Completes a move that was interrupted: the history, the alias `previous`, the stages."""
    if champion(name) is not None:
        _settle(name)


_SINCE = " Promoted on "  # what a promotion adds to a version's description
_MOVE = "move."  # registered models' tags: one for each move, by its time


def _move(name: str, move: Move) -> None:
    _write(MlflowClient().set_registered_model_alias, name, CHAMPION, str(move.target))
    _record(name, _MOVE + move.at, move)
    _settle(name)


def _record(name: str, key: str, move: Move) -> None:
    text = json.dumps(dataclasses.asdict(move))
    _write(MlflowClient().set_registered_model_tag, name, key, text)


def _tag(name: str, version: int, tags: dict[str, str]) -> None:
    for tag, value in tags.items():
        _write(MlflowClient().set_model_version_tag, name, str(version), tag, value)


def _write(write: Callable[..., object], *arguments: str) -> None:
    """MLflow looks, then inserts; of two at once one is refused and updates at its next try."""
    for _ in range(TRIES - 1):
        try:
            write(*arguments)
        except MlflowException as error:
            if error.error_code not in ("BAD_REQUEST", "TEMPORARILY_UNAVAILABLE"):
                raise
        else:
            return
    write(*arguments)


def _settle(name: str) -> None:
    """Makes the history, the alias `previous` and the stages follow the alias `champion`.

    Whoever writes looks again, so that of several at once the last alias wins everywhere. The
    history is read before the alias, and written after it: one that lags was not written yet.
    """
    client = MlflowClient()
    changed = True
    while changed:
        changed = False
        moves = history(name)
        aliases = client.get_registered_model(name).aliases
        if CHAMPION not in aliases:
            return
        current, wanted = int(aliases[CHAMPION]), rollback_target(moves)
        versions = list(_versions(client, name))
        if not moves or moves[-1].target != current:
            changed = True
            move = unwritten(moves, current, {int(v.version): v.tags for v in versions})
            _record(name, f"{_MOVE}{move.at}.repair", move)  # beside what a slow process may write
            continue
        if wanted is None and PREVIOUS in aliases:
            changed = True
            _write(client.delete_registered_model_alias, name, PREVIOUS)
        elif wanted is not None and str(aliases.get(PREVIOUS)) != str(wanted):
            changed = True
            _write(client.set_registered_model_alias, name, PREVIOUS, str(wanted))
        for version in versions:
            stage = PRODUCTION if int(version.version) == current else ARCHIVED
            if _stage(version) != stage and PRODUCTION in (_stage(version), stage):
                changed = True
                with _stages_are_deprecated():
                    _write(client.transition_model_version_stage, name, version.version, stage)


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
