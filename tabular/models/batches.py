"""A loaded model and Arrow batches: the columns that it adds, and the rows it refuses.

Spark's executors run this module.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
import pyarrow as pa

from tabular.errors import BadInput, first_line
from tabular.models.model import LoadedModel, PredictedRows
from tabular.table.files import NULLABLE

ROW, REASON = "rejected_row", "rejected_reason"
"""Columns that a rejected row begins with, before its own."""

_PROBED = 100  # rows by which a model is asked what its answer looks like


@dataclass(frozen=True)
class Scored:
    """A batch after scoring.

    Args:
        rows: those that could be scored, with the model's columns after their own.
        reasons: why the others could not, by position in the batch.
    """

    rows: pa.RecordBatch
    reasons: dict[int, str]


def added_columns(
    model: LoadedModel, head: pa.RecordBatch, data: str, *, as_text: bool
) -> pa.Schema:
    """The columns that scoring adds to a table: `prediction_2` beside a feature `prediction`.

    Args:
        model: that scores.
        head: the first rows of the table.
        data: where the table came from.
        as_text: the table is a CSV, whose cells are uninterpreted text.

    Raises:
        BadInput: the table lacks a column or has one that would be added and is no feature of the
            model, or the model refuses all of the first rows.
    """
    names = head.schema.names
    model.check_columns(names, data)
    probe = head.slice(0, 0 if model.columns else _PROBED)
    predictions = _ask(model, probe, as_text)
    if probe.num_rows and not predictions.scored.any():
        raise BadInput(f"{model.uri} refuses every one of the first rows: {predictions.reasons[0]}")
    arrays = _arrays(predictions)
    added = pa.schema([(str(n), a.type) for n, a in zip(predictions.table, arrays, strict=True)])
    of_model = {*(model.inputs or ()), *model.table_columns}
    added = pa.schema(
        [f.with_name(_free(f.name, names)) if f.name in of_model else f for f in added]
    )
    if clash := [name for name in added.names if name in names]:
        raise BadInput(
            f"{data} has a column {clash[0]!r} already, which scoring would add; rename or "
            "remove it"
        )
    return added


def _free(name: str, names: Sequence[str]) -> str:
    """The name, with a number where a column of the table has it."""
    numbered = (f"{name}_{number}" for number in itertools.count(2))
    return name if name not in names else next(one for one in numbered if one not in names)


def score_batch(
    model: LoadedModel, added: pa.Schema, batch: pa.RecordBatch, *, as_text: bool
) -> Scored:
    """Scores a batch; `added` is from `added_columns`.

    Raises:
        BadInput: the model answers with another type than before, or to another number of rows.
    """
    predictions = _ask(model, batch, as_text)
    if not predictions.scored.all():
        batch = batch.filter(pa.array(predictions.scored))
    arrays = _arrays(predictions) if batch.num_rows else [pa.nulls(0, f.type) for f in added]
    try:
        columns = [
            array if array.type == field.type else array.cast(field.type)
            for array, field in zip(arrays, added, strict=True)
        ]
    except (pa.ArrowException, ValueError) as error:
        raise _of_no_type(model.uri, error) from None
    schema = pa.schema([*batch.schema, *added])
    rows = pa.RecordBatch.from_arrays([*batch.columns, *columns], schema=schema)
    return Scored(rows, predictions.reasons)


def _ask(model: LoadedModel, batch: pa.RecordBatch, as_text: bool) -> PredictedRows:
    names = batch.schema.names
    wanted = names if model.inputs is None else [name for name in model.inputs if name in names]
    return model.ask(model.read(to_frame(batch, wanted), as_text))


def to_frame(batch: pa.RecordBatch, names: Sequence[str]) -> pd.DataFrame:
    """Some columns of a batch as pandas holds them; integers and booleans stay so beside nulls."""
    columns: dict[str, Any] = {}
    for name in names:
        cells = batch.column(name)
        if pa.types.is_float64(cells.type):
            columns[name] = cells.to_numpy(zero_copy_only=False)
        else:
            columns[name] = cells.to_pandas(types_mapper=NULLABLE.get)
    return pd.DataFrame(columns, index=pd.RangeIndex(batch.num_rows), copy=False)


def _arrays(predictions: PredictedRows) -> list[pa.Array]:
    arrays = []
    for _, cells in predictions.table.items():
        try:
            if isinstance(cells.dtype, pd.CategoricalDtype):
                levels = pa.array(cells.cat.categories.tolist())
                arrays.append(levels.take(pa.array(cells.cat.codes.to_numpy())))
            else:
                text = pa.string() if isinstance(cells.dtype, pd.StringDtype) else None
                arrays.append(pa.array(cells.to_numpy(), text, from_pandas=True))
        except pa.ArrowException as error:
            raise _of_no_type(predictions.uri, error) from None
    return arrays


def _of_no_type(uri: str, error: Exception) -> BadInput:
    return BadInput(f"the answers of {uri} are not of one type: {first_line(error)}")
