"""The tracked sweep: a parent run, a child per trial, the best registered."""

import dataclasses
import math
import tempfile
from collections.abc import Sequence
from pathlib import Path

import joblib
from mlflow.entities.run import Run

from tabular.errors import BadInput
from tabular.families.classifiers import affordable, can_weigh, check_installed
from tabular.families.space import shape_of
from tabular.jobs.last_fits import LastFits
from tabular.jobs.plan import Plan, default_metric
from tabular.jobs.preparation import RoleColumns, Say, check_weighed, prepare
from tabular.jobs.retraining import champion_of, first_trials, is_made_of
from tabular.jobs.timing import Timing
from tabular.jobs.versions import Fitted, register_version
from tabular.recipe.costs import read_costs
from tabular.recipe.recipe import Recipe
from tabular.report import leaderboard
from tabular.search.cross_validation import Trial
from tabular.search.folds import Folds
from tabular.search.loop import Budget, Goal, evaluate_again, pool, ranked
from tabular.search.progress import Progress, line
from tabular.search.rungs import reached, rungs_of, search_rungs
from tabular.search.stopping import stop_on_signal
from tabular.search.workers import Engine, InProcess, Processes
from tabular.stats.compute import compute_metric
from tabular.stats.constraint import Constraint, read_constraint
from tabular.stats.metrics import OF_RANKS
from tabular.store import registry
from tabular.store.artifacts import download
from tabular.store.registry import Version
from tabular.store.runs import log_dataset, log_inputs_of, log_results, start_run
from tabular.store.trials import (
    WARM_START,
    log_oof,
    log_ranks,
    log_trial,
    read_oof,
    read_trials,
    recipe_run,
    warm_start_of,
)
from tabular.table.dataset import Dataset

IN_PROCESS_CELLS = 2_000  # worker processes take seconds to start
IN_PROCESS_CLASSES = 10  # boosting fits a tree for each, in every iteration
IN_PROCESS_BYTES = 1_000_000  # what is fitted in this process cannot be ended
LEAST_SECONDS = 5.0  # of a sweep, for a version whatever happens


