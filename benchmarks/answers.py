"""Prediction sets and reasons: what they promise, beside the field's own libraries, and their cost.

    pip install mapie shap
    python -m benchmarks.answers sets iris wine breast_cancer digits titanic.csv:Survived ...
    python -m benchmarks.answers simulations
    python -m benchmarks.answers shap
    python -m benchmarks.answers cost

`sets`: boosting with its defaults and, of it, logistic regression and a forest, the recipe that a
sweep would register (ensemble, calibration); both as they are served, on the holdout. MAPIE is
given the same out-of-fold probabilities of boosting to calibrate on. The lowest z is that of the
worst class: its coverage less 0.90, in standard errors of both the calibration and the holdout.
`simulations`: 20 tables of 1,000 rows, each judged by 20,000 fresh ones.
`shap`: correlation with shap's values of the same probability against the same typical row.
`cost`: 14 columns of which all differ from the typical row; CPU.
"""

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
from sklearn.datasets import make_classification
from threadpoolctl import threadpool_limits

from custom_model.packaging import log_bundle
from custom_model.served.reasons import shapley_values, typical_row
from custom_model.served.sets import groups_for, in_sets
from tabular.families.pipeline import fit_model, make_model
from tabular.jobs.preparation import Prepared, prepare
from tabular.jobs.score import write_scored
from tabular.models.batches import added_columns
from tabular.models.load import open_model
from tabular.recipe.finish import finish
from tabular.recipe.fit import fit
from tabular.recipe.recipe import as_it_is
from tabular.search.cross_validation import Task, Trial, evaluate_configuration
from tabular.table.dataset import Dataset, make_dataset
from tabular.table.files import open_table

COVERAGE = 0.9
FAMILIES = ("hist_gradient_boosting", "logistic_regression", "random_forest")
COLUMNS, ROWS = 14, 100_000


def trial_of(prepared: Prepared, number: int, classifier: str) -> Trial:
    return evaluate_configuration(Task(number, classifier, {}, "log_loss", 42), prepared.folds)


def covered(y_true: np.ndarray, inside: np.ndarray) -> np.ndarray:
    return np.asarray(inside[np.arange(len(y_true)), y_true])


def lowest_z(sets: dict[str, Any], y_true: np.ndarray, inside: np.ndarray) -> float:
    """Of the coverage of each class that has bounds of its own, and of that of all rows."""
    hit, z = covered(y_true, inside), []
    groups = groups_for(sets, COVERAGE)
    for group in [*groups, {"classes": sorted({*y_true.tolist()}), "rows": sets["pooled"]["rows"]}]:
        rows = np.isin(y_true, group["classes"])
        if rows.any():
            error = np.sqrt(COVERAGE * (1 - COVERAGE) * (1 / group["rows"] + 1 / rows.sum()))
            z.append((hit[rows].mean() - COVERAGE) / error)
    return float(min(z))


def mapies(oof: np.ndarray, y_oof: np.ndarray, proba: np.ndarray, score: str) -> np.ndarray:
    from mapie.classification import SplitConformalClassifier
    from sklearn.base import BaseEstimator, ClassifierMixin

    class Known(ClassifierMixin, BaseEstimator):
        classes_ = np.arange(oof.shape[1])

        def fit(self, *_: Any) -> "Known":
            return self

        def __sklearn_is_fitted__(self) -> bool:
            return True

        def predict_proba(self, rows: np.ndarray) -> np.ndarray:
            return rows

        def predict(self, rows: np.ndarray) -> np.ndarray:
            return np.asarray(rows.argmax(axis=1))

    mapie = SplitConformalClassifier(
        Known(), confidence_level=COVERAGE, conformity_score=score, prefit=True, random_state=0
    )
    mapie.conformalize(oof, y_oof)
    return np.asarray(mapie.predict_set(proba)[1][:, :, 0])


def sets(tables: list[str]) -> None:
    print("| table | rows calibrated / held out | bounds of | coverage | lowest z | mean size "
          "| recipe: coverage, lowest z, size | pooled | MAPIE LAC | APS | RAPS |")  # fmt: skip
    print("|---" * 11 + "|")
    for table in tables:
        data, _, target = table.rpartition(":")
        prepared = prepare(data or target, target if data else "", seed=42, say=lambda _: None)
        folds, split, dataset = prepared.folds, prepared.split, prepared.dataset
        y_oof, y_true = folds.y_true, dataset.codes[split.holdout]
        trials = [trial_of(prepared, number, family) for number, family in enumerate(FAMILIES)]
        recipe = finish(trials, folds, "log_loss", seed=42)[0]
        cells, oof = [], np.asarray(trials[0].oof)
        for made in (as_it_is(trials[0], y_oof), recipe):
            model = fit(dataset, split, made, seed=42)
            proba = model.predict_proba(dataset.expanded[split.holdout])
            assert made.sets
            inside = in_sets(made.sets, proba, COVERAGE)
            hit, size = covered(y_true, inside).mean(), inside.sum(axis=1).mean()
            cells.append(f"{hit:.3f}, {lowest_z(made.sets, y_true, inside):.1f}, {size:.2f}")
            if made is not recipe:
                calibration, served = made.sets, proba
        pooled = {**calibration, "groups": [calibration["pooled"]]}
        others = [in_sets(pooled, served, COVERAGE)]
        scores = ("lac", "aps", "raps") if oof.shape[1] > 2 else ("lac",)
        others += [mapies(oof, y_oof, served, score) for score in scores]
        # MAPIE has no other score of two classes
        of_others = [f"{covered(y_true, s).mean():.3f}, {s.sum(axis=1).mean():.2f}" for s in others]
        groups = len(groups_for(calibration, COVERAGE))
        print(
            f"| {dataset.name} | {len(y_oof)} / {len(y_true)} | {groups} of {oof.shape[1]} | "
            f"{cells[0].replace(', ', ' | ')} | {cells[1]} | {' | '.join(of_others)} |", flush=True
        )  # fmt: skip


