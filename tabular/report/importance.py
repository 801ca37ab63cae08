"""Permutation importance of a table's columns (Breiman 2001, doi 10.1023/A:1010933404324)."""

import time
from typing import Any

import numpy as np
import pandas as pd
from sklearn.feature_selection import mutual_info_classif
from sklearn.inspection import permutation_importance
from sklearn.metrics import log_loss
from sklearn.pipeline import Pipeline

from custom_model.served.columns import Column, expand

MOST_COLUMNS = 50  # of a wide table, those that alone tell most about the class
MOST_CELLS = 100_000  # rows are sampled so that a wide table does not take minutes
MOST_REPEATS, MOST_SECONDS = 5, 5.0  # fewer shuffles of a model that answers slowly


def column_importance(
    pipeline: Pipeline,
    typed: pd.DataFrame,
    codes: np.ndarray,
    columns: tuple[Column, ...],
    *,
    seed: int,
) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Rise of the log loss when one column of the table is shuffled.

    A date is shuffled whole, not in its parts.

    Args:
        pipeline: fitted on expanded columns.
        typed: (n_rows, n_columns) held-out rows.
        codes: (n_rows,) their classes.
        columns: the features.
        seed: of the shuffles and the sample.

    Returns:
        Names of at most `MOST_COLUMNS` columns, and the mean and standard deviation over the
        shuffles for each.
    """
    n_rows = min(len(typed), 1000, max(50, MOST_CELLS // len(columns)))
    rows = np.random.default_rng(seed).choice(len(typed), n_rows, replace=False)
    sample, truth = typed.iloc[rows].reset_index(drop=True), codes[rows]
    names = _most_telling(sample, truth, seed)
    every = np.arange(len(pipeline.classes_))

    def score(model: Any, shuffled: pd.DataFrame, truth: np.ndarray) -> float:
        whole = (
            shuffled
            if len(names) == len(columns)
            else sample.assign(**{str(name): shuffled[name] for name in names})
        )
        probabilities = model.predict_proba(expand(whole, columns))
        return -float(log_loss(truth, probabilities, labels=every))

    started = time.perf_counter()
    score(pipeline, sample[names], truth)
    once = (time.perf_counter() - started) * len(names)
    result = permutation_importance(
        pipeline,
        sample[names],
        truth,
        scoring=score,
        n_repeats=int(np.clip(MOST_SECONDS / once, 1, MOST_REPEATS)),
        random_state=seed,
    )
    return names, result.importances_mean, result.importances_std


def _most_telling(sample: pd.DataFrame, codes: np.ndarray, seed: int) -> list[str]:
    names = list(sample.columns)
    if len(names) <= MOST_COLUMNS or len(np.unique(codes)) < 2:
        return names[:MOST_COLUMNS]
    ranks = np.column_stack([pd.factorize(sample[name], sort=True)[0] for name in names])
    told = mutual_info_classif(ranks.astype(float), codes, random_state=seed)
    return [names[i] for i in sorted(np.argsort(-told, kind="stable")[:MOST_COLUMNS])]


def most_important(names: list[str], means: np.ndarray, spreads: np.ndarray) -> list[str]:
    """Columns whose importance is above its own spread, the most important first.

    Args:
        names: headings of the columns.
        means: (n_columns,) mean fall of the score.
        spreads: (n_columns,) its standard deviation over the permutations.
    """
    order = np.argsort(-means, kind="stable")
    return [names[i] for i in order if means[i] > spreads[i]]
