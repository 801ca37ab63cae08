"""The one reader of files: a table in chunks of some ten thousand rows, or whole."""

import csv
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.dataset

from tabular.errors import BadInput, first_line
from tabular.table.addresses import (
    BUILT_IN,
    ENDING,
    ENDINGS,
    Download,
    fetch,
    load_built_in,
    safe_name,
    without_password,
)
from tabular.table.chunks import (
    Chunk,
    Table,
    Unreadable,
    digest_of,
    numbered,
    of_arrow,
    rows_per_chunk,
)
from tabular.table.delimited import layout_of, read_rows
from tabular.table.joined import joined, partition
from tabular.table.request_log import NAME, RequestReader, spool_log
from tabular.table.spool import is_database, spool_excel, spool_json, spool_query

NULLABLE = {
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
"""How pandas holds Arrow's types so that integers and booleans stay so beside nulls."""


@dataclass(frozen=True)
class RawTable:
    """A whole table as it stands in its file.

    Args:
        frame: (n_rows, n_columns); text cells, an empty one "", where `as_text`, else each column
            in its own type.
        as_text: its cells are uninterpreted text.
        name: of the table, safe as a name in the registry.
        unreadable: lines that are no rows, which are left out.
        notes: how it was read, a sentence each.
        target: the column to predict of a built-in set, "" for any other table.
    """

    frame: pd.DataFrame
    as_text: bool
    name: str
    unreadable: tuple[Unreadable, ...] = ()
    notes: tuple[str, ...] = ()
    target: str = ""


def read_table(
    data: str, download: Download | None = None, reader: RequestReader | None = None
) -> RawTable:
    """Reads a whole table: all chunks of `open_table`, one after another.

    Raises:
        BadInput: it cannot be read, or has no rows.
    """
    if data in BUILT_IN:
        frame, target = load_built_in(data)
        return RawTable(frame, False, data, target=target)
    shown = without_password(data)
    with open_table(data, download, reader) as table:
        chunks = list(table.chunks())
        whole = pa.Table.from_batches([chunk.rows for chunk in chunks], table.schema)
        unreadable = tuple(line for chunk in chunks for line in chunk.unreadable)
        del chunks
        if not whole.num_rows:
            why = f": {unreadable[0].reason}" if unreadable else "; give a table with rows"
            raise BadInput(f"{shown} has no rows{why}")
        frame = whole.drop_columns(_unnamed_index(whole)).to_pandas(
            types_mapper=NULLABLE.get, ignore_metadata=True, split_blocks=True, self_destruct=True
        )
        notes = table.notes
        if unreadable:
            count = (
                "1 line is no row"
                if len(unreadable) == 1
                else f"{len(unreadable)} lines are no rows"
            )
            notes += (f"{count}: left out; the first: {unreadable[0].reason}.",)
        return RawTable(frame, table.as_text, table.name, unreadable, notes)


def _unnamed_index(table: pa.Table) -> list[str]:
    """Columns in which a file keeps an index of pandas that has no name."""
    about = table.schema.pandas_metadata or {"columns": [], "index_columns": []}
    unnamed = {one["field_name"] for one in about["columns"] if one["name"] is None}
    return [name for name in about["index_columns"] if isinstance(name, str) and name in unnamed]


@contextmanager
def open_table(
    data: str, download: Download | None = None, reader: RequestReader | None = None
) -> Iterator[Table]:
    """Opens a table; what is not on this machine is fetched for as long as the block lasts.

    Args:
        data: a built-in set, the path or URI of a file or of a folder of files, or a database with
            a query.
        download: see `tabular.table.addresses.fetch`.
        reader: of the model that the table is for, which reads a log of requests.

    Raises:
        BadInput: there is no such table, or it is not what its ending says.
    """
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        (folder / "fetched").mkdir()
        if data in BUILT_IN:
            yield of_arrow(pa.Table.from_pandas(load_built_in(data)[0]), data)
            return
        shown, name = without_password(data), safe_name(data)
        with _in_one_sentence(shown):
            if is_database(data):
                path = spool_query(data, folder / "fetched")
                table = _open_folder(path, folder)
            else:
                path = fetch(data, folder / "fetched", download)
                table = (_open_folder if path.is_dir() else _open_file)(path, folder, reader)
        yield replace(table, name=name, chunks=lambda: _readable(table.chunks(), shown))


@contextmanager
def _in_one_sentence(data: str) -> Iterator[None]:
    """Errors of the parsers as one sentence; Arrow has the same one for a broken file and disk."""
    try:
        yield
    except (OSError, pa.ArrowException, UnicodeError, csv.Error, zlib.error) as error:
        raise BadInput(f"{data} cannot be read: {first_line(error)}") from None


def _readable(chunks: Iterator[Chunk], data: str) -> Iterator[Chunk]:
    with _in_one_sentence(data):
        yield from chunks


def _open_file(path: Path, temporary: Path, reader: RequestReader | None = None) -> Table:
    if NAME.search(path.name):
        return _of_requests([path], path, temporary, reader)
    ending = ENDING.search(path.name)
    if not ending:
        raise BadInput(
            f"data {str(path)!r} has an unknown ending; possible: {ENDINGS}, a folder of such "
            "files, or a database with a query"
        )
    kind = (ending[1] or ending[4]).lower()
    if kind in ("csv", "tsv"):
        return _of_text(path)
    if kind in ("parquet", "pq"):
        return _of_types(path, "parquet")
    if kind in ("feather", "arrow", "orc"):
        return _of_types(path, "orc" if kind == "orc" else "ipc")
    spool = spool_excel if kind == "xlsx" else spool_json
    parts = spool(path, Path(tempfile.mkdtemp(dir=temporary)))
    return replace(_open_folder(parts, temporary), hash_bytes=lambda: digest_of(path))


def _of_text(path: Path) -> Table:
    layout = layout_of(path)
    notes = []
    if layout.encoding != "utf-8":
        notes.append(f"Its letters are read as {layout.encoding}, not UTF-8.")
    if layout.trailing:
        notes.append("Its rows end with a separator more than the heading, which is ignored.")
    return Table(
        name=safe_name(str(path)),
        schema=layout.schema,
        as_text=True,
        separator=layout.separator,
        n_rows=None,
        hash_bytes=lambda: digest_of(path),
        chunks=lambda: read_rows(path, layout),
        notes=tuple(notes),
    )


def _of_types(path: Path, kind: str) -> Table:
    dataset = pyarrow.dataset.dataset(path, format=kind)
    options: dict[str, Any] = {}
    if kind == "parquet":  # without Arrow's buffer of whole row groups: memory stays flat
        options["fragment_scan_options"] = pyarrow.dataset.ParquetFragmentScanOptions(
            pre_buffer=False
        )
    read = partial(
        dataset.to_batches,
        batch_size=rows_per_chunk(len(dataset.schema)),
        batch_readahead=1,
        **options,
    )
    return Table(
        name=safe_name(str(path)),
        schema=dataset.schema,
        as_text=False,
        separator=",",
        n_rows=dataset.count_rows(),
        hash_bytes=lambda: digest_of(path),
        chunks=lambda: numbered(iter(read())),
    )


def _of_requests(
    files: list[Path], path: Path, temporary: Path, reader: RequestReader | None
) -> Table:
    """The files of a log of requests, which lie at `path`."""
    parts, notes = spool_log(files, Path(tempfile.mkdtemp(dir=temporary)), reader)
    table = _open_folder(parts, temporary)
    return replace(
        table,
        name=safe_name(str(path)),
        hash_bytes=lambda: digest_of(path),
        notes=(*notes, *table.notes),
    )


def _open_folder(path: Path, temporary: Path, reader: RequestReader | None = None) -> Table:
    """The files of a folder, one after another, in the order of their names."""
    files = [
        file
        for file in sorted(path.rglob("*"))
        if file.is_file() and not any(p[0] in "._" for p in file.relative_to(path).parts)
    ]
    known = [file for file in files if ENDING.search(file.name)]
    if logs := [file for file in known if NAME.search(file.name)]:
        if others := [file for file in known if file not in logs]:
            raise BadInput(
                f"{path} cannot be read: it holds a log of requests ({logs[0].name}) and other "
                f"tables ({others[0].name}); part them"
            )
        return _of_requests(logs, path, temporary, reader)
    tables = [_open_file(file, temporary) for file in known]
    if not known:  # as some programs name the parts of a table
        tables = [_of_types(file, "parquet") for file in files]
    if not tables:
        raise BadInput(f"{path} cannot be read: it holds no table")
    keys = [partition(file.relative_to(path)) for file in known or files]
    table = joined(tables, keys)
    return replace(table, name=safe_name(str(path)), hash_bytes=lambda: digest_of(path))
