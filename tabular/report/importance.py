"""Permutation importance of a table's columns (Breiman 2001, doi 10.1023/A:1010933404324)."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from sklearn.feature_selection import mutual_info_classif
from sklearn.metrics import log_loss

MOST_COLUMNS = 50  # of a wide table, those that alone say most about the class
MOST_CELLS = 100_000  # rows are sampled so that a wide table does not take minutes
MOST_REPEATS, MOST_SECONDS = 5, 5.0  # fewer shuffles of a model that answers slowly
LONGEST = 20.0  # seconds of one shuffle of each; fewer columns of a model that is slower still


@dataclass(frozen=True)
class Importance:
    """Rise of the log loss when one column of the table is shuffled.

    Args:
        names: of at most `MOST_COLUMNS` columns.
        means: (n_columns,) over the shuffles.
        spreads: (n_columns,) standard deviations over the shuffles.
    """

    names: list[str]
    means: np.ndarray
    spreads: np.ndarray

    @property
    def most_important(self) -> list[str]:
        """Columns whose mean is above its spread, the most important first."""
        order = np.argsort(-self.means, kind="stable")
        return [self.names[i] for i in order if self.means[i] > self.spreads[i]]


def column_importance(
    predict_proba: Callable[[pd.DataFrame], np.ndarray],
    typed: pd.DataFrame,
    y_true: np.ndarray,
    *,
    seed: int,
    seconds: float = math.inf,
) -> Importance:
    """Shuffles the columns of a table, a date whole and not in its parts.

    Args:
        predict_proba: from typed rows to (n_rows, n_classes).
        typed: (n_rows, n_columns) held-out rows.
        y_true: (n_rows,) their classes.
        seed: of the shuffles and the sample.
        seconds: that it may take; of a model that answers too slowly fewer columns are shuffled.
    """
    n_rows = min(len(typed), 1000, max(50, MOST_CELLS // typed.shape[1]))
    rng = np.random.default_rng(seed)
    rows = rng.choice(len(typed), n_rows, replace=False)
    sample, y_true = typed.iloc[rows].reset_index(drop=True), y_true[rows]

    def loss(table: pd.DataFrame) -> float:
        proba = predict_proba(table)
        return float(log_loss(y_true, proba, labels=np.arange(proba.shape[1])))

    started = time.perf_counter()
    before = loss(sample)
    one = time.perf_counter() - started
    names = _most_informative(
        sample, y_true, seed, most=int(np.clip(min(LONGEST, seconds) / one, 1, MOST_COLUMNS))
    )
    repeats = int(np.clip(min(MOST_SECONDS, seconds) / (one * len(names)), 1, MOST_REPEATS))
    rises = np.empty((len(names), repeats))
    for column, name in enumerate(names):
        for repeat in range(repeats):
            shuffled = sample[name].iloc[rng.permutation(n_rows)].array
            rises[column, repeat] = loss(sample.assign(**{name: shuffled})) - before
    return Importance(names, rises.mean(axis=1), rises.std(axis=1))


def _most_informative(sample: pd.DataFrame, y_true: np.ndarray, seed: int, most: int) -> list[str]:
    names = list(sample.columns)
    if len(names) <= most or len(np.unique(y_true)) < 2:
        return names[:most]
    ranks = np.column_stack([pd.factorize(sample[name], sort=True)[0] for name in names])
    information = mutual_info_classif(ranks.astype(float), y_true, random_state=seed)
    return [names[i] for i in sorted(np.argsort(-information, kind="stable")[:most])]
