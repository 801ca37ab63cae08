"""Reasons: the columns that move a row's probability away from that of a typical row.

Shapley values (Strumbelj and Kononenko 2014, doi 10.1007/s10115-013-0679-x) against one typical
row. A coalition is a row that has some columns from the row in question and the others from the
typical one; the model predicts for the coalitions, whatever it is made of.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd

from .columns import Column, expand, expanded_names

EXACT_COLUMNS = 8
MOST_COALITIONS = 144  # of more columns, where twice their number is less
BLOCK_CELLS = 2_000_000
ROUNDING = 1e-12  # an effect below is that of the order of sums


def typical_row(typed: pd.DataFrame, columns: Sequence[Column]) -> dict[str, Any]:
    """The typical row of a table: medians, and most frequent levels; no text.

    Args:
        typed: (n_rows, n_columns) from `conform`.
        columns: the same columns.

    Returns:
        JSON: the value of each expanded column; None is missing.
    """
    # numbers all at once, as a table may have thousands of them
    numbers = [column.name for column in columns if column.kind == "number"]
    values = np.sort(typed[numbers].to_numpy(np.float64), axis=0)  # what is missing comes last
    n_present = (~np.isnan(values)).sum(axis=0)
    middles = values[np.maximum(n_present - 1, 0) // 2, np.arange(len(numbers))]
    middles[2 * n_present < len(values)] = np.nan
    others = [column for column in columns if column.kind != "number"]
    middle = {}
    for column in others:
        cells = typed[column.name]
        present = cells.dropna()
        if column.kind == "text" or 2 * len(present) < len(cells):
            typical = None
        elif column.kind in ("category", "boolean"):
            typical = present.mode().iloc[0]
        else:
            typical = np.sort(present.to_numpy())[(len(present) - 1) // 2]
        middle[column.name] = pd.Series([typical], dtype=cells.dtype)
    row: dict[Any, Any] = dict(zip(numbers, middles.tolist(), strict=True))
    row |= expand(pd.DataFrame(middle, index=[0]), others).iloc[0].to_dict()
    names = [name for column in columns for name in expanded_names(column)]
    return {name: None if pd.isna(row[name]) else row[name] for name in names}


def shapley_values(
    predict_proba: Callable[[dict[str, Any]], np.ndarray],
    rows: Any,
    typical: Mapping[str, Any],
    columns: Sequence[Column],
    codes: np.ndarray,
    *,
    block_rows: int = BLOCK_CELLS,
) -> np.ndarray:
    """What each column of each row adds to the probability of a class.

    A column with the typical value adds nothing. If at most eight columns have another value, all
    coalitions are asked, and the effects are exact. Of more columns each alone and all but each are
    asked, and random coalitions, each with its complement (Covert and Lee 2021, arXiv 2012.01536).

    Args:
        predict_proba: from expanded columns by name to (n_rows, n_classes).
        rows: (n_rows,) values of each expanded column, by its name.
        typical: the typical row's value of each.
        columns: the features.
        codes: (n_rows,) class whose probability is explained.
        block_rows: coalitions that are predicted at once.

    Returns:
        (n_rows, n_columns) effects; those of a row sum to its probability less the typical one.
    """
    parts = [expanded_names(column) for column in columns]
    cells = {name: _with_typical(rows[name], typical[name]) for names in parts for name in names}
    n_rows = len(codes)
    differs = np.stack([_differs([cells[name] for name in names]) for names in parts], axis=1)
    result = np.zeros(differs.shape)
    n_active = differs.sum(axis=1)
    for active in np.unique(n_active[n_active > 0]).tolist():
        masks, weights = _coalitions(active)
        at_once = min(block_rows, max(1, BLOCK_CELLS // len(cells))) // len(masks)
        inside = np.flatnonzero(n_active == active)
        for some in np.array_split(inside, math.ceil(len(inside) / max(1, at_once))):
            own = np.zeros((len(some), len(masks), len(columns)), dtype=bool)
            of_row = np.nonzero(differs[some])[1].reshape(len(some), 1, active)
            np.put_along_axis(own, np.broadcast_to(of_row, (*own.shape[:2], active)), masks, axis=2)
            place = np.where(own, some[:, np.newaxis, np.newaxis], n_rows).reshape(-1, len(columns))
            hybrid = {
                name: cells[name].take(place[:, at])
                for at, names in enumerate(parts)
                for name in names
            }
            proba = predict_proba(hybrid).reshape(len(some), len(masks), -1)
            proba = proba[np.arange(len(some)), :, codes[some]]
            result[some[:, np.newaxis], of_row[:, 0]] = proba @ weights.T
    return result


def largest(effects: np.ndarray, columns: Sequence[Column], n: int) -> dict[str, np.ndarray]:
    """The columns with the largest effects, up or down, the largest first.

    Args:
        effects: (n_rows, n_columns); where the model gives no number for one of a row's coalitions,
            the row has no reasons.
        columns: the features.
        n: how many are wanted, at most `n_columns`.

    Returns:
        (n_rows,) by name: `reason_1`, the name of a column, or None where no further column has an
        effect; `reason_1_effect`; and so on.
    """
    effects = np.where(np.isfinite(effects).all(axis=1, keepdims=True), effects, 0.0)
    effects = np.where(np.abs(effects) > ROUNDING, effects, 0.0)
    order = np.argsort(-np.abs(effects).round(12), axis=1, kind="stable")[:, :n]
    effects = np.take_along_axis(effects, order, axis=1)
    names = np.array([column.name for column in columns], dtype=object)[order]
    names[effects == 0] = None
    found: dict[str, np.ndarray] = {}
    for at in range(n):
        found |= {f"reason_{at + 1}": names[:, at], f"reason_{at + 1}_effect": effects[:, at]}
    return found


def _with_typical(values: Any, typical: Any) -> Any:
    """(n_rows + 1,) the values of a column, then the typical one."""
    if isinstance(values, pd.Series):
        return pd.concat([values, pd.Series([typical], dtype=values.dtype)]).array
    numbers = not isinstance(typical, str) and all(type(value) is float for value in values)
    return np.array([*values, typical], dtype=np.float64 if numbers else object)


def _differs(cells: Sequence[Any]) -> np.ndarray:
    """(n_rows,) bool: whether a column's value, in any of its parts, is not the last one."""
    different = np.zeros(len(cells[0]) - 1, dtype=bool)
    for values in cells:
        of_rows, typical = values[:-1], values[-1]
        missing = typical is None or typical != typical
        different |= ~np.asarray(pd.isna(of_rows)) if missing else np.asarray(of_rows != typical)
    return different


