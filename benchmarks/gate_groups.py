"""How often the gate promotes an equal challenger where rows belong together.

    python -m benchmarks.gate_groups

A simulation with the real `decide` under the default rule, but for 1,000 resamples. Each group has
ten rows of one class. A row's score for each class is normal noise, plus 1.5 for the true one; nine
tenths of the noise's variance is common to the rows of a group, and drawn for each classifier; the
two are exchangeable. Once the gate knows the groups, once it takes each row by itself. Weights are
0.2 to 5, drawn for each row. Latencies are equal, seeds fixed; ± is the binomial standard error,
and the rate in brackets is that of the check `better` alone.
"""

from dataclasses import dataclass

import numpy as np
from joblib import Parallel, delayed
from scipy.special import softmax

from tabular.gate.decide import Predictions, decide
from tabular.gate.rules import Rule

SIMULATIONS = 1000
ROWS_PER_GROUP = 10
STRENGTH, COMMON = 1.5, 0.9
LABELS = ("a", "b", "c")


@dataclass(frozen=True)
class Holdout:
    """Rows of groups, and what two equal classifiers predict for them.

    Args:
        y_true: (n_rows,) classes.
        groups: (n_rows,).
        proba: (n_rows, n_classes) of the champion and of the challenger.
    """

    y_true: np.ndarray
    groups: np.ndarray
    proba: tuple[np.ndarray, np.ndarray]


def draw_holdout(n_groups: int, seed: int) -> Holdout:
    """Draws a holdout.

    Args:
        n_groups: of `ROWS_PER_GROUP` rows each.
        seed: of the draw.
    """
    rng = np.random.default_rng(seed)
    groups = np.arange(n_groups).repeat(ROWS_PER_GROUP)
    y_true = rng.integers(0, len(LABELS), n_groups)[groups]
    both = []
    for _ in range(2):
        common = rng.normal(size=(n_groups, len(LABELS)))[groups]
        own = rng.normal(size=(len(groups), len(LABELS)))
        scores = np.sqrt(COMMON) * common + np.sqrt(1 - COMMON) * own
        scores[np.arange(len(groups)), y_true] += STRENGTH
        both.append(softmax(STRENGTH * scores, axis=1))
    return Holdout(y_true, groups, (both[0], both[1]))


def promoted(n_groups: int, seed: int, *, known: bool, weights: bool) -> tuple[bool, bool]:
    """Whether the gate promotes the challenger, and whether it takes it for better.

    Args:
        n_groups: of the holdout.
        seed: of the draw.
        known: the gate knows the groups.
        weights: rows have weights.
    """
    holdout = draw_holdout(n_groups, seed)
    champion, challenger = (Predictions(proba, 0.001) for proba in holdout.proba)
    rng = np.random.default_rng(seed)
    decision = decide(
        holdout.y_true,
        challenger,
        champion,
        Rule(resamples=1000, seed=seed),
        labels=LABELS,
        groups=holdout.groups if known else None,
        sample_weight=rng.uniform(0.2, 5, len(holdout.y_true)) if weights else None,
    )
    return decision.promote, next(c.passed for c in decision.checks if c.name == "better")


def main() -> None:
    """Simulates, and prints a table."""
    print("| groups of 10 rows | weights | the gate knows the groups | each row by itself |")
    print("|---|---|---|---|")
    for n_groups, weights in ((5, False), (10, False), (30, False), (100, False), (30, True)):
        cells = []
        for known in (True, False):
            results = Parallel(n_jobs=2)(
                delayed(promoted)(n_groups, seed, known=known, weights=weights)
                for seed in range(SIMULATIONS)
            )
            rate, better = np.mean(results, axis=0)
            error = np.sqrt(rate * (1 - rate) / SIMULATIONS)
            cells.append(f"{rate:.1%} ± {error:.1%} ({better:.1%})")
        print(f"| {n_groups} | {'0.2 to 5' if weights else 'none'} | {cells[0]} | {cells[1]} |")


if __name__ == "__main__":
    main()
