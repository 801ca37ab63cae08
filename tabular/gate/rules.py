"""The rules of the gate: what is asked of a challenger, each check with its reason. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from sklearn.metrics import recall_score

from custom_model.served.columns import Label
from tabular.stats.by_group import FEWEST_ROWS, Gap
from tabular.stats.constraint import Constraint
from tabular.stats.intervals import Estimate
from tabular.stats.metrics import sign
from tabular.stats.paired import Gain, Paired

Mode = Literal["superior", "best"]


@dataclass(frozen=True)
class Rule:
    """What a challenger has to show.

    Args:
        metric: a key of `METRICS`; "" for the cost where a version carries costs, else f1_macro.
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
    """One rule, applied."""

    name: str
    passed: bool
    reason: str


def check_floor(value: float, rule: Rule) -> Check:
    """The metric is no worse than the floor."""
    if np.isnan(value):
        return Check("floor", False, f"{rule.metric} is undefined on these rows")
    if rule.floor is None:
        return Check("floor", True, "no floor is set")
    below = sign(rule.metric) * (value - rule.floor) < 0
    side = "worse than" if below else "within"
    return Check("floor", not below, f"{rule.metric} {value:.4f} is {side} the floor {rule.floor}")


def check_better(
    gained: Gain, losses: Gain | None, rule: Rule, refreshed: bool, level: float
) -> Check:
    """The challenger is better: see `Rule.mode`.

    Args:
        gained: by the metric.
        losses: gain by the log loss; None where the champion has no probabilities.
        rule: of the gate.
        refreshed: the challenger was trained on a newer table.
        level: of each test.
    """
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


def check_constraint(at_least: Constraint, rate: Estimate) -> Check:
    """The rows do not contradict the rate that the challenger was made to hold.

    Few rows cannot prove it once more; they can refute it.

    Args:
        at_least: what is to be held.
        rate: on the rows, with its one-sided bounds.
    """
    if np.isnan(rate.value):
        return Check("at_least", True, f"no row to check {at_least} on")
    broken = rate.high < at_least.value
    word = "surely below" if broken else "not surely below"
    between = rate.between(".4f")
    return Check("at_least", not broken, f"{rate.value:.4f} ({between}) is {word} {at_least}")


def check_gaps(between: dict[str, Gap], rule: Rule) -> list[Check]:
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


def check_mcnemar(p_value: float, rule: Rule) -> Check:
    """The predicted classes differ by more than chance."""
    reason = f"McNemar's p {p_value:.4f}, at most {rule.max_mcnemar} is asked"
    return Check("mcnemar", p_value <= rule.max_mcnemar, reason)


def check_classes(paired: Paired, labels: Sequence[Label], rule: Rule) -> Check:
    """No class loses recall."""
    y_true, units = paired.y_true, paired.units
    if units:  # a recall on fewer groups moves by more than a tenth with one of them
        y_true = np.unique(np.stack([units.of_row, y_true]), axis=1)[1]
    counts = np.bincount(y_true, minlength=len(labels))
    every = np.flatnonzero(counts >= CLASS_ROWS)
    if not len(every):
        return Check("classes", True, "no class has enough rows to compare")
    before, after = (
        recall_score(
            paired.y_true,
            y_pred,
            labels=every,
            average=None,
            zero_division=0,
            sample_weight=paired.sample_weight,
        )
        for y_pred in paired.y_pred
    )
    worst = int((before - after).argmax())
    fall = before[worst] - after[worst]
    reason = f"the recall of {labels[every[worst]]!r} falls by {max(fall, 0):.4f}"
    return Check("classes", bool(fall <= rule.max_class_loss), reason)


def check_loss(losses: Gain | None, rule: Rule) -> Check:
    """The log loss does not rise.

    Args:
        losses: gain by it; None where the champion has no probabilities.
        rule: of the gate.
    """
    if losses is None:
        return Check("log loss", True, "the version in production has no probabilities")
    rise = -losses.value
    word = "rises" if rise > 0 else "falls"
    return Check("log loss", rise <= rule.max_loss_rise, f"the log loss {word} by {abs(rise):.4f}")


def check_latency(ratio: float, rule: Rule) -> Check:
    """One row does not take much longer.

    Args:
        ratio: of the times for one row, challenger to champion.
        rule: of the gate.
    """
    reason = f"one row takes {ratio:.1f} times as long"
    return Check("latency", ratio <= rule.max_latency_ratio, reason)
