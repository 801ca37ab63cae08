"""The model that ships: a fitted pipeline, the columns it expects, and the one way in.

This file is copied into every model artifact and run from there (MLflow's models-from-code), so it
imports libraries only, nothing of this project. Beside it in the artifact lie `pipeline.skops`,
`bundle.json` and `compiled.py`. Training calls the same `conform` and `expand`: there is one path
from a raw table to the matrix that the pipeline sees.

    raw frame --conform--> one typed column per feature --expand--> what the pipeline was fitted on

A frame costs milliseconds, so a few rows of plain cells skip it: `read_few` takes only cells whose
meaning is beyond doubt, and `compiled.py` does the pipeline's sums. Whatever else a request holds,
`conform` and the pipeline decide, so that each rule stands in one place.

    a few plain cells --read_few--> Python values by expanded column --compiled.py--> probabilities
"""

import gc
import json
import logging
import math
import numbers
import os
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import mlflow.models
import numpy as np
import pandas as pd
import skops.io
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE
from mlflow.pyfunc.model import PythonModel
from threadpoolctl import ThreadpoolController

Kind = Literal["number", "category", "boolean", "date", "text"]
Label = str | int | float | bool

TRUSTED = (
    # What scikit-learn's fitted classifiers hold besides scikit-learn's public classes. The list
    # stands here and never in the artifact: a file must not be able to vouch for itself.
    "functools.partial",  # its function and arguments are audited too
    "numpy.dtype",
    "sklearn.calibration._CalibratedClassifier",
    "sklearn.calibration._SigmoidCalibration",
    "sklearn.calibration._TemperatureScaling",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn.metrics._dist_metrics.BrayCurtisDistance64",
    "sklearn.metrics._dist_metrics.CanberraDistance64",
    "sklearn.metrics._dist_metrics.ChebyshevDistance64",
    "sklearn.metrics._dist_metrics.EuclideanDistance64",
    "sklearn.metrics._dist_metrics.HammingDistance64",
    "sklearn.metrics._dist_metrics.JaccardDistance64",
    "sklearn.metrics._dist_metrics.ManhattanDistance64",
    "sklearn.metrics._dist_metrics.MinkowskiDistance64",
    "sklearn.metrics._dist_metrics.SEuclideanDistance64",
    "sklearn.neighbors._ball_tree.BallTree",
    "sklearn.neighbors._kd_tree.KDTree",
    "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
    "sklearn.neural_network._stochastic_optimizers.SGDOptimizer",
    "sklearn.tree._tree.Tree",
    "sklearn.utils._bunch.Bunch",
    "sklearn.utils.validation.check_array",
)

LARGEST = float(np.finfo(np.float32).max)
"""Numbers beyond this are refused: forests compute in float32, and squares must stay finite."""

NULL_SPELLINGS = frozenset(
    {"", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN"}
    | {"<NA>", "N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null"}
)
"""What pandas, and so MLflow's server, reads as "no value" in CSV: `NA`, `None`, `null`, ..."""

ISO_DATE = (
    r"\d{4}-\d{2}-\d{2}"
    r"(?:[T ]\d{2}:\d{2}(?::\d{2}(?:\.\d{1,9})?)?\s?(?:Z|[+-]\d{2}:?\d{2})?)?"
)
_PLAIN_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)
_EXACT_INTEGER = 2**53

_log = logging.getLogger("bundle")


@dataclass(frozen=True)
class Column:
    """One feature of the table, as it was found in training.

    Args:
        name: heading of the column.
        kind: how its cells are read.
        required: no cell was missing in training, so a missing one cannot be scored.
        missing: spellings, other than an empty cell, that stood for "no value" (numbers only).
        text: numbers stood as text in a typed file, or beside words that a CSV reader takes for
            text; a text is read as a number then.
        null_level: the category that an absent value stands for, where the training table used a
            word such as `None` as a value; a CSV request cannot tell the two apart.
        time: dates carry a time of day.
    """

    name: str
    kind: Kind
    required: bool = True
    missing: tuple[str, ...] = ()
    null_level: str | None = None
    time: bool = False
    text: bool = False


