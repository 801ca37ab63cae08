"""Scoring on a Spark cluster: the model goes to the executors, Arrow batches go through it.

By `mapInArrow` with the same code as in one process. `mlflow.pyfunc.spark_udf` gives the same
answers, but takes every cell through pandas; benchmarks/spark_score.py measures both.
"""

import atexit
import functools
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from tabular.errors import BadInput, first_line
from tabular.jobs.preparation import Say
from tabular.models.batches import REASON
from tabular.models.executor import score_partition
from tabular.models.model import LoadedModel
from tabular.spark import pack_code, session
from tabular.table.addresses import BUILT_IN, ENDING, load_built_in, local_path, safe_name
from tabular.table.chunks import digest_of, of_arrow
from tabular.table.delimited import layout_of, read_layout

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

HEAD = 1000  # rows by which a model is tried
UNREADABLE = "__unreadable_line__"


@dataclass(frozen=True)
class SparkTable:
    """A table that Spark reads.

    Args:
        name: of the table, as a file's name begins.
        frame: of Spark.
        schema: its columns.
        as_text: it is a CSV, whose cells are not interpreted.
        digest: 16 hex digits of its files' bytes, "unknown" where this machine cannot read them.
        head: its first rows.
        notes: how it was read, a sentence each.
    """

    name: str
    frame: "DataFrame"
    schema: pa.Schema
    as_text: bool
    digest: str
    head: pa.RecordBatch
    notes: tuple[str, ...] = ()


@contextmanager
def open_on_spark(data: str) -> Iterator[SparkTable]:
    """Opens a table on the cluster, whose executors have to see the path or URI too.

    Args:
        data: see `tabular.table.files.open_on_spark`; URIs are those that Spark reads (`s3a://`, `hdfs://`).

    Raises:
        BadInput: there is no such table, or Spark does not start.
    """
    path = local_path(data)
    if data not in BUILT_IN and path and not os.path.exists(path):  # noqa: PTH110 - Path.exists raises on long names
        raise BadInput(f"data {data[:200]!r} not found: no such file or folder in {Path.cwd()}")
    with session("score") as spark:
        try:
            yield _read(spark, data, path)
        except _spark_errors() as error:
            raise BadInput(f"{data} cannot be scored on Spark: {first_line(error)}") from None


def _read(spark: "SparkSession", data: str, path: Path | None) -> SparkTable:
    name = safe_name(data)
    if data in BUILT_IN:
        arrow = pa.Table.from_pandas(load_built_in(data)[0], preserve_index=False)
        frame = spark.createDataFrame(arrow)
        digest, as_text = of_arrow(arrow, data).digest, False
    else:
        uri = path.resolve().as_uri() if path else data
        digest = digest_of(path) if path else "unknown"
        ending = ENDING.search(data)
        kind = (ending[1] or ending[4]).lower() if ending else "parquet"
        if kind not in ("csv", "tsv", "parquet", "pq"):
            raise BadInput(f"data {data!r}: engine spark reads CSV, TSV and Parquet; use local")
        as_text = kind in ("csv", "tsv")
        frame = _read_csv(spark, uri, path) if as_text else spark.read.parquet(uri)
    head = frame.drop(UNREADABLE).limit(HEAD).toArrow().combine_chunks()
    schema = head.schema.remove_metadata()
    first = pa.RecordBatch.from_pylist([], schema=schema)
    return SparkTable(
        name=name,
        frame=frame,
        schema=schema,
        as_text=as_text,
        digest=digest,
        head=head.to_batches()[0] if head.num_rows else first,
    )


def _read_csv(spark: "SparkSession", uri: str, path: Path | None) -> "DataFrame":
    """Cells as text; a line with too many or too few stands in a column of its own."""
    if path:
        layout = layout_of(path)
    else:
        first = spark.read.text(uri).first()
        layout = read_layout(str(first[0]) if first else "", uri)
    if (layout.encoding, layout.before, layout.trailing) != ("utf-8", 1, False):
        raise BadInput(
            f"{uri}: engine spark reads UTF-8 text with its heading in the first line, and rows as "
            "long as the heading; use engine local"
        )
    names = layout.names
    quoted = [f"`{name.replace('`', '``')}` STRING" for name in [*names, UNREADABLE]]
    frame = spark.read.csv(
        uri,
        schema=", ".join(quoted),
        header=True,
        sep=layout.separator,
        escape='"',  # a quote inside quotes is doubled
        multiLine=True,
        columnNameOfCorruptRecord=UNREADABLE,
    )
    # an empty cell arrives as null; and one file is one partition, so it is dealt out
    return frame.fillna("", subset=names).repartition(spark.sparkContext.defaultParallelism)


def write_on_spark(
    model: LoadedModel,
    added: pa.Schema,
    table: SparkTable,
    output: Path,
    side: Path,
    about: dict[bytes, bytes],
    *,
    say: Say,
) -> tuple[int, int]:
    """As `write_scored`, into a folder of Parquet files, one for each partition.

    The executors have to see the folders too. The rejected rows are written, if there are any, by
    scoring a second time. Spark writes no metadata of one's own, and has a progress bar itself.
    """
    from pyspark.sql import Observation
    from pyspark.sql import functions as sf
    from pyspark.sql.pandas.types import from_arrow_schema
    from pyspark.sql.types import StringType

    unreadable = UNREADABLE if UNREADABLE in table.frame.columns else ""
    spark = table.frame.sparkSession
    archive = _send(spark, model.path)
    run = functools.partial(
        score_partition,
        archive=archive,
        uri=model.uri,
        params=model.params,
        added=added,
        as_text=table.as_text,
        unreadable=unreadable,
    )
    schema = table.frame.drop(unreadable).schema
    for field in from_arrow_schema(added):
        schema = schema.add(field)
    answered = table.frame.mapInArrow(run, schema.add(REASON, StringType()))
    counts = Observation()
    rejected = sf.col(REASON).isNotNull()
    observed = answered.observe(
        counts, sf.count(sf.lit(1)).alias("rows"), sf.count(sf.col(REASON)).alias("rejected")
    )
    observed.filter(~rejected).drop(REASON).write.parquet(output.as_uri())
    rows, refused = counts.get["rows"], counts.get["rejected"]
    if refused:
        own = [sf.col(f"`{name.replace('`', '``')}`") for name in table.schema.names]
        answered.filter(rejected).select(REASON, *own).write.parquet(side.as_uri())
    return rows - refused, refused


def _send(spark: "SparkSession", path: Path) -> str:
    """Sends model and code to the executors; returns the model's name there."""
    context = spark.sparkContext
    name = f"model-{uuid.uuid4().hex}"
    archive = shutil.make_archive(str(_sent() / name), "zip", path)
    context.addArchive(f"{archive}#{name}")
    context.addPyFile(str(_code()))
    return name


@functools.cache
def _code() -> Path:
    return pack_code(_sent())


@functools.cache
def _sent() -> Path:
    """A folder of this process: a session asks again and again for what it was given."""
    folder = tempfile.mkdtemp(prefix="score-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)


def _spark_errors() -> tuple[type[Exception], ...]:
    from py4j.protocol import Py4JError
    from pyspark.errors import PySparkException

    return (PySparkException, Py4JError)
