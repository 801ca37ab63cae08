"""From the trials of a search to what is fitted and registered: the recipe.

An ensemble of trials, calibration, and for two classes a threshold: each is added where it makes
the recipe better, by one rule (`_Judge.better`). It is chosen on out-of-fold probabilities and
judged on probabilities and decisions that were made without the fold they are judged on.
"""

import dataclasses
import functools
import itertools
from collections.abc import Iterator, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from sklearn.calibration import CalibratedClassifierCV

from custom_model.served.sets import calibrate, threshold_of
from tabular.errors import BadInput
from tabular.recipe import calibration, constraint, ensemble, threshold
from tabular.recipe.cross_fitting import cross_fitted, surely_above
from tabular.search.cross_validation import Trial
from tabular.search.folds import Folds
from tabular.stats.compute import compute_metric, compute_metrics, predicted
from tabular.stats.constraint import Constraint
from tabular.stats.formulas import log_losses
from tabular.stats.metrics import METRICS, sign


@dataclass(frozen=True)
class Recipe:
    """What is fitted on the whole training side and registered.

    Args:
        members: the trials.
        weights: of their probabilities, summing to 1.
        metrics: cross-validated, by name.
        spread: standard deviation of the objective over the folds.
        method: of the calibration, "" for none.
        calibrator: learned on out-of-fold probabilities.
        threshold: of the second of two classes.
        costs: (n_classes, n_classes) of predicting column for row, by which it decides; or None.
        at_least: the constraint that its threshold holds, "" for none.
        sets: of `served.sets.calibrate`, None where there are no out-of-fold probabilities.
    """

    members: tuple[Trial, ...]
    weights: tuple[float, ...]
    metrics: dict[str, float]
    spread: float = 0.0
    method: str = ""
    calibrator: CalibratedClassifierCV | None = None
    threshold: float = 0.5
    costs: np.ndarray | None = field(default=None, compare=False)
    at_least: str = ""
    sets: dict[str, Any] | None = None

    @property
    def classifier(self) -> str:
        """Name for people: the classifier's, or `ensemble`."""
        return self.members[0].classifier if len(self.members) == 1 else "ensemble"

    @property
    def bare(self) -> bool:
        """Whether it is nothing but one trial."""
        plain = self.threshold == 0.5 or self.costs is not None  # then its trial decides by them
        return len(self.members) == 1 and not self.method and not self.at_least and plain

    @property
    def name(self) -> str:
        """What it is made of, in words."""
        parts = [
            f"{weight:.2f} t{trial.number:03d} {trial.classifier}"
            for trial, weight in zip(self.members, self.weights, strict=True)
        ]
        made = " + ".join(parts) if len(parts) > 1 else self.classifier
        made += f", {self.method} calibration" if self.method else ""
        made += f", threshold {self.threshold:.3f}" if self.threshold != 0.5 else ""
        made += ", least cost" if self.costs is not None else ""
        return made + (f", {self.at_least}" if self.at_least else "")

    @property
    def key(self) -> str:
        """Tells the recipes of one sweep apart."""
        return f"t{self.members[0].number:03d}: {self.name}"