class Refusal(MlflowException):
    """A request that cannot be scored, told in one sentence (HTTP 400).

    MLflow's server puts the caller's rows before an exception's message; this message cannot be
    rewritten, so the answer is the sentence and nothing else.
    """

    def __init__(self, *problems: str) -> None:
        self._message = problems[0]
        if len(problems) > 1:
            self._message += f" (and {len(problems) - 1} more columns with problems)"
        self.problems = list(problems[:20])
        super().__init__(self._message, error_code=INVALID_PARAMETER_VALUE)

    @property
    def message(self) -> str:
        """The sentence."""
        return self._message

    @message.setter
    def message(self, _: str) -> None:
        pass

    def serialize_as_json(self) -> str:
        """The body of the answer."""
        return json.dumps(
            {"error_code": self.error_code, "message": self.message, "problems": self.problems}
        )


def _found(value: Any) -> str:
    """What was found, in words; at most 40 characters of it."""
    if isinstance(value, (bool, np.bool_)):
        return str(value).lower()
    if isinstance(value, str):
        return f"the text {value[:40]!r}" if value.strip() else "an empty text"
    if isinstance(value, (list, tuple, np.ndarray)):
        return "a list"
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, int) and abs(value) > 10**40:
        return "a number of more than 40 digits"
    return str(value)[:40]


def _is_missing(value: Any) -> bool:
    return value is None or value is pd.NaT or value is pd.NA or value != value


# Each reader below takes one raw column and returns its typed values and, for every row, whether
# the cell could not be read. A missing cell is not a bad one; an empty text is one only where no
# cell was missing in training.
Read = tuple[Any, "np.ndarray[Any, np.dtype[np.bool_]]"]


def _each(cells: pd.Series, read: Callable[[Any], Any], missing: Any) -> tuple[list[Any], Any]:
    """Reads cell by cell; `read` raises an error of Python's own on a bad one."""
    values, bad = [], np.zeros(len(cells), dtype=bool)
    for row, cell in enumerate(cells.array):
        try:
            if isinstance(cell, (list, tuple, dict, np.ndarray)):
                raise TypeError("not a single value")
            values.append(missing if _is_missing(cell) else read(cell))
        except (ValueError, TypeError, AttributeError, LookupError, OverflowError):
            values.append(missing)
            bad[row] = True
    return values, bad


def _read_numbers(cells: pd.Series, column: Column, as_text: bool) -> Read:
    dtype = cells.dtype
    if pd.api.types.is_bool_dtype(dtype) or pd.api.types.is_complex_dtype(dtype):
        return np.full(len(cells), np.nan), cells.notna().to_numpy()
    if pd.api.types.is_numeric_dtype(dtype):
        values = cells.to_numpy(dtype=np.float64, na_value=np.nan)
        if any("inf" in word.lower() for word in column.missing):
            values = np.where(np.isinf(values), np.nan, values)
        return values, np.abs(values) > LARGEST
    is_text = np.array([isinstance(cell, str) for cell in cells.array], dtype=bool)
    texts = cells[is_text].astype("str").str.strip()
    absent = texts.isin(column.missing) | ((texts == "") & (as_text or not column.required))
    values, bad = np.full(len(cells), np.nan), is_text.copy()
    bad[is_text] = ~absent
    if as_text or column.text:
        parsed = pd.to_numeric(texts.mask(absent), errors="coerce")
        values[is_text] = parsed.to_numpy(dtype=np.float64, na_value=np.nan)
        bad[is_text] = np.isnan(values[is_text]) & ~absent.to_numpy(dtype=bool)

    def read(cell: Any) -> float:
        if isinstance(cell, (bool, np.bool_)) or not isinstance(cell, (numbers.Real, Decimal)):
            raise TypeError("not a number")
        return float(cell)

    values[~is_text], bad[~is_text] = _each(cells[~is_text], read, math.nan)
    return values, bad | (np.abs(values) > LARGEST)


def canonical(cell: Any) -> str:
    """The one spelling of a category, whatever form it arrived in: 1, 1.0, "1" and "01" are "1".

    A CSV reader turns codes into numbers and words into booleans, so they must not differ.

    Raises:
        ValueError: a float too large to be an exact code.
    """
    if isinstance(cell, str):
        text = cell.strip()
        if _PLAIN_NUMBER.fullmatch(text) and len(text) <= 40:
            if text.lstrip("+-").isdigit():
                return str(int(text))
            if abs(number := float(text)) < _EXACT_INTEGER:
                return canonical(number)
        return text.capitalize() if text.lower() in ("true", "false") else text
    if isinstance(cell, (bool, np.bool_)):
        return str(bool(cell))
    if isinstance(cell, (int, np.integer)):
        return str(int(cell))
    if isinstance(cell, (float, np.floating, Decimal)):
        number = float(cell)
        if not math.isfinite(number) or abs(number) > _EXACT_INTEGER:
            raise ValueError("not an exact code")
        return str(int(number)) if number.is_integer() else repr(number)
    if isinstance(cell, (datetime, date)):
        return cell.isoformat()
    raise TypeError("not a single value")


