"""Where a classifier is wrong more often: slices of the rows by one column at a time."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from custom_model.served.columns import Column
from tabular.report.parts import parts_of
from tabular.stats.intervals import Estimate, wilson
from tabular.stats.two_sample import holm, share_test

FEWEST_ROWS = 30


@dataclass(frozen=True)
class Slice:
    """Some rows that one column picks out.

    Args:
        column: its heading.
        values: which of its values, in words.
        rows: how many.
        accuracy: share of its rows that are predicted correctly, with its interval.
        rest: the same share of the other rows.
        p_value: that the slice is wrong no more often than the rest, by Fisher's exact test,
            one-sided, corrected for the number of slices (Holm 1979).
    """

    column: str
    values: str
    rows: int
    accuracy: Estimate
    rest: float
    p_value: float


def worst_slices(
    typed: pd.DataFrame,
    columns: Sequence[Column],
    correct: np.ndarray,
    *,
    confidence: float,
    most: int = 10,
) -> list[Slice]:
    """The slices with the lowest accuracy.

    Args:
        typed: (n_rows, n_columns) from `conform`.
        columns: the features; a text is no slice, but for its absence.
        correct: (n_rows,) bool, whether the prediction is.
        confidence: of the intervals.
        most: how many are wanted.

    Returns:
        Slices of at least `FEWEST_ROWS` rows that are wrong more often than the rest, worst first.
    """
    names, counts = [], []
    for column in columns:
        for values, inside in parts_of(typed[column.name], column):
            if FEWEST_ROWS <= (rows := int(inside.sum())) < len(correct):
                names.append((column.name, values))
                counts.append((rows, int(correct[inside].sum())))
    if not counts:
        return []
    n_in, correct_in = np.array(counts).T
    n_out, correct_out = len(correct) - n_in, correct.sum() - correct_in
    p_values = holm(share_test(n_out - correct_out, n_out, n_in - correct_in, n_in, only_more=True))
    accuracy, elsewhere = correct_in / n_in, correct_out / n_out
    worst = [i for i in np.lexsort([-n_in, accuracy]) if accuracy[i] < elsewhere[i]]
    return [
        Slice(
            column=names[i][0],
            values=names[i][1],
            rows=int(n_in[i]),
            accuracy=wilson(int(correct_in[i]), int(n_in[i]), confidence),
            rest=float(elsewhere[i]),
            p_value=float(p_values[i]),
        )
        for i in worst[:most]
    ]
