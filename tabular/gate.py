"""Which version belongs into production. Pure: candidates in, a decision with its reason out."""

from collections.abc import Sequence
from dataclasses import dataclass

from tabular.errors import BadInput
from tabular.metrics import LOWER_IS_BETTER
from tabular.registry import Candidate


@dataclass(frozen=True)
class Decision:
    """What should be in production, and why.

    Args:
        version: to be in production.
        changed: it is not there yet.
        reason: one sentence with the numbers.
    """

    version: int
    changed: bool
    reason: str


def decide(candidates: Sequence[Candidate], champion: int | None, *, metric: str) -> Decision:
    """Picks the version with the best holdout metric.

    Equals are told apart by log loss; where that is equal too, the version in production stays, and
    else the older one is taken.

    Args:
        candidates: all versions.
        champion: the version in production, None if there is none.
        metric: a key of `METRICS`.

    Raises:
        BadInput: no version has the metric.
    """
    name = f"holdout_{metric}"
    scored = [candidate for candidate in candidates if name in candidate.metrics]
    if not scored:
        known = sorted({m for c in candidates for m in c.metrics if m.startswith("holdout_")})
        raise BadInput(
            f"no version has the metric {metric!r}; "
            f"found: {', '.join(m.removeprefix('holdout_') for m in known) or 'no holdout metrics'}"
        )
    sign = 1.0 if metric in LOWER_IS_BETTER else -1.0

    def order(candidate: Candidate) -> tuple[float, float, bool, int]:
        return (
            sign * candidate.metrics[name],
            candidate.metrics.get("holdout_log_loss", float("inf")),
            candidate.version != champion,
            candidate.version,
        )

    best = min(scored, key=order)
    value = best.metrics[name]
    if best.version == champion:
        return Decision(best.version, False, f"{metric} {value:.4f} is still the best")
    if champion is None:
        return Decision(best.version, True, f"{metric} {value:.4f} is the best; none was before")
    before = next((c for c in scored if c.version == champion), None)
    if before is None:
        return Decision(best.version, True, f"{metric} {value:.4f}; version {champion} has none")
    if before.metrics[name] == value:
        losses = [c.metrics.get("holdout_log_loss", float("nan")) for c in (best, before)]
        reason = f"{metric} {value:.4f} as before, log loss {losses[0]:.4f} after {losses[1]:.4f}"
        return Decision(best.version, True, reason)
    reason = f"{metric} {value:.4f} after {before.metrics[name]:.4f}"
    if best.holdout_digest != before.holdout_digest:
        reason += ", on other held-out rows"
    return Decision(best.version, True, reason)
