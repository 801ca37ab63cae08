"""A table in, the table with predictions out: in chunks, whole or not at all, in a tracked run."""

import os
import shutil
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from tabular.errors import BadInput
from tabular.jobs.preparation import Say
from tabular.models.batches import REASON, ROW, added_columns, score_batch
from tabular.models.load import load_model
from tabular.models.model import LoadedModel
from tabular.store.artifacts import download
from tabular.store.runs import log_input, log_results, start_run
from tabular.table.addresses import BUILT_IN, local_path, safe_name, without_password
from tabular.table.aside import aside, check_target, move_in
from tabular.table.chunks import Chunk, Table
from tabular.table.files import open_table
from tabular.table.writing import TABLE_ENDINGS, ending_like, open_writer

ENGINES = ("local", "spark")
SECONDS_BETWEEN_LINES = 10.0


@dataclass(frozen=True)
class Scoring:
    """A table that was scored.

    Args:
        model: URI of the version.
        output: the table with predictions.
        side: the rejected rows, None if there are none.
        scored: rows in the output.
        rejected: rows in the side file.
        seconds: of wall clock, from the first row to the last.
    """

    model: str
    output: Path
    side: Path | None
    scored: int
    rejected: int
    seconds: float


def score(
    *,
    model: str,
    data: str,
    output: str,
    engine: str,
    coverage: float = 0.0,
    reasons: int = 0,
    reasons_for: str = "",
    say: Say,
) -> Scoring:
    """Scores a table, and puts the result in place when it is whole.

    Args:
        model: any URI that MLflow loads: `models:/iris/Production`, `models:/iris@champion`,
            `runs:/<id>/model`, a path.
        data: see `open_table`.
        output: file or folder; "" for the data's name with `_scored` in the working folder.
        engine: `local` or `spark`.
        coverage: of prediction sets; 0 for none.
        reasons: how many columns with their effects; 0 for none.
        reasons_for: class that the reasons are for; "" for each row's predicted one.
        say: takes each line of progress.

    Raises:
        BadInput: the model, the table or the output cannot be used; nothing is written then.
    """
    asked = {"coverage": coverage, "reasons": reasons, "reasons_for": reasons_for}
    params = {name: value for name, value in asked.items() if value}
    target = output_path(data, output, engine)
    for place in (target, side_path(target)):
        check_target(place, folder=engine == "spark" or not _is_file(target))
    _keep_apart(data, target)
    with ExitStack() as stack:
        loaded = load_model(model, stack.enter_context(tempfile.TemporaryDirectory()), params)
        if engine == "spark":
            from tabular.jobs import score_spark as spark_scoring

            table: Any = stack.enter_context(spark_scoring.open_on_spark(data))
            write: Any = spark_scoring.write_on_spark
        else:
            table = stack.enter_context(open_table(data, download, loaded.requests))
            write = write_scored
        if used := [name for name in (ROW, REASON) if name in table.schema.names]:
            raise BadInput(f"{data} has a column {used[0]!r}, the mark of rejected rows; remove it")
        added = added_columns(loaded, table.head, data, as_text=table.as_text)
        now = "" if loaded.uri == model else f", which is {model} now"
        say(f"{table.name}: {len(table.schema)} columns, scored by {loaded.uri}{now}")
        for note in table.notes:
            say(f"  {note}")
        for name in added.names:
            if (own := name.removesuffix("_2")) in table.schema.names and own not in added.names:
                say(
                    f"  The model reads a column {own!r}; what it adds under that name is {name!r}."
                )
        shown = without_password(data)
        given = {"model": model, "data": shown, "output": output, "engine": engine, **asked}
        run = stack.enter_context(start_run(f"score {table.name}", given))
        log_results({}, tags={"model_uri": loaded.uri})
        log_input(table.name, shown, table.digest, table.schema)
        about = {b"model_uri": loaded.uri.encode(), b"run_id": run.info.run_id.encode()}
        work = stack.enter_context(aside(target))
        side = side_path(target)
        started = time.monotonic()
        scored, refused = write(
            loaded, added, table, work / target.name, work / side.name, about, say=say
        )
        seconds = time.monotonic() - started
        log_results({"rows_scored": scored, "rows_rejected": refused, "seconds": seconds})
        if refused:
            move_in(work / side.name, side, work)
        move_in(work / target.name, target, work)
        if not refused:
            _remove(side)
    return Scoring(loaded.uri, target, side if refused else None, scored, refused, seconds)