def numbers(n_rows: int, seed: int, n_classes: int = 3) -> Dataset:
    x, y = make_classification(
        n_rows, COLUMNS, n_informative=8, n_classes=n_classes, weights=[0.5, 0.3], random_state=seed
    )
    frame = pd.DataFrame(x, columns=[f"x{at}" for at in range(COLUMNS)])
    frame["label"] = [f"class {one}" for one in y]
    return make_dataset(frame, "label", name="numbers", source="numbers")


def simulations() -> None:
    lowest = []
    for seed in range(20):
        with tempfile.TemporaryDirectory() as folder:
            whole = numbers(21_000, seed)
            file = Path(folder, "numbers.parquet")
            whole.labelled(np.arange(21_000) < 1000).to_parquet(file)
            prepared = prepare(str(file), "label", seed=seed, say=lambda _: None)
        made = as_it_is(trial_of(prepared, 0, FAMILIES[seed % 3]), prepared.folds.y_true)
        model = fit(prepared.dataset, prepared.split, made, seed=seed)
        proba = model.predict_proba(whole.expanded[1000:])
        assert made.sets
        lowest.append(lowest_z(made.sets, whole.codes[1000:], in_sets(made.sets, proba, COVERAGE)))
    print(f"lowest z of 20 simulations: {', '.join(f'{z:.1f}' for z in sorted(lowest))}")


def against_shap() -> None:
    import shap

    dataset = numbers(3000, 0, 2)
    typical = typical_row(dataset.typed, dataset.columns)
    rows = dataset.expanded[:200]
    base = np.array([list(typical.values())], dtype=float)
    for family in FAMILIES:
        model = make_model(dataset.columns, family, {}, seed=0)
        fit_model(model, dataset.expanded, dataset.codes, None)

        def proba(x: Any, model: Any = model) -> np.ndarray:
            return np.asarray(model.predict_proba(pd.DataFrame(x, columns=list(rows))))

        codes = np.ones(len(rows), dtype=int)
        ours = shapley_values(proba, rows, typical, dataset.columns, codes)
        kind = shap.explainers.Exact
        some = len(rows) if family == "random_forest" else 20
        if family == "random_forest":
            kind = shap.explainers.Tree
            explainer = kind(model[-1], base, model_output="probability")
            theirs = explainer.shap_values(model[:-1].transform(rows))[..., 1]
        else:
            theirs = kind(lambda x, p=proba: p(x)[:, 1], base)(rows[:some].to_numpy()).values
        r = np.corrcoef(ours[:some].ravel(), np.asarray(theirs).ravel())[0, 1]
        print(f"| {family} | {kind.__name__} | {some} | {r:.4f} |", flush=True)


def cpu(work: Callable[[], Any], times: int = 1) -> float:
    before = time.process_time()
    for _ in range(times):
        work()
    return (time.process_time() - before) / times


def cost() -> None:
    dataset = numbers(5000, 1)
    names = [column.name for column in dataset.columns]
    typical = typical_row(dataset.typed, dataset.columns)
    with tempfile.TemporaryDirectory() as folder:
        data, output = f"{folder}/in.parquet", Path(folder, "out.parquet")
        numbers(ROWS, 2).typed.to_parquet(data)
        mlflow.set_tracking_uri(f"sqlite:///{folder}/mlflow.db")
        mlflow.create_experiment("answers", artifact_location=f"{folder}/artifacts")
        mlflow.set_experiment("answers")
        for family in FAMILIES:
            model = make_model(dataset.columns, family, {}, seed=0)
            fit_model(model, dataset.expanded, dataset.codes, None)
            with mlflow.start_run():
                packed = log_bundle(
                    model, dataset.columns, dataset.labels, names, "label", dataset.typed[:3],
                    typical=typical, proof=dataset.typed[:200], about={},
                )  # fmt: skip
            where = mlflow.artifacts.download_artifacts(packed.info.model_uri, dst_path=folder)

            def scored(where: str, params: dict[str, int]) -> None:
                loaded = open_model(Path(where), where, params)
                with open_table(data) as table:
                    added = added_columns(loaded, table.head, data, as_text=False)
                    write_scored(loaded, added, table, output, output, {}, say=lambda _: None)

            predict = mlflow.pyfunc.load_model(where).predict
            row = dataset.typed[:1].to_dict("records")
            alone = partial(predict, row, params={"reasons": 3})
            one = [cpu(alone, 20) for _ in range(5)]
            with threadpool_limits(1):
                plain = statistics.median(cpu(partial(scored, where, {})) for _ in range(3))
                full = cpu(partial(scored, where, {"reasons": 3}))
            print(f"| {family} | {1000 * statistics.median(one):.1f} ms | {plain:.2f} s | "
                  f"{full:.1f} s | {full / plain:.0f} |", flush=True)  # fmt: skip


if __name__ == "__main__":
    part, arguments = sys.argv[1], sys.argv[2:]
    if part == "sets":
        sets(arguments)
    else:
        {"simulations": simulations, "shap": against_shap, "cost": cost}[part]()
