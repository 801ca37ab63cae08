"""What a split by groups and a split by time are good for, on tables that are made for it.

    python -m benchmarks.structure

Groups: each of 300 has ten rows, whose features only tell the group, and one class, at random. No
model can know the class of a group that it has not seen: the area under the ROC curve is .5.

Time: one class is frequent in turn with the other, 25 times in the table, and a feature grows with
time. A model that has seen rows of the same days predicts them well, and later ones no better than
by chance. 2,000 rows are the table, and 20,000 rows after it what comes next.
"""

from typing import Any

import numpy as np
import pandas as pd

from tabular.recipe.fit import fit
from tabular.recipe.recipe import as_it_is
from tabular.search.cross_validation import Trial
from tabular.stats.compute import predicted
from tabular.stats.intervals import Estimate, estimates
from tabular.table.dataset import make_dataset
from tabular.table.split import split_rows
from tabular.table.structure import Structure

FOREST = Trial(0, "extra_trees", {"n_estimators": 50})


def identities(seed: int, n_groups: int = 300) -> pd.DataFrame:
    """A table whose features only tell the group."""
    rng = np.random.default_rng(seed)
    group = np.repeat(np.arange(n_groups), 10)
    features = rng.normal(size=(n_groups, 4))[group] + rng.normal(0, 0.05, (len(group), 4))
    table = pd.DataFrame(features, columns=["a", "b", "c", "d"])
    return table.assign(person=group, y=rng.integers(0, 2, n_groups)[group])


def seasons(seed: int, n_rows: int, start: float = 0.0, stop: float = 1.0) -> pd.DataFrame:
    """A table with classes that are frequent in turn."""
    rng = np.random.default_rng(seed)
    time = np.sort(rng.uniform(start, stop, n_rows))
    y = rng.random(n_rows) < 0.5 + 0.4 * np.sin(50 * np.pi * time)
    x = rng.normal(size=n_rows) + 0.5 * y
    index = 100 * time + rng.normal(0, 0.05, n_rows)
    return pd.DataFrame({"x": x, "index": index, "day": (10_000 * time).astype(int), "y": y})


def on_holdout(
    table: pd.DataFrame, structure: Structure, seed: int, resamples: int
) -> tuple[Any, dict[str, Estimate]]:
    """The forest, fitted, and its metrics on the holdout."""
    dataset = make_dataset(table, "y", name="t", source="t", structure=structure)
    roles = dataset.roles
    split = split_rows(
        dataset.row_hashes, dataset.codes, seed=seed, groups=roles.groups, moments=roles.moments
    )
    model = fit(dataset, split, as_it_is(FOREST), seed=seed)
    proba = model.predict_proba(dataset.expanded[split.holdout])
    metrics, _ = estimates(
        dataset.codes[split.holdout], predicted(proba), proba, 2,
        confidence=0.95, resamples=resamples, seed=0,
    )  # fmt: skip
    return model, metrics


def auc_of_identities(structure: Structure, seed: int) -> float:
    """The area under the ROC curve on the holdout; without a structure the group is no feature."""
    table = identities(seed)
    table = table if structure.group else table.drop(columns="person")
    return on_holdout(table, structure, seed, resamples=10)[1]["roc_auc"].value


def next_within(structure: Structure, seed: int) -> bool:
    """Whether the interval of the holdout's accuracy has the accuracy on what comes next."""
    table, later = seasons(seed, 2_000), seasons(10_000 + seed, 20_000, 1.0, 1.2)
    table = table if structure.time else table.drop(columns="day")
    model, metrics = on_holdout(table, structure, seed, resamples=500)
    after = predicted(model.predict_proba(later[["x", "index"]])) == later["y"]
    return bool(metrics["accuracy"].low <= after.mean() <= metrics["accuracy"].high)


def main(n_tables: int = 20, n_simulations: int = 100) -> None:
    """Prints the figures of docs/split.md."""
    for name, structure in (("group=person", Structure(("person",))), ("no group", Structure())):
        values = [auc_of_identities(structure, seed) for seed in range(n_tables)]
        print(f"{name}: roc_auc {np.mean(values):.3f}, mean of {n_tables} tables")
    for name, structure in (("time=day", Structure((), "day")), ("no time", Structure())):
        within = sum(next_within(structure, seed) for seed in range(n_simulations))
        print(f"{name}: within the interval in {within} of {n_simulations} simulations")


if __name__ == "__main__":
    main()
