"""How often the interval of `monitor`'s estimate holds the metric that the labels give.

    python -m benchmarks.estimate [adult.csv:income-per-year telco_churn.csv:Churn ...]

Without tables: scikit-learn's breast_cancer and digits, and two made ones. Each table is cut into
two halves at random. On one of them a default model is trained, with the project's split. From the
other, rows are drawn without replacement by weights that depend on one to three features, so that
they are from another part of the table, and features and class are related as before: a covariate
shift. The metrics are estimated as `monitor` does, and computed from the labels. "Holdout" is the
distance of the metric on the holdout, which is what is expected of a table without an estimate.

In "changed relation" one label in five of the rows on one side of a feature is another class.
Seeds are fixed; shifts of one model are not independent of each other.
"""

import sys
from dataclasses import dataclass

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from sklearn.datasets import make_classification

from tabular.drift.density_ratio import density_ratio
from tabular.drift.estimate import estimate_metrics, fit_calibration
from tabular.families.pipeline import fit_model, make_model
from tabular.stats.compute import compute_metrics, predicted
from tabular.table.dataset import Dataset, load_dataset, make_dataset
from tabular.table.split import split_rows

CLASSIFIERS = ("logistic_regression", "hist_gradient_boosting", "random_forest")
SHIFTS = 400  # at least, of all models together
ROWS = 2000  # of a shifted table, or a third of the half that it is drawn from
CHANGED = 0.2


@dataclass(frozen=True)
class Result:
    """One metric of one shifted table: whether the interval holds it, and distances from it."""

    table: str
    relation: str
    metric: str
    held: bool
    width: float
    estimate: float
    holdout: float


def made(n_classes: int, seed: int) -> Dataset:
    x, y = make_classification(
        6000, 12, n_informative=6, n_classes=n_classes, flip_y=0.1, class_sep=0.8, random_state=seed
    )
    frame = pd.DataFrame(x).add_prefix("x").assign(y=[f"c{code}" for code in y])
    return make_dataset(frame, "y", name=f"made, {n_classes} classes", source="made")


def direction(dataset: Dataset, rng: np.random.Generator) -> np.ndarray:
    """A score that depends on one to three features at random, (n_rows,)."""
    total = np.zeros(len(dataset.codes))
    for place in rng.permutation(len(dataset.columns))[: rng.integers(1, 4)]:
        column = dataset.columns[place]
        cells = dataset.typed[column.name]
        if column.kind in ("number", "date"):
            values = cells.rank(pct=True).fillna(0.5).to_numpy(dtype=float) * rng.choice([-1, 1])
        else:
            codes = pd.factorize(cells.astype("str"))[0]
            values = rng.normal(size=codes.max() + 2)[codes]
        total += (values - values.mean()) / max(values.std(), 1e-9)
    return total


def shifted(dataset: Dataset, classifier: str, shifts: int, seed: int) -> list[Result]:
    """Results of one model."""
    rng = np.random.default_rng([11, seed])
    n_rows, n_classes = len(dataset.codes), len(dataset.labels)
    first, second = np.array_split(rng.permutation(n_rows), 2)
    split = split_rows(dataset.row_hashes[first], dataset.codes[first], seed=seed)
    train, holdout = first[split.train], first[split.holdout]
    model = make_model(dataset.columns, classifier, {}, seed=seed)
    fit_model(model, dataset.expanded.iloc[train], dataset.codes[train], None)
    proba = np.zeros((n_rows, n_classes))
    proba[:, model.classes_] = model.predict_proba(dataset.expanded)
    y_pred, y_true, typed = predicted(proba), dataset.codes, dataset.typed
    before = compute_metrics(y_true[holdout], proba[holdout], y_pred[holdout])
    results = []
    for number in range(shifts):
        score = rng.uniform(0.5, 2) * direction(dataset, rng)[second]
        order = np.argsort(-score - rng.gumbel(size=len(second)))
        rows = second[order[: min(ROWS, len(second) // 3)]]
        columns = dataset.columns
        likeness = density_ratio(typed.iloc[holdout], typed.iloc[rows], columns, seed=number)
        calibration = fit_calibration(y_true[holdout], proba[holdout], likeness)
        found = estimate_metrics(y_pred[rows], proba[rows], calibration, seed=number)
        one_side = (direction(dataset, rng)[rows] > 0) & (rng.random(len(rows)) < CHANGED)
        other = (y_true[rows] + rng.integers(1, n_classes, len(rows))) % n_classes
        for relation, y in (
            ("as before", y_true[rows]),
            ("changed", np.where(one_side, other, y_true[rows])),
        ):
            true = compute_metrics(y, proba[rows], y_pred[rows])
            results += [
                Result(
                    dataset.name,
                    relation,
                    metric,
                    one.low <= true[metric] <= one.high,
                    one.high - one.low,
                    abs(one.value - true[metric]),
                    abs(before[metric] - true[metric]),
                )
                for metric, one in found.items()
                if metric in true and metric in before
            ]
    return results


def main(tables: list[str]) -> None:
    if tables:
        datasets = [load_dataset(*table.rpartition(":")[::2]) for table in tables]
    else:
        datasets = [load_dataset(name, "") for name in ("breast_cancer", "digits")]
        datasets += [made(2, 1), made(4, 2)]
    tasks = [(dataset, one, seed) for seed, dataset in enumerate(datasets) for one in CLASSIFIERS]
    shifts = -(-SHIFTS // len(tasks))
    found = Parallel(n_jobs=-1)(
        delayed(shifted)(dataset, classifier, shifts, seed) for dataset, classifier, seed in tasks
    )
    every = pd.DataFrame([vars(result) for results in found for result in results])
    print(f"{len(tasks)} models, {len(tasks) * shifts} shifted tables of each kind")
    for by in ("metric", "table"):
        shown = every if by == "metric" else every[every["metric"] == "f1_macro"]
        means = shown.groupby(["relation", by])[["held", "width", "estimate", "holdout"]].mean()
        print(
            f"\n{'all' if by == 'metric' else 'f1_macro'}\n{means.round(3).to_string()}", flush=True
        )


if __name__ == "__main__":
    main(sys.argv[1:])
