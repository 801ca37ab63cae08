"""Scoring on a Spark cluster: the model goes to the executors, Arrow batches go through it.

By `mapInArrow` with the same code as in one process. `mlflow.pyfunc.spark_udf` gives the same
answers several times slower (benchmarks/score.py), as it takes every cell through pandas.
"""

import functools
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mlflow
import pyarrow as pa

from tabular import foreign, scorer
from tabular.chunks import digest_of
from tabular.dataset import BUILT_IN, TABLE_ENDINGS, load_built_in, safe_name
from tabular.errors import BadInput
from tabular.preparation import Say
from tabular.scorer import REASON, Scorer, make_scorer, score_batch

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

HEAD = 1000  # rows by which a model is tried


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
    """

    name: str
    frame: "DataFrame"
    schema: pa.Schema
    as_text: bool
    digest: str
    head: pa.RecordBatch


@contextmanager
def session() -> Iterator["SparkSession"]:
    """The cluster's session: an open one, or one as configured, on this machine without a master.

    The master and all else come from Spark's own configuration (`spark-defaults.conf`,
    `SPARK_MASTER`-like settings of `spark-submit`, `PYSPARK_SUBMIT_ARGS`).

    Raises:
        BadInput: Spark is not installed, or does not start.
    """
    try:
        from pyspark import SparkConf
        from pyspark.sql import SparkSession
    except ImportError:
        raise BadInput(
            "engine spark needs PySpark; install it with: pip install -r requirements-spark.txt"
        ) from None
    opened = SparkSession.getActiveSession()
    if opened is not None:
        yield opened
        return
    conf = SparkConf()
    builder = SparkSession.builder.appName("score")
    if not conf.contains("spark.master"):
        builder = builder.master("local[*]")
    # executors run one Python worker per core; more threads in each would only get in the way
    builder = builder.config("spark.executorEnv.OMP_NUM_THREADS", "1")
    try:
        spark = builder.getOrCreate()
    except Exception as error:  # py4j's, the JVM's and the operating system's
        raise BadInput(f"Spark does not start: {str(error).strip().splitlines()[0]}") from None
    try:
        yield spark
    finally:
        spark.stop()
