"""A table as it is read: in chunks of some ten thousand rows."""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa

MOST_CELLS = 4_000_000  # of a chunk, 32 MB of doubles
MOST_ROWS = 131_072  # of a chunk


class Unreadable(NamedTuple):
    """A line that is no row: its place in the table from 1, where and why, its cells."""

    place: int
    reason: str
    cells: list[str]


@dataclass(frozen=True)
class Chunk:
    """Consecutive rows of a table.

    Args:
        rows: those that could be read.
        numbers: (n_rows,) their places in the table, from 1.
        unreadable: lines of text that are no rows.
    """

    rows: pa.RecordBatch
    numbers: np.ndarray
    unreadable: tuple[Unreadable, ...] = ()


@dataclass(frozen=True)
class Table:
    """A table that is read in chunks.

    Args:
        name: of the table, as a file's name begins.
        schema: its columns; of delimited text all are text.
        as_text: its cells are uninterpreted text.
        separator: of its cells, if it is delimited text.
        n_rows: None if it is not known before reading.
        hash_bytes: makes the digest.
        chunks: begins to read, from the start each time.
        notes: how it is read, a sentence each.
    """

    name: str
    schema: pa.Schema
    as_text: bool
    separator: str
    n_rows: int | None
    hash_bytes: Callable[[], str]
    chunks: Callable[[], Iterator[Chunk]]
    notes: tuple[str, ...] = ()

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


def numbered(batches: Iterator[pa.RecordBatch]) -> Iterator[Chunk]:
    """Batches with the places of their rows, but for those without rows."""
    done = 0
    for batch in batches:
        if batch.num_rows:
            yield Chunk(batch, np.arange(done + 1, done + 1 + batch.num_rows))
            done += batch.num_rows


def of_arrow(table: pa.Table, name: str) -> Table:
    """A table in memory."""
    size = rows_per_chunk(table.num_columns)

    def hash_bytes() -> str:
        total = hashlib.sha256()
        for batch in table.to_batches():
            total.update(batch.serialize())
        return total.hexdigest()[:16]

    return Table(
        name=name,
        schema=table.schema,
        as_text=False,
        separator=",",
        n_rows=table.num_rows,
        hash_bytes=hash_bytes,
        chunks=lambda: numbered(iter(table.to_batches(max_chunksize=size))),
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
