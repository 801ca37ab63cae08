"""What runs in a Spark executor's Python."""

import functools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from tabular.models.batches import REASON, score_batch
from tabular.models.load import open_model
from tabular.models.model import LoadedModel


def score_partition(
    batches: Iterator[pa.RecordBatch],
    *,
    archive: str,
    uri: str,
    params: Mapping[str, Any],
    added: pa.Schema,
    as_text: bool,
    unreadable: str,
) -> Iterator[pa.RecordBatch]:
    """Scores the batches of a partition.

    Args:
        batches: of Spark.
        archive: name under which the model was sent.
        uri: of the model, for messages.
        params: of inference.
        added: columns that the model adds.
        as_text: the cells are uninterpreted text.
        unreadable: column that holds a line which could not be read; "" if there is none.

    Yields:
        All rows: their own columns, those of the model and, if it refused them, the reason.
    """
    model = _model(archive, uri, tuple(params.items()))
    for batch in batches:
        lines = batch.column(unreadable) if unreadable else None
        own = batch.drop_columns([unreadable]) if unreadable else batch
        if lines is not None and lines.null_count < len(lines):
            broken = own.filter(lines.is_valid())
            own = own.filter(lines.is_null())
            yield _refused(broken, ["the row has more or fewer cells than the heading"], added)
        scored = score_batch(model, added, own, as_text=as_text)
        yield scored.rows.append_column(REASON, pa.nulls(scored.rows.num_rows, pa.string()))
        if scored.reasons:
            positions = pa.array(list(scored.reasons), pa.int64())
            yield _refused(own.take(positions), list(scored.reasons.values()), added)


def _refused(rows: pa.RecordBatch, reasons: list[str], added: pa.Schema) -> pa.RecordBatch:
    every = reasons * rows.num_rows if len(reasons) == 1 else reasons
    columns = [*rows.columns, *(pa.nulls(rows.num_rows, field.type) for field in added)]
    schema = pa.schema([*rows.schema, *added, (REASON, pa.string())])
    return pa.RecordBatch.from_arrays([*columns, pa.array(every, pa.string())], schema=schema)


@functools.cache  # a worker's process lives for many tasks
def _model(archive: str, uri: str, params: tuple[tuple[str, Any], ...]) -> LoadedModel:
    from pyspark import SparkFiles

    return open_model(Path(SparkFiles.get(archive)), uri, dict(params))
