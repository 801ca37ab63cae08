"""The tracked jobs: train one classifier, sweep over many, promote the best."""

from collections.abc import Callable, Sequence
from typing import Any

import mlflow
from mlflow import MlflowClient

from tabular import gate, registry
from tabular.cross_validation import Trial, cross_validate
from tabular.dataset import Dataset, load_dataset
from tabular.errors import BadInput
from tabular.gate import Decision
from tabular.report import notes
from tabular.search import affordable, ranked, search
from tabular.split import Split, make_folds, split_rows
from tabular.tracking import log_dataset, log_trial, params_of, read_trials, start_run
from tabular.versions import Version, fit, register_version

Say = Callable[[str], None]


def _load(data: str, target: str, seed: int, say: Say) -> tuple[Dataset, Split, list[Any]]:
    """Reads the table, decides its sides and folds, and says what it found."""
    dataset = load_dataset(data, target)
    split = split_rows(dataset.row_hashes, dataset.codes, seed=seed)
    if not split.holdout.any():
        raise BadInput(f"{data} has too few rows: no class has two different ones; add rows")
    folds = make_folds(dataset.row_hashes[split.train], dataset.codes[split.train], seed=seed)
    if not folds:
        raise BadInput(f"{data} has too few rows: no class has three different ones; add rows")
    say(
        f"{dataset.name}: {split.train.sum()} rows to train on, {split.holdout.sum()} held out, "
        f"{len(dataset.columns)} features, {len(dataset.labels)} classes of {dataset.target!r}"
    )
    for note in notes(dataset, split):
        say(f"  {note}")
    return dataset, split, folds


def train(
    *,
    data: str,
    target: str,
    model_name: str,
    classifier: str,
    seed: int,
    hyperparameters: dict[str, Any],
    say: Say,
) -> Version:
    """Trains one classifier and registers it.

    Args:
        data: see `load_dataset`.
        target: column to predict.
        model_name: in the registry; "" for the data set's name.
        classifier: a key of `CLASSIFIERS`.
        seed: of the split and every fit.
        hyperparameters: of the classifier.
        say: takes each line of progress.

    Raises:
        BadInput: the table or the hyperparameters cannot be used; nothing is registered then.
    """
    dataset, split, folds = _load(data, target, seed, say)
    fit(dataset, split, Trial(0, classifier, hyperparameters), seed=seed)  # before a run is opened
    features, codes = dataset.expanded[split.train], dataset.codes[split.train]
    trial = cross_validate(
        features,
        codes,
        dataset.columns,
        folds,
        classifier=classifier,
        params=hyperparameters,
        metric="f1_macro",
        seed=seed,
    )
    if trial.error:
        raise BadInput(f"{classifier} cannot be cross-validated on {data}: {trial.error}")
    given = {"data": data, "target": target, "model_name": model_name, "seed": seed}
    with start_run(f"train {classifier} {dataset.name}", given | params_of(trial)) as run:
        log_dataset(dataset)
        return register_version(
            run, dataset, split, trial, model_name=model_name or dataset.name, seed=seed
        )


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
    dataset, split, folds = _load(data, target, seed, say)
    features, codes = dataset.expanded[split.train], dataset.codes[split.train]
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
    earlier = read_trials(resume, metric) if resume else {}
    if other := {trial.classifier for trial in earlier.values()} - set(families):
        raise BadInput(f"run {resume!r} tried {min(other)} too; give the same classifiers and data")
    with start_run(f"sweep {dataset.name}", given, resume=resume) as run:
        log_dataset(dataset)
        done = list(earlier.values())
        children = {trial.number: run_id for run_id, trial in earlier.items()}
        for trial in search(
            features, codes, dataset.columns, folds, classifiers=families, trials=trials,
            timeout=timeout, metric=metric, jobs=jobs, seed=seed, done=list(done),
        ):  # fmt: skip
            done.append(trial)
            children[trial.number] = log_trial(run, trial, metric)
            say(_line(trial, metric))
        best = ranked(done, metric)[:register]
        versions = []
        for trial in best:
            with mlflow.start_run(run_id=children[trial.number], nested=True) as child:
                log_dataset(dataset)
                versions.append(
                    register_version(
                        child,
                        dataset,
                        split,
                        trial,
                        model_name=model_name or dataset.name,
                        seed=seed,
                    )
                )
        MlflowClient().set_tag(run.info.run_id, "best_child_run_id", children[best[0].number])
        mlflow.log_metrics(versions[0].metrics)
    return versions


def _line(trial: Trial, metric: str) -> str:
    score = trial.error or f"{metric}={trial.metrics[metric]:.4f} ± {trial.spread:.4f}"
    return f"  t{trial.number:03d} {trial.classifier:<24} {score}  {trial.seconds:.1f} s"


def promote(*, model_name: str, metric: str, dry_run: bool, say: Say) -> Decision:
    """Puts the best version into production.

    Args:
        model_name: in the registry.
        metric: a key of `METRICS`, compared on the holdout.
        dry_run: compare and decide, move nothing.
        say: takes each line of the comparison.

    Raises:
        BadInput: there is no such model, or none of its versions has the metric.
    """
    candidates = registry.candidates(model_name)
    champion = registry.champion(model_name)
    decision = gate.decide(candidates, champion, metric=metric)
    say(f"{'version':>9}  {metric:>9}  {'log_loss':>9}  {'stage':<11} classifier")
    for candidate in candidates:
        values = [candidate.metrics.get(f"holdout_{m}", float("nan")) for m in (metric, "log_loss")]
        mark = "*" if candidate.version == decision.version else " "
        say(
            f"{mark}{candidate.version:>8}  {values[0]:>9.4f}  {values[1]:>9.4f}  "
            f"{candidate.stage:<11} {candidate.classifier}"
        )
    if dry_run:
        return decision
    with start_run(f"promote {model_name}", {"model_name": model_name, "metric": metric}):
        registry.promote(model_name, decision.version, reason=decision.reason)
        mlflow.set_tags(
            {"promoted_version": str(decision.version), "promotion_reason": decision.reason}
        )
    return decision
