"""What is in production: moved, recorded, taken back, and repaired after an interruption.

The alias `champion` says which version it is. Where the registry has stages, `Production` mirrors
it, because `models:/<name>/Production` is what users serve.
"""

import dataclasses
import json
import logging
import re
from collections.abc import Sequence

from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion, RegisteredModel
from mlflow.exceptions import MlflowException

from tabular.errors import BadInput, first_line
from tabular.store.descriptions import with_moves, with_promotion
from tabular.store.history import Move, now, read_move, rollback_target, unwritten
from tabular.store.registry import GONE, registered, stage_of, stages_are_deprecated, versions_of
from tabular.store.runs import with_retry

CHAMPION = "champion"
PREVIOUS = "previous"
PRODUCTION = "Production"
ARCHIVED = "Archived"
ROUNDS = 100  # of writing and looking again
LONGEST_REASON = 600  # of the 1,000 characters that Unity Catalog takes in a tag
MOST_MOVES = 40  # of the 50 tags that it takes

logger = logging.getLogger(__name__)


def champion(name: str) -> int | None:
    """The version in production, None if there is none.

    It is the one of the alias; where a person or another tool set only the stage, the newest in it.
    """
    model = registered(name)
    return None if model is None else _champion(model, list(versions_of(name)))


def _champion(model: RegisteredModel, versions: Sequence[ModelVersion]) -> int | None:
    named = str(model.aliases.get(CHAMPION))
    live = [v for v in versions if str(v.version) == named] or [
        v for v in versions if stage_of(v) == PRODUCTION
    ]
    return max((int(version.version) for version in live), default=None)


def put_forward(name: str, version: int, *, reason: str, by: str) -> Move | None:
    """Puts a version into production; the one before is archived and keeps the alias `previous`.

    The alias `champion` decides: before it moves nothing has happened, and after it any later call
    completes what an interruption left. Where nothing is left to do, nothing is written.

    Returns:
        The move, None if the version was in production already.
    """
    before = champion(name)
    repair(name)
    if before == version:
        return None
    move = Move("promote", before, version, now(history(name)), by, reason[:LONGEST_REASON])
    origin = "" if before is None else str(before)
    tags = {"promoted_at": move.at, "promoted_from": origin, "promotion_reason": move.reason}
    _tag(name, version, tags)
    client = MlflowClient()
    description = client.get_model_version(name, str(version)).description or ""
    client.update_model_version(name, str(version), with_promotion(description, move))
    _move(name, move)
    return move


def put_back(name: str, *, reason: str, by: str) -> Move:
    """Puts the version before back into production; called twice, the one before that.

    Versions that were deleted are passed over. Where nothing is in production, as the version there
    was deleted or taken out by hand, the one before it is put back.

    Raises:
        BadInput: there is no version before.
    """
    repair(name)
    moves = history(name)
    target = version_before(name)
    if target is None:
        raise BadInput(f"model {name!r} has no version to go back to; promote another one first")
    before = moves[-1].target
    move = Move("rollback", before, target, now(moves), by, reason[:LONGEST_REASON])
    if before in {int(version.version) for version in versions_of(name)}:
        _tag(name, before, {"rolled_back_at": move.at, "rollback_reason": move.reason})
    _move(name, move)
    return move


def restore(name: str, *, by: str) -> Move | None:
    """Repairs, and puts the version before back where nothing is in production.

    Returns:
        The move; None where a version is in production, or none was that still exists.
    """
    repair(name)
    if champion(name) is not None or version_before(name) is None:
        return None
    gone = history(name)[-1].target
    reason = f"version {gone} was deleted or taken out of production by hand"
    return put_back(name, reason=reason, by=by)


def history(name: str) -> list[Move]:
    """Every change of the version in production, oldest first.

    What several processes wrote of one change counts once; what cannot be read is passed over.
    """
    read = [move for move in map(read_move, _move_tags(name).values()) if move]
    moves: list[Move] = []
    for move in sorted(read, key=lambda move: move.at):
        source = moves[-1].target if moves else None
        if move.target != source:
            moves.append(dataclasses.replace(move, source=source))
    return moves


def unreadable(name: str) -> list[str]:
    """The tags of moves that cannot be read."""
    return [key for key, text in _move_tags(name).items() if read_move(text) is None]


