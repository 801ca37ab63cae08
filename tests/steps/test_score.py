"""The command `score`: what it prints, one line for a mistake, and what a kill leaves."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from steps import run_step, score
from tests.conftest import ROOT, Store

KILLS = 20
ROWS = 200_000


@pytest.fixture
def folder(served: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    mlflow.set_tracking_uri(served.uri)
    mlflow.set_experiment("tests")
    return tmp_path


def test_as_it_stands_it_scores_iris(folder: Path, capfd: Any) -> None:
    score.main([])
    said = capfd.readouterr().out.splitlines()
    assert said[0].endswith("scored by models:/iris/1, which is models:/iris/Production now")
    assert said[1].startswith(f"{folder}/iris_scored.parquet: 150 rows scored by models:/iris/1, ")
    assert len(pd.read_parquet("iris_scored.parquet")) == 150


def test_rejected_rows_are_counted_and_told(folder: Path, capfd: Any) -> None:
    score.main(["--output", "first.csv"])
    text = Path("first.csv").read_text().splitlines()
    heading, row = (",".join(line.split(",")[:5]) for line in text[:2])
    Path("new.csv").write_text("\n".join([heading, row, row.replace("5.1", "five"), row]))
    capfd.readouterr()
    score.main(["--data", "new.csv"])
    said = capfd.readouterr().out.splitlines()
    assert "new_scored.csv: 2 rows scored by models:/iris/1" in said[1]
    assert said[2].endswith("new_scored.rejected.csv: 1 rows that could not be scored, and why")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--model", "models:/irs/Production"], "model 'models:/irs/Production' not found"),
        (["--model", "irs"], "model 'irs' cannot be fetched"),
        (["--data", "irs"], "did you mean 'iris'"),
        (["--engine", "sparc"], "did you mean 'spark'"),
        (["--output", "iris.xlsx"], "unknown ending"),
        (["--outptu", "iris.csv"], "did you mean 'output'"),
    ],
)
def test_a_mistake_ends_in_one_line_and_leaves_nothing(
    folder: Path, arguments: list[str], words: str, capfd: Any
) -> None:
    runs = len(mlflow.search_runs(output_format="list"))
    with pytest.raises(SystemExit) as ended:
        run_step(lambda: score.main(arguments))
    said = capfd.readouterr().err
    assert ended.value.code == 2
    assert said.startswith("error: ") and said.count("\n") == 1
    assert words in said
    assert len(mlflow.search_runs(output_format="list")) == runs
    assert list(folder.iterdir()) == []


FORKED = """
import os, sys
import mlflow
from tabular.scoring import score

# every import is done here, so that the kills meet the work; Arrow and the store begin in the forks
mlflow.pyfunc.load_model(sys.argv[1])
for line in sys.stdin:
    if os.fork() == 0:
        print(os.getpid(), flush=True)
        score(model="models:/iris/1", data="big.parquet", output=line.strip(), engine="local",
              say=lambda _: None)
        os._exit(0)
    os.wait()
    print("ended", flush=True)
"""


@pytest.mark.slow
@pytest.mark.parametrize("output", ["scored.parquet", "scored.csv", "scored"])
def test_a_kill_at_any_moment_leaves_no_part_of_an_output_in_place(
    folder: Path, served: Store, output: str
) -> None:
    names = ("sepal length (cm)", "sepal width (cm)", "petal length (cm)", "petal width (cm)")
    columns = {name: pa.array([5.1, 3.5, 1.4, 0.2] * (ROWS // 4)) for name in names}
    columns[names[0]] = pa.array([*[5.1] * (ROWS - 3), None, None, None])
    pq.write_table(pa.table(columns), "big.parquet")
    process = subprocess.Popen(
        [sys.executable, "-c", FORKED, mlflow.artifacts.download_artifacts("models:/iris/1")],
        cwd=folder,
        env={**served.environment, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin and process.stdout

    def begin() -> int:
        print(output, file=process.stdin, flush=True)
        return int(process.stdout.readline())

    def end() -> None:
        assert process.stdout.readline() == "ended\n"

    try:
        begin()
        end()  # the first is slower
        started = time.monotonic()
        begin()
        end()
        seconds = time.monotonic() - started
        rng = random.Random(0)
        left = whole = 0
        for _ in range(KILLS):
            pid = begin()
            time.sleep(rng.uniform(0, seconds))
            os.kill(pid, signal.SIGKILL)
            end()
            left += any(folder.glob(".scored*.partial"))
            if (folder / output).exists():
                assert rows_of(folder / output) == ROWS - 3
                whole += 1
            side = folder / output.replace("scored", "scored.rejected")
            if side.exists():
                assert rows_of(side) == 3
            if rng.random() < 0.5:  # half of them are the first of their name
                subprocess.run(["rm", "-rf", output], check=True)
        begin()
        end()
        assert rows_of(folder / output) == ROWS - 3
        assert not list(folder.glob(".scored*.partial"))
        assert left > KILLS / 4, "the kills came too late to meet the work"
        print(f"{output}: {left} of {KILLS} kills left something aside, {whole} met a whole output")
    finally:
        process.kill()
        process.wait()


def rows_of(output: Path) -> int:
    if output.suffix == ".csv":
        return len(pd.read_csv(output))
    return len(pd.read_parquet(output, columns=[]))
