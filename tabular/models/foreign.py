"""Models of other makers, asked through MLflow's `predict` alone."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from mlflow.types import DataType

from tabular.errors import BadInput, first_line
from tabular.models.model import PROBABILITY, LoadedModel, Predict, ReadTable, as_python
from tabular.models.requests import AsFrame, request_reader

MOST_REFUSALS = 1000  # of a model, which is asked again and again to find the rows it refuses


def as_foreign(pyfunc: Any, *, uri: str, path: Path, run_id: str) -> LoadedModel:
    """A loaded model of any flavour; see `LoadedModel`.

    It gets the columns of its signature in their types; without one it gets a typed table as it
    stands. Where scikit-learn's classifier is behind it, its probabilities are taken beside the
    labels.
    """
    schema = pyfunc.metadata.get_input_schema()
    types, optional = None, set()
    if schema is not None and schema.has_input_names():
        types = dict(zip(schema.input_names(), schema.input_types(), strict=True))
        optional = set(schema.optional_input_names())
    required = tuple(name for name in types or () if name not in optional)
    raw_model = _inside(pyfunc)
    classes = getattr(raw_model, "classes_", None) if hasattr(raw_model, "predict_proba") else None
    known = classes.tolist() if isinstance(classes, np.ndarray) and classes.ndim == 1 else []

    def read(raw: pd.DataFrame, as_text: bool) -> ReadTable:
        if types is None and as_text:
            raise BadInput(
                f"{uri} names no input columns in its signature, so the text cells of a CSV have "
                "no types; give the table as Parquet"
            )
        return _read(raw, types, required, as_text)

    return LoadedModel(
        uri=uri,
        path=path,
        pyfunc=pyfunc,
        inputs=None if types is None else tuple(types),
        required=required,
        read=read,
        predict=_predictor(pyfunc, raw_model, known, uri),
        classes=tuple(map(as_python, known)),
        run_id=run_id,
        requests=request_reader(list(types), _as_frame(list(types)), read, schema=schema)
        if types
        else None,
    )


def _inside(pyfunc: Any) -> Any:
    """The model of a library inside MLflow's, None where there is none or MLflow hides it."""
    try:
        return pyfunc.get_raw_model()
    except NotImplementedError:  # how MLflow says that it hides it
        return None


def _predictor(pyfunc: Any, raw_model: Any, classes: list[Any], uri: str) -> Predict:
    refusals = 0

    def ask(rows: pd.DataFrame) -> pd.DataFrame:
        table = _as_table(pyfunc.predict(rows))
        if list(table.columns) == ["prediction"] and classes:
            proba = np.asarray(raw_model.predict_proba(rows))
            for label, column in zip(classes, proba.T, strict=True):
                table[f"{PROBABILITY}{label}"] = column
        return table

    def bisect(typed: pd.DataFrame, rows: np.ndarray) -> tuple[list[pd.DataFrame], dict[int, str]]:
        """Finds the rows that the model raises an error on by halving."""
        nonlocal refusals
        try:
            table = ask(_as_numpy(typed.iloc[rows].reset_index(drop=True)))
        except Exception as error:  # whatever a model raises on rows it cannot score
            reason = first_line(error)[:500]
        else:
            if len(table) == len(rows):
                return [table], {}
            raise BadInput(f"{uri} gives {len(table)} answers to {len(rows)} rows")
        refusals += 1
        if refusals > MOST_REFUSALS:
            raise BadInput(f"{uri} refuses too many rows, one of them: {reason}")
        if len(rows) == 1:
            return [], {int(rows[0]): reason}
        half = len(rows) // 2
        first, why = bisect(typed, rows[:half])
        second, also = bisect(typed, rows[half:])
        return first + second, why | also

    def predict(typed: pd.DataFrame) -> tuple[pd.DataFrame, dict[int, str]]:
        if typed.empty:
            return pd.DataFrame(), {}
        tables, reasons = bisect(typed, np.arange(len(typed)))
        return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(), reasons

    return predict


def _as_frame(names: list[str]) -> AsFrame:
    """What MLflow's server has read of a request, with the names of the signature."""
    return lambda data: (
        pd.DataFrame(data, columns=names).infer_objects()
        if isinstance(data, np.ndarray)
        else pd.DataFrame(data)
    )


