"""The tracked sweep: a parent run, a child per trial, the best registered."""

import dataclasses
import math
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import joblib
import mlflow
from mlflow import MlflowClient
from mlflow.entities.run import Run

from tabular.errors import BadInput
from tabular.families.classifiers import affordable
from tabular.families.space import Shape, shape_of
from tabular.jobs.preparation import Prepared, Say, prepare
from tabular.jobs.versions import Fitted, Version, register_version
from tabular.recipe.ensemble import MEMBERS
from tabular.recipe.fit import fit
from tabular.recipe.recipe import Recipe, finish, pool
from tabular.report import leaderboard
from tabular.search.cross_validation import Task, Trial
from tabular.search.folds import Folds
from tabular.search.loop import PATIENCE, Budget, ranked, search
from tabular.search.progress import Progress
from tabular.search.stopping import stop_on_signal
from tabular.search.workers import Engine, InProcess, Processes
from tabular.store import registry
from tabular.store.runs import log_dataset, start_run
from tabular.store.trials import log_ranks, log_trial, read_trials, recipe_run

IN_PROCESS_CELLS = 2_000  # worker processes take seconds to start
IN_PROCESS_CLASSES = 10  # boosting fits a tree for each, in every iteration
# After the search: so many seconds, and so many times the fits of the dearest members there may be.
# A member's file and its proof take about as long as its fit on all rows.
FINISH_SECONDS, FINISH_FITS = 7.0, 3.0


@dataclass(frozen=True)
class Plan:
    """What a sweep was asked for.

    Args:
        data: see `load_dataset`.
        target: column to predict.
        model_name: in the registry; "" for the data set's name.
        trials: how many configurations.
        timeout: seconds for the whole sweep, from reading the table to the registered version; 0
            for no limit.
        classifiers: families; empty for every one that the table allows.
        metric: the objective, a key of `METRICS`.
        jobs: configurations side by side, -1 for one per core.
        seed: of the split, the sampler and every fit.
        engine: where trials are evaluated: `local` or `spark`.
        register: how many of the best become versions.
        resume: run id of a sweep of the same table to continue, "" for a new one.
    """

    data: str
    target: str
    model_name: str
    trials: int
    timeout: float
    classifiers: Sequence[str]
    metric: str
    jobs: int
    seed: int
    engine: str
    register: int
    resume: str


def sweep(plan: Plan, *, say: Say) -> list[Version]:
    """Searches families and hyperparameters, and registers the best.

    Args:
        plan: what to do.
        say: takes each line of progress.

    Returns:
        The versions, best first.

    Raises:
        BadInput: the table cannot be used, or no configuration could be evaluated.
    """
    started = time.monotonic()
    prepared = prepare(plan.data, plan.target, seed=plan.seed, say=say)
    dataset, folds, metric = prepared.dataset, prepared.folds, plan.metric
    if metric == "roc_auc" and (lonely := prepared.never_validated):
        raise BadInput(
            f"roc_auc is undefined on {dataset.name}: class {lonely[0]!r} has one row to train on, "
            "so no fold can be asked about it; add rows of it, leave it out or take another metric"
        )
    shape = folds.shape
    families = list(plan.classifiers) or affordable(shape_of(folds.y, len(folds.y)))
    earlier = read_trials(plan.resume, metric, dataset.digest, plan.seed) if plan.resume else {}
    if other := {trial.classifier for trial in earlier.values()} - set(families):
        raise BadInput(f"run {plan.resume!r} tried {min(other)} too; give the same classifiers")
    children = {trial.number: run_id for run_id, trial in earlier.items()}
    trials = list(earlier.values())
    given = dataclasses.asdict(plan) | {"classifiers": ",".join(plan.classifiers) or "all"}
    with (
        _engine(plan, folds) as engine,
        start_run(f"sweep {dataset.name}", given, resume=plan.resume) as run,
    ):
        log_dataset(dataset)
        with stop_on_signal(lambda: say(STOPPING)) as stopped:
            deadline = started + plan.timeout if plan.timeout else math.inf
            budget = Budget(
                plan.trials, deadline, stopped, lambda trials: _reserve(trials, plan.timeout)
            )
            new_trials = search(
                engine, shape, budget,
                classifiers=families, metric=metric, seed=plan.seed, done=list(trials),
            )  # fmt: skip
            with Progress(say, budget, metric, trials) as progress:
                for trial in new_trials:
                    children[trial.number] = log_trial(run, trial, metric)
                    trials = _slimmed([*trials, trial], metric)
                    progress.show(trial)
        best = _with_probabilities(pool(trials, metric), engine, plan)
        recipes = finish(best, folds, metric, seed=plan.seed)[: plan.register]
        versions, homes = [], []
        for recipe in recipes:
            version, home = _register(run, prepared, recipe, children, plan)
            versions.append(version)
            homes.append(home)
        log_ranks(ranked(trials, metric), children)
        MlflowClient().set_tag(run.info.run_id, "best_child_run_id", homes[0])
        mlflow.log_metrics(versions[0].metrics)
        _log_leaderboard(trials, recipes[0], children, homes[0], plan, families, shape)
    return versions


