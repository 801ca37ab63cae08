"""`score` on a Spark cluster against one process, and `mapInArrow` against `spark_udf`.

    python -m benchmarks.spark_score

A linear model of three classes, 2,000,000 rows of 4 and 30 doubles in a folder of Parquet files; a
standalone cluster of this machine: a master and two workers of one core each. Rows a second of wall
clock, from Parquet to Parquet, medians of interleaved rounds after one that is not counted, in
which the executors start. `mapInArrow` sends and loads the model each time, as `score` does.
"""

import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlflow
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.score import log_linear, make_table
from tabular.jobs import score as scoring
from tabular.jobs import score_spark as spark_scoring
from tabular.models.batches import added_columns
from tabular.models.load import open_model
from tabular.table import files as chunks
from tests.spark_cluster import standalone_cluster

FILES, ROWS_PER_FILE, ROUNDS = 8, 250_000, 3
LABELS = ("a", "b", "c")


def costs(spark: Any, n_columns: int, folder: Path) -> None:
    from pyspark.sql import functions as sf

    data, output, side = folder / f"in{n_columns}", folder / "out", folder / "side"
    data.mkdir()
    for part in range(FILES):
        table = pa.Table.from_pandas(make_table(n_columns, ROWS_PER_FILE, part))
        pq.write_table(table, data / f"{part}.parquet")
    _, where = log_linear(n_columns, str(folder))
    model = open_model(Path(where), where)
    struct = ", ".join(f"probability_{label} double" for label in LABELS)
    answer = mlflow.pyfunc.spark_udf(
        spark, where, result_type=f"prediction string, {struct}", env_manager="local"
    )
    names = [f"x{i}" for i in range(n_columns)]

    def local() -> None:
        with chunks.open_table(str(data)) as table:
            added = added_columns(model, table.head, str(data), as_text=False)
            scoring.write_scored(model, added, table, output, side, {}, say=lambda _: None)

    with spark_scoring.open_on_spark(str(data)) as on_cluster:
        added = added_columns(model, on_cluster.head, str(data), as_text=False)

        def map_in_arrow() -> None:
            spark_scoring.write_on_spark(model, added, on_cluster, output, side, {}, say=print)

        def spark_udf() -> None:
            answered = on_cluster.frame.withColumn("answer", answer(sf.struct(*names)))
            answered.select(*names, "answer.*").write.parquet(output.as_uri())

        ways: dict[str, Callable[[], None]] = {
            "one process": local,
            "cluster, `mapInArrow`": map_in_arrow,
            "cluster, `spark_udf`": spark_udf,
        }
        seconds: dict[str, list[float]] = {way: [] for way in ways}
        for _ in range(1 + ROUNDS):
            for way, work in ways.items():
                started = time.monotonic()
                work()
                seconds[way].append(time.monotonic() - started)
                assert pq.ParquetDataset(output).read(columns=["prediction"]).num_rows == (
                    FILES * ROWS_PER_FILE
                )
                shutil.rmtree(output)
    for way, took in seconds.items():
        rates = [FILES * ROWS_PER_FILE / one for one in took[1:]]
        print(
            f"| {n_columns} | {way} | {statistics.median(rates):,.0f} "
            f"({min(rates):,.0f} to {max(rates):,.0f}) |",
            flush=True,
        )


def main() -> None:
    from pyspark.sql import SparkSession

    with (
        tempfile.TemporaryDirectory() as name,
        standalone_cluster(Path(name), n_workers=2) as cluster,
    ):
        os.environ |= cluster.environment
        spark = (
            SparkSession.builder.config("spark.executorEnv.OMP_NUM_THREADS", "1")
            .config("spark.executor.memory", "700m")
            .config("spark.ui.showConsoleProgress", "false")
            .getOrCreate()
        )
        print("| columns | way | rows a second |\n|---|---|---|")
        for n_columns in (4, 30):
            costs(spark, n_columns, Path(name))
        spark.stop()


if __name__ == "__main__":
    main()
