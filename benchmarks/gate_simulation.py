"""The simulation of `benchmarks.gate_errors`: settings, pairs of classifiers, rates of errors."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from joblib import Parallel, delayed
from scipy.special import softmax

from tabular.gate.decide import Predictions, decide, level_of
from tabular.gate.rules import Rule
from tabular.stats.compute import predicted
from tabular.stats.formulas import log_losses
from tabular.stats.paired import Paired, gain

RULE = Rule(resamples=1000)

CHAMPION = 0.80  # its macro-F1

ROWS = (30, 300, 3000)

CLASSES = (2, 3, 5, 10)

SHARED = {"nearly independent": 0.1, "strongly correlated": 0.95}  # of the noise's variance

GAINS = (1, 3, 5)  # points of macro-F1

FEW_CLASSES = 3  # for all but equal challengers

OTHER_ROWS = 300

PICKED = ((5, 1), (5, 5), (100, 100))  # the best of so many, counted as so many

LARGE = 200_000  # rows for the calibration

CONFIRMED = 3  # refusals of each setting for which `decide` is called, too


@dataclass(frozen=True)
class Setting:
    """What is simulated.

    Args:
        rows: of the holdout.
        classes: how many.
        dependence: a key of `SHARED`.
        points: by which the challenger's true macro-F1 is higher.
        picked_from: challengers, of which the best on these rows is compared.
        counted: challengers that the gate is told of.
        refreshed: the challenger was trained on a newer table.
        repetitions: of the simulation.
    """

    rows: int
    classes: int
    dependence: str
    points: int = 0
    picked_from: int = 1
    counted: int = 1
    refreshed: bool = False
    repetitions: int = 1000


@dataclass(frozen=True)
class Rates:
    """Shares of the repetitions.

    Args:
        promoted: by the whole gate.
        better: by the check `better` alone.
        repetitions: how many.
    """

    promoted: float
    better: float
    repetitions: int

    @property
    def error(self) -> float:
        """Standard error of `promoted`."""
        return float(np.sqrt(self.promoted * (1 - self.promoted) / self.repetitions))

    def __str__(self) -> str:
        return f"{self.promoted:.1%} ± {self.error:.1%} ({self.better:.1%})"


Measured = dict[Setting, Rates]


def views(
    rng: np.random.Generator,
    codes: np.ndarray,
    strengths: Sequence[float],
    classes: int,
    share: float,
) -> list[np.ndarray]:
    """Each classifier's probabilities, (n_rows, n_classes)."""
    shape = (len(codes), classes)
    true = np.eye(classes)[codes]
    common = np.sqrt(share) * rng.standard_normal(shape)
    found = []
    for strength in strengths:
        score = strength * true + common + np.sqrt(1 - share) * rng.standard_normal(shape)
        found.append(softmax(strength * score, axis=1))
    return found


def macro_f1(codes: np.ndarray, shares: np.ndarray) -> float:
    """That of scikit-learn, in a fortieth of the time."""
    said, classes = predicted(shares), shares.shape[1]
    hits = np.bincount(codes[said == codes], minlength=classes)
    true, found = (np.bincount(labels, minlength=classes) for labels in (codes, said))
    occurs = true + found > 0
    return float((2 * hits[occurs] / (true + found)[occurs]).mean())


@cache
def strength(classes: int, points: int) -> float:
    """Strength with which the macro-F1 is the champion's plus so many points."""
    low, high = 0.0, 8.0
    while high - low > 1e-4:
        middle = (low + high) / 2
        rng = np.random.default_rng(classes)  # the same rows and noise at any strength
        codes = rng.integers(0, classes, LARGE)
        (shares,) = views(rng, codes, [middle], classes, 1.0)
        if macro_f1(codes, shares) < CHAMPION + points / 100:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def disagreement(classes: int, dependence: str) -> float:
    """Share of rows on which two classifiers of the champion's strength predict unlike classes."""
    rng = np.random.default_rng([classes, LARGE])
    codes = rng.integers(0, classes, LARGE)
    one, other = views(rng, codes, [strength(classes, 0)] * 2, classes, SHARED[dependence])
    return float((one.argmax(axis=1) != other.argmax(axis=1)).mean())


def simulate(setting: Setting, champion: float, challenger: float) -> Rates:
    """Rates of one setting, at these strengths."""
    picked, share = setting.picked_from, SHARED[setting.dependence]
    rng = np.random.default_rng([setting.rows, setting.classes, int(share * 100), setting.points])
    promoted = better = refused = 0
    for _ in range(setting.repetitions):
        codes = rng.integers(0, setting.classes, setting.rows)
        strengths = [champion, *[challenger] * picked]
        before, *others = views(rng, codes, strengths, setting.classes, share)
        best = max(others, key=lambda shares: _key(codes, shares)) if picked > 1 else others[0]
        may_pass = _may_pass(Paired(codes, before, best), setting)
        refused += not may_pass
        if not may_pass and refused > CONFIRMED:
            continue
        decision = decide(
            codes,
            Predictions(best, 1e-3),
            Predictions(before, 1e-3),
            RULE,
            labels=range(setting.classes),
            refreshed=setting.refreshed,
            challengers=setting.counted,
        )
        assert np.isclose(decision.evidence["challenger"]["f1_macro"], macro_f1(codes, best))
        passes = next(check.passed for check in decision.checks if check.name == "better")
        assert may_pass or not passes
        better += passes
        promoted += decision.promote
    return Rates(promoted / setting.repetitions, better / setting.repetitions, setting.repetitions)


def _key(codes: np.ndarray, shares: np.ndarray) -> tuple[float, float]:
    """As `promote` orders the challengers."""
    return macro_f1(codes, shares), -float(log_losses(codes, shares).mean())


def _may_pass(paired: Paired, setting: Setting) -> bool:
    """Whether `better` is not sure to refuse."""
    codes, before, after = paired.y_true, paired.champion, paired.challenger
    if macro_f1(codes, after) > macro_f1(codes, before) and _is_sure("f1_macro", paired, setting):
        return True
    lower = log_losses(codes, after).mean() < log_losses(codes, before).mean()
    return setting.refreshed and bool(lower) and _is_sure("log_loss", paired, setting)


def _is_sure(metric: str, paired: Paired, setting: Setting) -> bool:
    level = level_of(RULE, challengers=setting.counted, refreshed=setting.refreshed)
    found = gain(paired, metric, resamples=RULE.resamples, seed=RULE.seed, level=level)
    return found.bound(1 - level) > 0 and found.p_value <= level


def settings() -> list[Setting]:
    """Everything that is measured."""
    pairs = [(rows, dependence) for rows in ROWS for dependence in SHARED]
    equal = [Setting(rows, classes, kind) for rows, kind in pairs for classes in CLASSES]
    power = [
        Setting(rows, FEW_CLASSES, kind, points=points, repetitions=300)
        for rows, kind in pairs
        for points in GAINS
    ]
    others = [
        Setting(OTHER_ROWS, FEW_CLASSES, kind, picked_from=picked, counted=counted)
        for kind in SHARED
        for picked, counted in PICKED
    ]
    refreshed = [Setting(OTHER_ROWS, FEW_CLASSES, kind, refreshed=True) for kind in SHARED]
    return equal + power + others + refreshed


def measure(every: Sequence[Setting]) -> Measured:
    """Rates of every setting, two at once."""
    jobs = [(s, strength(s.classes, 0), strength(s.classes, s.points)) for s in every]
    rates = Parallel(n_jobs=2, batch_size=1)(delayed(simulate)(*job) for job in jobs)
    return dict(zip(every, rates, strict=True))
