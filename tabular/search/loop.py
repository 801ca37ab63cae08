"""The search for a model: Optuna asks and tells in this process, an engine evaluates.

Pure: folds go in, trials come out one by one; nothing is logged here. What is searched stands in
`tabular/families/classifiers.py`, where it is evaluated in `tabular/search/workers.py`, and when a
configuration is given up in `tabular/search/racing.py`.
"""

import dataclasses
import math
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import optuna

from tabular.errors import BadInput
from tabular.families.classifiers import CLASSIFIERS, nearest_params, space_of
from tabular.families.space import Shape
from tabular.search.cross_validation import Task, Trial
from tabular.search.racing import bounds
from tabular.search.workers import Engine
from tabular.stats.metrics import rank_key, sign

AHEAD = 2  # configurations asked for per place, so that a slow one does not leave others idle
LONGEST_SHARE, LONGEST_SECONDS = 0.25, 10.0  # of the time, but at least so long, for one of them
ATTEMPTS = 20  # to find a configuration that is new; a small space may be used up
POOL = 8  # trials that an ensemble may take: the best by the objective, and by log loss
PATIENCE = 0.5  # seconds between looks at the clock


@dataclass(frozen=True)
class Goal:
    """What a search looks for.

    Args:
        classifiers: families to search.
        metric: the objective, a key of `METRICS`.
        seed: of the sampler and of every fit.
        costs: by which trials decide, see `Task`.
    """

    classifiers: Sequence[str]
    metric: str
    seed: int
    costs: np.ndarray | None = None


@dataclass(frozen=True)
class Budget:
    """When a search ends.

    Args:
        trials: how many configurations, counted from the first of a resumed sweep.
        deadline: of `time.monotonic`, infinite for none.
        stopped: whether the user wants it to end.
        reserve: seconds before the deadline that are needed for what comes after the search, by
            the trials so far.
        longest: the share of the time that one configuration may take.
        what: is up at the end, in words.
    """

    trials: int
    deadline: float = math.inf
    stopped: Callable[[], bool] = lambda: False
    reserve: Callable[[Sequence[Trial]], float] = lambda _: 0.0
    longest: float = LONGEST_SHARE
    what: str = "the sweep's time"

    def left(self, finished: Sequence[Trial] = ()) -> float:
        """Seconds that the search has left."""
        return self.deadline - self.reserve(finished) - time.monotonic()

    def over(self, finished: Sequence[Trial] = ()) -> str:
        """Why no further configuration is begun, in words; "" while one may be."""
        if self.stopped():
            return "stopped"
        return "" if self.left(finished) > 0 else f"ended when {self.what} was up"

    def limit(self) -> float:
        """Seconds that one configuration may take."""
        return max(self.longest * self.left(), LONGEST_SECONDS)


def search(
    engine: Engine,
    shape: Shape,
    budget: Budget,
    goal: Goal,
    *,
    done: Sequence[Trial] = (),
    first: Sequence[tuple[str, Mapping[str, Any]]] = (),
) -> Iterator[Trial]:
    """Searches; the first trials are those that are given, then each family's defaults.

    The same seed, table and number of places in the engine give the same trials, as long as no
    time runs out: trial n is asked for once all trials up to a fixed number before it have
    finished, in the order of asking, whichever ends first.

    Args:
        engine: evaluates.
        shape: of the table.
        budget: when to end.
        goal: what to look for.
        done: trials of an earlier search to go on from; they count among `budget.trials`.
        first: families and hyperparameters to begin with, as near as the spaces come to them.

    Yields:
        Each trial in the order of asking. Those that the time runs out for have failed.
    """
    classifiers, metric = goal.classifiers, goal.metric
    study = make_study(metric, goal.seed + len(done))
    finished = list(done)
    for trial in done:
        recall(study, trial, classifiers, shape, metric)
    tried = {_key(trial.classifier, trial.params) for trial in done}
    begun = {trial.classifier for trial in done}
    defaults: list[tuple[str, Mapping[str, Any]]] = [(c, {}) for c in classifiers if c not in begun]
    waiting = set(tried)
    for classifier, given in [*first, *defaults]:
        params = nearest_params(classifier, given, shape)
        key = _key(classifier, params | CLASSIFIERS[classifier].fixed(shape))
        if key not in waiting:
            waiting.add(key)
            named = {f"{classifier}.{name}": value for name, value in params.items()}
            study.enqueue_trial({"classifier": classifier, **named})
    ahead = engine.slots * AHEAD if engine.slots > 1 else 1
    limit = budget.limit()
    asked: list[tuple[Task, optuna.Trial]] = []
    ended: dict[int, Trial] = {}
    while True:
        over = budget.over(finished)
        while not over and len(asked) < ahead and len(finished) + len(asked) < budget.trials:
            number = len(finished) + len(asked)
            suggested, classifier, params = _ask(study, classifiers, shape, tried)
            beyond = bounds(finished, metric)
            task = Task(number, classifier, params, metric, goal.seed, beyond, goal.costs)
            asked.append((task, suggested))
            engine.submit(task, min(limit, budget.left()))
        if not asked:
            return
        if over:
            results = [*engine.finished(0), *engine.end(over)]
        elif asked[0][0].number in ended:
            results = []
        else:
            results = engine.finished(max(0.0, min(PATIENCE, budget.left(finished))))
        ended |= {trial.number: trial for trial in results}
        while asked and asked[0][0].number in ended:
            task, suggested = asked.pop(0)
            trial = ended.pop(task.number)
            _tell(study, suggested, trial, metric)
            finished.append(trial)
            yield trial
            if not over:
                break  # the next is asked for after this one and not, as it happens, two
        if over:
            return


