"""Tables read in chunks: some ten thousand rows at a time, whatever the length."""

import codecs
import csv
import hashlib
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.dataset
from mlflow.exceptions import MlflowException

from tabular.errors import BadInput, choices, first_line
from tabular.table.dataset import BUILT_IN, TABLE_ENDINGS, load_built_in, safe_name

MOST_CELLS = 4_000_000  # of a chunk, 32 MB of doubles
MOST_ROWS = 131_072  # of a chunk
CSV_BYTES = 8 << 20  # of a chunk


@dataclass(frozen=True)
class Chunk:
    """Consecutive rows of a table.

    Args:
        rows: those that could be read.
        numbers: (n_rows,) their places in the table, from 1.
        unreadable: lines of a CSV with too few or too many cells: place, reason and the cells.
    """

    rows: pa.RecordBatch
    numbers: np.ndarray
    unreadable: tuple[tuple[int, str, list[str]], ...] = ()


@dataclass(frozen=True)
class Table:
    """A table that is read in chunks.

    Args:
        name: of the table, as a file's name begins.
        schema: its columns; of a CSV all are text.
        as_text: it is a CSV, whose cells are not interpreted.
        separator: of its cells, if it is a CSV.
        n_rows: None if it is not known before reading.
        hash_bytes: makes the digest.
        chunks: begins to read, from the start each time.
    """

    name: str
    schema: pa.Schema
    as_text: bool
    separator: str
    n_rows: int | None
    hash_bytes: Callable[[], str]
    chunks: Callable[[], Iterator[Chunk]]

    @cached_property
    def digest(self) -> str:
        """16 hex digits of its files' bytes."""
        return self.hash_bytes()

    @cached_property
    def head(self) -> pa.RecordBatch:
        """The first rows, by which a model is tried."""
        chunk = next(self.chunks(), None)
        return chunk.rows if chunk else pa.RecordBatch.from_pylist([], schema=self.schema)