@lru_cache(maxsize=8)
def _coalitions(n: int) -> tuple[np.ndarray, np.ndarray]:
    """What to ask about n columns, and the weight of each probability in a column's effect.

    The effects are the linear function of the columns that fits the probabilities best, weighted by
    the size of the coalition, and gives the first and the last exactly (KernelSHAP: Lundberg and
    Lee 2017, arXiv 1705.07874). Of all coalitions this makes the Shapley values.

    Returns:
        masks: (n_coalitions, n) bool, the columns that are the row's own.
        weights: (n, n_coalitions).
    """
    sizes = np.arange(2, n - 1)
    mass = (n - 1) / (sizes * (n - sizes))  # of all coalitions of a size
    every = (1 << n) - 1
    if n <= EXACT_COLUMNS:
        masks = list(range(1, every))
    else:
        rng = np.random.default_rng(0)
        drawn = dict.fromkeys(c for at in range(n) for c in (1 << at, every ^ 1 << at))
        while len(drawn) < MOST_COALITIONS - 2:
            some = rng.permutation(n)[: rng.choice(sizes, p=mass / mass.sum())]
            mask = sum(1 << int(at) for at in some)
            drawn |= {mask: None, every ^ mask: None}
        masks = list(drawn)
    bits = [mask >> at & 1 for mask in masks for at in range(n)]
    inner = np.array(bits, dtype=np.intp).reshape(-1, n)
    size = inner.sum(axis=1)
    of_size = np.bincount(size, minlength=n + 1)
    if n <= EXACT_COLUMNS:
        kernel = np.array([(n - 1) / (k * (n - k)) for k in size.tolist()]) / of_size[size]
    else:
        alone = (size == 1) | (size == n - 1)
        kernel = np.where(alone, 1 / n, mass.sum() / max(1, (~alone).sum()))
    centred = inner - size[:, np.newaxis] / n
    weighted = centred * kernel[:, np.newaxis]
    of_inner = np.linalg.solve(centred.T @ weighted + 1, weighted.T)
    of_all = 1 / n - of_inner @ size / n
    of_none = -of_all - of_inner.sum(axis=1)
    members = np.vstack([np.zeros(n), np.ones(n), inner]).astype(bool)
    return members, np.column_stack([of_none, of_all, of_inner])