def _read_categories(cells: pd.Series, column: Column, as_text: bool) -> Read:
    plain = isinstance(cells.dtype, pd.StringDtype) or pd.api.types.is_numeric_dtype(cells.dtype)
    if isinstance(cells.dtype, pd.CategoricalDtype):
        cells, plain = cells.astype(object), False
    if plain:  # all cells of one type: read each distinct one once
        codes, distinct = pd.factorize(cells, use_na_sentinel=True)
        levels, bad_levels = _each(pd.Series(distinct, dtype=object), canonical, None)
        values = pd.Series(np.asarray([*levels, None], dtype=object)[codes], dtype=object)
        bad = np.append(bad_levels, False)[codes]
    else:
        listed, bad = _each(cells, canonical, None)
        values = pd.Series(listed, dtype=object)
    values = values.mask(values.isin(NULL_SPELLINGS) | (values == ""))
    if column.null_level is not None:
        values = values.where(values.notna() | bad, column.null_level)
    return values.astype("str").array, bad


def _read_booleans(cells: pd.Series, column: Column, as_text: bool) -> Read:
    words = {"true": True, "false": False, "1": True, "0": False}
    blank_is_missing = as_text or not column.required

    def read(cell: Any) -> bool | None:
        if isinstance(cell, str):
            word = cell.strip().lower()
            return None if not word and blank_is_missing else words[word]
        if isinstance(cell, (bool, np.bool_, numbers.Real)) and cell in (0, 1):
            return bool(cell)
        raise TypeError("not a truth value")

    if pd.api.types.is_bool_dtype(cells.dtype):
        return cells.astype("boolean").array, np.zeros(len(cells), dtype=bool)
    values, bad = _each(cells, read, None)
    return pd.array(values, dtype="boolean"), bad


def _read_dates(cells: pd.Series, column: Column, as_text: bool) -> Read:
    """ISO dates and date-times, as UTC without a zone."""
    if pd.api.types.is_datetime64_any_dtype(cells.dtype):
        moments = pd.to_datetime(cells, utc=True)
        bad = np.zeros(len(cells), dtype=bool)
    else:

        def read(cell: Any) -> str | None:
            if isinstance(cell, (datetime, date)):
                return cell.isoformat()
            text = cell.strip()
            if not text and (as_text or not column.required):
                return None
            if not re.fullmatch(ISO_DATE, text):
                raise ValueError("not an ISO date")
            return text

        texts, bad = _each(cells, read, None)
        moments = pd.to_datetime(
            pd.Series(texts, dtype=object), format="ISO8601", utc=True, errors="coerce"
        )
        bad |= moments.isna().to_numpy() & np.array([text is not None for text in texts], bool)
    return moments.dt.tz_localize(None).dt.as_unit("us").array, bad


def _read_texts(cells: pd.Series, column: Column, as_text: bool) -> Read:
    def read(cell: Any) -> str | None:
        text = canonical(cell)
        return None if text in NULL_SPELLINGS else text

    values, bad = _each(cells, read, None)
    return pd.array(values, dtype="str"), bad


_READERS: dict[Kind, tuple[Callable[[pd.Series, Column, bool], Read], str]] = {
    "number": (_read_numbers, "a finite number"),
    "category": (_read_categories, "a category"),
    "boolean": (_read_booleans, "true or false"),
    "date": (_read_dates, "a date such as 2024-01-31 or 2024-01-31T08:00:00Z"),
    "text": (_read_texts, "a text"),
}


