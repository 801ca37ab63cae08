"""How many trials a second Spark worker adds, and whether they are those of this machine.

    python -m benchmarks.spark_sweep adult.parquet:class

Standalone clusters of one and of two workers with one core each, on this machine; the same search
on each with two jobs side by side, alternating, and once in two worker processes. A search is timed
from the second trial, when code and folds are on every executor, to the last. Every one of them has
to give identical trials. On two cores the driver shares them with the workers.
"""

import dataclasses
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tabular.jobs.preparation import Prepared, prepare
from tabular.search.cross_validation import Trial
from tabular.search.loop import Budget, Goal, ranked, search
from tabular.search.spark import SparkEngine
from tabular.search.workers import Engine, Processes
from tests.spark_cluster import forget_the_jvm, standalone_cluster

FAMILIES = ("hist_gradient_boosting", "extra_trees")  # one kind of folds, fits of seconds
METRIC = "f1_macro"


def searched(engine: Engine, table: Prepared, trials: int) -> tuple[list[Trial], float, float]:
    """The trials, how many a minute, and how many fits were under way on average."""
    found, ends = [], []
    goal = Goal(FAMILIES, METRIC, seed=42)
    for trial in search(engine, table.folds.shape, Budget(trials), goal):
        found.append(trial)
        ends.append(time.monotonic())
    passed = ends[-1] - ends[1]
    return found, 60 * (trials - 2) / passed, sum(trial.seconds for trial in found[2:]) / passed


def identical(there: Sequence[Trial], here: Sequence[Trial]) -> bool:
    """Whether configurations, metrics, probabilities and winner are the same."""
    same = all(
        dataclasses.replace(one, seconds=0) == dataclasses.replace(other, seconds=0)
        and np.array_equal(
            one.oof if one.oof is not None else [],
            other.oof if other.oof is not None else [],
        )
        for one, other in zip(there, here, strict=True)
    )
    return same and ranked(there, METRIC)[0].number == ranked(here, METRIC)[0].number


def main(table: str, trials: int = 12, rounds: int = 2) -> None:
    data, _, target = table.partition(":")
    prepared = prepare(data, target, seed=42, say=print)
    folds = prepared.folds
    with Processes(folds, 2) as engine:
        here, pace, busy = searched(engine, prepared, trials)
    print(f"two processes: {pace:.1f} trials a minute, {busy:.2f} at a time")
    paces: dict[int, list[float]] = {1: [], 2: []}
    for number in range(rounds):
        for n_workers in paces:
            with (
                tempfile.TemporaryDirectory() as folder,
                standalone_cluster(Path(folder), n_workers=n_workers) as cluster,
            ):
                os.environ |= cluster.environment
                forget_the_jvm()
                with SparkEngine(folds, 2) as engine:
                    there, pace, busy = searched(engine, prepared, trials)
            paces[n_workers].append(pace)
            same = identical(there, here)
            said = "identical to this machine's" if same else "NOT those of this machine"
            print(
                f"round {number + 1}, {n_workers} workers: {pace:.1f} trials a minute, "
                f"{busy:.2f} at a time, {said}"
            )
            if not same:
                sys.exit(1)
    one, two = (statistics.median(paces[n]) for n in (1, 2))
    print(f"ratio {two / one:.2f} to 1 (medians of {rounds} alternating rounds, {trials} trials)")


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
