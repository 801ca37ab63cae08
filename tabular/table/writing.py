"""Tables written batch by batch: CSV, Parquet, a folder of Parquet."""

import csv
import io
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from tabular.errors import BadInput
from tabular.table.addresses import ENDING

TABLE_ENDINGS = (".csv", ".csv.gz", ".tsv", ".tsv.gz", ".parquet", ".pq")
ROWS_PER_FILE = 1_000_000  # of a folder

Write = Callable[[pa.RecordBatch], None]


def ending_like(data: str) -> str:
    """The ending of a file like another one: its own where it can be written, else the nearest."""
    match = ENDING.search(data)
    if match and match[0].lower() in TABLE_ENDINGS:
        return match[0].lower()
    return ".csv" if match and match[1] in ("csv", "tsv") else ".parquet"


@contextmanager
def open_writer(path: Path, schema: pa.Schema, *, separator: str = ",") -> Iterator[Write]:
    """Opens a file, or a folder of Parquet files, to write a table in.

    Args:
        path: `.csv`, `.csv.gz`, `.tsv`, `.tsv.gz`, `.parquet`, `.pq`; any other is a folder.
        schema: of the table; its metadata go into a Parquet file.
        separator: of cells in a `.csv`.
    """
    lower = path.name.lower()
    if lower.endswith((".parquet", ".pq")):
        opened = _write_parquet(path, schema)
    elif lower.endswith(TABLE_ENDINGS):
        opened = _write_csv(path, schema, "\t" if ".tsv" in lower[-7:] else separator)
    else:
        opened = _write_folder(path, schema)
    with opened as write:
        yield write


@contextmanager
def _write_parquet(path: Path, schema: pa.Schema) -> Iterator[Write]:
    # a dictionary pays for words, and costs a hash of every cell for doubles that all differ
    words = [f.name for f in schema if not pa.types.is_floating(f.type)]
    with pq.ParquetWriter(path, schema, compression="lz4", use_dictionary=words) as writer:
        yield writer.write_batch


@contextmanager
def _write_folder(path: Path, schema: pa.Schema) -> Iterator[Write]:
    path.mkdir()
    parts = rows = 0
    with ExitStack() as opened:

        def begin() -> Write:
            nonlocal parts, rows
            opened.close()
            part = _write_parquet(path / f"part-{parts:05d}.parquet", schema)
            parts, rows = parts + 1, 0
            return opened.enter_context(part)

        write_part = begin()

        def write(batch: pa.RecordBatch) -> None:
            nonlocal rows, write_part
            if rows >= ROWS_PER_FILE:
                write_part = begin()
            write_part(batch)
            rows += batch.num_rows

        yield write


@contextmanager
def _write_csv(path: Path, schema: pa.Schema, separator: str) -> Iterator[Write]:
    compression = "gzip" if path.name.lower().endswith(".gz") else None
    plain = pyarrow.csv.WriteOptions(
        include_header=False, delimiter=separator, quoting_style="none"
    )
    special = f'["\r\n{separator}]'
    words = [i for i, f in enumerate(schema) if _is_words(f.type)]
    for field in schema:
        if pa.types.is_nested(field.type):
            raise BadInput(
                f"column {field.name!r} holds {field.type}, which CSV cannot; write Parquet"
            )
    with pa.output_stream(str(path), compression=compression) as stream:
        stream.write(_csv_lines([schema.names], separator))

        def write(batch: pa.RecordBatch) -> None:
            columns = [pc.cast(column, pa.string()) for column in batch.columns]
            if any(pc.any(pc.match_substring_regex(columns[i], special)).as_py() for i in words):
                lines = zip(*(column.to_pylist() for column in columns), strict=True)
                stream.write(_csv_lines(lines, separator))
            else:  # Arrow would put every text in quotes, or none
                pyarrow.csv.write_csv(
                    pa.RecordBatch.from_arrays(columns, schema.names), stream, plain
                )

        yield write


def _is_words(kind: pa.DataType) -> bool:
    return not (
        pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)
    )


def _csv_lines(rows: Iterable[Any], separator: str) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=separator, lineterminator="\n").writerows(rows)
    return text.getvalue().encode()
