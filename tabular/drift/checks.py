"""The checks of a table against a profile: of a column, of the predictions, of the metric."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from tabular.drift.profile import (
    CONFIDENCE_EDGES,
    ColumnProfile,
    PredictionProfile,
    count,
    count_confidence,
    interval_names,
)
from tabular.stats.two_sample import (
    Statistic,
    chi_squared,
    kolmogorov_smirnov,
    permutation_test,
    share_test,
    stability_index,
)
from tabular.stats.units import Units


@dataclass(frozen=True)
class DriftRule:
    """When a table has drifted.

    Args:
        level: most probable false alarm, of all checks together.
        min_psi: population stability index that a change of a distribution has to reach.
        min_share: change of the share of missing, unreadable or unlisted values that matters.
        metric: watched where the table has labels; one of `OF_LABELS`.
        max_fall: of the metric that is no drift yet; of the cost a share of what it was.
        seed: of the tests' draws.
    """

    level: float = 0.05
    min_psi: float = 0.1
    min_share: float = 0.01
    metric: str = "f1_macro"
    max_fall: float = 0.02
    seed: int = 42


@dataclass(frozen=True)
class DriftCheck:
    """One comparison of the table with the profile.

    Args:
        column: heading; empty where it is about the answers.
        about: values, missing, unreadable, levels not listed; of the answers predicted classes,
            confidence, metric.
        effect: size of the change: the stability index, a difference of shares, a fall.
        limit: that the effect has to reach to matter.
        p_value: corrected for the number of checks.
        drift: certain and large enough.
        note: what to look at, in words.
        reference: (n_bins,) counts of the profile; empty where there are none to draw.
        current: (n_bins,) counts of the table.
        bins: (n_bins,) in words.
    """

    column: str
    about: str
    effect: float
    limit: float
    p_value: float
    drift: bool = False
    note: str = ""
    reference: tuple[float, ...] = ()
    current: tuple[float, ...] = ()
    bins: tuple[str, ...] = ()


@dataclass(frozen=True)
class CurrentPredictions:
    """What the model predicts for the rows of the table that it can score.

    Args:
        y_pred: (n_rows,) predicted classes.
        proba: (n_rows, n_classes); None where it gives none.
        y_true: (n_rows,) true classes, -1 where there is no label, n_classes where it is one that
            the model does not know; None for a table without labels.
        costs: (n_classes, n_classes) of predicting column for row; None without.
        units: of these rows; None where each is one and counts once.
    """

    y_pred: np.ndarray
    proba: np.ndarray | None
    y_true: np.ndarray | None
    costs: np.ndarray | None = None
    units: Units | None = None


@dataclass(frozen=True)
class Comparison:
    """How two samples are tested, the same way for every check of a table.

    Args:
        rule: what counts as drift.
        smallest: p-value that has to be resolved.
        rng: of the draws.
        units: of the rows of the table; None where each is one and counts once.
    """

    rule: DriftRule
    smallest: float
    rng: np.random.Generator
    units: Units | None = None

    @property
    def worth(self) -> float:
        """How many independent rows a row of the table is worth."""
        return self.units.worth if self.units else 1

    def p_value(self, reference: np.ndarray, current: np.ndarray, statistic: Statistic) -> float:
        """That two rows of counts, (n_bins,) each, differ only by chance."""
        current = current if self.units is None else np.round(self.worth * current)
        return permutation_test(reference, current, statistic, smallest=self.smallest, rng=self.rng)


def check_column(
    profile: ColumnProfile, cells: pd.Series, unreadable: np.ndarray, by: Comparison
) -> list[DriftCheck]:
    """Compares the values of a column, and the shares of missing, new or unreadable ones.

    Args:
        profile: of the column.
        cells: (n_rows,) typed; those that are unreadable are missing.
        unreadable: (n_rows,) bool.
        by: how it is compared.

    Returns:
        Checks whose p-values are not yet corrected, and of which none is drift yet.
    """
    weights = None if by.units is None else by.units.sample_weight
    missing = cells.isna().to_numpy() & ~unreadable
    reference, current = np.array(profile.counts), count(profile, cells, weights)
    name, scale = profile.name, profile.scale
    n_rows, n_missing, n_unreadable = (
        float(rows.sum() if weights is None else weights[rows].sum())
        for rows in (np.ones(len(cells), dtype=bool), missing, unreadable)
    )
    checks = []
    if reference.sum() and current.sum():
        statistic = chi_squared if profile.levels else kolmogorov_smirnov
        bins = profile.bin_names
        checks.append(
            _compare_bins(by, name, "values", reference, current, bins, statistic, scale=scale)
        )
    for about, before, now in (
        ("missing", profile.missing, n_missing),
        ("unreadable", 0, n_unreadable),
    ):
        checks += _compare_shares(by, name, about, (before, profile.rows), (now, n_rows), scale)
    if profile.levels:
        known = set(profile.known)
        present = cells[cells.notna().to_numpy(dtype=bool)].astype("str").value_counts()
        new = [str(level) for level in present.index if level not in known] if known else []
        note = f"; never seen: {', '.join(repr(level[:40]) for level in new[:5])}" if new else ""
        note += f" and {len(new) - 5} more" if len(new) > 5 else ""
        listed = [(float(c[-1]), float(c.sum())) for c in (reference, current)]
        checks += _compare_shares(by, name, "levels not listed", listed[0], listed[1], scale, note)
    return checks


def _compare_bins(
    by: Comparison,
    column: str,
    about: str,
    reference: np.ndarray,
    current: np.ndarray,
    bins: Sequence[str],
    statistic: Statistic,
    scale: float = 1,
) -> DriftCheck:
    """Two rows of counts; a row of the reference is worth `scale` independent ones."""
    before, now = reference / reference.sum(), current / current.sum()
    most = int(np.argmax(np.abs(now - before)))
    return DriftCheck(
        column,
        about,
        stability_index(scale * reference, by.worth * current),
        by.rule.min_psi,
        by.p_value(np.round(scale * reference), current, statistic),
        note=f"{bins[most]}: {before[most]:.1%} before, {now[most]:.1%} now",
        reference=tuple(reference.tolist()),
        current=tuple(current.tolist()),
        bins=tuple(bins),
    )


def _compare_shares(
    by: Comparison,
    column: str,
    about: str,
    before: tuple[float, float],
    now: tuple[float, float],
    scale: float = 1,
    note: str = "",
) -> list[DriftCheck]:
    """A share of the rows: how many, of how many. Only of missing values a fall matters as well."""
    if not (before[0] + now[0] and before[1] and now[1]):
        return []  # there is nothing to test, nor to correct for
    only_more = about != "missing"
    change = now[0] / now[1] - before[0] / before[1]
    return [
        DriftCheck(
            column,
            about,
            change if only_more else abs(change),
            by.rule.min_share,
            float(
                share_test(
                    *(round(scale * n) for n in before),
                    *(round(by.worth * n) for n in now),
                    only_more=only_more,
                )
            ),
            note=f"{before[0] / before[1]:.1%} before, {now[0] / now[1]:.1%} now{note}",
        )
    ]


def check_predictions(
    profile: PredictionProfile, now: CurrentPredictions, by: Comparison
) -> list[DriftCheck]:
    """Compares the predicted classes and their probabilities with those on the holdout.

    Returns:
        As `check_column`; none where one of the two has no rows.
    """
    if not profile.rows or not len(now.y_pred):
        return []
    scale = profile.effective / profile.rows
    n_classes = len(profile.labels)
    _, y_pred, rows = profile.columns
    reference = np.bincount(y_pred, rows, minlength=n_classes)
    weights = now.units.sample_weight if now.units else None
    current = np.bincount(now.y_pred, weights, n_classes).astype(float)
    labels = list(map(str, profile.labels))
    checks = [
        _compare_bins(
            by, "", "predicted classes", reference, current, labels, chi_squared, scale=scale
        )
    ]
    if profile.confidence and now.proba is not None:
        reference = np.array(profile.confidence, dtype=float)
        current = np.array(count_confidence(now.proba, now.y_pred, weights), dtype=float)
        bins = interval_names([f"{edge:g}" for edge in CONFIDENCE_EDGES])
        checks.append(
            _compare_bins(
                by, "", "confidence", reference, current, bins, kolmogorov_smirnov, scale=scale
            )
        )
    return checks
