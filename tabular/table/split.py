"""Which rows are held out: decided by a hash of each row's content, so by the row alone.

The same row falls on the same side in any order, in any file format, in any later and larger
version of the table. That makes versions trained months apart comparable on rows that neither saw.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
import pandas as pd
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

from custom_model.served.cells import read_cells
from custom_model.served.columns import ISO_DATE, Column
from custom_model.served.dates import COMPACT, EPOCHS
from tabular.table.notations.words import NULL_WORDS

HOLDOUT_SHARE, N_FOLDS = 0.2, 5
MOST_TEXTS = 100_000  # hashed at once
_OF_NOTHING = pd.util.hash_array(np.array([""], dtype=object))[0]

ROW_HASH = "__row_hash__"
"""Index of `holdout.parquet` and column of `training_rows.parquet`: tells what was seen."""

GROUP_HASH = "__group_hash__"
"""Column of `training_rows.parquet` where rows belong together: tells which groups were seen."""

MOST_STRATIFIED = 5_000  # groups; scikit-learn places one after the other

Hashes = np.ndarray  # uint64, (n_rows,)
Fold = tuple[np.ndarray, np.ndarray]
"""Positions fitted on, positions validated on."""


@dataclass(frozen=True)
class Split:
    """Sides of a table's rows.

    Args:
        holdout: (n_rows,) bool.
        moved: rows that the hash put on the other side, moved so that their class is on both.
        one_sided: codes of classes that cannot be on both sides.
        unused: (n_rows,) bool, older rows of groups that the holdout has; None for none.
        cut: the first moment held out, None where the hash decides.
        left_out: (n_rows,) bool, rows that there was no time to train on; None for none.
    """

    holdout: np.ndarray
    moved: int
    one_sided: tuple[int, ...]
    unused: np.ndarray | None = None
    cut: Any = None
    left_out: np.ndarray | None = None

    @property
    def train(self) -> np.ndarray:
        """(n_rows,) bool."""
        others = [rows for rows in (self.unused, self.left_out) if rows is not None]
        return ~np.logical_or.reduce([self.holdout, *others])

    @property
    def first_moment(self) -> str:
        """The first moment held out as text, "" where the hash decides."""
        text = "" if self.cut is None else str(self.cut)
        return text.removesuffix(".000000").removesuffix("T00:00:00")


def hash_rows(frame: pd.DataFrame, columns: Sequence[Column] = ()) -> Hashes:
    """Hashes each row's content, whatever the order of columns and the format it was read from.

    A number hashes by its value ("5.10" as 5.1), a date by its moment, true by its meaning, "?" or
    "n/a" as an empty cell, and anything else by its text.

    Args:
        frame: (n_rows, n_columns), raw, without the target.
        columns: the features; a text in a notation of its column hashes by its value too.

    Returns:
        (n_rows,) uint64.
    """
    noted = [
        column
        for column in columns
        if getattr(column, "notation", "") not in ("", COMPACT, *EPOCHS)  # older columns have none
        and not pd.api.types.is_numeric_dtype(frame[column.name].dtype)
    ]
    read = read_cells(frame, noted, as_text=True)
    values = {c.name: read.typed[c.name] for c in noted if not read.unreadable[c.name].all()}
    cells, waiting = dict[str, np.ndarray](), 0
    texts: dict[str, tuple[np.ndarray, np.ndarray]] = {}  # codes and distinct ones of each column
    for name in sorted(frame.columns, key=str):
        column = values.get(name, frame[name])
        if not isinstance(column.dtype, pd.StringDtype):
            cells[str(name)] = _hash_cells(column)
            continue
        codes, distinct = pd.factorize(column, use_na_sentinel=False)
        texts[str(name)] = codes, np.asarray(distinct, dtype=object)
        waiting += len(distinct)
        if waiting > MOST_TEXTS:
            cells, texts, waiting = cells | _hash_texts(texts), {}, 0
    in_order = dict(sorted((cells | _hash_texts(texts)).items()))
    rows = pd.util.hash_pandas_object(pd.DataFrame(in_order, frame.index, copy=False), index=False)
    return rows.to_numpy()


def _hash_texts(columns: dict[str, tuple[np.ndarray, np.ndarray]]) -> dict[str, np.ndarray]:
    """Hashes columns of texts by their distinct ones, all at once."""
    every = [distinct for _, distinct in columns.values()]
    hashes = _hash_cells(pd.Series([*chain.from_iterable(every)], dtype=object))
    parts = np.split(hashes, np.cumsum([len(distinct) for distinct in every])[:-1])
    return {name: of[codes] for (name, (codes, _)), of in zip(columns.items(), parts, strict=False)}


def _hash_cells(cells: pd.Series) -> np.ndarray:
    if isinstance(cells.dtype, pd.CategoricalDtype):
        cells = cells.astype(object)
    if pd.api.types.is_datetime64_any_dtype(cells.dtype):
        return _hash_moments(cells)
    if pd.api.types.is_bool_dtype(cells.dtype) or not pd.api.types.is_numeric_dtype(cells.dtype):
        texts = cells.astype(object).where(cells.notna(), "").map(str).str.strip().astype("str")
        lower = texts.str.lower()
        texts = texts.where(~lower.isin(["true", "false"]), lower).mask(lower.isin(NULL_WORDS), "")
        hashes = pd.util.hash_array(texts.to_numpy(dtype=object))
        numeric = pd.to_numeric(texts, errors="coerce")
        if (dates := texts.str.fullmatch(ISO_DATE)).any():
            moments = _hash_moments(pd.Series(texts.where(dates)))
            hashes = np.where(dates, moments, hashes)
    else:
        numeric, hashes = cells, _OF_NOTHING
    values = numeric.to_numpy(dtype=np.float64, na_value=np.nan)
    of_values = pd.util.hash_array(values + 0.0)  # -0.0 is 0.0
    return np.where(np.isnan(values), hashes, of_values)


def _hash_moments(cells: pd.Series) -> np.ndarray:
    moments = pd.to_datetime(cells, format="ISO8601", utc=True, errors="coerce").dt.as_unit("us")
    hashes = pd.util.hash_array(moments.astype("int64").to_numpy())
    return np.where(moments.isna(), _OF_NOTHING, hashes)


def split_rows(
    row_hashes: Hashes,
    codes: np.ndarray,
    *,
    seed: int,
    groups: np.ndarray | None = None,
    moments: np.ndarray | None = None,
) -> Split:
    """Decides the side of each row.

    With `groups` the hash of the group decides in place of the row's, with `moments` the newest
    rows are held out; with both, training loses the rows of groups which the holdout has.

    A class that the hash leaves on one side gets its nearest row (with that row's duplicates) on
    the other, unless it has a single distinct row, which stays in training.

    Args:
        row_hashes: (n_rows,) from `hash_rows`.
        codes: (n_rows,) class of each row, 0 to n_classes - 1.
        seed: chooses the split; versions are comparable under one seed. With `moments` unused.
        groups: (n_rows,) uint64, see `Roles`.
        moments: (n_rows,) see `Roles`.
    """
    if moments is not None:
        return _split_by_time(codes, groups, moments)
    keyed = pd.util.hash_array(
        (row_hashes if groups is None else groups) ^ pd.util.hash_array(np.array([seed]))[0]
    )
    holdout = keyed < np.uint64(HOLDOUT_SHARE * 2**64)
    by_hash = holdout.copy()
    for code in np.unique(codes):
        of_class = codes == code
        first, last = keyed[of_class].min(), keyed[of_class].max()
        if first == last:
            holdout[keyed == first] = False
        elif not holdout[of_class].any():
            holdout[keyed == first] = True
        elif holdout[of_class].all():
            holdout[keyed == last] = False
    # moved away with a duplicate of another class
    for code in np.setdiff1d(codes, codes[~holdout]):
        holdout[keyed == keyed[codes == code].max()] = False
    both = np.intersect1d(codes[holdout], codes[~holdout])
    one_sided = tuple(np.setdiff1d(codes, both).tolist())
    return Split(holdout, int((by_hash != holdout).sum()), one_sided)


def _split_by_time(codes: np.ndarray, groups: np.ndarray | None, moments: np.ndarray) -> Split:
    """Holds out the newest rows, as near to a fifth as equal moments allow."""
    starts, counts = np.unique(moments, return_counts=True)
    newer = counts[::-1].cumsum()[::-1]
    cut = starts[1:][np.abs(newer[1:] - HOLDOUT_SHARE * len(moments)).argmin()]
    holdout = moments >= cut
    unused = None if groups is None else ~holdout & np.isin(groups, groups[holdout])
    train = ~holdout if unused is None else ~holdout & ~unused
    one_sided = tuple(int(code) for code in np.setdiff1d(codes[train], codes[holdout]))
    return Split(holdout, 0, one_sided, unused, cut)


def make_folds(
    row_hashes: Hashes,
    codes: np.ndarray,
    *,
    n_folds: int = N_FOLDS,
    seed: int,
    groups: np.ndarray | None = None,
    moments: np.ndarray | None = None,
) -> list[Fold]:
    """Stratified folds for cross-validation in which duplicate rows stay together.

    With `groups` these stay together instead; with `moments` each fold is fitted on rows that are
    older than those it is validated on, and the oldest rows are only fitted on.

    Args:
        row_hashes: (n_rows,) of the training side.
        codes: (n_rows,) classes.
        n_folds: fewer are made where no class has that many distinct rows.
        seed: shuffles the rows. With `moments` unused.
        groups: (n_rows,) uint64, see `Roles`.
        moments: (n_rows,) see `Roles`.

    Returns:
        Pairs of row positions: fitted on, validated on.
    """
    if moments is not None:
        return _forward_folds(codes, groups, moments, n_folds)
    if groups is not None:
        return _group_folds(codes, groups, n_folds, seed)
    _, first, group = np.unique(row_hashes, return_index=True, return_inverse=True)
    n_folds = min(n_folds, int(np.bincount(codes[first]).max()))
    if n_folds < 2:
        return []
    fold_of_group = np.empty(len(first), dtype=np.int64)
    splitter = StratifiedKFold(n_folds, shuffle=True, random_state=seed)
    order = np.argsort(row_hashes[first])  # folds do not depend on the table's order
    with warnings.catch_warnings():  # a class of two rows is in two folds only, which is right
        warnings.filterwarnings("ignore", "The least populated class", UserWarning)
        for fold, (_, test) in enumerate(splitter.split(order, codes[first][order])):
            fold_of_group[order[test]] = fold
    # the only row of a class is fitted on in every fold, else a fold might lack the class
    lonely = np.bincount(codes[first])[codes[first]] == 1
    fold_of_group[lonely] = -1
    fold_of_row = fold_of_group[group]
    return [
        (np.flatnonzero(fold_of_row != fold), np.flatnonzero(fold_of_row == fold))
        for fold in range(n_folds)
    ]


def _group_folds(codes: np.ndarray, groups: np.ndarray, n_folds: int, seed: int) -> list[Fold]:
    """Folds that keep groups together; the only group of a class is fitted on in every fold."""
    hashes, group = np.unique(groups, return_inverse=True)
    pairs = np.unique(np.stack([codes, group]), axis=1)
    lonely = np.isin(pairs[0], np.flatnonzero(np.bincount(pairs[0]) == 1))
    fold_of_group = np.full(len(hashes), -1)
    placed = np.setdiff1d(np.arange(len(hashes)), pairs[1, lonely])
    rows = np.flatnonzero(np.isin(group, placed))
    most = np.bincount(codes[rows], minlength=1).max()
    n_folds = min(n_folds, len(placed), int(most))
    if n_folds < 2:
        return []
    if len(hashes) > MOST_STRATIFIED:  # chance is balanced enough
        fold_of_group[placed] = np.random.default_rng(seed).permutation(len(placed)) % n_folds
    else:
        rows = rows[np.lexsort([codes[rows], group[rows]])]  # whatever the table's order
        splitter = StratifiedGroupKFold(n_folds, shuffle=True, random_state=seed)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "The least populated class", UserWarning)
            for fold, (_, test) in enumerate(splitter.split(rows, codes[rows], group[rows])):
                fold_of_group[group[rows[test]]] = fold
    fold_of_row = fold_of_group[group]
    folds = [
        (np.flatnonzero(fold_of_row != f), np.flatnonzero(fold_of_row == f)) for f in range(n_folds)
    ]
    return [fold for fold in folds if len(fold[1])]


def _forward_folds(
    codes: np.ndarray, groups: np.ndarray | None, moments: np.ndarray, n_folds: int
) -> list[Fold]:
    """Blocks of about as many rows, each validated by what was fitted on all older ones.

    A block is left out where the older rows, without those of its groups, have one class only.
    """
    starts, counts = np.unique(moments, return_counts=True)
    middle = counts.cumsum() - counts / 2
    block_of_start = (middle * (n_folds + 1) / len(moments)).astype(np.intp)
    block = block_of_start[np.searchsorted(starts, moments)]
    folds = []
    for number in np.unique(block)[1:]:
        validated, fitted = block == number, block < number
        if groups is not None:
            fitted &= ~np.isin(groups, groups[validated])
        if len(np.unique(codes[fitted])) > 1:
            folds.append((np.flatnonzero(fitted), np.flatnonzero(validated)))
    return folds