def evaluate_again(
    engine: Engine,
    trials: Sequence[Trial],
    budget: Budget,
    goal: Goal,
) -> list[Trial]:
    """Trials with their out-of-fold probabilities; those that lack them are evaluated once more.

    Args:
        engine: evaluates.
        trials: of an earlier search, each evaluated on every fold.
        budget: when to end.
        goal: what the search looks for.

    Returns:
        The trials; those that the time ran out for, or that failed this time, as they were.
    """
    again = {trial.number: trial for trial in trials}
    missing = {trial.number for trial in trials if trial.oof is None}
    for number in missing:
        known = again[number]
        task = Task(
            number, known.classifier, known.params, goal.metric, goal.seed, costs=goal.costs
        )
        engine.submit(task, budget.limit())
    while missing and not budget.over(trials):
        for trial in engine.finished(max(0.0, min(PATIENCE, budget.left(trials)))):
            missing.remove(trial.number)
            again[trial.number] = dataclasses.replace(again[trial.number], oof=trial.oof)
    engine.end("ended")
    return list(again.values())


def _ask(
    study: optuna.Study, classifiers: Sequence[str], shape: Shape, tried: set[str]
) -> tuple[optuna.Trial, str, dict[str, Any]]:
    """The next configuration; instead of one that was tried already, one drawn at random."""
    usual = study.sampler
    for attempt in range(ATTEMPTS):
        if attempt:
            study.sampler = optuna.samplers.RandomSampler(len(tried) * ATTEMPTS + attempt)
        trial = study.ask()
        classifier = trial.suggest_categorical("classifier", list(classifiers))
        params = _suggest(trial, classifier, shape) | CLASSIFIERS[classifier].fixed(shape)
        key = _key(classifier, params)
        if key not in tried or attempt == ATTEMPTS - 1:
            break
        study.tell(trial, state=optuna.trial.TrialState.FAIL)
    study.sampler = usual
    tried.add(key)
    return trial, classifier, params


def _suggest(trial: optuna.trial.BaseTrial, classifier: str, shape: Shape) -> dict[str, Any]:
    return {
        name: range_.suggest(trial, f"{classifier}.{name}")
        for name, range_ in space_of(classifier, shape).items()
    }


def _key(classifier: str, params: dict[str, Any]) -> str:
    return f"{classifier} {sorted(params.items())}"


def _tell(study: optuna.Study, asked: optuna.Trial, result: Trial, metric: str) -> None:
    if result.error:
        study.tell(asked, state=optuna.trial.TrialState.FAIL)
    elif result.stopped:
        asked.report(float(np.nanmean(result.fold_scores)), len(result.fold_scores))
        study.tell(asked, state=optuna.trial.TrialState.PRUNED)
    else:
        study.tell(asked, result.metrics[metric])


def make_study(metric: str, seed: int) -> optuna.Study:
    """An empty study with Optuna's sampler, seeded."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with warnings.catch_warnings():
        # `group` makes the sampler model each family on its own; without it only their choice
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        sampler = optuna.samplers.TPESampler(
            seed=seed, multivariate=True, group=True, constant_liar=True
        )
    return optuna.create_study(
        sampler=sampler, direction="maximize" if sign(metric) > 0 else "minimize"
    )


def recall(
    study: optuna.Study, trial: Trial, classifiers: Sequence[str], shape: Shape, metric: str
) -> None:
    """Tells a study of a trial that is known, whatever became of it."""
    named = {f"{trial.classifier}.{name}": value for name, value in trial.params.items()}
    fixed = optuna.trial.FixedTrial({"classifier": trial.classifier, **named})
    fixed.suggest_categorical("classifier", list(classifiers))
    _suggest(fixed, trial.classifier, shape)
    state = optuna.trial.TrialState
    scores = trial.fold_scores
    study.add_trial(
        optuna.trial.create_trial(
            params=fixed.params,
            distributions=fixed.distributions,
            value=trial.metrics.get(metric),
            intermediate_values={len(scores): float(np.nanmean(scores))} if trial.stopped else {},
            state=state.FAIL if trial.error else state.PRUNED if trial.stopped else state.COMPLETE,
        )
    )


def ranked(trials: Sequence[Trial], metric: str) -> list[Trial]:
    """The trials that were evaluated on every fold, best first; equals by log loss, then number.

    Those of more rows come before all others.

    Raises:
        BadInput: none succeeded.
    """
    done = [trial for trial in trials if trial.metrics]
    if not done:
        reason = trials[0].error if trials else "the time was up before the first trial"
        raise BadInput(f"no configuration could be evaluated: {reason}")
    return sorted(
        done, key=lambda trial: (-trial.rows, *rank_key(metric, trial.metrics), trial.number)
    )


def pool(trials: Sequence[Trial], metric: str) -> list[Trial]:
    """The trials that a recipe may be made of, best by the objective first.

    Args:
        trials: of the sweep, at least one of them evaluated on every fold.
        metric: the objective.
    """
    best = ranked(trials, metric)
    best = [trial for trial in best if trial.rows == best[0].rows]
    likely = ranked(best, "log_loss") if "log_loss" in best[0].metrics else []
    chosen = {trial.number for trial in [*best[:POOL], *likely[:POOL]]}
    return [trial for trial in best if trial.number in chosen]