def version_before(name: str) -> int | None:
    """The version that a rollback would put back, None if there is none."""
    return rollback_target(history(name), {int(version.version) for version in versions_of(name)})


def repair(name: str) -> None:
    """Completes a move that was interrupted: the history, the aliases, the stages."""
    if champion(name) is not None:
        _settle(name)


_MOVE = re.compile(r"move[._]")  # registered models' tags: one for each move, by its time


def _move_tags(name: str) -> dict[str, str]:
    model = registered(name)
    tags = model.tags if model else {}
    return {key: tags[key] for key in sorted(tags) if _MOVE.match(key)}


def _move(name: str, move: Move) -> None:
    client = MlflowClient()
    with_retry(client.set_registered_model_alias, name, CHAMPION, str(move.target))
    _record(name, move, client.get_model_version(name, str(move.target)))
    _settle(name)


def _record(name: str, move: Move, version: ModelVersion, suffix: str = "") -> None:
    client = MlflowClient()
    key = f"move.{move.at}{suffix}"
    text = json.dumps(dataclasses.asdict(move), ensure_ascii=False)
    if not stage_of(version):  # as in Unity Catalog, see the limits above
        key = re.sub("[-.:]", "_", key)
        for old in list(_move_tags(name))[: 1 - MOST_MOVES]:
            client.delete_registered_model_tag(name, old)
    with_retry(client.set_registered_model_tag, name, key, text)


def _tag(name: str, version: int, tags: dict[str, str]) -> None:
    for tag, value in tags.items():
        with_retry(MlflowClient().set_model_version_tag, name, str(version), tag, value)


class _StageRefused(Exception):
    """The registry takes no stage."""


def _settle(name: str) -> None:
    """Makes history, alias `previous`, stages and description follow the version in production.

    Whoever writes looks again, so that of several at once the last alias wins everywhere. The
    history is read before the alias, and written after it: one that lags was not written yet.
    """
    stages = True
    for _ in range(ROUNDS):
        try:
            if not _settle_once(name, stages):
                return
        except _StageRefused as refused:
            logger.warning("only the alias %r was moved, %s", CHAMPION, refused)
            stages = False
        except MlflowException as error:  # a version that was deleted meanwhile
            if error.error_code not in GONE or registered(name) is None:
                raise
    raise BadInput(f"others keep moving the labels of model {name!r}; run the command again")


def _settle_once(name: str, stages: bool) -> bool:
    """Whether something was written. What is new is set before what is old is cleared."""
    client = MlflowClient()
    moves = history(name)
    model = client.get_registered_model(name)
    versions = {int(version.version): version for version in versions_of(name)}
    current = _champion(model, list(versions.values()))
    if current is None:
        return False
    changed = False
    if str(model.aliases.get(CHAMPION)) != str(current):
        changed = True
        with_retry(client.set_registered_model_alias, name, CHAMPION, str(current))
    stages = stages and bool(stage_of(versions[current]))
    if stages and stage_of(versions[current]) != PRODUCTION:
        changed = True
        _set_stage(name, current, PRODUCTION)
    if not moves or moves[-1].target != current:
        move = unwritten(moves, current, {number: v.tags for number, v in versions.items()})
        _record(name, move, versions[current], ".repair")  # beside what a slow process may write
        return True
    before = rollback_target(moves, versions)
    if before is None and PREVIOUS in model.aliases:
        changed = True
        with_retry(client.delete_registered_model_alias, name, PREVIOUS)
    elif before is not None and str(model.aliases.get(PREVIOUS)) != str(before):
        changed = True
        with_retry(client.set_registered_model_alias, name, PREVIOUS, str(before))
    for number, version in versions.items():
        if stages and number != current and stage_of(version) == PRODUCTION:
            changed = True
            _set_stage(name, number, ARCHIVED)
    description = with_moves(model.description or "", moves)
    if description != (model.description or ""):
        changed = True
        with_retry(client.update_registered_model, name, description)
    return changed


def _set_stage(name: str, version: int, stage: str) -> None:
    client = MlflowClient()
    try:
        with stages_are_deprecated():
            with_retry(client.transition_model_version_stage, name, str(version), stage)
    except MlflowException as error:
        if error.error_code in GONE:
            raise
        raise _StageRefused(f"as the registry refuses stages: {first_line(error)}") from None
