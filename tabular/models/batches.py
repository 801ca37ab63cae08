"""A loaded model and Arrow batches: which rows it scores, what it answers, why it refuses others.

Spark's executors run this module, so it imports nothing but libraries and its neighbour.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from mlflow.exceptions import MlflowException

from tabular.models.foreign import Answer, Ask, NotScorable, ask_foreign

ROW, REASON = "rejected_row", "rejected_reason"
"""Columns that a rejected row is told by, before its own."""

_NULLABLE = {
    pa.bool_(): pd.BooleanDtype(),
    pa.int8(): pd.Int8Dtype(),
    pa.int16(): pd.Int16Dtype(),
    pa.int32(): pd.Int32Dtype(),
    pa.int64(): pd.Int64Dtype(),
    pa.uint8(): pd.UInt8Dtype(),
    pa.uint16(): pd.UInt16Dtype(),
    pa.uint32(): pd.UInt32Dtype(),
    pa.uint64(): pd.UInt64Dtype(),
}
_PROBED = 100  # rows by which a model is asked what its answer looks like


@dataclass(frozen=True)
class Scorer:
    """A classifier that is asked for batches.

    Args:
        needed: columns that it reads; None for all.
        ask: from a frame of those columns, and whether its cells are text, to the answers for the
            rows that can be scored and the reasons for the others by position.
        added: the columns that it adds to a table.
    """

    needed: tuple[str, ...] | None
    ask: Ask
    added: pa.Schema


@dataclass(frozen=True)
class Scored:
    """A batch after scoring.

    Args:
        rows: those that could be scored, with the model's columns after their own.
        reasons: why the others could not, by position in the batch.
    """

    rows: pa.RecordBatch
    reasons: dict[int, str]


def make_scorer(loaded: Any, head: pa.RecordBatch, *, as_text: bool) -> Scorer:
    """Finds out how to ask a model, and what it adds.

    A bundle is asked through its own `score_rows`, which reads a table as its training did. Any
    other model gets the columns of its signature, in their types, through MLflow's `predict`;
    where scikit-learn's classifier is behind it, its probabilities are taken too.

    Args:
        loaded: of `mlflow.pyfunc`.
        head: the first rows of the table.
        as_text: the table is a CSV, whose cells are uninterpreted text.

    Raises:
        NotScorable: the table lacks a column, or the model cannot be asked.
    """
    needed, ask = ask_of(loaded, head.schema.names, as_text=as_text)
    ours = _bundle(loaded) is not None
    probe = head.slice(0, 0 if ours else _PROBED)
    try:
        answer, reasons = ask(to_frame(probe, None if ours else needed), as_text)
    except MlflowException as error:
        raise NotScorable(error.message) from None
    if not ours and head.num_rows and len(reasons) == probe.num_rows:
        raise NotScorable(f"the model refuses every one of the first rows: {reasons[0]}")
    try:
        arrays = _arrays(answer)
    except pa.ArrowException as error:
        raise _of_no_type(error) from None
    added = pa.RecordBatch.from_arrays(arrays, [str(name) for name in answer.columns])
    if clash := [name for name in added.schema.names if name in head.schema.names]:
        raise NotScorable(
            f"it has a column {clash[0]!r} already, which scoring would add; rename or remove it"
        )
    return Scorer(needed, ask, added.schema)


def ask_of(
    loaded: Any, names: Sequence[str], *, as_text: bool
) -> tuple[tuple[str, ...] | None, Ask]:
    """The columns that a model reads, None for all, and how to ask it.

    Args:
        loaded: of `mlflow.pyfunc`.
        names: columns of the table.
        as_text: the table's cells are uninterpreted text.

    Raises:
        NotScorable: the table lacks a column, or its cells have no types.
    """
    bundle = _bundle(loaded)
    if bundle is None:
        return ask_foreign(loaded, names, as_text=as_text)

    def ask(frame: pd.DataFrame, as_text: bool) -> Answer:
        answer: Answer = bundle.score_rows(frame, as_text=as_text)
        return answer

    return tuple(column.name for column in bundle.columns if column.name in names), ask


def score_batch(scorer: Scorer, batch: pa.RecordBatch, *, as_text: bool) -> Scored:
    """Scores a batch.

    Args:
        scorer: from `make_scorer`.
        batch: (n_rows, n_columns).
        as_text: the cells are uninterpreted text.

    Raises:
        NotScorable: the model answers with another type than before, or to another number of rows.
    """
    answer, reasons = scorer.ask(to_frame(batch, scorer.needed), as_text)
    if reasons:
        kept = np.ones(batch.num_rows, dtype=bool)
        kept[list(reasons)] = False
        batch = batch.filter(pa.array(kept))
    try:
        added = [
            array if array.type == field.type else array.cast(field.type)
            for array, field in zip(_arrays(answer), scorer.added, strict=True)
        ]
    except pa.ArrowException as error:
        raise _of_no_type(error) from None
    schema = pa.schema([*batch.schema, *scorer.added])
    return Scored(pa.RecordBatch.from_arrays([*batch.columns, *added], schema=schema), reasons)


def to_frame(batch: pa.RecordBatch, names: Sequence[str] | None) -> pd.DataFrame:
    """Columns of a batch as pandas holds them; integers and booleans stay so beside nulls.

    Args:
        batch: (n_rows, any columns).
        names: of the columns to take; None for all.

    Returns:
        (n_rows, n_names).
    """
    columns: dict[str, Any] = {}
    for name in batch.schema.names if names is None else names:
        cells = batch.column(name)
        if pa.types.is_float64(cells.type):
            columns[name] = cells.to_numpy(zero_copy_only=False)
        else:
            columns[name] = cells.to_pandas(types_mapper=_NULLABLE.get)
    index = pd.RangeIndex(batch.num_rows)
    return pd.DataFrame(columns, index=index, copy=False)


def _arrays(answer: pd.DataFrame) -> list[pa.Array]:
    arrays = []
    for _, cells in answer.items():
        if isinstance(cells.dtype, pd.CategoricalDtype):
            levels = pa.array(cells.cat.categories.tolist())
            arrays.append(levels.take(pa.array(cells.cat.codes.to_numpy())))
        else:
            arrays.append(pa.array(cells.to_numpy(), from_pandas=True))
    return arrays


def _of_no_type(error: pa.ArrowException) -> NotScorable:
    return NotScorable(f"the model's answers are not of one type: {error}")


def _bundle(loaded: Any) -> Any:
    """The model's own code, if it is one that scores rows of any table; None for other models."""
    try:
        model = loaded.unwrap_python_model()
    except MlflowException:
        return None
    return model if hasattr(model, "score_rows") and hasattr(model, "columns") else None
