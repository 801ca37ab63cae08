"""The command `score`: what it prints, one line for a mistake, and what a kill leaves."""

import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from steps import run_step, score
from tabular.jobs.score import side_path
from tests.conftest import ROOT, Store

KILLS = 12
ROWS = 400_000
OUTPUTS = ("scored.csv", "scored")  # a file and a folder are moved in place differently


def test_as_it_stands_it_scores_iris(folder: Path, capfd: Any) -> None:
    score.main([])
    said = capfd.readouterr().out.splitlines()
    assert said[0].endswith("scored by models:/iris/1, which is models:/iris@champion now")
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
    assert said[2].endswith("new_scored.rejected.csv: 1 row that could not be scored, and why")


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


CHILD = """
import sys
import mlflow
from tabular.jobs.score import score

mlflow.pyfunc.load_model(sys.argv[1])  # all is imported before the work, so that the kills meet it
print("ready", flush=True)
score(model="models:/iris/1", data="big.parquet", output=sys.stdin.readline().strip(),
      engine="local", say=lambda _: None)
print("ended", flush=True)
"""


@contextmanager
def scoring_processes(store: Store, folder: Path) -> Iterator[Callable[[str], Any]]:
    """Fresh processes, each of which scores once; the next one gets ready meanwhile."""
    model = mlflow.artifacts.download_artifacts("models:/iris/1")
    started: list[subprocess.Popen[str]] = []

    def start() -> None:
        process = subprocess.Popen(
            [sys.executable, "-c", CHILD, model],
            cwd=folder,
            env={**store.environment, "PYTHONPATH": str(ROOT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        started.append(process)

    def begin(output: str) -> subprocess.Popen[str]:
        process = started[-1]
        assert process.stdin and process.stdout
        assert process.stdout.readline() == "ready\n"
        print(output, file=process.stdin, flush=True)
        start()
        return process

    start()
    try:
        yield begin
    finally:
        for process in started:
            process.kill()
            process.communicate()


@pytest.mark.slow
def test_a_kill_at_any_moment_leaves_no_part_of_an_output_in_place(
    folder: Path, served: Store
) -> None:
    names = ("sepal length (cm)", "sepal width (cm)", "petal length (cm)", "petal width (cm)")
    columns = {name: pa.array([5.1, 3.5, 1.4, 0.2] * (ROWS // 4)) for name in names}
    columns[names[0]] = pa.array([*[5.1] * (ROWS - 3), None, None, None])
    pq.write_table(pa.table(columns), "big.parquet")
    rng = random.Random(0)
    seconds: dict[str, float] = {}
    left = whole = 0
    with scoring_processes(served, folder) as begin:

        def begun(output: str) -> subprocess.Popen[str]:
            older = set(folder.glob(f".{output}.*.partial"))
            process = begin(output)
            while process.poll() is None and not set(folder.glob(f".{output}.*.partial")) - older:
                time.sleep(0.01)
            return process

        def finish(output: str) -> None:
            process = begun(output)
            started = time.monotonic()
            assert process.stdout and process.stdout.readline() == "ended\n"
            seconds[output] = time.monotonic() - started
            assert rows_of(folder / output) == ROWS - 3

        for output in OUTPUTS:
            finish(output)
        for output in OUTPUTS * (KILLS // len(OUTPUTS)):
            if rng.random() < 0.5:  # half of them are the first of their name
                subprocess.run(["rm", "-rf", output], check=True)
            process = begun(output)
            time.sleep(rng.uniform(0, seconds[output]))
            process.kill()
            process.wait()
            left += any(folder.glob(f".{output}.*.partial"))
            if (folder / output).exists():
                assert rows_of(folder / output) == ROWS - 3
                whole += 1
            side = side_path(folder / output)
            if side.exists():
                assert rows_of(side) == 3
        for output in OUTPUTS:
            finish(output)
    assert not list(folder.glob(".*.partial"))
    assert left > KILLS / 4, "the kills came too late to meet the work"
    print(f"{left} of {KILLS} kills left something aside, {whole} met a whole output")


def rows_of(output: Path) -> int:
    if output.suffix == ".csv":
        assert output.read_bytes().endswith(b"\n")
        return len(pd.read_csv(output))
    return pq.read_table(output).num_rows