def conform(
    frame: pd.DataFrame, columns: Sequence[Column], *, as_text: bool = False
) -> pd.DataFrame:
    """Turns a raw frame into a typed one: exactly the given columns, in their order.

    Args:
        frame: (n_rows, any columns); columns that are not asked for are ignored.
        columns: the features, as inferred in training.
        as_text: every cell is text, as a CSV file read without interpretation has it; then "5.1"
            is a number and an empty cell is a missing value.

    Returns:
        (n_rows, n_columns): float64, str, boolean, datetime64[us] (UTC) or str, by kind.

    Raises:
        Refusal: a column is absent or doubled, or a cell cannot be read or may not be missing.
    """
    if not all(isinstance(name, str) for name in frame.columns):
        frame = frame.set_axis([str(name) for name in frame.columns], axis=1)
    present = set(frame.columns)
    doubled = set(frame.columns[frame.columns.duplicated()])
    typed: dict[str, Any] = {}
    problems = []
    for column in columns:
        name = column.name
        reader, wanted = _READERS[column.kind]
        if name in doubled:
            problems.append(f"column {name!r} is there more than once; send it once")
            continue
        if name not in present and column.required:
            problems.append(f"column {name!r} is missing; found {_listed(list(frame.columns))}")
            continue
        cells = frame[name] if name in present else pd.Series([None] * len(frame), dtype=object)
        values, bad = reader(cells, column, as_text)
        if bad.any():
            row = int(bad.argmax())
            found = _found(cells.iloc[row])
            problems.append(f"row {row + 1}, column {name!r}: expected {wanted}, found {found}")
        elif column.required and (empty := pd.isna(values)).any():
            row = int(np.asarray(empty).argmax())
            problems.append(
                f"row {row + 1}, column {name!r}: no value found, and this column needs one "
                "(it was never empty in training)"
            )
        typed[name] = values
    if problems:
        raise Refusal(*problems)
    return pd.DataFrame(typed, index=pd.RangeIndex(len(frame)), columns=[c.name for c in columns])


def faults(
    frame: pd.DataFrame, columns: Sequence[Column], *, as_text: bool = False
) -> dict[int, str]:
    """The rows that `conform` refuses, with the reason in a sentence: by position, from 0.

    Args:
        frame: (n_rows, at least the required columns), each column once.
        columns: the features.
        as_text: see `conform`.
    """
    reasons: dict[int, str] = {}
    for column in columns:
        if column.name not in frame.columns:
            continue
        reader, wanted = _READERS[column.kind]
        cells = frame[column.name]
        values, bad = reader(cells, column, as_text)
        for row in np.flatnonzero(bad):
            found = f"expected {wanted}, found {_found(cells.iloc[row])}"
            reasons.setdefault(int(row), f"column {column.name!r}: {found}")
        if column.required:
            for row in np.flatnonzero(np.asarray(pd.isna(values)) & ~bad):
                reasons.setdefault(
                    int(row),
                    f"column {column.name!r}: no value found, and this column needs one "
                    "(it was never empty in training)",
                )
    return reasons


def _listed(names: list[str]) -> str:
    shown = ", ".join(repr(name[:40]) for name in names[:8])
    return f"{shown} and {len(names) - 8} more" if len(names) > 8 else shown or "no columns"


def expanded_names(column: Column) -> list[str]:
    """Names of the columns that `expand` makes of one feature."""
    if column.kind != "date":
        return [column.name]
    parts = ["day", "month", "weekday", *(["hour"] if column.time else [])]
    return [f"{column.name} ({part})" for part in parts]


def expand(typed: pd.DataFrame, columns: Sequence[Column]) -> pd.DataFrame:
    """Turns a typed frame into what the pipeline is fitted on: numbers and strings.

    A boolean becomes 0.0 or 1.0, a date its days since 1970 and its month, weekday and hour.

    Args:
        typed: (n_rows, n_columns) from `conform`.
        columns: the same columns.

    Returns:
        (n_rows, at least n_columns), float64 and str; missing values are NaN, in texts "".
    """
    parts: dict[str, Any] = {}
    for column in columns:
        cells = typed[column.name]
        if column.kind == "date":
            microseconds = cells.to_numpy("datetime64[us]").astype(np.int64)
            days = pd.Series(microseconds / 86.4e9).mask(cells.isna().to_numpy())
            calendar = [days, cells.dt.month, cells.dt.day_of_week, cells.dt.hour]
            for name, part in zip(expanded_names(column), calendar, strict=False):
                parts[name] = part.to_numpy(dtype=np.float64, na_value=np.nan)
        elif column.kind == "boolean":
            parts[column.name] = cells.to_numpy(dtype=np.float64, na_value=np.nan)
        else:
            parts[column.name] = cells.fillna("") if column.kind == "text" else cells
    return pd.DataFrame(parts, index=typed.index)


# --- a few rows, without a frame ----------------------------------------------------------------

FEW_ROWS = 1000
"""Up to here cell by cell is faster than columns at once (`python -m benchmarks.serving`)."""

_PLAIN_DATE = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
    r"(?:[T ][0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{1,6})?)?Z?)?"
)
_EPOCH = datetime(1970, 1, 1)
_MICROSECOND = timedelta(microseconds=1)


class Unsure(Exception):
    """These rows are for `conform`: too many, or a cell that is not plain."""


