"""Tables that come row by row (Excel, JSON, a database), written to Parquet in bounded memory."""

import io
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import unquote_plus

import pyarrow as pa
import pyarrow.parquet as pq
import sqlalchemy
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

from tabular.errors import BadInput, first_line
from tabular.table.addresses import scheme_of, without_password
from tabular.table.delimited import encoding_of, open_bytes

ROWS = 20_000  # in memory at once

Row = dict[str, Any]


def spool(rows: Iterable[Row], folder: Path, names: Sequence[str] = ()) -> Path:
    """Writes rows as Parquet into an empty folder, each file with the types of its own cells.

    Args:
        rows: cells by heading; those of one column may differ in type.
        folder: an empty one.
        names: headings, as far as they are known before.
    """
    rows = iter(rows)
    part = 0
    while (block := list(islice(rows, ROWS))) or not part:
        names = list(dict.fromkeys([*names, *(name for row in block for name in row)]))
        columns = {name: as_array([row.get(name) for row in block]) for name in names}
        pq.write_table(pa.table(columns), folder / f"{part:06d}.parquet")
        part += 1
    return folder


def as_array(cells: list[Any]) -> pa.Array:
    """Cells in their common type; as text where there is none, or one that files do not have."""
    try:
        array = pa.array(cells)
    except (pa.ArrowException, OverflowError, TypeError, ValueError):
        array = None
    if array is None or isinstance(array.type, pa.BaseExtensionType):  # such as UUIDs
        return pa.array([None if cell is None else _text(cell) for cell in cells], pa.string())
    return array


def _text(cell: Any) -> str:
    if isinstance(cell, bool | dict | list):
        return json.dumps(cell)
    return str(cell)


# --- Excel --------------------------------------------------------------------------------------


def spool_excel(path: Path, folder: Path) -> Path:
    """The first sheet of a workbook; its first row that is not empty is the heading.

    Raises:
        BadInput: openpyxl is not installed, or the sheet is empty.
    """
    try:
        import openpyxl
    except ImportError:
        raise BadInput(f"{path} needs a further package: pip install openpyxl") from None
    try:
        book = openpyxl.load_workbook(path, read_only=True, data_only=True)
    except Exception as error:  # of zipfile, of XML, its own
        raise BadInput(f"{path} cannot be read: {first_line(error)}") from None
    rows = book.worksheets[0].iter_rows(values_only=True)
    rows = (row for row in rows if any(cell is not None for cell in row))
    heading = next(rows, ())
    if not heading:
        raise BadInput(f"{path} cannot be read: its first sheet is empty")
    names = [f"Unnamed: {i}" if cell is None else str(cell) for i, cell in enumerate(heading)]
    if len(set(names)) < len(names):
        raise BadInput(f"{path} has a heading more than once; rename one of them")
    return spool((dict(zip(names, row, strict=False)) for row in rows), folder, names)


# --- JSON ---------------------------------------------------------------------------------------


def spool_json(path: Path, folder: Path) -> Path:
    """JSON: a record a line; or, in a `.json`, a list of records or a dict of columns.

    Raises:
        BadInput: it is something else.
    """
    encoding, _, _ = encoding_of(path)
    with open_bytes(path) as stream, io.TextIOWrapper(stream, encoding) as text:
        if ".json" not in path.suffixes[-2:]:
            return spool(_records(text, path), folder)
        content = text.read()
    try:
        document = json.loads(content)
    except json.JSONDecodeError as error:
        if error.msg == "Extra data":  # a record a line
            return spool(_records(content.splitlines(), path), folder)
        raise BadInput(f"{path} cannot be read: line {error.lineno}: {error.msg}") from None
    if isinstance(document, dict) and isinstance(document.get("data"), list):
        names = document.get("columns")
        document = [
            dict(zip(names, row, strict=False)) if names else row for row in document["data"]
        ]
    elif isinstance(document, dict) and all(isinstance(c, dict | list) for c in document.values()):
        columns = {k: list(c.values()) if isinstance(c, dict) else c for k, c in document.items()}
        rows = zip(*columns.values(), strict=True)
        document = [dict(zip(columns, row, strict=True)) for row in rows]
    elif isinstance(document, dict):  # the only line
        document = [document]
    if not isinstance(document, list) or not all(isinstance(row, dict) for row in document):
        raise BadInput(f"{path} cannot be read: expected a list of records, or a record a line")
    return spool(document, folder)


def _records(lines: Iterable[str], path: Path) -> Iterator[Row]:
    for number, line in enumerate(lines, start=1):
        if line.strip():
            try:
                record = json.loads(line)
            except json.JSONDecodeError as error:
                raise BadInput(f"{path} cannot be read: line {number}: {error.msg}") from None
            if not isinstance(record, dict):
                raise BadInput(f"{path} cannot be read: line {number} is not a record")
            yield record


# --- databases ----------------------------------------------------------------------------------


def is_database(address: str) -> bool:
    """Whether an address is a URL of SQLAlchemy."""
    try:
        sqlalchemy.make_url(f"{scheme_of(address)}://").get_dialect()
    except (ArgumentError, NoSuchModuleError):
        return False
    except ImportError:  # the dialect is known, its driver is not installed
        return True
    return True


def spool_query(address: str, folder: Path) -> Path:
    """The result of a query: `postgresql://host/db?query=select …`, or `…?query=file.sql`.

    What follows `query=` is the query as it stands, or percent-encoded where it has no blank.

    Raises:
        BadInput: there is no query, or the database does not answer it.
    """
    url, *queries = re.split(r"[?&]query=", address, maxsplit=1)
    shown = without_password(url)
    if not queries:
        raise BadInput(f"data {shown!r} lacks its query; write {shown}?query=select … or file.sql")
    query = queries[0] if " " in queries[0].strip() else unquote_plus(queries[0])
    try:
        if query.lower().endswith(".sql"):
            query = Path(query).read_text(encoding="utf-8")
        engine = sqlalchemy.create_engine(url, poolclass=sqlalchemy.NullPool)
        options = {"stream_results": True, "max_row_buffer": ROWS, "no_parameters": True}
        with engine.connect().execution_options(**options) as connection:
            result = connection.exec_driver_sql(query)
            names = list(result.keys())
            if len(set(names)) < len(names):
                raise BadInput(f"the query of {shown} gives a column more than once; rename one")
            return spool((dict(zip(names, row, strict=True)) for row in result), folder, names)
    except ModuleNotFoundError as error:
        raise BadInput(f"{shown} needs a further package: pip install {error.name}") from None
    except (SQLAlchemyError, OSError, UnicodeDecodeError) as error:
        raise BadInput(f"data {shown!r} cannot be read: {first_line(error)}") from None
