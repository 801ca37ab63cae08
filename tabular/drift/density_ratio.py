"""How much more often rows like a given one are in another table."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.model_selection import StratifiedKFold, cross_val_predict

from custom_model.served.columns import Column
from tabular.drift.profile import as_numbers

FEWEST_ROWS = 30  # of either table
MOST_ROWS = 10_000  # of the other table
FOLDS = 5
LARGEST = 1000


def density_ratio(
    rows: pd.DataFrame, others: pd.DataFrame, columns: Sequence[Column], *, seed: int
) -> np.ndarray:
    """The ratio of the densities of two tables at the rows of the first, (n_rows,), mean 1.

    A classifier tells the tables apart; its odds, out of fold, are the ratio (Sugiyama et al. 2012,
    Density Ratio Estimation, chapter 4). With few rows all are 1.

    Args:
        rows: (n_rows, n_columns) typed.
        others: (any rows, n_columns) of the other table.
        columns: the features that are compared.
        seed: of the folds.
    """
    if min(len(rows), len(others)) < FEWEST_ROWS or not columns:
        return np.ones(len(rows))
    others = others.sample(min(len(others), MOST_ROWS), random_state=seed)
    both = pd.concat([rows, others], ignore_index=True)
    features = np.column_stack(
        [
            pd.factorize(both[column.name].astype("str"), sort=True)[0].astype(float)
            if column.kind in ("category", "boolean")
            else as_numbers(both[column.name], column.kind)
            for column in columns
        ]
    )
    model = HistGradientBoostingClassifier(
        max_iter=60, max_leaf_nodes=8, early_stopping=False, random_state=seed
    )
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=seed)
    of_others = np.arange(len(both)) >= len(rows)
    proba = cross_val_predict(model, features, of_others, cv=folds, method="predict_proba")
    odds = proba[: len(rows), 1] / np.maximum(proba[: len(rows), 0], 1 / LARGEST)
    return np.asarray(odds / odds.mean())
