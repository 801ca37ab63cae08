"""What a report shows of prediction sets, and why the most confidently wrong rows were so."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from custom_model.served.columns import Column, Label, expand
from custom_model.served.reasons import largest, shapley_values
from custom_model.served.sets import groups_for, in_sets

LEVELS = (0.8, 0.9, 0.95)
REASONS = 3
MOST_COLUMNS = 500  # the coalitions to ask about, and their memory, grow with the square


@dataclass(frozen=True)
class SetSizes:
    """Prediction sets of labelled rows.

    Args:
        asked: coverage that was asked for.
        coverage: share of the rows whose set has their class.
        size: classes in a set, on average.
        empty: share of the rows without a class.
        single: share of the rows with one.
        bounds: which classes have bounds of their own, in words.
    """

    asked: float
    coverage: float
    size: float
    empty: float
    single: float
    bounds: str


def set_sizes(
    sets: Mapping[str, Any] | None, y_true: np.ndarray, proba: np.ndarray, labels: Sequence[Label]
) -> list[SetSizes]:
    """Coverage and sizes for some levels; none where a version has no scores.

    Args:
        sets: of `served.sets.calibrate`.
        y_true: (n_rows,) classes.
        proba: (n_rows, n_classes).
        labels: the classes.
    """
    found = []
    for level in LEVELS if sets else ():
        assert sets
        inside = in_sets(sets, proba, level)
        sizes = inside.sum(axis=1)
        together = [g["classes"] for g in groups_for(sets, level) if len(g["classes"]) > 1]
        names = [", ".join(str(labels[y])[:40] for y in classes[:10]) for classes in together]
        bounds = "each class has its own"
        if together:
            every = len(together[0]) == len(labels)
            bounds = "one for all classes" if every else f"shared by {'; '.join(names)}"
        found.append(
            SetSizes(
                level,
                float(inside[np.arange(len(y_true)), y_true].mean()),
                float(sizes.mean()),
                float((sizes == 0).mean()),
                float((sizes == 1).mean()),
                bounds,
            )
        )
    return found


def why(
    predict_proba: Callable[[pd.DataFrame], np.ndarray],
    typical: Mapping[str, Any],
    typed: pd.DataFrame,
    columns: Sequence[Column],
    codes: np.ndarray,
) -> list[str]:
    """For each row the columns with the largest effects on the probability of a class, in words.

    Of a table of more than `MOST_COLUMNS` columns there are none.

    Args:
        predict_proba: of expanded rows.
        typical: of `typical_row`.
        typed: (n_rows, n_columns) from `conform`.
        columns: the features.
        codes: (n_rows,) class whose probability is explained.
    """
    if len(columns) > MOST_COLUMNS:
        return []
    moved = shapley_values(
        lambda cells: predict_proba(pd.DataFrame(cells)),
        expand(typed.reset_index(drop=True), columns),
        typical,
        columns,
        codes,
    )
    n = min(REASONS, len(columns))
    top = largest(moved, columns, n)
    return [
        ", ".join(
            f"{top[f'reason_{at}'][row]} {top[f'reason_{at}_effect'][row]:+.3f}"
            for at in range(1, n + 1)
            if top[f"reason_{at}"][row]
        )
        for row in range(len(codes))
    ]