def write_scored(
    model: LoadedModel,
    added: pa.Schema,
    table: Table,
    output: Path,
    side: Path,
    about: dict[bytes, bytes],
    *,
    say: Say,
) -> tuple[int, int]:
    """Scores a table chunk by chunk into a file.

    Args:
        model: that scores.
        added: columns that it adds.
        table: to be scored.
        output: file to write.
        side: file for the rejected rows, written if there are any.
        about: metadata of the output, if it is Parquet.
        say: takes a line now and then where no progress bar is shown.

    Returns:
        How many rows were scored, and how many rejected.
    """
    metadata = {**(table.schema.metadata or {}), **about}
    schema = pa.schema([*table.schema, *added], metadata)
    scored = refused = 0
    last = time.monotonic()
    with ExitStack() as stack:
        # a chunk is too small to divide: further threads of the BLAS would only spin
        stack.enter_context(threadpool_limits(1, "blas"))
        on_terminal = sys.stderr.isatty()
        bar = stack.enter_context(
            tqdm(total=table.n_rows, unit=" rows", unit_scale=True, disable=not on_terminal)
        )
        write = stack.enter_context(open_writer(output, schema, separator=table.separator))
        refuse = None
        for chunk in table.chunks():
            result = score_batch(model, added, chunk.rows, as_text=table.as_text)
            write(result.rows)
            scored += result.rows.num_rows
            if result.reasons or chunk.unreadable:
                if refuse is None:
                    kind = rejected_schema(table.schema)
                    refuse = stack.enter_context(open_writer(side, kind, separator=table.separator))
                batch = rejected_rows(chunk, result.reasons)
                refuse(batch)
                refused += batch.num_rows
            bar.update(chunk.rows.num_rows + len(chunk.unreadable))
            if not on_terminal and time.monotonic() - last > SECONDS_BETWEEN_LINES:
                last = time.monotonic()
                of_all = f" of {table.n_rows:,}" if table.n_rows else ""
                say(f"  {scored + refused:,}{of_all} rows")
    return scored, refused


def rejected_schema(schema: pa.Schema) -> pa.Schema:
    """Columns of the side file: the row's place in the table, from 1, the reason, its own cells."""
    return pa.schema([(ROW, pa.int64()), (REASON, pa.string()), *schema])


def rejected_rows(chunk: Chunk, reasons: dict[int, str]) -> pa.RecordBatch:
    """The rows of a chunk that could not be read or, by position, scored, in the table's order."""
    names = chunk.rows.schema.names
    lines = [
        {ROW: number, REASON: reason, **dict(zip(names, cells, strict=False))}
        for number, reason, cells in chunk.unreadable
    ]
    positions = pa.array(list(reasons), pa.int64())
    marks = {
        ROW: pa.array(chunk.numbers[list(reasons)], pa.int64()),
        REASON: pa.array(list(reasons.values()), pa.string()),
    }
    schema = rejected_schema(chunk.rows.schema)
    refused = pa.RecordBatch.from_arrays(
        [*marks.values(), *chunk.rows.take(positions).columns], schema=schema
    )
    both = pa.Table.from_batches([refused, pa.RecordBatch.from_pylist(lines, schema=schema)])
    return both.sort_by(ROW).combine_chunks().to_batches()[0]


def output_path(data: str, output: str, engine: str) -> Path:
    """Where the output goes: by default, the data's name in the folder where the user stands.

    Raises:
        BadInput: its name has an ending that nothing can be written as.
    """
    if not output:
        source = local_path(data)
        folder = engine == "spark" or (source is not None and source.is_dir())
        return Path(f"{safe_name(data)}_scored{'' if folder else ending_like(data)}").absolute()
    path = local_path(output)
    if path is None:
        raise BadInput(
            f"output {output!r} is not on this machine; score into a file and copy it, as only a "
            "file can be moved in place in one step"
        )
    target = path.absolute()
    if engine == "spark" and _is_file(target) and not target.suffix == ".parquet":
        raise BadInput(f"output {output!r}: engine spark writes a folder of Parquet; name it so")
    if not _is_file(target) and target.suffix and not output.endswith("/"):
        raise BadInput(
            f"output {output!r} has an unknown ending; possible: {', '.join(TABLE_ENDINGS)}, or "
            "none for a folder of Parquet"
        )
    return target


def side_path(target: Path) -> Path:
    """Where rejected rows go: `scored.csv` has `scored.rejected.csv` beside it."""
    lower = target.name.lower()
    ending = max((e for e in TABLE_ENDINGS if lower.endswith(e)), key=len, default="")
    stem = target.name[: len(target.name) - len(ending)]
    return target.with_name(f"{stem}.rejected{target.name[len(stem) :]}")


def _is_file(target: Path) -> bool:
    return target.name.lower().endswith(TABLE_ENDINGS)


def _keep_apart(data: str, target: Path) -> None:
    """Refuses an output that would replace the table, or become a part of it."""
    source = local_path(data)
    if data in BUILT_IN or source is None or not os.path.exists(source):  # noqa: PTH110 - long names
        return
    source, real = source.resolve(), target.resolve()
    if source in (real, side_path(real)):
        raise BadInput(f"output {str(target)!r} would replace the data; give another name")
    if real in source.parents or source in real.parents:
        raise BadInput(f"output {str(target)!r} and data {data!r} lie in one another; part them")


def _remove(path: Path) -> None:
    """Removes the rejected rows of an older output, which has been replaced."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
