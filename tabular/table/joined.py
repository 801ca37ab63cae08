"""Several files as one table: columns and types brought together, folders' names as columns."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from urllib.parse import unquote

import pyarrow as pa

from tabular.errors import BadInput
from tabular.table.chunks import Chunk, Table, Unreadable


def partition(file: Path) -> dict[str, str | None]:
    """What the names of a file's folders tell of its rows: `month=5/part.csv`."""
    pairs = (folder.partition("=") for folder in file.parts[:-1] if "=" in folder)
    empty = "__HIVE_DEFAULT_PARTITION__"
    return {key: None if value == empty else unquote(value) for key, _, value in pairs}


def joined(tables: Sequence[Table], keys: Sequence[Mapping[str, str | None]]) -> Table:
    """Several tables as one, one after another; a column that one of them lacks is missing there.

    Each has further columns, `keys`, with the one value that they have there.
    """
    as_text = tables[0].as_text
    if any(table.as_text != as_text for table in tables):
        raise BadInput(f"{tables[0].name} cannot be read: some of its files are text, some are not")
    schemas = [table.schema for table in tables]
    for key in dict.fromkeys(key for one in keys for key in one):
        values = [one.get(key) for one in keys]
        whole = not as_text and all(re.fullmatch(r"-?\d{1,18}", v) for v in values if v is not None)
        schemas.append(pa.schema([(key, pa.int64() if whole else pa.string())]))
    schema, notes = _unified(schemas)

    def chunks() -> Iterator[Chunk]:
        done = 0
        for table, own in zip(tables, keys, strict=True):
            ends = done
            for chunk in table.chunks():
                yield _fitted(chunk, schema, own, table.schema.names, done, "" if as_text else None)
                places = [*chunk.numbers[-1:], *(line.place for line in chunk.unreadable[-1:])]
                ends = done + int(max(places))
            done = ends

    rows = [table.n_rows for table in tables]
    return replace(
        tables[0],
        schema=schema,
        n_rows=None if None in rows else sum(row for row in rows if row),
        chunks=chunks,
        notes=tuple(dict.fromkeys([*(note for t in tables for note in t.notes), *notes])),
    )


def _unified(schemas: Sequence[pa.Schema]) -> tuple[pa.Schema, list[str]]:
    """One schema for all; a column whose types have nothing in common is text, which is said."""
    try:
        return pa.unify_schemas(schemas, promote_options="permissive"), []
    except pa.ArrowException:
        pass
    fields: dict[str, pa.Field] = {}
    notes = {}
    for field in chain.from_iterable(schemas):
        known = fields.setdefault(field.name, field)
        both = [pa.schema([known]), pa.schema([field])]
        try:
            fields[field.name] = pa.unify_schemas(both, promote_options="permissive").field(0)
        except pa.ArrowException:
            types = {str(_values(one.type)) for one in (known, field)}
            if len(types) > 1:
                named = " and ".join(sorted(types))
                notes[field.name] = f"Column {field.name!r} is {named} in its parts: read as text."
            fields[field.name] = field.with_type(pa.string())
    return pa.schema(fields.values(), schemas[0].metadata), list(notes.values())


def _values(kind: pa.DataType) -> pa.DataType:
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _fitted(
    chunk: Chunk,
    schema: pa.Schema,
    keys: Mapping[str, str | None],
    names: Sequence[str],
    done: int,
    empty: str | None,
) -> Chunk:
    """A chunk of one part with the columns of the whole table, numbered on."""
    columns = []
    for field in schema:
        if field.name in names:
            cells = chunk.rows.column(field.name)
            columns.append(
                cells if cells.type == field.type else cells.cast(field.type, safe=False)
            )
        else:
            value = pa.scalar(keys.get(field.name, empty)).cast(field.type)
            columns.append(pa.repeat(value, chunk.rows.num_rows))
    lines = []
    for line in chunk.unreadable:
        own = dict(zip(names, line.cells, strict=False)) | dict(keys)
        cells = [str(own.get(name, "") or "") for name in schema.names]
        lines.append(Unreadable(line.place + done, line.reason, cells))
    rows = pa.RecordBatch.from_arrays(columns, schema=schema)
    return Chunk(rows, chunk.numbers + done, tuple(lines))
