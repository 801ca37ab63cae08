"""What a logged trial of a sweep costs, against a configuration of a hand-written script.

    python -m benchmarks.trial_cost

The rival is the usual few lines: scikit-learn, `mlflow.log_params`, `mlflow.log_metrics` and
`mlflow.sklearn.log_model` with its defaults, once per configuration. Both cross-validate logistic
regression on iris in five folds. CPU seconds of whole processes; the cost of one more trial is the
slope between a short and a long run, so that start-up and registration cancel.
"""

import os
import resource
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

HAND_WRITTEN = """
import sys
import mlflow
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, f1_score
from sklearn.model_selection import cross_val_predict
from sklearn.preprocessing import StandardScaler

X, y = load_iris(return_X_y=True)
scaled = StandardScaler().fit_transform(X)
for number in range(int(sys.argv[1])):
    params = {"C": 10.0 ** -number, "max_iter": 1000}
    with mlflow.start_run():
        model = LogisticRegression(**params)
        found = cross_val_predict(model, scaled, y, cv=5)
        mlflow.log_params(params)
        mlflow.log_metric("f1", f1_score(y, found, average="macro"))
        mlflow.log_metric("accuracy", accuracy_score(y, found))
        mlflow.sklearn.log_model(model.fit(scaled, y), name="model")
"""


def cpu_seconds(command: Sequence[str]) -> float:
    """CPU of a command and its children, in a store of its own."""
    with tempfile.TemporaryDirectory() as folder:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(
            [sys.executable, *command],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=True,
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def sweep_of(trials: int) -> list[str]:
    options = {"classifiers": "logistic_regression", "jobs": 1, "trials": trials}
    return ["-m", "steps.sweep", *(f"--{name}={value}" for name, value in options.items())]


def main(rounds: int = 3) -> None:
    ours, theirs = [], []
    for number in range(rounds):
        ours.append((cpu_seconds(sweep_of(120)) - cpu_seconds(sweep_of(20))) / 100)
        one, three = (cpu_seconds(["-c", HAND_WRITTEN, str(n)]) for n in (1, 3))
        theirs.append((three - one) / 2)
        print(f"round {number + 1}: trial {ours[-1]:.3f} s, hand-written {theirs[-1]:.2f} s")
    trial, configuration = statistics.median(ours), statistics.median(theirs)
    print(
        f"CPU per logged trial {trial:.3f} s, per hand-written configuration {configuration:.2f} s"
    )
    print(f"ratio {configuration / trial:.0f} to 1 (medians of {rounds} interleaved rounds)")


if __name__ == "__main__":
    main()
