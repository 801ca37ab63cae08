"""The search of a large table, in rungs: a sample of its rows, four times as many, ..., all.

Ranks of configurations on 3 % and on 12 % of the rows correlate (.93), but a family that is slow to
learn may be among the last on the sample. So every configuration is tried on the first rung, and
the best of each family has a place on the next (successive halving,
Jamieson and Talwalkar 2016, https://proceedings.mlr.press/v51/jamieson16.html, with a quota).
"""

import dataclasses
import itertools
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from tabular.search.cross_validation import Trial
from tabular.search.folds import Folds
from tabular.search.loop import Budget, Goal, ranked, search
from tabular.search.workers import Engine
from tabular.stats.metrics import tunes_threshold

LARGE = 50_000  # rows to train on, from which rungs pay
STEP = 4
FEWEST_ROWS, MOST_ROWS = 5_000, 20_000  # of the first
NEAR = 1.1  # times the lowest log loss: what a member of the ensemble is likely to have at most
LONGER = 1.2  # times as long as its rows let expect: what a trial may take on the next rung
MOST_ABOVE = 0.8  # of a rung's time and that of those above it: what the best may take there
FEWEST_OF_CLASS = 20  # rows that a rung has of each class in each fold, if the table has them


def rungs_of(folds: Folds, seed: int) -> list[Folds]:
    """The rungs of a training side, the last of which is all of it; a small one has no other."""
    n_rows = len(folds.y)
    if n_rows <= LARGE:
        return [folds]
    size = min(max(n_rows // STEP**3, FEWEST_ROWS), MOST_ROWS)
    samples = []
    while size <= n_rows // 2:
        samples.append(sample(folds, size, seed))
        size *= STEP
    return [*samples, folds]


def sample(folds: Folds, n_rows: int, seed: int) -> Folds:
    """A sample of rows that stay in their folds, with about the same share of each class in each.

    So groups stay together, and fits stay older than what they are validated on. A smaller sample
    is part of each larger one of the same seed.

    Args:
        folds: of all rows.
        n_rows: about how many rows.
        seed: chooses them.
    """
    fold = np.full(len(folds.y), -1)  # only fitted on
    for number, (_, validated) in enumerate(folds.positions):
        fold[validated] = number
    stratum = (fold + 1) * folds.n_classes + folds.y
    order = np.random.default_rng(seed).permutation(len(stratum))
    order = order[np.argsort(stratum[order], kind="stable")]
    counts = np.bincount(stratum)
    place = np.arange(len(order)) - np.repeat(np.cumsum(counts) - counts, counts)
    wanted = np.maximum(np.ceil(counts * n_rows / len(order)), FEWEST_OF_CLASS)
    taken = np.zeros(len(order), dtype=bool)
    taken[order[place < np.repeat(wanted, counts)]] = True
    new = np.cumsum(taken) - 1
    return Folds(
        folds.features[taken],
        folds.y[taken],
        folds.columns,
        [(new[a[taken[a]]], new[b[taken[b]]]) for a, b in folds.positions],
        None if folds.weights is None else folds.weights[taken],
        grouped=folds.grouped,
    )


def search_rungs(
    rungs: Sequence[Folds],
    engine: Engine,
    budget: Budget,
    goal: Goal,
    *,
    done: Sequence[Trial] = (),
    first: Sequence[tuple[str, Mapping[str, Any]]] = (),
) -> Iterator[Trial]:
    """Searches on the first rung, and evaluates the best again on the others; see `search`.

    The best trial of a rung is the first to be evaluated on the next one. If it fails there, or
    would take too long by its time so far, the search goes no higher. So a rung that has results
    has those of the best, and no trial wins because a better one was too slow for its rung. Where a
    threshold is tuned after the search, the best is that of the lowest log loss.

    Args:
        rungs: from `rungs_of`.
        engine: evaluates.
        budget: when to end; `trials` are those of the first rung.
        goal: what to look for.
        done: trials of an earlier search of the same rungs.
        first: families and hyperparameters to begin with.

    Yields:
        Each trial, with the rows of its rung.
    """
    shape = rungs[-1].shape  # on each rung, so that a configuration is everywhere the same
    n_families = len(goal.classifiers)
    if len(rungs) == 1:
        yield from search(engine, shape, budget, goal, done=done, first=first)
        return
    tuned = tunes_threshold(goal.metric, shape.n_classes, goal.costs)
    order = "log_loss" if tuned else goal.metric  # before, labels at 0.5 say little
    number, below = itertools.count(len(done)), list[Trial]()
    tried = places = 0
    for place, folds in enumerate(rungs):
        rows, leads = len(folds.y), False
        of_rung = [trial for trial in done if trial.rows == rows and not (place and trial.error)]
        promoted, turns = 0, len(first) + n_families
        part = _part(rungs[place:], below, budget, order, turns if not place else 1)
        if place:
            best = _promoted(below, max(n_families, places), order)
            known = [(trial.classifier, trial.params) for trial in of_rung]
            new = [one for one in best if (one.classifier, one.params) not in known]
            quick = [one for one in new if on_rows(one, rows).seconds <= part.left()]
            leads = best[0] in new
            if leads and best[0] not in quick:
                return
            first = [(one.classifier, one.params) for one in quick]
            promoted = len(of_rung) + len(quick)
        engine.use(folds)
        before = [dataclasses.replace(one, number=i, rows=0) for i, one in enumerate(of_rung)]
        # what there was no time for on the rungs below is tried here
        part = dataclasses.replace(part, trials=promoted + budget.trials - tried)
        for trial in search(engine, shape, part, goal, done=before, first=first):
            of_rung.append(dataclasses.replace(trial, number=next(number), rows=rows))
            yield of_rung[-1]
            if leads and trial.error:
                engine.end(trial.error)
                return
            leads = False
        below, places = [trial for trial in of_rung if trial.metrics], len(of_rung) // STEP
        tried += max(0, len(of_rung) - promoted)
        if not below:
            return


def _part(
    rungs: Sequence[Folds], below: Sequence[Trial], budget: Budget, metric: str, turns: int
) -> Budget:
    """The budget of a rung: an equal part of the time, if in the rest the best can go higher.

    Args:
        rungs: this one and those above it.
        below: trials of the rung below; none for the first.
        budget: of the whole search.
        metric: by which trials are ranked.
        turns: how many trials the rung has in any case.
    """
    began, sizes = time.monotonic(), [len(rung.y) for rung in rungs]

    def reserve(finished: Sequence[Trial]) -> float:
        here = [dataclasses.replace(one, rows=sizes[0]) for one in finished if one.metrics] or below
        if not here:
            return budget.reserve(finished)
        best = ranked(here, metric)[0]
        after = max(budget.reserve(near_best(here)), budget.reserve([on_rows(best, sizes[-1])]))
        if len(rungs) == 1 or len(finished) < turns:
            return after
        whole = budget.deadline - began - after
        needed = LONGER * on_rows(best, sizes[1]).seconds
        above = max(whole * (1 - 1 / len(rungs)), needed)
        return after + above if needed <= MOST_ABOVE * whole else after

    if math.isinf(budget.deadline):
        return budget
    what = f"the time for {sizes[0]} rows" if len(rungs) > 1 else budget.what
    longest = 1.0 if below else budget.longest
    return dataclasses.replace(budget, reserve=reserve, longest=longest, what=what)


def _promoted(trials: Sequence[Trial], places: int, metric: str) -> list[Trial]:
    """Trials that have a place on the next rung: the best of each family first, then the others."""
    best_first = ranked(trials, metric)
    best = {trial.classifier: trial for trial in reversed(best_first)}
    of_family = [trial for trial in best_first if best[trial.classifier] is trial]
    return [*of_family, *(trial for trial in best_first if trial not in of_family)][:places]


def near_best(trials: Sequence[Trial]) -> list[Trial]:
    """The trials, each evaluated on every fold, whose log loss is near the lowest of them."""
    lowest = min(trial.metrics["log_loss"] for trial in trials)
    return [trial for trial in trials if trial.metrics["log_loss"] <= NEAR * lowest]


def on_rows(trial: Trial, n_rows: int) -> Trial:
    """A trial of a rung with the time that it would take on so many rows."""
    return dataclasses.replace(trial, seconds=trial.seconds * n_rows / trial.rows)


def reached(rungs: Sequence[Folds], trials: Sequence[Trial]) -> int:
    """The place of the highest rung that trials were evaluated on; of the last without any."""
    most = max((trial.rows for trial in trials if trial.metrics), default=0)
    return next((i for i, rung in enumerate(rungs) if len(rung.y) == most), len(rungs) - 1)
