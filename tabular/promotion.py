"""The tracked promotion: compare the versions, decide, move."""

import mlflow

from tabular import gate, registry
from tabular.gate import Decision
from tabular.preparation import Say
from tabular.tracking import start_run


def promote(*, model_name: str, metric: str, dry_run: bool, say: Say) -> Decision:
    """Puts the best version into production.

    Args:
        model_name: in the registry.
        metric: a key of `METRICS`, compared on the holdout.
        dry_run: compare and decide, move nothing.
        say: takes each line of the comparison.

    Raises:
        BadInput: there is no such model, or none of its versions has the metric.
    """
    candidates = registry.candidates(model_name)
    champion = registry.champion(model_name)
    decision = gate.decide(candidates, champion, metric=metric)
    say(f"{'version':>9}  {metric:>9}  {'log_loss':>9}  {'stage':<11} classifier")
    for candidate in candidates:
        values = [candidate.metrics.get(f"holdout_{m}", float("nan")) for m in (metric, "log_loss")]
        mark = "*" if candidate.version == decision.version else " "
        say(
            f"{mark}{candidate.version:>8}  {values[0]:>9.4f}  {values[1]:>9.4f}  "
            f"{candidate.stage:<11} {candidate.classifier}"
        )
    if dry_run:
        return decision
    with start_run(f"promote {model_name}", {"model_name": model_name, "metric": metric}):
        registry.promote(model_name, decision.version, reason=decision.reason)
        mlflow.set_tags(
            {"promoted_version": str(decision.version), "promotion_reason": decision.reason}
        )
    return decision
