"""When a configuration is given up before its last fold.

All configurations meet the same folds, so their differences on a fold are paired: a hard fold is
hard for all. How much such differences vary by chance is known from the configurations that were
evaluated to the end. One whose mean so far lies behind the leader's on the same folds by more than
`BEHIND` standard errors is given up (a race, Maron and Moore 1994, doi 10.1023/A:1006556606079,
with a paired z-test in the place of Hoeffding's bound).
"""

from collections.abc import Sequence

import numpy as np

from tabular.search.cross_validation import Trial
from tabular.stats.metrics import sign

BEHIND = 3.0  # standard errors; a runner-up within two may still serve an ensemble
ENOUGH = 4  # configurations evaluated to the end before any is given up


def bounds(trials: Sequence[Trial], metric: str) -> tuple[float, ...]:
    """For each number of folds, the mean score beyond which a configuration is given up.

    Only trials evaluated on every fold count.

    Returns:
        (n_folds - 1,) means; empty as long as too little is known.
    """
    whole = [np.array(trial.fold_scores) for trial in trials if trial.metrics]
    whole = [scores for scores in whole if np.isfinite(scores).all()]
    if len(whole) < ENOUGH:
        return ()
    leader = max(whole, key=lambda scores: sign(metric) * scores.mean())
    varying = [float(np.std(scores - leader, ddof=1)) for scores in whole if scores is not leader]
    n_folds = np.arange(1, len(leader))
    means = np.cumsum(leader)[:-1] / n_folds
    allowed: np.ndarray = means - sign(metric) * BEHIND * np.median(varying) / np.sqrt(n_folds)
    return tuple(allowed.tolist())
