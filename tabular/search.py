"""The search for a model: families of classifiers, their hyperparameters, cross-validation.

Pure: a table goes in, trials come out one by one; nothing is logged here. Optuna asks and tells in
this process, workers fit. A new classifier needs a space in `suggest` and a line in
`custom_model/pipeline.py`.
"""

import time
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import joblib
import numpy as np
import optuna
import pandas as pd

from custom_model.bundle import Column
from custom_model.pipeline import CLASSIFIERS, TREES
from tabular.cross_validation import (
    Fold,
    Matrices,
    Trial,
    evaluate_configuration,
    fold_matrices,
)
from tabular.errors import BadInput
from tabular.metrics import LOWER_IS_BETTER

SVC_ROWS = 3_000  # its time grows with the square of the rows, and calibration fits it five times
NEIGHBORS_ROWS = 50_000  # it keeps every row and compares each new one with all of them
MLP_ROW_PASSES = 600_000  # rows times epochs
IN_PROCESS_CELLS = 2_000  # worker processes take seconds to start


def suggest(
    trial: optuna.trial.BaseTrial, classifier: str, n_rows: int, n_classes: int
) -> dict[str, Any]:
    """Asks for one classifier's hyperparameters, in ranges sized by the table.

    Args:
        trial: of Optuna.
        classifier: a key of `CLASSIFIERS`.
        n_rows: rows that each fold fits on.
        n_classes: number of classes.
    """

    def real(name: str, low: float, high: float) -> float:
        return trial.suggest_float(f"{classifier}.{name}", low, high, log=True)

    def whole(name: str, low: int, high: int) -> int:
        return trial.suggest_int(f"{classifier}.{name}", low, max(low, high), log=True)

    def one_of(name: str, *options: Any) -> Any:
        return trial.suggest_categorical(f"{classifier}.{name}", options)

    if classifier == "logistic_regression":
        return {"C": real("C", 1e-3, 1e2)}
    if classifier == "random_forest":
        return {
            "min_samples_leaf": whole("min_samples_leaf", 1, min(20, n_rows // 10)),
            "max_features": one_of("max_features", "sqrt", 0.3, 0.6),
            "criterion": one_of("criterion", "gini", "log_loss"),
        }
    if classifier == "hist_gradient_boosting":
        return {
            "learning_rate": real("learning_rate", 0.02, 0.2),
            # one tree per class and iteration
            "max_iter": whole("max_iter", 30, 300 if n_classes <= 10 else 60),
            "max_leaf_nodes": whole("max_leaf_nodes", 4, 64),
            "min_samples_leaf": whole("min_samples_leaf", 2, max(20, min(60, n_rows // 5))),
            "l2_regularization": real("l2_regularization", 1e-3, 10),
        }
    if classifier == "svc":
        return {"C": real("C", 1e-2, 1e2), "gamma": one_of("gamma", "scale", "auto")}
    if classifier == "k_neighbors":
        return {
            "n_neighbors": whole("n_neighbors", 1, max(5, min(50, n_rows // 2))),
            "weights": one_of("weights", "uniform", "distance"),
            "p": one_of("p", 1, 2),
        }
    if classifier == "mlp":
        return {
            "hidden_layer_sizes": whole("hidden_layer_sizes", 8, 128),
            "alpha": real("alpha", 1e-5, 1.0),
            "learning_rate_init": real("learning_rate_init", 3e-4, 1e-2),
            "max_iter": int(np.clip(MLP_ROW_PASSES // n_rows, 10, 300)),
        }
    raise ValueError(classifier)


def affordable(n_rows: int, codes: np.ndarray) -> list[str]:
    """The classifiers that a table of this size and these classes allows.

    Args:
        n_rows: rows of the training side.
        codes: (n_rows,) their classes.
    """
    rarest = int(np.bincount(codes)[np.unique(codes)].min())
    unfit = {
        "svc": n_rows > SVC_ROWS or rarest < 10,  # calibration needs five rows per class and fold
        "k_neighbors": n_rows > NEIGHBORS_ROWS,
    }
    return [classifier for classifier in CLASSIFIERS if not unfit.get(classifier, False)]


def search(
    features: pd.DataFrame,
    codes: np.ndarray,
    columns: Sequence[Column],
    folds: Sequence[Fold],
    *,
    classifiers: Sequence[str],
    trials: int,
    timeout: float,
    metric: str,
    jobs: int,
    seed: int,
    done: Sequence[Trial] = (),
) -> Iterator[Trial]:
    """Searches; the first trials are each family's defaults.

    The same seed, table and number of jobs give the same trials: as many configurations as there
    are jobs are asked for, evaluated side by side, and told in the order of asking.

    Args:
        features: (n_rows, n_expanded) expanded columns of the training side.
        codes: (n_rows,) classes, 0 to n_classes - 1.
        columns: the features.
        folds: positions fitted on and validated on.
        classifiers: families to search.
        trials: how many configurations.
        timeout: seconds after which no further one is begun; 0 for no limit.
        metric: the objective, a key of `METRICS`.
        jobs: configurations evaluated side by side; -1 for one per core.
        seed: of the sampler and of every fit.
        done: trials of an earlier search to go on from; they count among `trials`.

    Yields:
        Each trial as soon as it is evaluated, in the order of asking.
    """
    started = time.monotonic()
    n_jobs = joblib.effective_n_jobs(jobs)
    n_classes = int(codes.max()) + 1
    n_fitted = min(len(fitted) for fitted, _ in folds)
    study = _study(metric, seed + len(done))
    for known in done:
        _recall(study, known, classifiers, n_fitted, n_classes, metric)
    for classifier in classifiers[len(done) :]:
        study.enqueue_trial({"classifier": classifier, **_default_point(classifier)})
    matrices: dict[bool, Matrices] = {}
    small = features.size <= IN_PROCESS_CELLS
    backend = {"backend": "sequential"} if small or n_jobs == 1 else _loky(n_jobs)
    with joblib.parallel_config(**backend):  # loky keeps its workers from one call to the next
        for first in range(len(done), trials, n_jobs):
            if timeout and time.monotonic() - started > timeout:
                return
            asked = [study.ask() for _ in range(min(n_jobs, trials - first))]
            batch = []
            for trial in asked:
                classifier = trial.suggest_categorical("classifier", list(classifiers))
                params = suggest(trial, classifier, n_fitted, n_classes)
                for_trees = classifier in TREES
                if for_trees not in matrices:
                    matrices[for_trees] = fold_matrices(features, codes, columns, folds, for_trees)
                batch.append(
                    joblib.delayed(evaluate_configuration)(
                        trial.number, classifier, params, matrices[for_trees],
                        n_classes=n_classes, metric=metric, seed=seed,
                        n_categories=sum(c.kind == "category" for c in columns) * for_trees,
                    )
                )  # fmt: skip
            for trial, result in zip(asked, joblib.Parallel()(batch), strict=True):
                value = result.metrics.get(metric)
                state = optuna.trial.TrialState.FAIL if value is None else None
                study.tell(trial, value, state=state)
                yield result


def _study(metric: str, seed: int) -> optuna.Study:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with warnings.catch_warnings():
        # `group` makes the sampler model each family on its own; without it only their choice
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        sampler = optuna.samplers.TPESampler(
            seed=seed, multivariate=True, group=True, constant_liar=True
        )
    lower = metric in LOWER_IS_BETTER
    return optuna.create_study(sampler=sampler, direction="minimize" if lower else "maximize")


def _recall(
    study: optuna.Study,
    trial: Trial,
    classifiers: Sequence[str],
    n_rows: int,
    n_classes: int,
    metric: str,
) -> None:
    """Tells the study of a trial of an earlier search."""
    named = {f"{trial.classifier}.{name}": value for name, value in trial.params.items()}
    fixed = optuna.trial.FixedTrial({"classifier": trial.classifier, **named})
    fixed.suggest_categorical("classifier", list(classifiers))
    suggest(fixed, trial.classifier, n_rows, n_classes)
    complete = metric in trial.metrics
    study.add_trial(
        optuna.trial.create_trial(
            params=fixed.params,
            distributions=fixed.distributions,
            value=trial.metrics[metric] if complete else None,
            state=optuna.trial.TrialState.COMPLETE if complete else optuna.trial.TrialState.FAIL,
        )
    )


def _loky(n_jobs: int) -> dict[str, Any]:
    # one thread per worker: boosting on two threads was measured nine times slower than on one
    return {"backend": "loky", "n_jobs": n_jobs, "inner_max_num_threads": 1}


_STRONG_DEFAULTS: dict[str, dict[str, Any]] = {
    "logistic_regression": {"C": 1.0},
    "random_forest": {"min_samples_leaf": 1, "max_features": "sqrt", "criterion": "gini"},
    "hist_gradient_boosting": {
        "learning_rate": 0.1,
        "max_iter": 60,
        "max_leaf_nodes": 31,
        "min_samples_leaf": 20,
        "l2_regularization": 1e-3,
    },
    "svc": {"C": 1.0, "gamma": "scale"},
    "k_neighbors": {"n_neighbors": 5, "weights": "uniform", "p": 2},
    "mlp": {"hidden_layer_sizes": 100, "alpha": 1e-4, "learning_rate_init": 1e-3},
}


def _default_point(classifier: str) -> dict[str, Any]:
    return {f"{classifier}.{k}": v for k, v in _STRONG_DEFAULTS[classifier].items()}


def ranked(trials: Sequence[Trial], metric: str) -> list[Trial]:
    """The trials that succeeded, best first; equals by log loss, then by number.

    Args:
        trials: any.
        metric: the objective.

    Raises:
        BadInput: none succeeded.
    """
    done = [trial for trial in trials if not trial.error]
    if not done:
        reason = trials[0].error if trials else "the time was up before the first trial"
        raise BadInput(f"no configuration could be evaluated: {reason}")
    sign = 1 if metric in LOWER_IS_BETTER else -1
    return sorted(
        done,
        key=lambda t: (sign * t.metrics[metric], t.metrics.get("log_loss", np.inf), t.number),
    )
