"""Scoring on a standalone cluster of two workers: the same answers, whatever happens to them."""

import importlib.util
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from tabular.jobs.score import Scoring, score
from tests.conftest import ROOT, Store
from tests.spark_cluster import Cluster, forget_the_jvm, standalone_cluster
from tests.tables import mixed_table

pytestmark = [
    pytest.mark.spark,
    pytest.mark.xdist_group("spark"),
    pytest.mark.skipif(not importlib.util.find_spec("pyspark"), reason="no PySpark"),
    pytest.mark.filterwarnings("ignore:PySpark does not yet fully support pandas"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:pyspark.*"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with standalone_cluster(tmp_path_factory.mktemp("cluster"), n_workers=2) as started:
        yield started


@pytest.fixture(scope="module")
def spark(cluster: Cluster) -> Iterator[Any]:
    from pyspark.sql import SparkSession

    with pytest.MonkeyPatch.context() as patch:
        for name, value in cluster.environment.items():
            patch.setenv(name, value)
        forget_the_jvm()
        session = (
            SparkSession.builder.config("spark.executorEnv.OMP_NUM_THREADS", "1")
            .config("spark.sql.shuffle.partitions", "4")
            .config("spark.executor.memory", "700m")
            .getOrCreate()
        )
        yield session
        session.stop()
        forget_the_jvm()


def scored(data: str, output: str, engine: str, **asked: Any) -> Scoring:
    return score(
        model="models:/mixed/1",
        data=data,
        output=output,
        engine=engine,
        say=lambda _: None,
        **asked,
    )


@pytest.mark.parametrize("ending", [".csv", ".parquet", ""])
def test_a_cluster_answers_as_one_process_does(spark: Any, folder: Path, ending: str) -> None:
    frame = mixed_table(3000, seed=7).astype({"joined": str})
    frame.loc[5, "joined"] = "yesterday"
    frame.loc[1500, "plan"] = None
    if ending == ".csv":
        frame.loc[:, "note"] = 'a "quoted", word'
        frame.to_csv("new.csv", index=False)
        with Path("new.csv").open("a") as file:
            file.write("C1,2\n")
    elif ending:
        frame.to_parquet("new.parquet", index=False)
    else:
        (folder / "new").mkdir()
        for part in range(4):
            frame[part * 750 : part * 750 + 750].to_parquet(f"new/{part}.parquet", index=False)
    refused = 3 if ending == ".csv" else 2
    asked: dict[str, Any] = {} if ending else {"coverage": 0.9, "reasons": 2}
    here = scored(f"new{ending}", "here.parquet", "local", **asked)
    there = scored(f"new{ending}", "there", "spark", **asked)
    assert (here.scored, here.rejected) == (there.scored, there.rejected) == (2998, refused)
    # as Arrow: pandas' own types stand in metadata that Spark neither keeps nor writes
    expected, found = (
        pq.read_table(outcome.output).sort_by("customer") for outcome in (here, there)
    )
    assert found.column_names == expected.column_names
    assert len(list(there.output.glob("*.parquet"))) > 1 - (ending == ".parquet")
    assert len(expected.column_names) == len(frame.columns) + 3 + (6 if asked else 0)
    for name in expected.column_names:
        if name.startswith("probability_") or name.endswith("_effect"):
            difference = found[name].to_numpy() - expected[name].to_numpy()
            assert np.abs(difference).max() < 1e-12
        else:
            assert found[name].cast(expected[name].type).equals(expected[name]), name
    reasons, others = (pd.read_parquet(o.side)["rejected_reason"] for o in (here, there))
    assert len(others) == refused
    assert set(reasons[reasons.str.startswith("column")]) <= set(others)
    assert sorted(p.name for p in folder.iterdir()) == sorted(
        ["here.parquet", "here.rejected.parquet", f"new{ending}", "there", "there.rejected"]
    )


def test_a_lost_executor_costs_a_retry(spark: Any, folder: Path, cluster: Cluster) -> None:
    rows = mixed_table(1000)
    (folder / "new").mkdir()
    for part in range(24):
        rows.to_parquet(f"new/{part:02d}.parquet", index=False)
    killed: list[int] = []

    def kill_one() -> None:
        deadline = time.monotonic() + 60
        while not killed and time.monotonic() < deadline:
            time.sleep(0.05)
            if list(folder.glob(".there.*/there/_temporary/0/_temporary/*/*.parquet")):
                killed.append(cluster.executors()[0])
                os.kill(killed[0], signal.SIGKILL)

    killer = threading.Thread(target=kill_one)
    killer.start()
    outcome = scored("new", "there", "spark")
    killer.join()
    assert killed, "no executor was met at work"
    assert (outcome.scored, outcome.rejected) == (24_000, 0)
    assert len(pd.read_parquet(outcome.output, columns=["prediction"])) == 24_000


def test_the_version_answers_in_a_users_own_spark_udf(spark: Any, folder: Path) -> None:
    from pyspark.sql import functions as sf

    frame = mixed_table(200, seed=9)
    expected = mlflow.pyfunc.load_model("models:/mixed/1").predict(frame)
    metadata = mlflow.models.get_model_info("models:/mixed/1").metadata or {}
    names = [column["name"] for column in metadata["input_columns"]]
    udf = mlflow.pyfunc.spark_udf(
        spark,
        "models:/mixed/1",
        result_type="prediction string, probability_no double, probability_yes double",
        env_manager="local",
    )
    frame.to_parquet("new.parquet", index=False)
    table = spark.read.parquet((folder / "new.parquet").as_uri())
    answered = table.withColumn("answer", udf(sf.struct(*names))).select("customer", "answer.*")
    found = answered.toPandas().set_index("customer").loc[frame["customer"]]
    assert list(found["prediction"]) == list(expected["prediction"])
    difference = found["probability_yes"].to_numpy() - expected["probability_yes"].to_numpy()
    assert np.abs(difference).max() < 1e-12


def test_a_session_that_cannot_start_says_so_in_one_sentence(folder: Path, served: Store) -> None:
    mixed_table(20).to_parquet("new.parquet")
    env = served.environment | {"JAVA_HOME": str(folder), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "steps.score", "--model", "models:/mixed/1"]
    ended = subprocess.run(
        [*command, "--data", str(folder / "new.parquet"), "--engine", "spark"],
        cwd=ROOT,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 2
    assert ended.stderr.splitlines()[-1].startswith("error: Spark does not start")
    assert "Traceback" not in ended.stderr
