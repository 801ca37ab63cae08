"""Whether a challenger takes the champion's place. Pure: predictions in, a decision out."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from sklearn.metrics import recall_score

from custom_model.served.columns import Label
from tabular.errors import BadInput
from tabular.stats.by_group import FEWEST_ROWS, Gap, gaps
from tabular.stats.metrics import OF_LABELS, compute_metrics, predicted, sign
from tabular.stats.paired import Gain, Paired, gain, mcnemar

Mode = Literal["superior", "best"]


@dataclass(frozen=True)
class Rule:
    """What a challenger has to show.

    Args:
        metric: a key of `METRICS`.
        mode: `superior`: better with confidence, or after a refresh of the data no worse with a log
            loss that is lower with confidence (each at half the level then, as there are two ways
            to pass); `best`: the higher value wins.
        floor: worst value of the metric that is let into production; None for any.
        min_gain: gain that the lower end of the interval must exceed.
        confidence: of the one-sided interval and tests.
        resamples: of the bootstrap.
        seed: of the bootstrap.
        max_mcnemar: largest p-value of McNemar's test on the labels; 1 for any.
        max_class_loss: largest fall of a class's recall, where the class has `CLASS_ROWS` rows.
        max_loss_rise: largest rise of the log loss.
        max_latency_ratio: largest ratio of the times for one row.
        by: headings of the columns by which the rows are grouped.
        max_gap: largest difference between the groups, by its name in `DIFFERENCES`.
    """

    metric: str = "f1_macro"
    mode: Mode = "superior"
    floor: float | None = None
    min_gain: float = 0.0
    confidence: float = 0.95
    resamples: int = 2000
    seed: int = 42
    max_mcnemar: float = 1.0
    max_class_loss: float = 0.1
    max_loss_rise: float = 0.05
    max_latency_ratio: float = 20.0
    by: tuple[str, ...] = ()
    max_gap: dict[str, float] = field(default_factory=dict)


CLASS_ROWS = 10  # a recall on fewer rows moves by more than a tenth with one row


@dataclass(frozen=True)
class Check:
    """One rule, applied.

    Args:
        name: of the rule.
        passed: whether the challenger satisfies it.
        reason: one clause with the numbers.
    """

    name: str
    passed: bool
    reason: str


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


def evaluate_version(y_true: np.ndarray, predictions: Predictions) -> dict[str, float]:
    """The metrics that are defined, those of labels alone where there are no probabilities.

    Args:
        y_true: (n_rows,) true classes.
        predictions: of the version.
    """
    scores = compute_metrics(y_true, predictions.proba, predictions.y_pred)
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

    Raises:
        BadInput: the metric needs probabilities, and the champion has none.
    """
    scores = evaluate_version(y_true, challenger)
    value = scores.get(rule.metric, float("nan"))
    checks = [_floor(value, rule)]
    evidence: dict[str, Any] = {
        "rule": dataclasses.asdict(rule),
        "rows": len(y_true),
        "challengers": challengers,
        "challenger": scores,
    }
    if by_rows is not None:
        between = gaps(
            y_true, challenger.labels, by_rows, labels,
            confidence=rule.confidence, resamples=rule.resamples, seed=rule.seed,
        )  # fmt: skip
        checks += _gaps(between, rule)
        evidence["gaps"] = {name: dataclasses.asdict(gap) for name, gap in between.items()}
    if champion is None:
        return _decision(checks, f"{rule.metric} {value:.4f}; none was before", evidence)
    if champion.labels_only and rule.metric not in OF_LABELS:
        raise BadInput(
            f"{rule.metric} needs probabilities, and the version in production predicts labels "
            f"only; possible: {', '.join(OF_LABELS)}"
        )
    before = evaluate_version(y_true, champion)
    paired = Paired(y_true, champion.proba, challenger.proba, champion.y_pred, challenger.y_pred)
    level = level_of(rule, challengers=challengers, refreshed=refreshed)
    tested = level if rule.mode == "superior" else None
    draws: dict[str, Any] = {"resamples": rule.resamples, "seed": rule.seed}
    gained = gain(paired, rule.metric, **draws, level=tested)
    losses = None
    if not champion.labels_only:
        losses = gain(paired, "log_loss", **draws, level=tested if refreshed else None)
    mcnemar_p = mcnemar(paired)
    checks += [
        _better(gained, losses, rule, refreshed, level),
        _mcnemar(mcnemar_p, rule),
        _classes(paired, labels, rule),
        _loss(losses, rule),
        _latency(challenger.latency / champion.latency, rule),
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
        f"on {len(y_true)} rows"
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


def _floor(value: float, rule: Rule) -> Check:
    if np.isnan(value):
        return Check("floor", False, f"{rule.metric} is undefined on these rows")
    if rule.floor is None:
        return Check("floor", True, "no floor is set")
    below = sign(rule.metric) * (value - rule.floor) < 0
    side = "worse than" if below else "within"
    return Check("floor", not below, f"{rule.metric} {value:.4f} is {side} the floor {rule.floor}")


def _better(gained: Gain, losses: Gain | None, rule: Rule, refreshed: bool, level: float) -> Check:
    value = gained.value
    if rule.mode == "best":
        tied = value == rule.min_gain and losses is not None and losses.value > 0
        wins = value > rule.min_gain or tied
        word = "higher" if wins else "not higher"
        return Check("better", wins, f"the gain {value:+.4f} is {word} than {rule.min_gain}")
    lower, p_value = gained.bound(1 - level), gained.p_value
    wins = lower > rule.min_gain and p_value <= level
    reason = f"the gain {value:+.4f} is at least {lower:+.4f} with {1 - level:.1%} confidence"
    if not wins and refreshed and losses:
        no_worse = value >= 0 or gained.bound(level) >= 0
        wins = no_worse and losses.bound(1 - level) > 0 and losses.p_value <= level
        if wins:
            reason = f"no worse on newer data, and the log loss is {losses.value:.4f} lower"
            p_value = losses.p_value
    return Check("better", wins, f"{reason} (p {p_value:.4f}, level {level:.4f})")


def _gaps(between: dict[str, Gap], rule: Rule) -> list[Check]:
    """A check for each difference that is limited; one that is undefined fails."""
    checks = []
    for name, limit in rule.max_gap.items():
        if gap := between.get(name):
            word = "more than" if gap.value > limit else "at most"
            reason = f"{name}_difference {gap.value:.4f} is {word} {limit:g}; {gap.where}"
            checks.append(Check(name, gap.value <= limit, reason))
        else:
            reason = f"{name}_difference is undefined: no rate has {FEWEST_ROWS} rows in two groups"
            checks.append(Check(name, False, reason))
    return checks


def _mcnemar(p_value: float, rule: Rule) -> Check:
    reason = f"McNemar's p {p_value:.4f}, at most {rule.max_mcnemar} is asked"
    return Check("mcnemar", p_value <= rule.max_mcnemar, reason)


def _classes(paired: Paired, labels: Sequence[Label], rule: Rule) -> Check:
    counts = np.bincount(paired.y_true, minlength=len(labels))
    every = np.flatnonzero(counts >= CLASS_ROWS)
    if not len(every):
        return Check("classes", True, "no class has enough rows to compare")
    before, after = (
        recall_score(paired.y_true, y_pred, labels=every, average=None, zero_division=0)
        for y_pred in paired.y_pred
    )
    worst = int((before - after).argmax())
    fall = before[worst] - after[worst]
    reason = f"the recall of {labels[every[worst]]!r} falls by {max(fall, 0):.4f}"
    return Check("classes", bool(fall <= rule.max_class_loss), reason)


def _loss(losses: Gain | None, rule: Rule) -> Check:
    if losses is None:
        return Check("log loss", True, "the version in production has no probabilities")
    rise = -losses.value
    word = "rises" if rise > 0 else "falls"
    return Check("log loss", rise <= rule.max_loss_rise, f"the log loss {word} by {abs(rise):.4f}")


def _latency(ratio: float, rule: Rule) -> Check:
    reason = f"one row takes {ratio:.1f} times as long"
    return Check("latency", ratio <= rule.max_latency_ratio, reason)
