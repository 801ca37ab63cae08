"""`sweep` beside published results: six tables of the AutoML benchmark, in ten folds.

    python -m benchmarks.published DATA 60 [table ...] [--folds 10]

DATA is a folder with the tables. Each fold is held back in turn, and a sweep of so many seconds on
two cores sees the other nine tenths: of these the version keeps its own holdout back, so it is
fitted on about 72 % of all rows. The published results are of one hour on eight cores, fitted on
nine tenths. Area under the curve with two classes, else log loss, by the probabilities of the
registered version. The folds are stratified, with seed 42: they are not those of OpenML.

Published: Gijsbers et al. 2024, AMLB, https://www.jmlr.org/papers/v25/22-0493.html.
"""

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
from sklearn.model_selection import StratifiedKFold

from benchmarks.rival_results import TABLES, file_of, markdown
from benchmarks.rivals import ROOT, run
from tabular.stats.compute import compute_metric

BEST = {
    "australian": 0.946,
    "german_credit": 0.796,
    "kr_vs_kp": 1.000,
    "phoneme": 0.972,
    "segment": 0.052,
    "vehicle": 0.312,
}
"""The best published mean over ten folds: AUC, for the last two log loss."""


def score_fold(table: pd.DataFrame, target: str, test: np.ndarray, seconds: int) -> float:
    """AUC or log loss of a sweep's version on the rows that it never saw.

    Args:
        table: all rows, their cells as text.
        target: column of classes.
        test: (n_test,) positions of the rows that are held back.
        seconds: of the sweep.
    """
    with tempfile.TemporaryDirectory() as folder:
        store = f"sqlite:///{folder}/mlflow.db"
        mlflow.set_tracking_uri(store)
        table.drop(index=list(test)).to_csv(f"{folder}/train.csv", index=False)
        options: dict[str, object] = {
            "data": f"{folder}/train.csv",
            "target": target,
            "metric": "log_loss",
        }
        options |= {"timeout": seconds, "trials": 10_000, "jobs": 2, "model_name": "published"}
        words = [f"--{name}={value}" for name, value in options.items()]
        environment = {**os.environ, "MLFLOW_TRACKING_URI": store, "PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-m", "steps.sweep", *words]
        spent = run(command, 10 * seconds, cwd=folder, env=environment)
        if spent.error:
            raise RuntimeError(spent.error)
        model = mlflow.pyfunc.load_model("models:/published/1")
        table.loc[test].drop(columns=target).to_csv(f"{folder}/test.csv", index=False)
        predictions = model.predict(pd.read_csv(f"{folder}/test.csv"))
    labels = sorted(set(table[target]))
    proba = predictions[[f"probability_{label}" for label in labels]].to_numpy(np.float64)
    codes = pd.Index(labels).get_indexer(table.loc[test, target])
    metric = "roc_auc" if len(labels) == 2 else "log_loss"
    return compute_metric(metric, codes, proba / proba.sum(axis=1, keepdims=True))


def main() -> None:
    """Measures, prints one row for each table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("seconds", type=int)
    parser.add_argument("tables", nargs="*", default=list(BEST))
    parser.add_argument("--folds", type=int, default=10, help="how many of the ten")
    given = parser.parse_args()
    heads = ["table", "metric", "published", "sweep: mean ± standard error", "folds"]
    print(*markdown(heads, []), sep="\n")
    for name in given.tables:
        table = pd.read_csv(file_of(given.data, name), dtype=str, keep_default_na=False)
        splits = StratifiedKFold(10, shuffle=True, random_state=42).split(
            table, table[TABLES[name]]
        )
        scores = []
        for _, test in list(splits)[: given.folds]:
            scores.append(score_fold(table, TABLES[name], test, given.seconds))
            print(json.dumps([name, scores[-1]]), file=sys.stderr, flush=True)
        metric = "AUC" if table[TABLES[name]].nunique() == 2 else "log loss"
        error = np.std(scores, ddof=1) / np.sqrt(len(scores)) if len(scores) > 1 else np.nan
        cells = [name, metric, f"{BEST[name]:.3f}", f"{np.mean(scores):.4f} ± {error:.4f}"]
        print(f"| {' | '.join([*cells, str(len(scores))])} |", flush=True)


if __name__ == "__main__":
    main()
