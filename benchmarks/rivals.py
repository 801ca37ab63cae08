"""`sweep` against AutoML libraries: the same rows, seconds and cores, one at a time.

    for tool in flaml mljar autogluon; do uv venv --python 3.12 ../rivals/$tool; done
    uv pip install --python ../rivals/flaml/bin/python 'flaml[automl,catboost]' pyarrow
    uv pip install --python ../rivals/mljar/bin/python mljar-supervised pyarrow
    uv pip install --python ../rivals/autogluon/bin/python \
        'autogluon.tabular[lightgbm,catboost,xgboost,fastai,ray]'
    python -m benchmarks.rivals DATA --rivals ../rivals --results ../rivals.jsonl

DATA is a folder with the tables of `TABLES`. Each contender is asked twice: for macro-F1, and for
log loss. All see the training side of the split by content (identifiers left out, numbers as
numbers) and are scored on the same holdout, macro-F1 by the class that the tool itself predicts,
log loss and AUC by its probabilities. What is in the results is not measured again, so that a run
can be interrupted; `--only ours --again` measures our rows anew. Linux only.
"""

import argparse
import ctypes
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd

from benchmarks.rival_results import (
    DEFAULT,
    OURS,
    SCORES,
    TABLES,
    Result,
    file_of,
    ranks_table,
    read,
    scores_table,
)
from benchmarks.rival_runner import CLASS, CORES, RIVALS
from benchmarks.tables import default_models
from tabular.stats.compute import compute_metric
from tabular.table.dataset import Dataset, load_dataset
from tabular.table.split import Split, split_rows

ROOT = Path(__file__).resolve().parents[1]
OBJECTIVES = ("f1_macro", "log_loss")
PATIENCE = 10  # times the budget, after which a contender is ended
PR_SET_CHILD_SUBREAPER = 36  # of <linux/prctl.h>


@dataclass(frozen=True)
class Spent:
    """What a process took: seconds of wall clock and of CPU, and why it failed, if it did."""

    wall: float
    cpu: float
    error: str


@dataclass(frozen=True)
class Task:
    """A table whose rows have sides, and what is asked for."""

    name: str
    source: Path
    dataset: Dataset
    split: Split
    objective: str
    seed: int
    budget: int

    def score(self, predicted: np.ndarray, probabilities: np.ndarray) -> dict[str, float]:
        """Scores on the holdout, the same way for all.

        Args:
            predicted: (n_holdout,) codes.
            probabilities: (n_holdout, n_classes).
        """
        codes = self.dataset.codes[self.split.holdout]
        shares = np.asarray(probabilities, dtype=np.float64)
        shares = shares / shares.sum(axis=1, keepdims=True)  # sums of float32 are off by 1e-7
        return {name: compute_metric(name, codes, shares, predicted) for name in SCORES}


def run(command: Sequence[str | Path], limit: float, **settings: Any) -> Spent:
    """Runs a process to its end, with all that it started.

    Args:
        command: program and arguments.
        limit: seconds after which it is ended.
        settings: of `subprocess.Popen`.
    """
    others = _children()
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.monotonic()
    error = ""
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(
            [str(part) for part in command],
            stdout=log,
            stderr=log,
            start_new_session=True,
            **settings,
        )
        try:
            process.wait(limit)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            error = f"not done after {limit:.0f} s"
        wall = time.monotonic() - started
        if process.wait() and not error:
            log.seek(0)
            error = (log.read().strip().splitlines() or ["no output"])[-1]
    while left := _children() - others:  # daemons that outlived it are ours now
        for pid in left:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Spent(wall, cpu, error)


def _children() -> set[int]:
    lists = Path("/proc/self/task").glob("*/children")
    return {int(pid) for file in lists for pid in file.read_text().split()}


def run_ours(task: Task, folder: Path) -> Result:
    """`sweep` in a store of its own, then the registered version as MLflow loads it."""
    store = f"sqlite:///{folder}/mlflow.db"
    mlflow.set_tracking_uri(store)
    client = mlflow.MlflowClient()
    client.create_experiment("rivals", artifact_location=f"{folder}/artifacts")
    options = {
        "data": task.source,
        "target": task.dataset.target,
        "metric": task.objective,
        "timeout": task.budget,
        "trials": 1000,
        "jobs": CORES,
        "seed": task.seed,
        "model_name": task.name,
    }
    spent = run(
        [
            sys.executable,
            "-m",
            "steps.sweep",
            *(f"--{name}={value}" for name, value in options.items()),
        ],
        PATIENCE * task.budget,
        cwd=ROOT,
        env={**os.environ, "MLFLOW_TRACKING_URI": store, "MLFLOW_EXPERIMENT_NAME": "rivals"},
    )
    if spent.error:
        return _result(OURS, task, spent)
    child = client.get_run(str(client.get_model_version(task.name, "1").run_id))
    sweep = client.get_run(child.data.tags["mlflow.parentRunId"]).info
    answers = mlflow.pyfunc.load_model(f"models:/{task.name}/1").predict(
        task.dataset.typed[task.split.holdout]
    )
    labels = task.dataset.labels
    codes = pd.Index(labels).get_indexer(answers["prediction"].astype(object))
    scores = task.score(codes, answers[[f"probability_{label}" for label in labels]].to_numpy())
    commit = ["git", "describe", "--always", "--dirty"]
    version = subprocess.run(commit, cwd=ROOT, capture_output=True, text=True).stdout.strip()
    seconds = (sweep.end_time - sweep.start_time) / 1000
    return _result(OURS, task, spent, scores, fit=seconds, version=version)


