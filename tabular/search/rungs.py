"""The search of a large table, in rungs: a sample of its rows, four times as many, all.

Ranks of configurations on 3 % and on 12 % of the rows correlate (.93), but a family that is slow to
learn may be among the last on the sample. So every configuration is tried on the first rung, and
the best of each family has a place on the next (successive halving,
Jamieson and Talwalkar 2016, https://proceedings.mlr.press/v51/jamieson16.html, with a quota).
"""

import dataclasses
import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from tabular.families.classifiers import nearest_params
from tabular.families.space import Shape
from tabular.search.cross_validation import Trial
from tabular.search.folds import Folds
from tabular.search.loop import LONGEST_SHARE, Budget, ranked, search
from tabular.search.workers import Engine

LARGE = 50_000  # rows to train on, from which rungs pay
STEP = 4
FEWEST_ROWS, MOST_ROWS = 12_500, 25_000  # of the first; the spaces are those of many rows
FEWEST_OF_CLASS = 20  # rows that a rung has of each class in each fold, if the table has them


def rungs_of(folds: Folds, seed: int) -> list[Folds]:
    """The rungs of a training side, the last of which is all of it; a small one has no other."""
    n_rows = len(folds.y)
    if n_rows <= LARGE:
        return [folds]
    least = min(max(n_rows // STEP**2, FEWEST_ROWS), MOST_ROWS)
    sizes = [size for size in (least, least * STEP) if size <= n_rows // 2]
    return [*(sample(folds, size, seed) for size in sizes), folds]


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
    )


def search_rungs(
    rungs: Sequence[Folds],
    engine: Engine,
    budget: Budget,
    *,
    classifiers: Sequence[str],
    metric: str,
    seed: int,
    done: Sequence[Trial] = (),
    first: Sequence[tuple[str, Mapping[str, Any]]] = (),
    costs: np.ndarray | None = None,
) -> Iterator[Trial]:
    """Searches on the first rung, and evaluates the best again on the others; see `search`.

    A rung has an equal part of the time that is left. What would take too long on the next one, by
    its time on this one, has no place there.

    Args:
        rungs: from `rungs_of`.
        engine: evaluates.
        budget: when to end; `trials` are those of the first rung.
        classifiers: families to search.
        metric: the objective.
        seed: of the sampler and of every fit.
        done: trials of an earlier search of the same rungs.
        first: families and hyperparameters to begin with.
        costs: by which trials decide.

    Yields:
        Each trial, with the rows of its rung.
    """
    options: dict[str, Any] = {"metric": metric, "seed": seed, "costs": costs}
    if len(rungs) == 1:
        yield from search(
            engine, rungs[0].shape, budget, classifiers=classifiers, done=done, first=first,
            **options,
        )  # fmt: skip
        return
    number, below = itertools.count(len(done)), list[Trial]()
    for place, folds in enumerate(rungs):
        rows = len(folds.y)
        shape = dataclasses.replace(rungs[-1].shape, n_rows=folds.shape.n_rows)
        of_rung = [trial for trial in done if trial.rows == rows]
        wanted = budget.trials
        if place:
            limit = LONGEST_SHARE * budget.left(below) * len(rungs[-1].y) / rows
            quick = [trial for trial in below if trial.seconds <= limit]
            best = _promoted(quick, max(len(classifiers), budget.trials // STEP**place), metric)
            known = {_key(one, shape) for one in of_rung}
            first = [(one.classifier, one.params) for one in best if _key(one, shape) not in known]
            wanted = len(of_rung) + len(first)
            if not wanted:
                return
        part = _part(budget, wanted, len(rungs) - place, below)
        engine.use(folds)
        for trial in search(
            engine, shape, part, classifiers=classifiers, first=first,
            done=[dataclasses.replace(one, number=i) for i, one in enumerate(of_rung)],
            **options,
        ):  # fmt: skip
            of_rung.append(dataclasses.replace(trial, number=next(number), rows=rows))
            yield of_rung[-1]
        below = as_on_all_rows([one for one in of_rung if one.metrics], len(rungs[-1].y))


def _part(budget: Budget, trials: int, rungs: int, below: Sequence[Trial]) -> Budget:
    """The budget of a rung.

    Args:
        budget: of the whole search.
        trials: of the rung.
        rungs: how many there are from this one on.
        below: trials of the rung below, with the time that they would take on all rows.
    """
    endless = math.isinf(budget.deadline)
    above = 0.0 if endless else budget.reserve(below) + budget.left(below) * (1 - 1 / rungs)

    def reserve(some: Sequence[Trial]) -> float:
        if rungs == 1:
            return budget.reserve(some or below)
        # the rungs above need a trial to begin with
        return above if any(trial.metrics for trial in [*below, *some]) else budget.reserve(())

    return dataclasses.replace(budget, trials=trials, reserve=reserve)


def _promoted(trials: Sequence[Trial], places: int, metric: str) -> list[Trial]:
    """Trials that have a place on the next rung: the best of each family first, then the others."""
    order = ranked(trials, metric) if trials else []
    best = {trial.classifier: trial for trial in reversed(order)}
    of_family = [trial for trial in order if best[trial.classifier] is trial]
    return [*of_family, *(trial for trial in order if trial not in of_family)][:places]


def _key(trial: Trial, shape: Shape) -> str:
    """A configuration, without what follows from the number of rows."""
    params = nearest_params(trial.classifier, trial.params, shape)
    return f"{trial.classifier} {sorted(params.items())}"


def rung_of(rungs: Sequence[Folds], trials: Sequence[Trial]) -> Folds:
    """The highest rung that trials were evaluated on."""
    most = max((trial.rows for trial in trials if trial.metrics), default=0)
    return next((rung for rung in rungs if len(rung.y) == most), rungs[-1])


def as_on_all_rows(trials: Sequence[Trial], n_rows: int) -> list[Trial]:
    """Trials with the time that they would take on so many rows, by that on their rung."""
    return [
        dataclasses.replace(one, seconds=one.seconds * n_rows / one.rows) if one.rows else one
        for one in trials
    ]