def sweep(
    plan: Plan, *, say: Say, unless_same: bool = False, promotes: bool = False
) -> list[Version]:
    """Searches families and hyperparameters, and registers the best: versions, best first.

    Args:
        plan: what to do.
        say: takes each line of progress.
        unless_same: do nothing if the version in production was made of the same table, see
            `is_made_of`; there are no versions then.
        promotes: whether a promotion follows within `plan.timeout`.

    Raises:
        BadInput: the table cannot be used, or no configuration could be evaluated.
    """
    check_installed(plan.classifiers)
    timing = Timing(plan.timeout, promotes=promotes)
    asked = RoleColumns(plan.model_name, plan.group, plan.time, plan.weight)
    prepared = prepare(plan.data, plan.target, seed=plan.seed, say=say, asked=asked)
    dataset, folds, metric = prepared.dataset, prepared.folds, plan.metric
    timing.keep_for(len(dataset.columns))
    if metric == "cost" and not plan.cost:
        raise BadInput("metric=cost needs the costs; give them with cost")
    costs = read_costs(plan.cost, dataset.labels, download) if plan.cost else None
    at_least = _constraint(plan, dataset)
    few = "too few rows" if dataset.structure.names else "one row"
    if metric in OF_RANKS and (lonely := prepared.never_validated):
        raise BadInput(
            f"{metric} is undefined on {dataset.name}: class {lonely[0]!r} has {few} to "
            "train on, so no fold can be asked about it; add rows of it, leave it out or take "
            "another metric"
        )
    check_weighed(dataset.structure, plan.classifiers)
    families = list(plan.classifiers) or affordable(shape_of(folds.y, len(folds.y)))
    if dataset.structure.weight and (others := [one for one in families if not can_weigh(one)]):
        families = [one for one in families if one not in others]
        say(f"  Left out, as they take no weights: {', '.join(others)}.")
    same = {"seed": [str(plan.seed)], "cost": [plan.cost], "at_least": [plan.at_least]}
    same["metric"] = [metric, ""] if metric == default_metric(plan.cost) else [metric]
    champion = champion_of(plan.model_name or dataset.name)
    again = unless_same and not plan.resume
    if again and is_made_of(champion, dataset, same["metric"], costs, at_least):
        say(f"Nothing to do: {champion}, in production, is of this table; force=true sweeps again.")
        return []
    rungs = rungs_of(folds, plan.seed)
    begins_with = champion if plan.warm_start else ""
    if plan.resume:
        begins_with = warm_start_of(plan.resume)
    first = first_trials(begins_with, dataset, families, say)
    earlier = read_trials(plan.resume, metric, dataset.digest, same) if plan.resume else {}
    if other := {trial.classifier for trial in earlier.values()} - set(families):
        raise BadInput(f"run {plan.resume!r} tried {min(other)} too; give the same classifiers")
    children = {trial.number: run_id for run_id, trial in earlier.items()}
    given = dataclasses.asdict(plan) | {"classifiers": ",".join(plan.classifiers) or "all"}
    with (
        _engine(plan, folds) as engine,
        start_run(f"sweep {dataset.name}", given, resume=plan.resume) as run,
    ):
        if absent := [one for one in families if one not in engine.classifiers]:
            say(f"  Left out, as the Spark executors lack its package: {', '.join(absent)}.")
            families = [one for one in families if one not in absent]
            if not families:
                raise BadInput(
                    f"the Spark executors lack the package of {absent[0]}; "
                    "pip install -r requirements-boosting.txt there, or give other classifiers"
                )
            first = [one for one in first if one[0] not in absent]
        log_dataset(dataset)
        log_results(tags={WARM_START: begins_with} if begins_with else {})
        with stop_on_signal(lambda: say(STOPPING)) as stopped:
            budget = Budget(plan.trials, timing.deadline.at, stopped, timing.reserve)
            goal = Goal(families, metric, plan.seed, costs)
            trials = list(earlier.values())
            before = rungs[reached(rungs, trials)]
            engine.use(before)
            trials = _with_oof(trials, before, engine, budget, plan.resume, goal)
            new_trials = search_rungs(rungs, engine, budget, goal, done=list(trials), first=first)
            with Progress(say, budget, metric, trials) as progress:
                for trial in new_trials:
                    children[trial.number] = log_trial(run, trial, metric)
                    trials = _slimmed([*trials, trial], metric)
                    progress.show(trial)

        def log(trial: Trial) -> None:
            children[trial.number] = log_trial(run, trial, metric)
            trials.append(trial)
            say(f"{line(trial, metric)}, on a sample of the rows")

        last = LastFits(
            prepared, rungs[reached(rungs, trials) :], engine, timing, plan, families, costs,
            at_least, lambda: len(trials), log,
        )  # fmt: skip
        wanted: list[Recipe | None] = [None]
        best: list[Trial] = []
        if timing.timeout < LEAST_SECONDS or any(trial.metrics for trial in trials) or stopped():
            best = pool(trials, metric)
            log_oof(best)
            wanted = [*last.recipes(best)[: plan.register]]
        versions = list[Version]()
        recipes = list[Recipe]()
        for recipe in wanted:
            if versions and timing.deadline.left() < 0:
                timing.deadline.left_out.append(f"the versions from number {len(versions) + 1} on")
                break
            made, version = _register(run, last, recipe, best, children)
            recipes.append(made)
            versions.append(version)
        for note in timing.deadline.notes:
            say(f"  {note}")
        log_ranks(ranked(trials, metric), children)
        board = leaderboard.table(trials, recipes[0], metric, children, versions[0].run_id)
        with tempfile.TemporaryDirectory() as folder:
            leaderboard.write(
                Path(folder), board, trials, metric, families, folds.shape, f"Sweep of {plan.data}"
            )
            tags = {"best_child_run_id": versions[0].run_id}
            log_results(versions[0].metrics, tags=tags, folder=folder)
    return versions