def rows_per_chunk(n_columns: int) -> int:
    """How many rows of so many columns are read at once."""
    return max(1024, min(MOST_ROWS, MOST_CELLS // max(1, n_columns)))


@contextmanager
def open_table(data: str) -> Iterator[Table]:
    """Opens a table; what is not on this machine is fetched for as long as the block lasts.

    Args:
        data: a built-in set, or path or URI of `.csv`, `.csv.gz`, `.tsv`, `.parquet`, or a folder
            of Parquet files.

    Raises:
        BadInput: there is no such table, or it is not what its ending says.
    """
    with tempfile.TemporaryDirectory() as folder:
        if data in BUILT_IN:
            yield of_arrow(pa.Table.from_pandas(load_built_in(data)[0]), data)
            return
        path = _local(data, folder)
        try:
            table = _open(path, data)
            yield replace(table, chunks=lambda: _readable(table.chunks(), data))
        except (pa.ArrowException, UnicodeDecodeError) as error:
            raise _unreadable(data, error) from None


def _open(path: Path, data: str) -> Table:
    lower = path.name.lower()
    try:
        if path.is_dir() or lower.endswith((".parquet", ".pq")):
            return _parquet(path, safe_name(data))
        if lower.endswith(TABLE_ENDINGS):
            return _csv(path, safe_name(data))
    except OSError as error:  # not gzip, not ours to read
        raise _unreadable(data, error) from None
    raise BadInput(
        f"data {data!r} has an unknown ending; possible: {', '.join(TABLE_ENDINGS)}, "
        "or a folder of Parquet files"
    )


def _readable(chunks: Iterator[Chunk], data: str) -> Iterator[Chunk]:
    """Chunks, while the file holds; Arrow tells a broken one as it tells a full disk."""
    try:
        yield from chunks
    except OSError as error:
        raise _unreadable(data, error) from None


def _unreadable(data: str, error: Exception) -> BadInput:
    reason = first_line(error)
    if isinstance(error, UnicodeDecodeError) or "UTF8" in reason:
        reason = "it is not UTF-8 text; save it as UTF-8"
    return BadInput(f"{data} cannot be read: {reason}")


def of_arrow(table: pa.Table, name: str) -> Table:
    """A table in memory.

    Args:
        table: its rows.
        name: of it.
    """
    size = rows_per_chunk(table.num_columns)

    def hash_bytes() -> str:
        total = hashlib.sha256()
        for batch in table.to_batches():
            total.update(batch.serialize())
        return total.hexdigest()[:16]

    def chunks() -> Iterator[Chunk]:
        return _numbered(iter(table.to_batches(max_chunksize=size)))

    return Table(
        name=name,
        schema=table.schema,
        as_text=False,
        separator=",",
        n_rows=table.num_rows,
        hash_bytes=hash_bytes,
        chunks=chunks,
    )


def digest_of(path: Path) -> str:
    """16 hex digits that tell the bytes of a file, or of the files of a folder with their names."""
    total = hashlib.sha256()
    for file in sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]:
        with file.open("rb") as opened:
            one = hashlib.file_digest(opened, "sha256")
        if file == path:
            return one.hexdigest()[:16]
        total.update(f"{file.relative_to(path)} {one.hexdigest()}\n".encode())
    return total.hexdigest()[:16]


def _local(data: str, folder: str) -> Path:
    path = Path(data.removeprefix("file://"))
    if "://" in data.removeprefix("file://"):
        try:
            return Path(mlflow.artifacts.download_artifacts(data, dst_path=folder))
        except (MlflowException, OSError) as error:
            raise BadInput(f"data {data!r} cannot be fetched: {first_line(error)}") from None
    try:
        found = path.exists()
    except OSError:  # a name too long to be one
        found = False
    if not found:
        raise BadInput(
            f"data {data[:200]!r} not found: no such file or folder in {Path.cwd()}, and no "
            f"built-in set; {choices(data, BUILT_IN)}"
        )
    return path


def _numbered(batches: Iterator[pa.RecordBatch]) -> Iterator[Chunk]:
    done = 0
    for batch in batches:
        if batch.num_rows:
            yield Chunk(batch, np.arange(done + 1, done + 1 + batch.num_rows))
            done += batch.num_rows


# --- Parquet ------------------------------------------------------------------------------------


def _parquet(path: Path, name: str) -> Table:
    dataset = pyarrow.dataset.dataset(path, format="parquet", partitioning="hive")
    fragments = list(dataset.get_fragments())
    if not fragments:
        raise BadInput(f"{path} cannot be read: it holds no Parquet file")
    schemas = [dataset.schema, *(fragment.physical_schema for fragment in fragments[1:])]
    dataset = dataset.replace_schema(pa.unify_schemas(schemas, promote_options="permissive"))
    size = rows_per_chunk(len(dataset.schema))

    def chunks() -> Iterator[Chunk]:
        # few at once, and without Arrow's buffer of whole row groups: memory stays flat
        scan = pyarrow.dataset.ParquetFragmentScanOptions(pre_buffer=False)
        read = dataset.to_batches(
            batch_size=size, batch_readahead=1, fragment_readahead=1, fragment_scan_options=scan
        )
        return _numbered(read)

    return Table(
        name=name,
        schema=dataset.schema,
        as_text=False,
        separator=",",
        n_rows=dataset.count_rows(),
        hash_bytes=lambda: digest_of(path),
        chunks=chunks,
    )


# --- CSV ----------------------------------------------------------------------------------------


def read_heading(head: str, source: str) -> tuple[list[str], str]:
    """The columns of a CSV and its separator, told from its first line as in training.

    Args:
        head: its beginning.
        source: its name, whose ending tells a TSV.

    Raises:
        BadInput: it has no heading, or one that names a column twice.
    """
    separator = "\t" if ".tsv" in source.lower()[-7:] else ","
    names = next((row for row in csv.reader(head.splitlines(True), delimiter=separator) if row), [])
    if len(names) == 1:
        for other in ";\t|":
            if other in names[0]:
                separator = other
                names = next(csv.reader([names[0]], delimiter=other))
    if not names:
        raise BadInput(f"{source} cannot be read: it is empty; its first line is the heading")
    names = [cell or f"Unnamed: {position}" for position, cell in enumerate(names)]
    if doubled := [cell for cell, times in Counter(names).items() if times > 1]:
        raise BadInput(f"column {doubled[0]!r} is in {source} more than once; rename one of them")
    return names, separator


def _csv(path: Path, name: str) -> Table:
    compression = "gzip" if path.name.lower().endswith(".gz") else None
    with pa.input_stream(str(path), compression=compression) as stream:
        # of what is cut off at the end, a letter may be half there
        head = codecs.getincrementaldecoder("utf-8-sig")().decode(stream.read(1 << 20))
    names, separator = read_heading(head, str(path))

    def chunks() -> Iterator[Chunk]:
        skipped: list[tuple[int, str, list[str]]] = []

        def skip(row: Any) -> str:
            cells = next(csv.reader([row.text], delimiter=separator), [])
            reason = f"the row has {row.actual_columns} cells, the heading {row.expected_columns}"
            skipped.append((row.number - 1, reason, cells))
            return "skip"

        with pa.input_stream(str(path), compression=compression) as stream:
            read = pyarrow.csv.open_csv(
                stream,
                # threads would lose the rows' numbers
                pyarrow.csv.ReadOptions(block_size=CSV_BYTES, use_threads=False),
                pyarrow.csv.ParseOptions(
                    delimiter=separator, newlines_in_values=True, invalid_row_handler=skip
                ),
                pyarrow.csv.ConvertOptions(
                    column_types={cell: pa.string() for cell in names}, strings_can_be_null=False
                ),
            )
            done = 0
            for batch in read:
                ends = done + batch.num_rows
                now = []
                while skipped and skipped[0][0] <= ends + 1:
                    now.append(skipped.pop(0))
                    ends += 1
                numbers = np.setdiff1d(np.arange(done + 1, ends + 1), [n for n, _, _ in now])
                yield Chunk(batch.rename_columns(names), numbers, tuple(now))
                done = ends
            if skipped:
                empty = pa.RecordBatch.from_pylist([], schema=schema)
                yield Chunk(empty, np.arange(0), tuple(skipped))

    schema = pa.schema([(cell, pa.string()) for cell in names])
    return Table(
        name=name,
        schema=schema,
        as_text=True,
        separator=separator,
        n_rows=None,
        hash_bytes=lambda: digest_of(path),
        chunks=chunks,
    )
