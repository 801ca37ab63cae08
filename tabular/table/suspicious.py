"""What in a table may not mean what it looks like; said, and changed by nobody but its owner.

Numbers may be markers, or only count the rows. And where no `group` was given, a column may say
which rows belong together: the number of a patient has the same value in several rows, and these
are far more alike than rows of the next value. Of a measurement they are not: the next value is
about the same.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from custom_model.served.columns import Column

ROWS_AT_LEAST = 20  # of a table

FEWEST_VALUES = 20
FEWEST_OF_A_VALUE, MOST_OF_A_VALUE = 1.5, 100.0  # rows, in the mean
MOST_PAIRS = 2_000
ALIKE = 0.8  # share by which rows of a value differ less, of the column in the middle
SAME_CLASS = 0.8  # the same of the class, where the rows are alike at all
SLIGHTLY = 0.2


def describe_suspicious(typed: pd.DataFrame, columns: Sequence[Column]) -> list[str]:
    """Numbers that may be markers or only count the rows of the file, a sentence each."""
    sentences = []
    for column in columns:
        if column.kind != "number" or len(typed) < ROWS_AT_LEAST:
            continue
        values = typed[column.name].to_numpy(dtype=np.float64)
        values = values[~np.isnan(values)]
        if not len(values):
            continue
        if len(values) == len(typed) and _counts_rows(values):
            sentences.append(
                f"Column {column.name!r} grows from row to row in the order of the file; if it "
                "only numbers the rows, remove it."
            )
        for marker in (values.min(), values.max()):
            if _is_marker(marker, values):
                times = int((values == marker).sum())
                sentences.append(
                    f"Column {column.name!r} is {marker:g} in {times} rows, far from all others; "
                    "if it means a missing value, leave those cells empty."
                )
    return sentences


def _counts_rows(values: np.ndarray) -> bool:
    """Whether these are integers, each greater than the one before."""
    return bool((np.diff(values[:ROWS_AT_LEAST]) > 0).all()) and bool(
        (np.diff(values) > 0).all() and (values == np.round(values)).all()
    )


def _is_marker(value: float, values: np.ndarray) -> bool:
    """Whether a value such as -1, -999 or 9999 is there again and again, far from all others."""
    nines = set(f"{abs(value):g}".removesuffix(".0")) == {"9"}
    if value >= 0 and not nines:
        return False
    others = values[values != value]
    if not len(others) or len(values) - len(others) < 2:
        return False
    low, high = others.min(), others.max()
    return bool(min(abs(value - low), abs(value - high)) > high - low and (nines or low >= 0))


def describe_repeats(
    features: pd.DataFrame, typed: pd.DataFrame, columns: Sequence[Column], y: np.ndarray
) -> list[str]:
    """A sentence for the column that is most likely to say which rows belong together.

    Args:
        features: (n_rows, n_all_columns) raw, also columns that are no features.
        typed: (n_rows, n_columns) the features.
        columns: the features.
        y: (n_rows,) classes.
    """
    names = [column.name for column in columns if column.kind != "text"]
    dates = {column.name for column in columns if column.kind == "date"}  # better given as `time`
    candidates = [name for name in features if name not in dates]
    repeated = {name: pairs for name in candidates if (pairs := _pairs(features[name])) is not None}
    ranks = {name: _ranks(typed[name]) for name in names} if repeated else {}
    best = max(
        (
            (alike, same_class, str(name))
            for name, pairs in repeated.items()
            for alike, same_class in [_alike(pairs, str(name), ranks, y)]
            if alike > ALIKE or (same_class > SAME_CLASS and alike > SLIGHTLY)
        ),
        default=None,
    )
    if best is None:
        return []
    return [
        f"Column {best[2]!r} repeats, and rows with the same value are far more alike than others; "
        f"if they belong together, give group={best[2]}: else the metrics are too good."
    ]


def _ranks(values: pd.Series) -> np.ndarray:
    """Ranks from 0 to 1 of numbers and dates, codes of categories as integers."""
    if pd.api.types.is_numeric_dtype(values.dtype) or values.dtype.kind == "M":
        return values.rank(pct=True).fillna(0).to_numpy(np.float64)
    return np.asarray(pd.factorize(values)[0])


def _pairs(cells: pd.Series) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """Rows, for each another one with the same value, and one with the next; None for no repeats.

    Rows without a value are left out.
    """
    numeric = cells.dtype.kind in "iuf"
    if numeric and not _are_whole(cells):
        return None
    rows = None
    if isinstance(cells.dtype, pd.StringDtype):
        rows, distinct = pd.factorize(cells)
    n_values = cells.nunique() if rows is None else len(distinct)
    if not FEWEST_VALUES <= n_values <= len(cells) / FEWEST_OF_A_VALUE:
        return None
    if rows is not None:
        cells = pd.Series([*distinct, None], dtype="str")  # the last of rows without a text
    if not numeric:
        cells = cells.where(cells.astype("str").str.strip() != "")
    number = pd.to_numeric(cells, errors="coerce")
    if number.notna().sum() == cells.notna().sum():
        if not _are_whole(number):
            return None
        cells = number
    else:
        cells = cells.astype("str").where(cells.notna())
    codes, values = pd.factorize(cells, sort=True)
    codes = codes if rows is None else codes[rows]
    known = int((codes >= 0).sum())
    if (
        len(values) < FEWEST_VALUES
        or not FEWEST_OF_A_VALUE <= known / len(values) <= MOST_OF_A_VALUE
    ):
        return None
    rng = np.random.default_rng(0)
    order = rng.permutation(len(codes))
    order = order[np.argsort(codes[order], kind="stable")][len(codes) - known :]
    starts = np.searchsorted(codes[order], np.arange(len(values) + 1))
    first = np.flatnonzero(np.diff(codes[order]) == 0)
    if len(first) > MOST_PAIRS:
        first = rng.choice(first, MOST_PAIRS, replace=False)
    if len(np.unique(codes[order[first]])) < FEWEST_VALUES:
        return None
    following = starts[(codes[order[first]] + 1) % len(values)]
    return order[first], order[first + 1], order[following]


def _are_whole(numbers: pd.Series) -> bool:
    """Whether all numbers that are there are whole; most others are known by the first."""
    values = numbers.to_numpy(np.float64, na_value=np.nan)
    with np.errstate(invalid="ignore"):  # of infinity
        return all(((some % 1 == 0) | np.isnan(some)).all() for some in (values[:100], values))


def _alike(
    pairs: tuple[np.ndarray, np.ndarray, np.ndarray],
    name: str,
    ranks: dict[str, np.ndarray],
    y: np.ndarray,
) -> tuple[float, float]:
    """By which share rows of one value differ less than rows of two: median column, and class."""
    row, same, other = pairs

    def less(values: np.ndarray) -> float:
        def differ(a: np.ndarray) -> float:
            apart = np.abs(values[row] - values[a])
            return float((apart if values.dtype.kind == "f" else apart > 0).mean())

        return 1 - differ(same) / differ(other) if differ(other) else 0.0

    columns = [less(values) for of, values in ranks.items() if of != name]
    return float(np.median(columns)) if columns else 0.0, less(y)
