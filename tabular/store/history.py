"""The history of what was in production, and the way back along it. Pure.

The registry keeps it; here it is read.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta


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


def rollback_target(moves: Sequence[Move]) -> int | None:
    """The version that a rollback would put back, None if there is none."""
    stack = _stack(moves)
    return stack[-2] if len(stack) > 1 else None


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
        tags: of each version, by its number.
    """
    source, last = (moves[-1].target, moves[-1].at) if moves else (None, "")
    to, back = tags.get(champion, {}), tags.get(source or 0, {})
    promoted, rolled_back = to.get("promoted_at", ""), back.get("rolled_back_at", "")
    if max(promoted, rolled_back) <= last:  # somebody moved the alias by hand
        action = "rollback" if champion in _stack(moves) else "promote"
        return Move(action, source, champion, now(moves), "repair", "the alias was moved by hand")
    if promoted > rolled_back:
        return Move("promote", source, champion, promoted, "repair", to.get("promotion_reason", ""))
    return Move(
        "rollback", source, champion, rolled_back, "repair", back.get("rollback_reason", "")
    )


def now(moves: Sequence[Move]) -> str:
    """The time, UTC, ISO, but later than every move, whoever's clock it was."""
    time = datetime.now(UTC)
    if moves:
        time = max(time, datetime.fromisoformat(moves[-1].at) + timedelta(microseconds=1))
    return time.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
