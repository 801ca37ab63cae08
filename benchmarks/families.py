"""Families at the point that a search tries first: out of fold and on the holdout.

    python -m benchmarks.families logistic_regression,hist_gradient_boosting fine_foods.csv:score

Two commits are compared by running it in a checkout of each: seeds, folds and holdouts are the
same. Means over the seeds 1, 2 and 3, with their standard deviation behind ±.
"""

import sys
import time
from pathlib import Path

import numpy as np

from tabular.families.classifiers import CLASSIFIERS, space_of
from tabular.families.pipeline import fit_model, make_model
from tabular.jobs.preparation import prepare
from tabular.search.cross_validation import Task, evaluate_configuration, quiet_fits
from tabular.stats.compute import compute_metrics

SEEDS = (1, 2, 3)
METRICS = ("log_loss", "f1_macro")


def scores_of(data: str, target: str, families: list[str], seed: int) -> dict[str, list[float]]:
    """Of each family: metrics out of fold, metrics on the holdout, CPU seconds of the folds."""
    prepared = prepare(data, target, seed=seed, say=lambda _: None)
    dataset, split, folds = prepared.dataset, prepared.split, prepared.folds
    scores = {}
    for family in families:
        space = space_of(family, folds.shape)
        params = {name: range_.first for name, range_ in space.items()}
        params |= CLASSIFIERS[family].fixed(folds.shape)
        began = time.process_time()
        oof = evaluate_configuration(Task(0, family, params, "log_loss", seed), folds).metrics
        seconds = time.process_time() - began
        model = make_model(dataset.columns, family, params, seed=seed)
        with quiet_fits():
            fit_model(model, dataset.expanded[split.train], dataset.codes[split.train], None)
        proba = model.predict_proba(dataset.expanded[split.holdout])
        holdout = compute_metrics(dataset.codes[split.holdout], proba)
        scores[family] = [*(oof[m] for m in METRICS), *(holdout[m] for m in METRICS), seconds]
    return scores


def main(families: list[str], tables: list[str]) -> None:
    heads = [f"{m} {where}" for where in ("out of fold", "on the holdout") for m in METRICS]
    print(f"| table | family | {' | '.join(heads)} | CPU s |\n{'|---' * (len(heads) + 3)}|")
    for table in tables:
        data, _, target = table.rpartition(":")
        of_seeds = [scores_of(str(Path(data).resolve()), target, families, seed) for seed in SEEDS]
        for family in families:
            rows = np.array([scores[family] for scores in of_seeds])
            mean, spread = rows.mean(axis=0), rows.std(axis=0)
            cells = [f"{m:.3f} ± {s:.3f}" for m, s in zip(mean[:-1], spread[:-1], strict=True)]
            line = " | ".join([Path(data).stem, family, *cells, f"{mean[-1]:.1f}"])
            print(f"| {line} |", flush=True)


if __name__ == "__main__":
    main(sys.argv[1].split(","), sys.argv[2:])
