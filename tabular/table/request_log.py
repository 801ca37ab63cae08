"""The log of requests that the stack writes, as a table: a row for each row that was scored.

A line is one request: `request_id`, `time`, `version`, `status`, `content_type`, `left_out` and
`body`. nginx escapes what JSON must not hold and leaves all other bytes as they came, so read as
latin-1 the body is what the client sent, also if it is Parquet.
"""

import io
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import batched
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from tabular.errors import BadInput
from tabular.table.delimited import open_bytes
from tabular.table.spool import as_array

NAME = re.compile(r"\.requests\.jsonl(\.(gz|bz2|zst|zip))?$", re.IGNORECASE)
"""How the name of such a file ends."""

REQUEST_ID, ROW, TIME, VERSION = "request_id", "row", "time", "version"
"""Columns that each row gets from its request. Beside a feature `time` it is `time_2`."""

REQUESTS = 2_000  # read at once

_LINE = re.compile(rb'(?={"request_id": ")')


class Body(NamedTuple):
    """What a client has sent."""

    content: bytes
    content_type: str


@dataclass(frozen=True)
class RequestRows:
    """The rows of some requests as a model reads them.

    Args:
        frame: (n_rows, n_columns) its features, typed, and what else was sent, as it was sent.
        bodies: (n_rows,) position of the request that each row came from, ascending.
        unread: why a request cannot be read, by its position.
        emptied: cells that the model cannot read, by column; they are missing in `frame`.
    """

    frame: pd.DataFrame
    bodies: np.ndarray
    unread: dict[int, str] = field(default_factory=dict)
    emptied: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class RequestReader:
    """The part of a model that reads requests.

    Args:
        features: headings that the model reads.
        read: reads requests.
    """

    features: tuple[str, ...]
    read: Callable[[Sequence[Body]], RequestRows]


class _Request(NamedTuple):
    id: str
    time: datetime
    version: str
    body: Body


def spool_log(
    files: Sequence[Path], folder: Path, reader: RequestReader | None
) -> tuple[Path, list[str]]:
    """Writes the rows of logged requests as Parquet, and says what is left out.

    Only requests that were answered count. Threshold and coverage of a request are not repeated:
    its rows are scored as all others are.

    Args:
        files: of the log, in the order of time.
        folder: an empty one.
        reader: of the model that the table is for; None without a model.

    Raises:
        BadInput: there is no model, or no request can be read.
    """
    if reader is None:
        raise BadInput(
            f"{files[0]} is a log of requests, which only a model can read; give it to score, "
            "evaluate or monitor"
        )
    names = dict.fromkeys((REQUEST_ID, ROW, TIME, VERSION))
    own = {n: f"{n}_2" if n in reader.features else n for n in names}
    left_out: Counter[str] = Counter()
    emptied: Counter[str] = Counter()
    lines = n_read = n_rows = 0
    for part, block in enumerate(batched(_requests(files, left_out), REQUESTS)):
        rows = reader.read([request.body for request in block])
        left_out.update(f"the model cannot read ({reason})" for reason in rows.unread.values())
        emptied.update(rows.emptied)
        lines += len(block)
        n_read += len(block) - len(rows.unread)
        n_rows += len(rows.frame)
        table = pa.table(_columns(block, rows, own))
        pq.write_table(table, folder / f"{part:06d}.parquet")
    whole = lines + left_out.total() - (lines - n_read)
    notes = [_describe(n_rows, n_read, whole, left_out)]
    if emptied:
        cells = ", ".join(f"{name!r} ({times})" for name, times in emptied.items())
        notes.append(f"Cells that the model cannot read are missing in this table: {cells}.")
    if not n_rows:
        raise BadInput(f"{files[0]} has no rows that were scored. {notes[0]}")
    return folder, notes


def _columns(
    block: Sequence[_Request], rows: RequestRows, own: dict[str, str]
) -> dict[str, pa.Array]:
    """The columns of some requests' rows; the log's own win over what a client calls the same."""
    columns = {}
    for name, cells in rows.frame.items():
        if cells.dtype == object:
            columns[str(name)] = as_array(
                [None if pd.api.types.is_scalar(c) and pd.isna(c) else c for c in cells]
            )
        else:
            columns[str(name)] = pa.array(cells, from_pandas=cells.dtype.kind != "f")
    _, starts, counts = np.unique(rows.bodies, return_index=True, return_counts=True)
    within = np.arange(len(rows.bodies)) - np.repeat(starts, counts) + 1
    requests = [block[position] for position in rows.bodies.tolist()]
    return columns | {
        own[REQUEST_ID]: pa.array([one.id for one in requests], pa.string()),
        own[ROW]: pa.array(within, pa.int64()),
        own[TIME]: pa.array([one.time for one in requests], pa.timestamp("us")),
        own[VERSION]: pa.array([one.version for one in requests], pa.string()),
    }


def _requests(files: Sequence[Path], left_out: Counter[str]) -> Iterator[_Request]:
    """Requests with their rows; all others are counted by the reason for which they have none."""
    for file in files:
        with open_bytes(file) as stream, io.BufferedReader(cast(io.RawIOBase, stream)) as lines:
            for line in lines:
                # what a killed nginx has begun has no end, and the next line follows on it
                for piece in _LINE.split(line):
                    if not piece.strip():
                        continue
                    request = _read(piece)
                    if isinstance(request, str):
                        left_out[request] += 1
                    else:
                        yield request


def _read(line: bytes) -> _Request | str:
    """A request, or why the line has no rows."""
    try:
        record: Any = json.loads(line.decode("latin-1"))
        status, body = int(record["status"]), str(record["body"])
        moment = datetime.fromisoformat(record["time"]).astimezone(UTC).replace(tzinfo=None)
        about = str(record["request_id"]), moment, str(record["version"])
        kind, why = str(record["content_type"]), str(record["left_out"])
        content = body.encode("latin-1")
    except (ValueError, KeyError, TypeError):
        return "not a whole line of this log"
    if status != 200:
        return f"answered with {status}"
    return _Request(*about, Body(content, kind)) if content else f"its body is not there ({why})"


def _describe(n_rows: int, n_read: int, n_lines: int, left_out: Counter[str]) -> str:
    """How much of the log is in the table."""
    of_lines = f"{n_rows:,} rows, of {n_read:,} of {n_lines:,} lines"
    if not left_out:
        return f"The log of requests: {of_lines}."
    reasons = "; ".join(f"{times:,} {reason}" for reason, times in left_out.most_common(6))
    more = f"; and {len(left_out) - 6} more reasons" if len(left_out) > 6 else ""
    return f"The log of requests: {of_lines}. Left out: {reasons}{more}."
