"""How often a constraint of `at_least` holds on fresh rows, and how often it can be promised.

    python -m benchmarks.constraint [simulations]

Each simulation draws a training side of 300 or 3,000 rows: six normal columns, of which three
decide by a logistic model. A logistic regression and a naive Bayes are cross-validated, and
`finish` makes its best recipe with calibration, ensemble and the threshold that holds the
constraint, best by macro-F1. The recipe is fitted and asked for 50,000 fresh rows. "held" is the
share of the promises for which the rate of these rows is at least the value.
"""

import sys

import numpy as np
import pandas as pd
from joblib import Parallel, delayed

from custom_model.served.columns import Column
from tabular.errors import BadInput
from tabular.recipe.finish import finish
from tabular.recipe.fit import fit
from tabular.search.cross_validation import Task, evaluate_configuration
from tabular.search.folds import Folds
from tabular.stats.constraint import read_constraint
from tabular.table.dataset import Dataset
from tabular.table.split import Split

COLUMNS = tuple(Column(f"x{i}", "number") for i in range(6))
WEIGHTS = np.array([1.6, 1.1, -0.8, 0, 0, 0])
CONFIGURATIONS: tuple[tuple[str, dict[str, float]], ...] = (
    ("logistic_regression", {"C": 0.1}),
    ("naive_bayes", {}),
)
SETTINGS = (
    (300, "recall:0.9"),
    (3000, "recall:0.9"),
    (300, "precision:0.75"),
    (3000, "precision:0.9"),
)


def draw(n_rows: int, seed: int) -> tuple[pd.DataFrame, np.ndarray]:
    """Rows and their classes."""
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(n_rows, len(COLUMNS)))
    proba = 1 / (1 + np.exp(0.5 - rows @ WEIGHTS))
    frame = pd.DataFrame(rows, columns=[column.name for column in COLUMNS])
    return frame, (rng.random(n_rows) < proba).astype(np.int64)


def promise(n_rows: int, text: str, seed: int) -> float | None:
    """The rate on fresh rows, None where the constraint cannot be promised."""
    frame, y = draw(n_rows, seed)
    fold = np.arange(n_rows) % 5
    positions = [(np.flatnonzero(fold != f), np.flatnonzero(fold == f)) for f in range(5)]
    folds = Folds(frame, y, COLUMNS, positions)
    tasks = [Task(i, *one, "f1_macro", 0) for i, one in enumerate(CONFIGURATIONS)]
    trials = sorted(
        (evaluate_configuration(task, folds) for task in tasks),
        key=lambda trial: -trial.metrics["f1_macro"],
    )
    constraint = read_constraint(text, [0, 1])
    try:
        recipe = finish(trials, folds, "f1_macro", seed=0, at_least=constraint)[0]
    except BadInput:
        return None
    dataset = Dataset(
        name="drawn", source="drawn", target="y", columns=COLUMNS,
        table_columns=tuple(frame.columns), typed=frame, codes=y, labels=(0, 1),
        row_hashes=np.arange(n_rows), unlabelled=0,
    )  # fmt: skip
    model = fit(dataset, Split(np.zeros(n_rows, dtype=bool), 0, ()), recipe, seed=0)
    fresh, y_fresh = draw(50_000, 10**6)
    y_pred = (model.predict_proba(fresh)[:, 1] > recipe.threshold).astype(int)
    return constraint.estimate(y_fresh, y_pred, 0.95).value


def main(simulations: int = 400) -> None:
    """Prints a line for each number of rows and constraint."""
    print("| rows | constraint | promised | held | mean rate | lowest |\n|---|---|---|---|---|---|")
    for n_rows, text in SETTINGS:
        found = Parallel(n_jobs=2)(
            delayed(promise)(n_rows, text, seed) for seed in range(simulations)
        )
        rates = np.array([rate for rate in found if rate is not None])
        held = (rates >= float(text.partition(":")[2])).mean()
        print(
            f"| {n_rows:,} | {text} | {len(rates)} of {simulations} | {held:.3f} | "
            f"{rates.mean():.3f} | {rates.min():.3f} |",
            flush=True,
        )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
