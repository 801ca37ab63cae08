"""Whether a challenger takes the champion's place. Pure: predictions in, a decision out."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from custom_model.served.columns import Label
from tabular.errors import BadInput
from tabular.gate.rules import (
    Check,
    Rule,
    check_better,
    check_classes,
    check_constraint,
    check_floor,
    check_gaps,
    check_latency,
    check_loss,
    check_mcnemar,
)
from tabular.stats.by_group import gaps
from tabular.stats.compute import compute_metrics, predicted
from tabular.stats.constraint import Constraint
from tabular.stats.metrics import OF_LABELS
from tabular.stats.paired import Gain, Paired, gain, mcnemar


@dataclass(frozen=True)
class Decision:
    """Whether to promote, with all that it rests on.

    Args:
        promote: the outcome.
        reason: one sentence.
        checks: every rule.
        evidence: numbers, for `promotion.json`.
        resampled: (n_resamples,) gains under the bootstrap, empty without a champion.
    """

    promote: bool
    reason: str
    checks: tuple[Check, ...]
    evidence: dict[str, Any]
    resampled: np.ndarray = field(default_factory=lambda: np.empty(0))


@dataclass(frozen=True)
class Predictions:
    """What one version predicts for the common rows.

    Args:
        proba: (n_rows, n_classes) probabilities; of a version that predicts labels only, 1 for the
            predicted class.
        latency: seconds for one row.
        y_pred: (n_rows,) predicted classes; None for the most probable ones.
        labels_only: the version gives no probabilities.
    """

    proba: np.ndarray
    latency: float
    y_pred: np.ndarray | None = None
    labels_only: bool = False

    @property
    def labels(self) -> np.ndarray:
        """(n_rows,) predicted classes."""
        return predicted(self.proba) if self.y_pred is None else self.y_pred


def evaluate_version(
    y_true: np.ndarray,
    predictions: Predictions,
    costs: np.ndarray | None = None,
    sample_weight: np.ndarray | None = None,
) -> dict[str, float]:
    """The metrics that are defined, those of labels alone where there are no probabilities.

    Args:
        y_true: (n_rows,) true classes.
        predictions: of the version.
        costs: (n_classes, n_classes) of predicting column for row; None without.
        sample_weight: (n_rows,) how often each row counts; None for once.
    """
    scores = compute_metrics(
        y_true, predictions.proba, predictions.labels, costs=costs, sample_weight=sample_weight
    )
    return {k: v for k, v in scores.items() if k in OF_LABELS or not predictions.labels_only}


def decide(
    y_true: np.ndarray,
    challenger: Predictions,
    champion: Predictions | None,
    rule: Rule,
    *,
    labels: Sequence[Label],
    refreshed: bool = False,
    challengers: int = 1,
    by_rows: np.ndarray | None = None,
    costs: np.ndarray | None = None,
    at_least: Constraint | None = None,
    groups: np.ndarray | None = None,
    sample_weight: np.ndarray | None = None,
) -> Decision:
    """Applies the rule.

    Args:
        y_true: (n_rows,) true classes of rows that neither was trained on.
        challenger: its predictions.
        champion: those of the version in production, None if there is none.
        rule: what is asked.
        labels: the classes.
        refreshed: the challenger was trained on a newer table than the champion.
        challengers: from how many the challenger was picked; the more, the smaller the level.
        by_rows: (n_rows,) name of each row's group by `rule.by`; None without.
        costs: (n_classes, n_classes) of predicting column for row; None without.
        at_least: the rate that the challenger was made to hold; None without.
        groups: (n_rows,) of rows that belong together; None for each by itself.
        sample_weight: (n_rows,) how often each row counts; None for once.

    Raises:
        BadInput: the metric needs probabilities, and the champion has none.
    """
    scores = evaluate_version(y_true, challenger, costs, sample_weight)
    value = scores.get(rule.metric, float("nan"))
    checks = [check_floor(value, rule)]
    evidence: dict[str, Any] = {
        "rule": dataclasses.asdict(rule),
        "rows": len(y_true),
        **({} if groups is None else {"groups": len(np.unique(groups))}),
        "challengers": challengers,
        "challenger": scores,
    }
    if at_least:
        rate = at_least.estimate(y_true, challenger.labels, rule.confidence)
        checks.append(check_constraint(at_least, rate))
        evidence["at_least"] = {"rate": str(at_least), **rate.named("value")}
    if by_rows is not None:
        between = gaps(
            y_true, challenger.labels, by_rows, labels,
            confidence=rule.confidence, resamples=rule.resamples, seed=rule.seed,
        )  # fmt: skip
        checks += check_gaps(between, rule)
        evidence["gaps"] = {name: dataclasses.asdict(gap) for name, gap in between.items()}
    if champion is None:
        return _decision(checks, f"{rule.metric} {value:.4f}; none was before", evidence)
    if champion.labels_only and rule.metric not in OF_LABELS:
        raise BadInput(
            f"{rule.metric} needs probabilities, and the version in production predicts labels "
            f"only; possible: {', '.join(OF_LABELS)}"
        )
    before = evaluate_version(y_true, champion, costs, sample_weight)
    predictions = champion.proba, challenger.proba, champion.labels, challenger.labels
    paired = Paired(y_true, *predictions, costs, groups, sample_weight)
    level = level_of(rule, challengers=challengers, refreshed=refreshed)
    tested = level if rule.mode == "superior" else None
    draws: dict[str, Any] = {"resamples": rule.resamples, "seed": rule.seed}
    gained = gain(paired, rule.metric, **draws, level=tested)
    losses = None
    if not champion.labels_only:
        losses = gain(paired, "log_loss", **draws, level=tested if refreshed else None)
    mcnemar_p = mcnemar(paired)
    checks += [
        check_better(gained, losses, rule, refreshed, level),
        check_mcnemar(mcnemar_p, rule),
        check_classes(paired, labels, rule),
        check_loss(losses, rule),
        check_latency(challenger.latency / champion.latency, rule),
    ]
    evidence |= {
        "champion": before,
        "level": level,
        "gain": _numbers(gained, level),
        "log_loss_gain": _numbers(losses, level) if losses else None,
        "mcnemar_p": mcnemar_p,
        "latency_ms": {"champion": champion.latency * 1e3, "challenger": challenger.latency * 1e3},
    }
    compared = (
        f"{rule.metric} {value:.4f} against {before.get(rule.metric, float('nan')):.4f} "
        f"on {len(y_true)} rows" + ("" if groups is None else f" of {evidence['groups']} groups")
    )
    return _decision(checks, compared, evidence, gained.resampled)


def level_of(rule: Rule, *, challengers: int, refreshed: bool) -> float:
    """Level of each test.

    Args:
        rule: with the confidence.
        challengers: from how many the challenger was picked.
        refreshed: there are two ways to pass, and the level is halved.
    """
    ways = 2 if refreshed and rule.mode == "superior" else 1
    return (1 - rule.confidence) / challengers / ways


def _decision(
    checks: list[Check],
    compared: str,
    evidence: dict[str, Any],
    resampled: np.ndarray | None = None,
) -> Decision:
    failed = [check for check in checks if not check.passed]
    because = "; ".join(c.reason for c in failed or [c for c in checks if c.name == "better"])
    reason = f"{compared}: {because}" if because else compared
    evidence["checks"] = [{"name": c.name, "passed": c.passed, "said": c.reason} for c in checks]
    return Decision(
        not failed, reason, tuple(checks), evidence, np.empty(0) if resampled is None else resampled
    )


def _numbers(gained: Gain, level: float) -> dict[str, float]:
    return {
        "value": gained.value,
        "lower": gained.bound(1 - level),
        "upper": gained.bound(level),
        "p_value": gained.p_value,
    }
