"""The tracked sweep: a parent run, a child per trial, the best registered."""

from collections.abc import Sequence

import mlflow
from mlflow import MlflowClient

from tabular.cross_validation import Trial
from tabular.errors import BadInput
from tabular.preparation import Say, prepare
from tabular.search import affordable, ranked, search
from tabular.tracking import log_dataset, log_trial, read_trials, start_run
from tabular.versions import Version, fit, register_version


def sweep(
    *,
    data: str,
    target: str,
    model_name: str,
    trials: int,
    timeout: float,
    classifiers: Sequence[str],
    metric: str,
    jobs: int,
    seed: int,
    engine: str,
    register: int,
    resume: str,
    say: Say,
) -> list[Version]:
    """Searches families and hyperparameters, and registers the best.

    Args:
        data: see `load_dataset`.
        target: column to predict.
        model_name: in the registry; "" for the data set's name.
        trials: how many configurations.
        timeout: seconds for the search, 0 for no limit.
        classifiers: families; empty for every one that the table allows.
        metric: the objective, a key of `METRICS`.
        jobs: configurations side by side, -1 for one per core.
        seed: of the split, the sampler and every fit.
        engine: where trials are evaluated: `local`.
        register: how many of the best become versions.
        resume: run id of a sweep of the same table to continue, "" for a new one.
        say: takes each line of progress.

    Returns:
        The versions, best first.

    Raises:
        BadInput: the table cannot be used, or no configuration could be evaluated.
    """
    prepared = prepare(data, target, seed=seed, say=say)
    dataset, codes = prepared.dataset, prepared.codes
    possible = affordable(len(codes), codes)
    families = list(classifiers) or possible
    given = {
        "data": data,
        "target": target,
        "model_name": model_name,
        "trials": trials,
        "timeout": timeout,
        "classifiers": ",".join(classifiers) or "all",
        "metric": metric,
        "jobs": jobs,
        "seed": seed,
        "engine": engine,
        "register": register,
        "resume": resume,
    }
    earlier = read_trials(resume, metric, dataset.digest, seed) if resume else {}
    if other := {trial.classifier for trial in earlier.values()} - set(families):
        raise BadInput(f"run {resume!r} tried {min(other)} too; give the same classifiers")
    with start_run(f"sweep {dataset.name}", given, resume=resume) as run:
        log_dataset(dataset)
        done = list(earlier.values())
        children = {trial.number: run_id for run_id, trial in earlier.items()}
        found = search(
            prepared.features,
            codes,
            dataset.columns,
            prepared.folds,
            classifiers=families,
            trials=trials,
            timeout=timeout,
            metric=metric,
            jobs=jobs,
            seed=seed,
            done=list(done),
        )
        for trial in found:
            done.append(trial)
            children[trial.number] = log_trial(run, trial, metric)
            say(_line(trial, metric))
        best = ranked(done, metric)[:register]
        versions = []
        for trial in best:
            with mlflow.start_run(run_id=children[trial.number], nested=True) as child:
                log_dataset(dataset)
                version = register_version(
                    child,
                    dataset,
                    prepared.split,
                    trial,
                    fit(dataset, prepared.split, trial, seed=seed),
                    model_name=model_name or dataset.name,
                    seed=seed,
                )
                versions.append(version)
        MlflowClient().set_tag(run.info.run_id, "best_child_run_id", children[best[0].number])
        mlflow.log_metrics(versions[0].metrics)
    return versions


def _line(trial: Trial, metric: str) -> str:
    score = trial.error or f"{metric}={trial.metrics[metric]:.4f} ± {trial.spread:.4f}"
    return f"  t{trial.number:03d} {trial.classifier:<24} {score}  {trial.seconds:.1f} s"
