"""Models that this project has not made, asked for batches through MLflow's `predict` alone.

Spark's executors run this module, so it imports libraries and `tabular.errors` alone.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from mlflow.types import DataType

from tabular.errors import first_line

MOST_REFUSALS = 1000  # of a model, which is asked again and again to find the rows it refuses

Answer = tuple[pd.DataFrame, dict[int, str]]
Ask = Callable[[pd.DataFrame, bool], Answer]


class NotScorable(Exception):
    """The table as a whole cannot be scored by this model; the message says why."""


def ask_foreign(
    loaded: Any, names: Sequence[str], *, as_text: bool
) -> tuple[tuple[str, ...] | None, Ask]:
    """Finds the columns that a model needs, and how to ask it.

    It gets the columns of its signature in their types. Rows that it raises an error on are found
    by halving the batch. Where scikit-learn's classifier is behind it, its probabilities are taken
    beside the labels.

    Args:
        loaded: of `mlflow.pyfunc`.
        names: columns of the table.
        as_text: the table's cells are uninterpreted text.

    Raises:
        NotScorable: the table lacks a column, or its cells have no types.
    """
    schema = loaded.metadata.get_input_schema()
    if schema is None or not schema.has_input_names():
        if as_text:
            raise NotScorable(
                "the model's signature names no input columns, so the text cells of a CSV have no "
                "types; give the table as Parquet"
            )
        needed, types = None, {}
    else:
        types = dict(zip(schema.input_names(), schema.input_types(), strict=True))
        needed = tuple(name for name in types if name in names)
        optional = set(schema.optional_input_names())
        if missing := [name for name in types if name not in names and name not in optional]:
            raise NotScorable(f"column {missing[0]!r} is missing, which the model needs")
    raw = _inside(loaded)
    classes = getattr(raw, "classes_", None) if hasattr(raw, "predict_proba") else None
    refusals = 0

    def predict(frame: pd.DataFrame) -> pd.DataFrame:
        answer = _as_table(loaded.predict(frame))
        if list(answer.columns) == ["prediction"] and isinstance(classes, np.ndarray):
            shares = np.asarray(raw.predict_proba(frame))
            for label, share in zip(classes, shares.T, strict=True):
                answer[f"probability_{label}"] = share
        return answer

    def bisect(frame: pd.DataFrame, positions: np.ndarray) -> tuple[list[pd.DataFrame], Any]:
        nonlocal refusals
        try:
            answer = predict(frame.iloc[positions].reset_index(drop=True))
        except Exception as error:  # whatever a model raises on rows it cannot score
            reason = first_line(error)[:500]
        else:
            if len(answer) == len(positions):
                return [answer], {}
            raise NotScorable(f"the model gives {len(answer)} answers to {len(positions)} rows")
        refusals += 1
        if refusals > MOST_REFUSALS:
            raise NotScorable(f"the model refuses too many rows, one of them: {reason}")
        if len(positions) == 1:
            return [], {int(positions[0]): reason}
        half = len(positions) // 2
        first, why = bisect(frame, positions[:half])
        second, also = bisect(frame, positions[half:])
        return first + second, why | also

    def ask(frame: pd.DataFrame, as_text: bool) -> Answer:
        typed, reasons = _in_types(frame, types, as_text)
        rest = np.setdiff1d(np.arange(len(frame)), list(reasons))
        if not len(rest):
            return pd.DataFrame(), reasons
        answers, why = bisect(typed, rest)
        answer = pd.concat(answers, ignore_index=True) if answers else pd.DataFrame()
        return answer, dict(sorted((reasons | why).items()))

    return needed, ask


def _inside(loaded: Any) -> Any:
    """The model of a library inside MLflow's, None where there is none or MLflow hides it."""
    try:
        return loaded.get_raw_model()
    except (AttributeError, NotImplementedError):
        return None


def _as_table(answer: Any) -> pd.DataFrame:
    if isinstance(answer, pd.DataFrame):
        frame = answer.reset_index(drop=True)
    elif isinstance(answer, list) and answer and isinstance(answer[0], dict):
        frame = pd.DataFrame(answer)
    elif np.ndim(answer) == 2:
        frame = pd.DataFrame(np.asarray(answer)).add_prefix("output_")
    else:
        frame = pd.DataFrame({"prediction": np.asarray(answer)})
    return frame.set_axis(["prediction"], axis=1) if frame.shape[1] == 1 else frame


def _in_types(
    frame: pd.DataFrame, types: dict[str, Any], as_text: bool
) -> tuple[pd.DataFrame, dict[int, str]]:
    """Cells in the types of a model's signature; MLflow refuses 5 where 5.0 is declared."""
    typed: dict[Any, Any] = {}
    reasons: dict[int, str] = {}
    for name, cells in frame.items():
        kind = types.get(str(name))
        blank = (cells == "") if as_text else cells.isna()
        wanted = ""
        values = cells
        if kind in (DataType.double, DataType.float, DataType.long, DataType.integer):
            wanted = "a number"
            values = pd.to_numeric(cells.mask(blank), errors="coerce")
            if kind in (DataType.double, DataType.float):
                values = values.astype("float64" if kind == DataType.double else "float32")
        elif kind == DataType.boolean and as_text:
            wanted = "true or false"
            words = {"true": True, "false": False, "1": True, "0": False}
            values = cells.str.strip().str.lower().map(words)
        elif kind == DataType.datetime and as_text:
            wanted = "a date"
            values = pd.to_datetime(cells.mask(blank), errors="coerce", format="ISO8601")
        if wanted:
            bad = (values.isna() & ~blank & cells.notna()).to_numpy(dtype=bool)
            for row in np.flatnonzero(bad):
                found = str(cells.iloc[row])[:40]
                reasons.setdefault(int(row), f"column {name!r}: expected {wanted}, found {found!r}")
        typed[name] = values
    return pd.DataFrame(typed, copy=False), reasons