def read_few(
    data: Any, columns: Sequence[Column], table_columns: Sequence[str], target: str
) -> Any:
    """Reads a few rows of plain cells to what `expand` would make of them.

    Args:
        data: what MLflow hands over: a frame, a list of dicts, a dict of arrays or an array.
        columns: the features.
        table_columns: headings of the training table without the target, in its order.
        target: heading of the predicted column.

    Returns:
        The n values of each expanded column by its name: floats (missing is NaN), categories
        (missing is None), texts (missing is "").

    Raises:
        Unsure: anything else than what is surely right.
    """
    known = {*table_columns, target}
    doubled = {mark for column in columns if (mark := f"{column.name}.1") not in known}
    cells, n_rows = _plain_cells(data, columns, table_columns, doubled)
    table: dict[str, list[Any]] = {}
    for column in columns:
        found = cells.get(column.name)
        if found is None:
            if column.required:
                raise Unsure
            found = [None] * n_rows
        read = [_SURE_READERS[column.kind](cell) for cell in found]
        if None in read:
            if column.kind == "category" and column.null_level is not None:
                read = [column.null_level if value is None else value for value in read]
            elif column.required:
                raise Unsure
        table |= _expand_few(read, column)
    return table


def _plain_cells(
    data: Any, columns: Sequence[Column], table_columns: Sequence[str], doubled: set[str]
) -> tuple[Mapping[str, list[Any]], int]:
    """The cells of each column as Python objects, and how many rows there are."""
    if not isinstance(data, (list, dict, np.ndarray, pd.DataFrame)) or len(data) == 0:
        raise Unsure
    if isinstance(data, list):
        if len(data) > FEW_ROWS:
            raise Unsure
        for row in data:
            if type(row) is not dict or set(map(type, row)) != {str} or not doubled.isdisjoint(row):
                raise Unsure
        found = {}
        for column in columns:
            name, required = column.name, column.required
            try:
                found[name] = [_plain(row[name] if required else row.get(name)) for row in data]
            except KeyError:
                raise Unsure from None
        return found, len(data)
    arrays: dict[str, np.ndarray]
    if isinstance(data, dict):
        arrays = data
    elif isinstance(data, np.ndarray):
        features = [column.name for column in columns]
        if data.ndim != 2 or any(column.kind != "number" for column in columns):
            raise Unsure
        width = data.shape[1]
        names = next((n for n in (list(table_columns), features) if len(n) == width), [])
        arrays = dict(zip(names, data.T, strict=False))
    else:
        names = data.columns.tolist()
        if len(data) > FEW_ROWS or len(set(names)) != len(names):
            raise Unsure
        arrays = dict(zip(names, data.to_numpy().T, strict=True))
    if not arrays or set(map(type, arrays)) != {str} or not doubled.isdisjoint(arrays):
        raise Unsure
    n_rows = -1
    for cells in arrays.values():
        if type(cells) is not np.ndarray or cells.ndim != 1 or cells.dtype.kind not in "fiubUO":
            raise Unsure
        n_rows = len(cells) if n_rows < 0 else n_rows
        if len(cells) != n_rows or n_rows > FEW_ROWS:
            raise Unsure
    wanted = [column.name for column in columns if column.name in arrays]
    return {name: list(map(_plain, arrays[name].tolist())) for name in wanted}, n_rows


# Each of these takes one cell and returns its value, None for a missing one.


def _absent(cell: Any) -> bool:
    return cell is None or (type(cell) is float and cell != cell)


def _sure_number(cell: Any) -> float | None:
    if _absent(cell):
        return None
    if type(cell) not in (float, int) or not -LARGEST <= cell <= LARGEST:
        raise Unsure
    return float(cell)


def _sure_category(cell: Any) -> str | None:
    if _absent(cell):
        return None
    if type(cell) is str:
        if not cell.isprintable() and any("\ud800" <= letter <= "\udfff" for letter in cell):
            raise Unsure  # half a character
    elif type(cell) is not bool and not (
        type(cell) in (float, int) and -_EXACT_INTEGER < cell < _EXACT_INTEGER
    ):
        raise Unsure
    word = canonical(cell)
    return None if word in NULL_SPELLINGS else word


def _sure_text(cell: Any) -> str | None:
    if type(cell) is not str and not _absent(cell):
        raise Unsure
    return _sure_category(cell)


def _sure_boolean(cell: Any) -> float | None:
    if _absent(cell):
        return None
    if type(cell) not in (bool, int, float) or cell not in (0, 1):
        raise Unsure
    return float(cell)