def _constraint(plan: Plan, dataset: Dataset) -> Constraint | None:
    if plan.at_least and (dataset.structure.group or dataset.structure.weight):
        raise BadInput(
            "at_least cannot be promised for rows that belong together or count differently; leave "
            "it out, or give group=none and weight=none"
        )
    try:
        return read_constraint(plan.at_least, dataset.labels) if plan.at_least else None
    except ValueError as error:
        raise BadInput(f"at_least: {error}") from None


STOPPING = "stopping: the best so far will be registered; once more to leave at once"


def _engine(plan: Plan, folds: Folds) -> Engine:
    if plan.engine == "spark":
        from tabular.search.spark import SparkEngine  # an extra

        return SparkEngine(folds, plan.jobs)
    n_jobs = joblib.effective_n_jobs(plan.jobs)
    small = folds.features.size <= IN_PROCESS_CELLS and folds.n_classes <= IN_PROCESS_CLASSES
    if small and plan.timeout:
        small = folds.features.memory_usage(deep=True).sum() <= IN_PROCESS_BYTES
    if (n_jobs == 1 and not plan.timeout) or small:
        return InProcess(folds)
    return Processes(folds, n_jobs)


def _slimmed(trials: Sequence[Trial], metric: str) -> list[Trial]:
    """The trials, with probabilities only where a recipe may need them."""
    if not any(trial.metrics for trial in trials):
        return list(trials)
    kept = {trial.number for trial in pool(trials, metric)}
    return [
        trial if trial.number in kept else dataclasses.replace(trial, oof=None) for trial in trials
    ]


def _with_oof(
    trials: list[Trial],
    folds: Folds,
    engine: Engine,
    budget: Budget,
    resume: str,
    goal: Goal,
) -> list[Trial]:
    """The trials of a resumed sweep; those that a recipe may need with their probabilities.

    What was kept is taken where it gives the metric that was logged; what is missing is evaluated
    again, as long as there is time.
    """
    if not trials:
        return []
    kept = read_oof(resume)
    best = []
    for trial in pool(trials, goal.metric):
        oof = kept.get(trial.number)
        if oof is not None and oof.shape == (len(folds.y_true), folds.n_classes):
            again = compute_metric(
                goal.metric, folds.y_true, oof, costs=goal.costs, sample_weight=folds.sample_weight
            )
            if math.isclose(again, trial.metrics[goal.metric], rel_tol=1e-9):
                trial = dataclasses.replace(trial, oof=oof)
        best.append(trial)
    best = evaluate_again(engine, best, budget, goal)
    by_number = {trial.number: trial for trial in [*trials, *best]}
    return list(by_number.values())


def _register(
    run: Run,
    last: LastFits,
    recipe: Recipe | None,
    best: Sequence[Trial],
    children: dict[int, str],
) -> tuple[Recipe, Version]:
    """Fits a recipe, or what there is time for, and registers it; None is the simplest one.

    A sweep that was killed after a registration does not register the same again.
    """
    dataset, plan, deadline = last.prepared.dataset, last.plan, last.timing.deadline
    name = plan.model_name or dataset.name
    tags = {"sweep_run_id": run.info.run_id, "recipe": recipe.key if recipe else ""}
    if recipe and plan.resume and (known := registry.find(name, tags)):
        return recipe, known
    recipe, split, model = last.fit(recipe, best) if recipe else last.simplest()
    tags["recipe"] = recipe.key
    with recipe_run(run, recipe, plan.metric, children[recipe.members[0].number]) as child:
        log_inputs_of(run)
        log_results({f"cv_std_{plan.metric}": recipe.spread})
        fitted = Fitted(dataset, split, recipe, model, plan.seed)
        return recipe, register_version(
            child, fitted, model_name=name, tags=tags, deadline=deadline
        )