def as_it_is(
    trial: Trial, y_true: np.ndarray | None = None, *, costs: np.ndarray | None = None
) -> Recipe:
    """One trial and nothing else.

    Args:
        trial: with its out-of-fold probabilities where prediction sets are wanted.
        y_true: (n_rows,) classes in the order of these.
        costs: by which it decides.
    """
    sets = None if y_true is None or trial.oof is None else calibrate(y_true, trial.oof)
    made = (trial,), (1.0,), trial.metrics, trial.spread
    return Recipe(*made, threshold=threshold_of(costs), costs=costs, sets=sets)


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
    judge = _Judge(
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
        judge.completed(_Candidate(as_it_is(trial, costs=costs), oof, oof))
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
        mixed = judge.completed(_Candidate(recipe, oof, np.tensordot(weights, stacked, 1)))
        # an average is the steadier of two that are equal, so it need not be surely better
        if judge.better(mixed, candidates[0], errors=0.0):
            candidates.insert(0, mixed)
    held = judge.constrained(at_least, candidates) if at_least else candidates
    return [judge.measured(candidate) for candidate in itertools.islice(held, most)]


@dataclass(frozen=True)
class _Candidate:
    """A recipe and its predictions for the training side, in the order of `Folds.order`.

    Args:
        recipe: without metrics.
        oof: (n_rows, n_classes) probabilities, each made without the row's fold: to judge by.
        proba: (n_rows, n_classes) of the recipe as it is fitted: to learn the next addition from.
        y_pred: (n_rows,) decisions, each made without the row's fold; None for the most probable.
    """

    recipe: Recipe
    oof: np.ndarray
    proba: np.ndarray
    y_pred: np.ndarray | None = None


@dataclass(frozen=True)
class _Judge:
    """Compares candidates on the training side, whose rows are in the order of `Folds.order`."""

    y_true: np.ndarray
    folds: np.ndarray
    metric: str
    seed: int
    costs: np.ndarray | None
    constrains: bool  # the threshold is chosen for a constraint, after all else
    weights: np.ndarray | None

    def better(self, new: _Candidate, old: _Candidate, *, errors: float = 1.0) -> bool:
        """Whether a candidate is to be taken in place of another one.

        Where the probabilities differ, the log loss has to be lower by more than so many standard
        errors of the paired rows, and the objective no worse than by one of the folds. Where only
        the decisions differ, the objective has to be better. With costs, a cost that is lower by
        more than one standard error is enough, if the log loss is no higher by one.
        """
        if new.oof is old.oof:
            return self._gain(new, old) > 0
        lower = log_losses(self.y_true, old.oof) - log_losses(self.y_true, new.oof)
        if not surely_above(lower, self.weights, errors):
            if self.costs is None or surely_above(-lower, self.weights):
                return False
            before, after = (
                self.costs[self.y_true, predicted(c.oof, costs=self.costs)] for c in (old, new)
            )
            return surely_above(before - after, self.weights)
        noise = self._spread(old) / np.sqrt(len(np.unique(self.folds)))
        return bool(self._gain(new, old) >= -noise)

    def completed(self, candidate: _Candidate) -> _Candidate:
        """The candidate with calibration and threshold where they make it better."""
        plain, n_classes = candidate, candidate.oof.shape[1]
        if self._fewest_classes == n_classes:  # or a calibrator would not know one
            for method in calibration.methods(
                len(self.y_true) if self.weights is None else int(self.weights.sum())
            ):
                new = self._calibrated(plain, method)
                candidate = new if self.better(new, candidate) else candidate
        decided = self.costs is not None or self.constrains
        if n_classes == 2 and METRICS[self.metric].tunable and not decided:
            new = self._with_threshold(candidate)
            candidate = new if self.better(new, candidate) else candidate
        return candidate

    @cached_property
    def _fewest_classes(self) -> int:
        """How many classes there are outside of every fold, at the least."""
        outside = (self.y_true[self.folds != fold] for fold in np.unique(self.folds))
        return min(len(np.unique(classes)) for classes in outside)

    def measured(self, candidate: _Candidate) -> Recipe:
        """The recipe with its cross-validated metrics, and what prediction sets need."""
        options = {"costs": self.costs, "sample_weight": self.weights}
        metrics = compute_metrics(self.y_true, candidate.oof, candidate.y_pred, **options)
        return dataclasses.replace(
            candidate.recipe,
            metrics=metrics,
            spread=self._spread(candidate),
            sets=calibrate(self.y_true, candidate.proba),  # as it is served
        )

    def _calibrated(self, plain: _Candidate, method: str) -> _Candidate:
        learn = functools.partial(calibration.learn, method)
        oof = cross_fitted(
            self.folds,
            lambda inside, outside: learn(plain.oof[inside], *self.labels(inside)).predict_proba(
                plain.oof[outside]
            ),
        )
        calibrator = learn(plain.proba, *self.labels())
        recipe = dataclasses.replace(plain.recipe, method=method, calibrator=calibrator)
        return _Candidate(recipe, oof, calibrator.predict_proba(plain.proba))

    def _with_threshold(self, plain: _Candidate) -> _Candidate:
        tune = functools.partial(threshold.tune, metric=self.metric, seed=self.seed)
        second = plain.oof[:, 1]
        y_pred = cross_fitted(
            self.folds,
            lambda inside, outside: second[outside] > tune(second[inside], *self.labels(inside)),
        ).astype(np.intp)
        best = tune(plain.proba[:, 1], *self.labels())
        recipe = dataclasses.replace(plain.recipe, threshold=best)
        return dataclasses.replace(plain, recipe=recipe, y_pred=y_pred)

    def constrained(self, at_least: Constraint, pool: list[_Candidate]) -> Iterator[_Candidate]:
        """The candidates that can hold the constraint; the first has to, or it is a BadInput."""
        for plain in pool:
            with suppress(BadInput) if plain is not pool[0] else nullcontext():
                rows = plain.proba, plain.oof, self.y_true, self.folds
                best, y_pred = constraint.decide_within(
                    at_least, *rows, metric=self.metric, costs=self.costs
                )
                made = dataclasses.replace(plain.recipe, threshold=best, at_least=str(at_least))
                yield dataclasses.replace(plain, recipe=made, y_pred=y_pred)

    def _score(self, candidate: _Candidate, rows: Any = slice(None)) -> float:
        """The objective on some of the rows."""
        y_pred = None if candidate.y_pred is None else candidate.y_pred[rows]
        (y_true, weights), oof = self.labels(rows), candidate.oof[rows]
        options = {"costs": self.costs, "sample_weight": weights}
        return compute_metric(self.metric, y_true, oof, y_pred, **options)

    def labels(self, rows: Any = slice(None)) -> tuple[np.ndarray, np.ndarray | None]:
        """Classes and weights of some of the rows."""
        return self.y_true[rows], None if self.weights is None else self.weights[rows]

    def _gain(self, new: _Candidate, old: _Candidate) -> float:
        """By how much the objective is better."""
        return sign(self.metric) * (self._score(new) - self._score(old))

    def _spread(self, candidate: _Candidate) -> float:
        """Standard deviation of the objective over the folds; 0 where it is undefined."""
        scores = [self._score(candidate, self.folds == fold) for fold in np.unique(self.folds)]
        return float(np.nanstd(scores)) if np.isfinite(scores).any() else 0.0
