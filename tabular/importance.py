"""Permutation importance of a table's columns (Breiman 2001, doi 10.1023/A:1010933404324)."""

from typing import Any

import numpy as np
import pandas as pd
from sklearn.inspection import permutation_importance
from sklearn.metrics import log_loss
from sklearn.pipeline import Pipeline

from custom_model.bundle import Column, expand

MOST_CELLS = 100_000
"""Rows are sampled so that a wide table does not take minutes."""


def column_importance(
    pipeline: Pipeline,
    typed: pd.DataFrame,
    codes: np.ndarray,
    columns: tuple[Column, ...],
    *,
    seed: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Rise of the log loss when one column of the table is shuffled.

    A date is shuffled whole, not in its parts.

    Args:
        pipeline: fitted on expanded columns.
        typed: (n_rows, n_columns) held-out rows.
        codes: (n_rows,) their classes.
        columns: the features.
        seed: of the shuffles and the sample.

    Returns:
        Mean and standard deviation over the shuffles, each (n_columns,).
    """
    n_rows = min(len(typed), 1000, max(50, MOST_CELLS // len(columns)))
    rows = np.random.default_rng(seed).choice(len(typed), n_rows, replace=False)
    every = np.arange(len(pipeline.classes_))

    def score(model: Any, shuffled: pd.DataFrame, truth: np.ndarray) -> float:
        probabilities = model.predict_proba(expand(shuffled, columns))
        return -float(log_loss(truth, probabilities, labels=every))

    result = permutation_importance(
        pipeline,
        typed.iloc[rows].reset_index(drop=True),
        codes[rows],
        scoring=score,
        n_repeats=5 if len(columns) <= 50 else 1,
        random_state=seed,
    )
    return result.importances_mean, result.importances_std
