"""Reasons: the columns that move a row's probability away from that of a typical row.

Shapley values (Strumbelj and Kononenko 2014, doi 10.1007/s10115-013-0679-x) against one typical
row. A coalition is a row that has some columns from the row in question and the others from the
typical one; the model predicts for the coalitions, whatever it is made of.
"""

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd
from scipy.sparse import csr_array

from .columns import Column, expand, expanded_names

EXACT_COLUMNS = 8  # of a model: all coalitions are asked
MOST_COALITIONS = 90  # of a row of a wider model, where one pair of permutations needs no more
BLOCK_CELLS = 2_000_000


def typical_row(typed: pd.DataFrame, columns: Sequence[Column]) -> dict[str, Any]:
    """The typical row of a table: medians, and most frequent levels; no text.

    Args:
        typed: (n_rows, n_columns) from `conform`.
        columns: the same columns.

    Returns:
        JSON: the value of each expanded column; None is missing.
    """
    middle = {}
    for column in columns:
        cells = typed[column.name]
        present = cells.dropna()
        if column.kind == "text" or 2 * len(present) < len(cells):
            typical = None
        elif column.kind in ("category", "boolean"):
            typical = present.mode().iloc[0]
        else:
            typical = present.sort_values(ignore_index=True).iloc[(len(present) - 1) // 2]
        middle[column.name] = pd.Series([typical], dtype=cells.dtype)
    row = expand(pd.DataFrame(middle), columns).iloc[0]
    return {str(name): None if pd.isna(value) else value for name, value in row.items()}


def effects(
    predict_proba: Callable[[dict[str, Any]], np.ndarray],
    rows: Any,
    typical: Mapping[str, Any],
    columns: Sequence[Column],
    codes: np.ndarray,
    *,
    block_rows: int = BLOCK_CELLS,
) -> np.ndarray:
    """What each column of each row adds to the probability of a class.

    A column with the typical value adds nothing. Where a model has more than 8 columns, and a row
    more coalitions than 90, they are those of antithetic permutations: rotations of one order,
    each with its reverse, which share most of their coalitions.

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
    n_rows, most = len(codes), MOST_COALITIONS
    if len(columns) <= EXACT_COLUMNS:
        most = 2**EXACT_COLUMNS
    differs = np.stack([_differs([cells[name] for name in names]) for names in parts], axis=1)
    result = np.zeros(differs.shape)
    n_active = differs.sum(axis=1)
    for active in np.unique(n_active[n_active > 0]).tolist():
        masks, weights = _coalitions(active, most)
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
            result[some[:, np.newaxis], of_row[:, 0]] = (weights @ proba.T).T
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
    order = np.argsort(-np.abs(effects), axis=1, kind="stable")[:, :n]
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


@lru_cache(maxsize=16)
def _coalitions(n: int, most: int) -> tuple[np.ndarray, csr_array]:
    """What to ask about n columns, and the weight of each answer in a column's effect.

    Args:
        n: columns.
        most: coalitions, if one pair of permutations needs no more.

    Returns:
        masks: (n_coalitions, n) bool, the columns that are the row's own.
        weights: (n, n_coalitions).
    """
    weights: dict[tuple[int, int], float] = {}
    if 2**n <= most:
        masks = list(range(2**n))
        for mask in masks:
            for at in range(n):
                inside = mask >> at & 1
                of_others = mask.bit_count() - inside
                weights[at, mask] = (2 * inside - 1) / (n * math.comb(n - 1, of_others))
    else:
        masks, paths = [], list[tuple[list[int], list[int]]]()
        for order in _orders(n):
            pair = [_path(order), _path(order[::-1])]
            together = dict.fromkeys([*masks, *pair[0], *pair[1]])
            if paths and len(together) > most:
                break
            masks = list(together)
            paths += [(order, pair[0]), (order[::-1], pair[1])]
        for order, path in paths:
            for at, before, after in zip(order, path, path[1:], strict=False):
                weights[at, after] = weights.get((at, after), 0.0) + 1 / len(paths)
                weights[at, before] = weights.get((at, before), 0.0) - 1 / len(paths)
    position = {mask: place for place, mask in enumerate(masks)}
    places = [[at for at, _ in weights], [position[mask] for _, mask in weights]]
    members = np.array([[mask >> at & 1 for at in range(n)] for mask in masks], dtype=bool)
    return members, csr_array((list(weights.values()), places), shape=(n, len(masks)))


def _orders(n: int) -> Iterator[list[int]]:
    """Permutations: the rotations of one, far from each other first, then those of the next."""
    rng = np.random.default_rng(0)
    step = next(s for s in range(round(0.618 * n), 2 * n) if math.gcd(s, n) == 1)
    while True:
        order = rng.permutation(n).tolist()
        for turn in range(n):
            at = turn * step % n
            yield order[at:] + order[:at]


def _path(order: Sequence[int]) -> list[int]:
    """The coalitions of a permutation, as bits, from none to all."""
    return [0, *itertools.accumulate(1 << at for at in order)]
