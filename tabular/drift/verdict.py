"""Whether a table is still like the one a model was trained on.

Every check has a p-value that is exact for any number of rows (`two_sample`), and an effect size.
The p-values are corrected together for their number (Holm 1979), so that a table from the same
distribution raises an alarm with at most the stated probability, however many columns it has. A
check is drift if its corrected p-value is at most the level *and* its effect is at least the limit:
with millions of rows a trivial shift is certain, and still trivial.
"""

import math
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pandas as pd
from scipy.stats import norm

from tabular.drift.checks import (
    Comparison,
    CurrentPredictions,
    DriftCheck,
    DriftRule,
    check_column,
    check_predictions,
)
from tabular.drift.fall import check_metric
from tabular.drift.profile import Profile
from tabular.stats.intervals import Estimate
from tabular.stats.two_sample import holm
from tabular.stats.units import Units

LARGE_SHIFT = 0.8  # standard deviations, "large" in Cohen's terms (1988)
POWER = 0.8  # with which a large shift has to be found before a table is called fine

Verdict = Literal["fine", "drift", "too few rows to tell"]


@dataclass(frozen=True)
class Drift:
    """What a table came to.

    Args:
        verdict: of all checks.
        checks: the most certain first.
        rows: of the table.
        effective_rows: how many independent ones they are worth.
        reference_rows: independent ones that its columns were compared with.
        detectable: shift of one column, in standard deviations, that is found with probability
            `POWER`; infinite if none is.
        fall: of the metric, with its interval; None without labels.
    """

    verdict: Verdict
    checks: tuple[DriftCheck, ...]
    rows: int
    effective_rows: int
    reference_rows: int
    detectable: float
    fall: Estimate | None

    @property
    def worth(self) -> str:
        """What the rows are worth, in words; "" where each is one."""
        same = self.effective_rows == self.rows
        return "" if same else f", worth {self.effective_rows} independent ones"


def compare_with_profile(
    profile: Profile,
    typed: pd.DataFrame,
    unreadable: pd.DataFrame,
    predictions: CurrentPredictions,
    rule: DriftRule,
    units: Units | None = None,
) -> Drift:
    """Compares a table with a profile.

    Args:
        profile: of the training table.
        typed: (n_rows, n_columns) the same columns; those left out are not compared.
        unreadable: (n_rows, n_columns) bool, cells that are not what the column holds; they are
            missing in `typed`.
        predictions: the model's, for the rows of the table that it can score.
        rule: what counts.
        units: of the rows; None where each is one and counts once.
    """
    columns = [column for column in profile.columns if column.name in typed]
    n_checks = 4 * len(columns) + 3  # at most
    by = Comparison(rule, rule.level / n_checks, np.random.default_rng(rule.seed), units)
    checks: list[DriftCheck] = []
    for column in columns:
        bad = unreadable[column.name].to_numpy()
        checks += check_column(column, typed[column.name], bad, by)
    by = replace(by, units=predictions.units)
    checks += check_predictions(profile.answers, predictions, by)
    fall, check = check_metric(profile.answers, predictions, by)
    checks += [check] if check else []
    corrected = holm(np.array([check.p_value for check in checks]))
    checks = [
        replace(
            check, p_value=float(p), drift=bool(p <= rule.level and check.effect >= check.limit)
        )
        for check, p in zip(checks, corrected, strict=True)
    ]
    reference_rows = round(columns[0].rows * columns[0].scale) if columns else 0
    rows = round(units.effective) if units else len(typed)
    shift = detectable_shift(reference_rows, rows, rule.level, len(checks))
    verdict: Verdict = "fine" if shift <= LARGE_SHIFT else "too few rows to tell"
    if any(check.drift for check in checks):
        verdict = "drift"
    checks.sort(key=lambda check: (not check.drift, check.p_value, -check.effect))
    return Drift(verdict, tuple(checks), len(typed), rows, reference_rows, shift, fall)


def detectable_shift(reference_rows: int, rows: int, level: float, n_checks: int) -> float:
    """Shift of a normal column, in standard deviations, that the test finds with at least `POWER`.

    By the limiting distribution of Kolmogorov and Smirnov's statistic at the level that the first
    step of Holm's correction leaves.
    """
    if not reference_rows or not rows:
        return math.inf
    scale = math.sqrt(1 / reference_rows + 1 / rows)
    distance = scale * math.sqrt(-math.log(level / max(1, n_checks) / 2) / 2)
    distance += float(norm.ppf(POWER)) * 0.5 * scale
    return 2 * float(norm.ppf((1 + distance) / 2)) if distance < 1 else math.inf