def _sure_date(cell: Any) -> datetime | None:
    if _absent(cell):
        return None
    if type(cell) is not str or not _PLAIN_DATE.fullmatch(cell):
        raise Unsure
    try:
        return datetime.fromisoformat(cell).replace(tzinfo=None)
    except ValueError:  # 2024-02-30
        raise Unsure from None


_SURE_READERS: dict[Kind, Callable[[Any], Any]] = {
    "number": _sure_number,
    "category": _sure_category,
    "boolean": _sure_boolean,
    "date": _sure_date,
    "text": _sure_text,
}


def _expand_few(values: list[Any], column: Column) -> dict[str, list[Any]]:
    if column.kind == "category":
        return {column.name: values}
    if column.kind == "text":
        return {column.name: [value or "" for value in values]}
    if column.kind != "date":
        return {column.name: [math.nan if value is None else value for value in values]}
    parts: list[Callable[[datetime], float]] = [
        lambda moment: (moment - _EPOCH) // _MICROSECOND / 86.4e9,
        lambda moment: moment.month,
        lambda moment: moment.weekday(),
        lambda moment: moment.hour,
    ]
    return {
        name: [math.nan if moment is None else part(moment) for moment in values]
        for name, part in zip(expanded_names(column), parts, strict=False)
    }


def load_module(path: str | Path) -> ModuleType:
    """Runs a Python file as a module of its own, known to nobody else.

    It is not entered among the imported modules: another version's file of the same name, loaded
    in the same process, stays another module. Nor is its bytecode kept, in the artifact store.
    """
    module = ModuleType(Path(path).stem)
    module.__file__ = str(path)
    exec(compile(Path(path).read_bytes(), str(path), "exec"), module.__dict__)
    return module


def load_pipeline(path: str | Path) -> Any:
    """Reads a pipeline from skops format, trusting only the types listed in this file.

    Raises:
        MlflowException: the file holds a type that is not on the list.
    """
    unknown = sorted(set(skops.io.get_untrusted_types(file=path)) - set(TRUSTED))
    if unknown:
        raise MlflowException(f"{Path(path).name} holds types that are not trusted: {unknown}")
    return skops.io.load(path, trusted=list(TRUSTED))


def _plain(value: Any) -> Any:
    """The value that MLflow wrapped into an array without dimensions."""
    return value.item() if isinstance(value, np.ndarray) and not value.ndim else value


def _as_frame(data: Any, columns: Sequence[Column], table_columns: list[str]) -> pd.DataFrame:
    """Whatever MLflow hands over, as a frame with named columns; names win over positions."""
    if isinstance(data, dict):
        if not data:
            raise Refusal("no columns found; send each column with a list of its values")
        if any(np.ndim(values) for values in data.values()):
            return _from_lists(data)
        data = [data]
    if isinstance(data, list) and all(isinstance(row, dict) for row in data):
        return pd.DataFrame([{name: _plain(cell) for name, cell in row.items()} for row in data])
    if isinstance(data, list):
        data = np.array(data, dtype=object)
    if isinstance(data, np.ndarray):
        if data.ndim != 2:
            raise Refusal("expected a list of rows, each an object or a list of values")
        if data.dtype.kind == "U":
            _refuse_texts(data, columns, table_columns)
        return _named_by_position(pd.DataFrame(data).infer_objects(), columns, table_columns)
    if not isinstance(data, pd.DataFrame):
        raise Refusal(f"expected rows of named values, found {_found(data)}")
    needed = {column.name for column in columns if column.required}
    if isinstance(data.columns, pd.RangeIndex) and not needed <= set(map(str, data.columns)):
        return data if data.empty else _named_by_position(data, columns, table_columns)
    return data


def _refuse_texts(texts: np.ndarray, columns: Sequence[Column], table_columns: list[str]) -> None:
    """Refuses a text among plain numbers, naming it alone: numpy makes texts of all such cells.

    Accepts nothing: which of the cells that look like numbers were texts cannot be told any more.
    """
    plain = np.vectorize(lambda text: bool(_PLAIN_NUMBER.fullmatch(text)), otypes=[bool])(texts)
    cells = texts.astype(object)
    cells[plain] = texts[plain].astype(float)
    frame = pd.DataFrame(cells).infer_objects()
    conform(_named_by_position(frame, columns, table_columns), columns)


