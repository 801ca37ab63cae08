"""`main` on tables of one's own, against three default models on the same rows.

    python -m benchmarks.tables titanic.csv:Survived churn.csv:Churn

For each table `python -m steps.main` runs with its defaults, in a store of its own. The rivals are
default logistic regression, histogram gradient boosting and a 300-tree forest behind the same
preprocessing, fitted on the same training side and scored on the same holdout. Seed 42 throughout;
the spread is the standard deviation of macro-F1 over the five folds of the sweep's winner.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import mlflow

from tabular.families.pipeline import fit_model, make_model
from tabular.stats.compute import compute_metrics
from tabular.table.dataset import load_dataset
from tabular.table.split import split_rows

ROOT = Path(__file__).resolve().parents[1]
DEFAULTS = ("logistic_regression", "hist_gradient_boosting", "random_forest")


def run_main(data: str, target: str, store: str) -> float:
    started = time.monotonic()
    subprocess.run(
        [sys.executable, "-m", "steps.main", "--data", data, "--target", target],
        cwd=ROOT,
        env={**os.environ, "MLFLOW_TRACKING_URI": store, "MLFLOW_EXPERIMENT_NAME": "tables"},
        stdout=subprocess.DEVNULL,
        check=True,
    )
    return time.monotonic() - started


def default_models(data: str, target: str, seed: int = 42) -> dict[str, dict[str, float]]:
    dataset = load_dataset(data, target)
    split = split_rows(dataset.row_hashes, dataset.codes, seed=seed)
    scores = {}
    for classifier in DEFAULTS:
        model = make_model(dataset.columns, classifier, {}, seed=seed)
        fit_model(model, dataset.expanded[split.train], dataset.codes[split.train], None)
        shares = model.predict_proba(dataset.expanded[split.holdout])
        scores[classifier] = compute_metrics(dataset.codes[split.holdout], shares)
    return scores


def main(tables: list[str]) -> None:
    heads = ["table", "winner", "macro-F1", "spread", "log loss", "seconds"]
    heads += ["best default", "its macro-F1", "its log loss"]
    print(f"| {' | '.join(heads)} |\n{'|---' * len(heads)}|")
    for table in tables:
        data, _, target = table.rpartition(":")
        data = str(Path(data).resolve())
        with tempfile.TemporaryDirectory() as folder:
            store = f"sqlite:///{folder}/mlflow.db"
            mlflow.set_tracking_uri(store)
            client = mlflow.MlflowClient()
            client.create_experiment("tables", artifact_location=f"{folder}/artifacts")
            seconds = run_main(data, target, store)
            name = load_dataset(data, target).name
            version = client.get_model_version_by_alias(name, "champion")
            found = mlflow.get_run(str(version.run_id)).data.metrics
        scores = default_models(data, target)
        best = max(scores, key=lambda classifier: scores[classifier]["f1_macro"])
        print(
            f"| {name} | {version.tags['classifier']} | {found['holdout_f1_macro']:.3f} "
            f"| {found['cv_std_f1_macro']:.3f} | {found['holdout_log_loss']:.3f} | {seconds:.0f} "
            f"| {best} | {scores[best]['f1_macro']:.3f} | {scores[best]['log_loss']:.3f} |",
            flush=True,
        )


if __name__ == "__main__":
    main(sys.argv[1:])
