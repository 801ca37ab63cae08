"""Whether a challenger takes the champion's place. Pure: answers in, a decision out."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from sklearn.metrics import recall_score

from custom_model.bundle import Label
from tabular.stats.metrics import LOWER_IS_BETTER, evaluate, evaluate_one
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


CLASS_ROWS = 10  # a recall on fewer rows moves by more than a tenth with one row


@dataclass(frozen=True)
class Check:
    """One rule, applied.

    Args:
        name: of the rule.
        passed: whether the challenger satisfies it.
        said: one clause with the numbers.
    """

    name: str
    passed: bool
    said: str


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
class Answers:
    """What one version answered on the common rows.

    Args:
        probabilities: (n_rows, n_classes).
        latency: seconds for one row.
        said: (n_rows,) predicted classes; None for the most probable ones.
    """

    probabilities: np.ndarray
    latency: float
    said: np.ndarray | None = None


def decide(
    codes: np.ndarray,
    challenger: Answers,
    champion: Answers | None,
    rule: Rule,
    *,
    labels: Sequence[Label],
    refreshed: bool = False,
    challengers: int = 1,
) -> Decision:
    """Applies the rule.

    Args:
        codes: (n_rows,) true classes of rows that neither was trained on.
        challenger: its answers.
        champion: those of the version in production, None if there is none.
        rule: what is asked.
        labels: the classes.
        refreshed: the challenger was trained on a newer table than the champion.
        challengers: from how many the challenger was picked on these rows; the level of the tests
            is divided by it (Bonferroni), as the best of many looks good by chance.
    """
    scores = evaluate(codes, challenger.probabilities, challenger.said)
    value = scores.get(rule.metric, float("nan"))
    checks = [_floor(value, rule)]
    evidence: dict[str, Any] = {
        "rule": dataclasses.asdict(rule),
        "rows": len(codes),
        "challengers": challengers,
        "challenger": scores,
    }
    if champion is None:
        return _decision(checks, f"{rule.metric} {value:.4f}; none was before", evidence)
    before = evaluate_one(rule.metric, codes, champion.probabilities, champion.said)
    paired = Paired(
        codes, champion.probabilities, challenger.probabilities, champion.said, challenger.said
    )
    level, resamples = sharpness(rule, challengers=challengers, refreshed=refreshed)
    found = gain(paired, rule.metric, resamples=resamples, seed=rule.seed)
    losses = gain(paired, "log_loss", resamples=resamples, seed=rule.seed)
    checks += [
        _better(found, losses, rule, refreshed, level),
        _mcnemar(mcnemar(paired), rule),
        _classes(paired, labels, rule),
        _loss(losses, rule),
        _latency(challenger.latency / champion.latency, rule),
    ]
    evidence |= {
        "champion": evaluate(codes, champion.probabilities, champion.said),
        "level": level,
        "gain": _numbers(found, level),
        "log_loss_gain": _numbers(losses, level),
        "mcnemar_p": mcnemar(paired),
        "latency_ms": {"champion": champion.latency * 1e3, "challenger": challenger.latency * 1e3},
    }
    said = f"{rule.metric} {value:.4f} against {before:.4f} on {len(codes)} rows"
    return _decision(checks, said, evidence, found.resampled)


def sharpness(rule: Rule, *, challengers: int, refreshed: bool) -> tuple[float, int]:
    """Level of each test, and how many resamples it takes to tell so small a p-value.

    Args:
        rule: with the confidence and the resamples.
        challengers: from how many the challenger was picked.
        refreshed: there are two ways to pass, and the level is halved.
    """
    ways = 2 if refreshed and rule.mode == "superior" else 1
    level = (1 - rule.confidence) / challengers / ways
    return level, max(rule.resamples, round(20 / level))


def _decision(
    checks: list[Check], said: str, evidence: dict[str, Any], resampled: np.ndarray | None = None
) -> Decision:
    failed = [check for check in checks if not check.passed]
    because = "; ".join(check.said for check in failed or checks[1:2])
    reason = f"{said}: {because}" if because else said
    evidence["checks"] = [dataclasses.asdict(check) for check in checks]
    return Decision(
        not failed, reason, tuple(checks), evidence, np.empty(0) if resampled is None else resampled
    )


def _numbers(found: Gain, level: float) -> dict[str, float]:
    return {
        "value": found.value,
        "lower": found.bound(1 - level),
        "upper": found.bound(level),
        "p_value": found.p_value,
    }


def _floor(value: float, rule: Rule) -> Check:
    if np.isnan(value):
        return Check("floor", False, f"{rule.metric} is undefined on these rows")
    if rule.floor is None:
        return Check("floor", True, "no floor is set")
    below = value > rule.floor if rule.metric in LOWER_IS_BETTER else value < rule.floor
    side = "worse than" if below else "within"
    return Check("floor", not below, f"{rule.metric} {value:.4f} is {side} the floor {rule.floor}")


def _better(found: Gain, losses: Gain, rule: Rule, refreshed: bool, level: float) -> Check:
    if rule.mode == "best":
        wins = found.value > rule.min_gain or (found.value == rule.min_gain and losses.value > 0)
        word = "higher" if wins else "not higher"
        return Check("better", wins, f"the gain {found.value:+.4f} is {word} than {rule.min_gain}")
    lower = found.bound(1 - level)
    wins = lower > rule.min_gain and found.p_value <= level
    said = f"the gain {found.value:+.4f} is at least {lower:+.4f} with {1 - level:.1%} confidence"
    p_value = found.p_value
    if not wins and refreshed:
        no_worse = found.value >= 0 or found.bound(level) >= 0
        surer = losses.bound(1 - level) > 0 and losses.p_value <= level
        wins = no_worse and surer
        if wins:
            said = f"no worse on newer data, and the log loss is {losses.value:.4f} lower"
            p_value = losses.p_value
    return Check("better", wins, f"{said} (p {p_value:.4f}, level {level:.4f})")


def _mcnemar(p_value: float, rule: Rule) -> Check:
    said = f"McNemar's p {p_value:.4f}, at most {rule.max_mcnemar} is asked"
    return Check("mcnemar", p_value <= rule.max_mcnemar, said)


def _classes(paired: Paired, labels: Sequence[Label], rule: Rule) -> Check:
    counts = np.bincount(paired.codes, minlength=len(labels))
    every = np.flatnonzero(counts >= CLASS_ROWS)
    if not len(every):
        return Check("classes", True, "no class has enough rows to compare")
    recalls = [
        recall_score(paired.codes, said, labels=every, average=None, zero_division=0)
        for said in paired.said
    ]
    falls = recalls[0] - recalls[1]
    worst = int(falls.argmax())
    said = f"the recall of {labels[every[worst]]!r} falls by {max(falls[worst], 0):.4f}"
    return Check("classes", falls[worst] <= rule.max_class_loss, said)


def _loss(losses: Gain, rule: Rule) -> Check:
    rise = -losses.value
    word = "rises" if rise > 0 else "falls"
    return Check("log loss", rise <= rule.max_loss_rise, f"the log loss {word} by {abs(rise):.4f}")


def _latency(ratio: float, rule: Rule) -> Check:
    said = f"one row takes {ratio:.1f} times as long"
    return Check("latency", ratio <= rule.max_latency_ratio, said)