def _from_lists(data: dict[str, Any]) -> pd.DataFrame:
    lengths = {len(values) if np.ndim(values) else None for values in data.values()}
    if len(lengths) > 1:
        raise Refusal("the columns have unequal lengths; send as many values for each")
    arrays = {name: np.asarray(values) for name, values in data.items()}
    return pd.DataFrame(
        {
            name: pd.Series([_plain(cell) for cell in cells] if cells.dtype == object else cells)
            if cells.ndim == 1
            else pd.Series(list(cells))
            for name, cells in arrays.items()
        }
    )


def _named_by_position(
    frame: pd.DataFrame, columns: Sequence[Column], table_columns: list[str]
) -> pd.DataFrame:
    features = [column.name for column in columns]
    if any(column.kind != "number" for column in columns):
        raise Refusal("rows without names need a model of numbers only; send names with the values")
    for names in (table_columns, features):
        if len(names) == len(frame.columns):
            return frame.set_axis(names, axis=1)
    width = len(frame.columns)
    raise Refusal(f"row 1: expected {len(features)} numbers ({_listed(features)}), found {width}")


def _refuse_doubled(frame: pd.DataFrame, features: Sequence[Column], known: set[str]) -> None:
    """Refuses `x.1` beside a feature `x`: pandas' mark of a heading that is there twice."""
    present = set(frame.columns)
    for column in features:
        if f"{column.name}.1" in present and f"{column.name}.1" not in known:
            raise Refusal(f"column {column.name!r} is there more than once; send it once")


class _UnknownParams(logging.Filter):
    """Refuses inference parameters that the model does not know.

    MLflow drops them with a warning, and so answers a mistyped `threshold` as if none was sent.
    Only the warning is seen in time; attached in a model server's own process alone.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Raises where MLflow warns."""
        text = record.getMessage()
        if text.startswith(("Unrecognized params", "`params` can only be specified")):
            raise Refusal("unknown params; the only one is 'threshold', of models of two classes")
        return True


