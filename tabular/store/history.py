"""The history of what was in production, as the registry keeps it, and the way back. Pure."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

TIME = "%Y-%m-%dT%H:%M:%S.%fZ"
LAST_YEAR = 2999  # of a time that is believed


@dataclass(frozen=True)
class Move:
    """One change of the version in production.

    Args:
        action: `promote` or `rollback`.
        source: version that was in production before, None if there was none.
        target: version that is since then.
        at: UTC, ISO.
        by: who.
        reason: one sentence.
    """

    action: str
    source: int | None
    target: int
    at: str
    by: str
    reason: str


def read_move(text: str) -> Move | None:
    """A move from its tag, None if it is not one."""
    try:
        move = Move(**json.loads(text))
    except (TypeError, ValueError):
        return None
    texts = (move.action, move.at, move.by, move.reason)
    valid = all(isinstance(text, str) for text in texts) and type(move.target) is int
    return move if valid and move.action in ("promote", "rollback") and _time(move.at) else None


def rollback_target(moves: Sequence[Move], versions: Collection[int]) -> int | None:
    """The version that a rollback would put back, None if there is none.

    Args:
        moves: the history, oldest first.
        versions: that exist; the others were deleted and are passed over.
    """
    back = (v for v in reversed(_stack(moves)) if v in versions and v != moves[-1].target)
    return next(back, None)


def _stack(moves: Sequence[Move]) -> list[int]:
    """Versions in the order in which a rollback goes back, the one in production last."""
    stack: list[int] = []
    for move in moves:
        if move.action == "rollback" and move.target in stack:
            while stack[-1] != move.target:
                stack.pop()
        elif stack[-1:] != [move.target]:
            stack.append(move.target)
    return stack


def unwritten(moves: Sequence[Move], champion: int, tags: Mapping[int, Mapping[str, str]]) -> Move:
    """The move that brought the alias here, as the versions' tags tell it, which came before it.

    Args:
        moves: the history as it was written, oldest first.
        champion: version that the alias names.
        tags: of each version that exists, by its number.
    """
    source, last = (moves[-1].target, moves[-1].at) if moves else (None, "")
    to, back = tags.get(champion, {}), tags.get(source or 0, {})
    promoted, rolled_back = _time(to.get("promoted_at", "")), _time(back.get("rolled_back_at", ""))
    if max(promoted, rolled_back) <= last:
        action = "rollback" if champion in _stack(moves) else "promote"
        return Move(action, source, champion, now(moves), "repair", "alias or stage set by hand")
    if promoted > rolled_back:
        return Move("promote", source, champion, promoted, "repair", to.get("promotion_reason", ""))
    return Move(
        "rollback", source, champion, rolled_back, "repair", back.get("rollback_reason", "")
    )


def now(moves: Sequence[Move]) -> str:
    """The time, UTC, ISO, but later than every move, whoever's clock it was."""
    time = datetime.now(UTC)
    if moves:
        last = datetime.strptime(moves[-1].at, TIME).replace(tzinfo=UTC)
        time = max(time, last + timedelta(microseconds=1))
    return time.strftime(TIME)


def _time(text: str) -> str:
    """A time as the moves have it, "" if it is none: a person may have edited the tag."""
    try:
        time = datetime.strptime(text, TIME)
    except ValueError:
        return ""
    return text if time.year <= LAST_YEAR and time.strftime(TIME) == text else ""
