"""Which rows are held out: decided by a hash of each row's content, so by the row alone.

The same row falls on the same side in any order, in any file format, in any later and larger
version of the table. That makes versions trained months apart comparable on rows that neither saw.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from sklearn.model_selection import StratifiedKFold

from custom_model.served.cells import read_cells
from custom_model.served.columns import ISO_DATE, Column
from custom_model.served.dates import COMPACT, EPOCHS
from tabular.table.notations.words import NULL_WORDS

HOLDOUT_SHARE = 0.2

ROW_HASH = "__row_hash__"
"""Index of `holdout.parquet` and column of `training_rows.parquet`: tells what was seen."""

Hashes = np.ndarray  # uint64, (n_rows,)


@dataclass(frozen=True)
class Split:
    """Sides of a table's rows.

    Args:
        holdout: (n_rows,) bool.
        moved: rows that the hash put on the other side, moved so that their class is on both.
        one_sided: codes of classes that cannot be on both sides.
    """

    holdout: np.ndarray
    moved: int
    one_sided: tuple[int, ...]

    @property
    def train(self) -> np.ndarray:
        """(n_rows,) bool."""
        return ~self.holdout


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
    cells = {
        str(name): _hash_cells(values.get(name, frame[name]))
        for name in sorted(frame.columns, key=str)
    }
    rows = pd.util.hash_pandas_object(pd.DataFrame(cells, index=frame.index), index=False)
    return rows.to_numpy()


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
        numeric, hashes = cells, np.zeros(len(cells), dtype=np.uint64)
    values = numeric.to_numpy(dtype=np.float64, na_value=np.nan)
    empty = pd.util.hash_array(np.array([""], dtype=object))[0]
    of_values = pd.util.hash_array(values + 0.0)  # -0.0 is 0.0
    if numeric is cells:
        return np.where(np.isnan(values), empty, of_values)
    return np.where(np.isnan(values), hashes, of_values)


def _hash_moments(cells: pd.Series) -> np.ndarray:
    moments = pd.to_datetime(cells, format="ISO8601", utc=True, errors="coerce").dt.as_unit("us")
    empty = pd.util.hash_array(np.array([""], dtype=object))[0]
    hashes = pd.util.hash_array(moments.astype("int64").to_numpy())
    return np.where(moments.isna(), empty, hashes)


def split_rows(row_hashes: Hashes, codes: np.ndarray, *, seed: int) -> Split:
    """Decides the side of each row.

    A class that the hash leaves on one side gets its nearest row (with that row's duplicates) on
    the other, unless it has a single distinct row, which stays in training.

    Args:
        row_hashes: (n_rows,) from `hash_rows`.
        codes: (n_rows,) class of each row, 0 to n_classes - 1.
        seed: chooses the split; versions are comparable under one seed.
    """
    keyed = pd.util.hash_array(row_hashes ^ pd.util.hash_array(np.array([seed]))[0])
    holdout = keyed < np.uint64(HOLDOUT_SHARE * 2**64)
    by_hash = holdout.copy()
    for code in np.unique(codes):
        of_class = codes == code
        distinct = np.unique(keyed[of_class])
        if len(distinct) < 2:
            holdout[keyed == distinct[0]] = False
        elif not holdout[of_class].any():
            holdout[keyed == distinct[0]] = True
        elif holdout[of_class].all():
            holdout[keyed == distinct[-1]] = False
    for code in set(codes) - set(codes[~holdout]):  # moved away with a duplicate of another class
        holdout[keyed == keyed[codes == code].max()] = False
    both = set(codes[holdout]) & set(codes[~holdout])
    one_sided = tuple(sorted(int(code) for code in set(codes) - both))
    return Split(holdout, int((by_hash != holdout).sum()), one_sided)


def make_folds(
    row_hashes: Hashes, codes: np.ndarray, *, n_folds: int = 5, seed: int
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Stratified folds for cross-validation in which duplicate rows stay together.

    Args:
        row_hashes: (n_rows,) of the training side.
        codes: (n_rows,) classes.
        n_folds: fewer are made where no class has that many distinct rows.
        seed: shuffles the rows.

    Returns:
        Pairs of row positions: fitted on, validated on.
    """
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