class Bundle(PythonModel):
    """Preprocessing, classifier and probabilities behind MLflow's `predict`."""

    def load_context(self, context: Any) -> None:
        """Reads the artifacts, once, when MLflow loads the model."""
        spec = json.loads(Path(context.artifacts["bundle"]).read_text(encoding="utf-8"))
        self.columns = [Column(**{**c, "missing": tuple(c["missing"])}) for c in spec["columns"]]
        self.labels: list[Any] = spec["labels"]
        self.table_columns: list[str] = spec["table_columns"]
        self.target: str = spec["target"]
        self.outputs = [f"probability_{label}" for label in self.labels]
        self.threshold: float = spec.get("threshold", 0.5)
        self.pipeline = load_pipeline(context.artifacts["pipeline"])
        self.few: Callable[[Any], np.ndarray] | None = None
        if spec["compiled"]["proved"]:
            self.few = load_module(context.artifacts["compiled"]).compile_model(self.pipeline)
        self.thread_pools = ThreadpoolController()
        self.serves = "__pyfunc_model_path__" in os.environ  # set by `mlflow models serve`
        if self.serves:
            logger = logging.getLogger("mlflow.models.utils")
            if not any(type(f).__name__ == _UnknownParams.__name__ for f in logger.filters):
                logger.addFilter(_UnknownParams())
            gc.collect()
            gc.freeze()  # else the collector walks through every imported library while it serves

    def predict(
        self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame | list[dict[str, Any]]:
        """Scores rows.

        Args:
            context: of MLflow, unused.
            model_input: (n_rows, at least the required columns) frame; also a list of dicts, a dict
                of lists, or an array (n_rows, n_features) where all features are numbers.
            params: `threshold`: for two classes, the second is predicted where its probability
                is above it; by default the one that training has chosen, or 0.5.

        Returns:
            (n_rows, 1 + n_classes): `prediction`, a label of the training table in its own type,
            then `probability_<class>` in the order of the classes, each row summing to 1. In a
            model server the same as a list of dicts, which is what MLflow makes JSON of.

        Raises:
            Refusal: something in the input cannot be scored; the message says what and where.
        """
        try:
            threshold = float((params or {}).get("threshold", self.threshold))
            if not 0 <= threshold <= 1:
                raise Refusal(f"params: threshold must lie between 0 and 1, found {threshold}")
            probabilities = self._proba_of_few(model_input)
            if probabilities is None:
                frame = _as_frame(model_input, self.columns, self.table_columns)
                probabilities = self.predict_proba(frame)
            return self._answer(probabilities, threshold)
        except Refusal:
            raise
        except UnicodeEncodeError:
            raise Refusal(
                "the request holds half a character (such as \\ud800 alone); send whole ones"
            ) from None
        except Exception:
            _log.exception("a request could not be scored")
            raise Refusal("the request could not be scored; the server's log says why") from None

    def predict_proba(self, frame: pd.DataFrame) -> np.ndarray:
        """Probabilities, (n_rows, n_classes), of a raw frame with named columns.

        Args:
            frame: (n_rows, at least the required columns).

        Raises:
            Refusal: something in the frame cannot be scored; the message says what and where.
        """
        if frame.shape == (0, 0):
            return np.empty((0, len(self.labels)))
        _refuse_doubled(frame, self.columns, {*self.table_columns, self.target})
        typed = conform(frame, self.columns)  # a CSV without headings has no rows but wrong names
        if not len(frame):
            return np.empty((0, len(self.labels)))
        expanded = expand(typed, self.columns)
        with self._threads(len(frame)):
            probabilities = self.pipeline.predict_proba(expanded)
        if not np.isfinite(probabilities).all():
            row = int((~np.isfinite(probabilities).all(axis=1)).argmax())
            raise Refusal(f"row {row + 1}: its values are too extreme to be scored")
        return np.asarray(probabilities)

    def _proba_of_few(self, data: Any) -> np.ndarray | None:
        """Probabilities by the short way, None where the long one has to decide."""
        if self.few is None:
            return None
        try:
            table = read_few(data, self.columns, self.table_columns, self.target)
            with self._threads(FEW_ROWS):
                probabilities = self.few(table)
        except Unsure:
            return None
        except Exception:
            _log.exception("the compiled model failed; the pipeline answers")
            return None
        return probabilities if np.isfinite(probabilities).all() else None

    def _threads(self, n_rows: int) -> AbstractContextManager[Any]:
        """One OpenMP thread for a few rows: waking others takes longer than the work."""
        if n_rows > FEW_ROWS:
            return nullcontext()
        return self.thread_pools.limit(limits=1, user_api="openmp")

    def score_rows(
        self, frame: pd.DataFrame, *, as_text: bool = False
    ) -> tuple[pd.DataFrame, dict[int, str]]:
        """Scores the rows of a batch that can be scored; a bad cell costs its row alone.

        Args:
            frame: (n_rows, any columns) raw, with named columns.
            as_text: every cell is text, see `conform`.

        Returns:
            What `predict` answers for the rows that can be scored, in their order, and the reason
            for each of the others by its position from 0.

        Raises:
            Refusal: a column is missing or doubled, so that no row can be scored.
        """
        reasons: dict[int, str] = {}
        try:
            typed = conform(frame, self.columns, as_text=as_text)
        except Refusal:
            reasons = faults(frame, self.columns, as_text=as_text)
            kept = frame.drop(index=frame.index[list(reasons)]) if reasons else frame
            typed = conform(kept.reset_index(drop=True), self.columns, as_text=as_text)
        shares = np.empty((0, len(self.labels)))
        if len(typed):
            shares = np.asarray(self.pipeline.predict_proba(expand(typed, self.columns)))
        if not np.isfinite(shares).all():  # row by row takes three times as long
            finite = np.isfinite(shares).all(axis=1)
            positions = np.setdiff1d(np.arange(len(frame)), list(reasons))
            extreme = "its values are too extreme to be scored"
            reasons |= dict.fromkeys(positions[~finite].tolist(), extreme)
            shares = shares[finite]
        return self._table(shares, self.threshold), dict(sorted(reasons.items()))

    def _answer(
        self, probabilities: np.ndarray, threshold: float
    ) -> pd.DataFrame | list[dict[str, Any]]:
        if not self.serves:
            return self._table(probabilities, threshold)
        names, labels = ["prediction", *self.outputs], self.labels
        codes = self._codes(probabilities, threshold).tolist()
        rows = zip(codes, probabilities.tolist(), strict=True)
        return [dict(zip(names, (labels[code], *row), strict=True)) for code, row in rows]

    def _codes(self, probabilities: np.ndarray, threshold: float) -> np.ndarray:
        """(n_rows,) position of each row's label."""
        if len(self.labels) == 2:
            return (probabilities[:, 1] > threshold).astype(np.intp)
        return probabilities.argmax(axis=1)

    def _table(self, probabilities: np.ndarray, threshold: float) -> pd.DataFrame:
        codes = self._codes(probabilities, threshold)
        prediction = pd.Categorical.from_codes(codes, categories=pd.Index(self.labels))
        answer: dict[str, Any] = {"prediction": prediction}
        answer |= dict(zip(self.outputs, probabilities.T, strict=True))
        return pd.DataFrame(answer)


mlflow.models.set_model(Bundle())