def python_of(rivals: Path, tool: str) -> Path:
    """The interpreter of a rival's environment, its links kept: they are the environment."""
    return (rivals / tool / "bin" / "python").absolute()


def run_rival(tool: str, python: Path, task: Task, folder: Path) -> Result:
    """A rival in its own environment, on Parquet files of the two sides."""
    rows, codes = task.dataset.typed, task.dataset.codes
    train = rows[task.split.train].assign(**{CLASS: codes[task.split.train]})
    train.to_parquet(folder / "train.parquet", index=False)
    rows[task.split.holdout].to_parquet(folder / "holdout.parquet", index=False)
    runner = ROOT / "benchmarks" / "rival_runner.py"
    spent = run(
        [python, runner, tool, task.objective, folder, str(task.budget), str(task.seed)],
        PATIENCE * task.budget,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": ""},
    )
    if spent.error:
        return _result(tool, task, spent)
    answers = pd.read_parquet(folder / "answers.parquet")
    facts = json.loads((folder / "facts.json").read_text("utf-8"))
    predicted = answers.pop("prediction").to_numpy()
    scores = task.score(predicted, answers.to_numpy())
    return _result(tool, task, spent, scores, fit=facts["fit_seconds"], version=facts["version"])


def _result(
    tool: str,
    task: Task,
    spent: Spent,
    scores: dict[str, float] | None = None,
    *,
    fit: float = 0.0,
    version: str = "",
) -> Result:
    return Result(
        tool, task.objective, task.name, task.seed, scores or {},
        spent.wall, fit, spent.cpu, version, spent.error,
    )  # fmt: skip


def references(task: Task) -> Iterator[Result]:
    """Default models, which no objective changes."""
    models = default_models(str(task.source), task.dataset.target, seed=task.seed)
    for classifier, found in models.items():
        scores = {name: found[name] for name in SCORES}
        yield Result(DEFAULT + classifier, "", task.name, task.seed, scores)


def measure(given: argparse.Namespace) -> None:
    """Adds to the results what they do not have yet; what failed is tried again."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)  # its CPU is counted by `run`
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])
    known = [result for result in read(given.results) if not result.error]
    done = {r.key for r in known if not given.again or r.tool.startswith(DEFAULT)}

    def keep(result: Result) -> None:
        with given.results.open("a", encoding="utf-8") as lines:
            lines.write(json.dumps(asdict(result)) + "\n")
        told = result.error or ", ".join(f"{k} {v:.4f}" for k, v in result.scores.items())
        print(*result.key, told, f"{result.wall:.0f} s", sep="  ", file=sys.stderr, flush=True)

    for seed, objective, table in product(given.seeds, given.objectives, given.tables):
        source = file_of(given.data, table)
        dataset = load_dataset(str(source), TABLES[table])
        split = split_rows(dataset.row_hashes, dataset.codes, seed=seed)
        task = Task(table, source, dataset, split, objective, seed, given.budget)
        for tool in given.only:
            if (tool, objective, table, seed) in done:
                continue
            with tempfile.TemporaryDirectory() as name:
                if tool == OURS:
                    keep(run_ours(task, Path(name)))
                else:
                    keep(run_rival(tool, python_of(given.rivals, tool), task, Path(name)))
        if not any(key[0].startswith(DEFAULT) and key[2:] == (table, seed) for key in done):
            for result in references(task):
                keep(result)
                done.add(result.key)


def comma_list(text: str) -> list[str]:
    return text.split(",")


def main() -> None:
    contenders = (OURS, *RIVALS)
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("data", type=Path)
    add("--rivals", type=Path, required=True, help="folder of environments")
    add("--results", type=Path, required=True, help="JSON lines, added to")
    add("--only", type=comma_list, default=contenders, help="tools")
    add("--tables", type=comma_list, default=tuple(TABLES))
    add("--objectives", type=comma_list, default=OBJECTIVES)
    add("--seeds", type=lambda text: [int(seed) for seed in text.split(",")], default=[42])
    add("--budget", type=int, default=60, help="seconds")
    add("--again", action="store_true", help="measure what is in the results too")
    add("--report", action="store_true", help="measure nothing, print the tables")
    given = parser.parse_args()
    possible = ("only", contenders), ("tables", TABLES), ("objectives", OBJECTIVES)
    for name, known in possible:
        if unknown := set(getattr(given, name)) - set(known):
            parser.error(f"unknown {min(unknown)!r} in --{name}; possible: {', '.join(known)}")
    if not given.report:
        for tool in set(given.only) - {OURS}:
            if not python_of(given.rivals, tool).exists():
                parser.error(f"no environment {given.rivals / tool}; --help says how to make it")
        measure(given)
    results = read(given.results)
    for objective in OBJECTIVES:
        print(f"\nAsked for {objective}:\n", *scores_table(results, objective), sep="\n")
    measured = [tool for tool in contenders if any(r.tool == tool for r in results)]
    print("", *ranks_table(results, measured), sep="\n")


if __name__ == "__main__":
    main()