def _as_table(answer: Any) -> pd.DataFrame:
    if isinstance(answer, pd.DataFrame):
        table = answer.reset_index(drop=True)
    elif isinstance(answer, list) and answer and isinstance(answer[0], dict):
        table = pd.DataFrame(answer)
    elif np.ndim(answer) == 2:
        table = pd.DataFrame(np.asarray(answer)).add_prefix("output_")
    else:
        table = pd.DataFrame({"prediction": np.asarray(answer)})
    return table.set_axis(["prediction"], axis=1) if table.shape[1] == 1 else table


def _as_numpy(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows with numpy's types where pandas has types of its own, as other models expect them."""
    columns = {}
    for name, cells in rows.items():
        dtype: Any = cells.dtype
        if pd.api.types.is_extension_array_dtype(dtype) and pd.api.types.is_numeric_dtype(dtype):
            if not cells.isna().any():
                cells = cells.astype(dtype.numpy_dtype)
            else:
                cells = cells.astype(object if dtype == "boolean" else np.float64)
        columns[name] = cells
    return pd.DataFrame(columns, index=rows.index, copy=False)


def _read(
    raw: pd.DataFrame, types: dict[str, Any] | None, required: tuple[str, ...], as_text: bool
) -> ReadTable:
    """Cells in the types of a model's signature; MLflow refuses 5 where 5.0 is declared."""
    kinds = dict.fromkeys(raw.columns) if types is None else types
    read = {
        name: _read_column(raw[name], kind, as_text) for name, kind in kinds.items() if name in raw
    }
    absent = tuple(name for name in kinds if name not in raw)
    gone = next((name for name in absent if name in required), None)
    index = raw.index
    typed = pd.DataFrame({n: values for n, (values, _, _) in read.items()}, index, copy=False)
    unreadable = pd.DataFrame({n: bad for n, (_, bad, _) in read.items()}, index)
    refused = unreadable.to_numpy(bool).any(axis=1) | (gone is not None)

    def reasons() -> dict[int, str]:
        lacks = f"column {gone!r}: the table lacks it"
        why = {} if gone is None else dict.fromkeys(range(len(raw)), lacks)
        for name, (_, bad, wanted) in read.items():
            for row in np.flatnonzero(bad).tolist():
                cell = repr(str(raw[name].iloc[row])[:40])
                why.setdefault(row, f"column {name!r}: expected {wanted}, found {cell}")
        return why

    return ReadTable(typed, unreadable, absent, refused, reasons)


def _read_column(cells: pd.Series, kind: Any, as_text: bool) -> tuple[Any, np.ndarray, str]:
    """Typed cells, which of them cannot be read, and what was expected."""
    blank = (cells == "") if as_text else cells.isna()
    good = np.zeros(len(cells), dtype=bool)
    if isinstance(cells.dtype, pd.CategoricalDtype) and isinstance(kind, DataType):
        cells = cells.astype(object)
    if kind in (DataType.double, DataType.float):
        values = pd.to_numeric(cells.mask(blank), errors="coerce")
        values = values.astype("float64" if kind == DataType.double else "float32")
        return values, _lost(values, cells, blank), "a number"
    if kind in (DataType.long, DataType.integer):
        values = pd.to_numeric(cells.mask(blank), errors="coerce").astype("Float64")
        values = values.mask(values % 1 != 0)
        whole = values.astype("Int64" if kind == DataType.long else "Int32")
        return whole, _lost(values, cells, blank), "a whole number"
    if kind == DataType.boolean and as_text:
        words = {"true": True, "false": False, "1": True, "0": False}
        values = cells.str.strip().str.lower().map(words).astype("boolean")
        return values, _lost(values, cells, blank), "true or false"
    if kind == DataType.datetime and not pd.api.types.is_datetime64_any_dtype(cells.dtype):
        values = pd.to_datetime(cells.mask(blank), errors="coerce", format="ISO8601")
        return values, _lost(values, cells, blank), "a date"
    if kind == DataType.string and pd.api.types.is_integer_dtype(cells.dtype):
        return cells.map(str, na_action="ignore"), good, ""
    return cells, good, ""


def _lost(values: pd.Series, cells: pd.Series, blank: pd.Series) -> np.ndarray:
    """Cells that hold something and could not be read."""
    return (values.isna() & ~blank & cells.notna()).to_numpy(dtype=bool)