STOPPING = "stopping: the best so far will be registered; once more to leave at once"


def _engine(plan: Plan, folds: Folds) -> Engine:
    if plan.engine == "spark":
        from tabular.search.spark import SparkEngine  # an extra

        return SparkEngine(folds, plan.jobs)
    n_jobs = joblib.effective_n_jobs(plan.jobs)
    small = folds.features.size <= IN_PROCESS_CELLS and folds.n_classes <= IN_PROCESS_CLASSES
    if (n_jobs == 1 and not plan.timeout) or small:
        return InProcess(folds)
    return Processes(folds, n_jobs)


def _reserve(trials: Sequence[Trial], timeout: float) -> float:
    """Seconds for the last fits, the file of the model, its proof, pictures and registration."""
    costs = sorted(t.seconds / len(t.fold_scores) for t in trials if t.metrics)
    return min(FINISH_SECONDS + FINISH_FITS * sum(costs[-MEMBERS:]), timeout / 2)


def _slimmed(trials: Sequence[Trial], metric: str) -> list[Trial]:
    """The trials, with probabilities only where a recipe may need them."""
    if not any(trial.metrics for trial in trials):
        return list(trials)
    kept = {trial.number for trial in pool(trials, metric)}
    return [
        trial if trial.number in kept else dataclasses.replace(trial, oof=None) for trial in trials
    ]


def _with_probabilities(trials: Sequence[Trial], engine: Engine, plan: Plan) -> list[Trial]:
    """The trials; those of a resumed sweep, whose probabilities are gone, evaluated again."""
    missing = {trial.number: trial for trial in trials if trial.oof is None}
    for trial in missing.values():
        task = Task(trial.number, trial.classifier, trial.params, plan.metric, plan.seed)
        engine.submit(task, math.inf)
    known = {trial.number: trial for trial in trials}
    left = len(missing)
    while left:
        for again in engine.finished(PATIENCE):
            left -= 1
            before = known[again.number]
            known[again.number] = dataclasses.replace(before, oof=again.oof)
    evaluated = [trial for trial in known.values() if trial.oof is not None]
    if not evaluated:
        raise BadInput(f"the best trials of run {plan.resume!r} could not be evaluated again")
    return evaluated


def _register(
    run: Run, prepared: Prepared, recipe: Recipe, children: dict[int, str], plan: Plan
) -> tuple[Version, str]:
    """Fits a recipe and registers it; returns the version and its run's id.

    A sweep that was killed after a registration does not register the same again.
    """
    dataset, split = prepared.dataset, prepared.split
    name = plan.model_name or dataset.name
    tags = {"sweep_run_id": run.info.run_id, "recipe": recipe.key}
    if plan.resume and (known := registry.find(name, tags)):
        metrics = MlflowClient().get_run(known.run_id).data.metrics
        return Version(name, known.version, known.run_id, metrics), known.run_id
    model = fit(dataset, split, recipe, seed=plan.seed, jobs=plan.jobs)
    trial_run = children[recipe.members[0].number]
    with recipe_run(run, recipe, plan.metric, trial_run) as child:
        log_dataset(dataset)
        mlflow.log_metric(f"cv_std_{plan.metric}", recipe.spread)
        fitted = Fitted(dataset, split, recipe, model, plan.seed)
        version = register_version(child, fitted, model_name=name, tags=tags)
        return version, child.info.run_id


def _log_leaderboard(
    trials: Sequence[Trial],
    recipe: Recipe,
    children: dict[int, str],
    best: str,
    plan: Plan,
    families: Sequence[str],
    shape: Shape,
) -> None:
    frame = leaderboard.table(trials, recipe, plan.metric, children, best)
    with tempfile.TemporaryDirectory() as folder:
        frame.to_csv(Path(folder, "leaderboard.csv"), index=False)
        page = leaderboard.page(frame, f"Sweep of {plan.data}")
        Path(folder, "leaderboard.html").write_text(page, encoding="utf-8")
        history = leaderboard.history(trials, plan.metric)
        history.savefig(Path(folder, "optimization_history.png"), dpi=100)
        if figure := leaderboard.importance(trials, plan.metric, families, shape):
            figure.savefig(Path(folder, "hyperparameter_importance.png"), dpi=100)
        mlflow.log_artifacts(folder)
