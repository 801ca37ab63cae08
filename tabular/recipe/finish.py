"""From the trials of a search to recipes, best first.

An ensemble of trials, calibration, and for two classes a threshold: each is added where it makes
the recipe better, by one rule (`Judge.better`). It is chosen on out-of-fold probabilities and
judged on probabilities and decisions that were made without the fold they are judged on.
"""

import dataclasses
import itertools
from collections.abc import Sequence

import numpy as np

from tabular.recipe import ensemble
from tabular.recipe.cross_fitting import cross_fitted
from tabular.recipe.judge import Candidate, Judge
from tabular.recipe.recipe import Recipe, as_it_is
from tabular.search.cross_validation import Trial
from tabular.search.folds import Folds
from tabular.stats.constraint import Constraint
from tabular.stats.metrics import sign


def finish(
    trials: Sequence[Trial],
    folds: Folds,
    metric: str,
    *,
    seed: int,
    costs: np.ndarray | None = None,
    at_least: Constraint | None = None,
    most: int | None = None,
) -> list[Recipe]:
    """The recipes, best first: an ensemble if it is better than every trial, then each trial.

    Args:
        trials: with their out-of-fold probabilities, best first; see `pool`.
        folds: that they were evaluated on.
        metric: the objective.
        seed: of the resamples for the threshold.
        costs: (n_classes, n_classes) of predicting column for row, by which to decide; or None.
        at_least: that every threshold has to hold; None without.
        most: how many recipes are wanted; None for all.

    Raises:
        BadInput: the best recipe cannot hold the constraint.
    """
    judge = Judge(
        folds.y_true,
        folds.fold_of_row,
        metric,
        seed,
        costs,
        at_least is not None,
        folds.sample_weight,
    )
    stacked = np.stack([np.asarray(trial.oof) for trial in trials])
    candidates = [
        judge.completed(Candidate(as_it_is(trial, costs=costs), oof, oof))
        for trial, oof in zip(trials[: None if at_least else most], stacked, strict=False)
    ]
    weights = ensemble.select(stacked, judge.y_true, judge.weights)
    taken = np.flatnonzero(weights)
    if len(taken) > 1:
        members = tuple(trials[int(i)] for i in taken)
        first = as_it_is(members[0], costs=costs)
        recipe = dataclasses.replace(first, members=members, weights=tuple(weights[taken].tolist()))
        oof = cross_fitted(
            judge.folds,
            lambda inside, outside: np.tensordot(
                ensemble.select(stacked[:, inside], *judge.labels(inside)), stacked[:, outside], 1
            ),
        )
        mixed = judge.completed(Candidate(recipe, oof, np.tensordot(weights, stacked, 1)))
        chosen = _as_chosen(first, stacked, judge)
        alone = np.array_equal(chosen.oof, stacked[0])
        single = candidates[0] if alone else judge.completed(chosen)
        # an average is the steadier of two that are equal, so it need not be surely better
        if judge.better(mixed, single, errors=0.0):
            candidates.insert(0, mixed)
    held = judge.constrained(at_least, candidates) if at_least else candidates
    return [judge.measured(candidate) for candidate in itertools.islice(held, most)]


def _as_chosen(recipe: Recipe, stacked: np.ndarray, judge: Judge) -> Candidate:
    """The best trial, on each fold the one that is best on the others.

    The best of many trials owes a part of its score to luck with the folds that it was chosen by.

    Args:
        recipe: of the best one.
        stacked: (n_trials, n_rows, n_classes) out-of-fold probabilities.
        judge: of the rows.
    """
    scores = [judge.scores(Candidate(recipe, proba, proba)) for proba in stacked]
    defined = np.ma.masked_invalid(sign(judge.metric) * np.array(scores))
    folds = np.unique(judge.folds)

    def best(inside: np.ndarray) -> int:
        means = defined[:, np.isin(folds, judge.folds[inside])].mean(axis=1)
        return int(np.ma.filled(means, -np.inf).argmax())

    oof = cross_fitted(judge.folds, lambda inside, outside: stacked[best(inside), outside])
    return Candidate(recipe, oof, oof)
