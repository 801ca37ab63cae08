"""Which of two recipes is better, by one rule, and what is added to one: calibration, a threshold.

All is judged on out-of-fold probabilities, and on decisions that were made without the fold they
are judged on.
"""

import dataclasses
import functools
from collections.abc import Iterator
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from custom_model.served.sets import calibrate
from tabular.errors import BadInput
from tabular.recipe import calibration, constraint, threshold
from tabular.recipe.cross_fitting import cross_fitted, surely_above
from tabular.recipe.recipe import Recipe
from tabular.stats.compute import compute_metric, compute_metrics, predicted
from tabular.stats.constraint import Constraint
from tabular.stats.formulas import log_losses
from tabular.stats.metrics import sign, tunes_threshold


@dataclass(frozen=True)
class Candidate:
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
class Judge:
    """Compares candidates on the training side, whose rows are in the order of `Folds.order`."""

    y_true: np.ndarray
    folds: np.ndarray
    metric: str
    seed: int
    costs: np.ndarray | None
    constrains: bool  # the threshold is chosen for a constraint, after all else
    weights: np.ndarray | None

    def better(self, new: Candidate, old: Candidate, *, errors: float = 1.0) -> bool:
        """Whether a candidate is to be taken in place of another one.

        Where the probabilities differ, the log loss has to be lower by more than so many standard
        errors of the paired rows, and the objective no worse than by one of the folds. Where only
        the decisions differ, the objective has to be better. With costs, a cost that is lower by
        more than one standard error is enough, if the log loss is no higher by one.
        """
        if new.oof is old.oof:
            return self._gain(new, old) > 0
        lower = self._lower(new, old)
        if not surely_above(lower, self.weights, errors):
            if self.costs is None or surely_above(-lower, self.weights):
                return False
            before, after = (
                self.costs[self.y_true, predicted(c.oof, costs=self.costs)] for c in (old, new)
            )
            return surely_above(before - after, self.weights)
        noise = self._spread(old) / np.sqrt(len(np.unique(self.folds)))
        return bool(self._gain(new, old) >= -noise)

    def completed(self, candidate: Candidate) -> Candidate:
        """The candidate with calibration and threshold where they make it better.

        Where a threshold can be tuned, calibration is judged with it: what calibration does to the
        probabilities of unbalanced classes, a threshold undoes in the decisions.
        """
        plain, likely, n_classes = candidate, candidate, candidate.oof.shape[1]
        tunable = tunes_threshold(self.metric, n_classes, self.costs) and not self.constrains
        if self._fewest_classes == n_classes:  # or a calibrator would not know one
            for method in calibration.methods(
                len(self.y_true) if self.weights is None else int(self.weights.sum())
            ):
                new = self._calibrated(plain, method)
                if tunable:
                    better = surely_above(self._lower(new, likely), self.weights)
                else:
                    better = self.better(new, likely)
                likely = new if better else likely
        if not tunable:
            return likely
        plain = self._tuned(plain)
        if likely is candidate:
            return plain
        likely = self._tuned(likely)
        return likely if self.better(likely, plain) else plain

    def _lower(self, new: Candidate, old: Candidate) -> np.ndarray:
        """(n_rows,) by how much the log loss is lower."""
        return log_losses(self.y_true, old.oof) - log_losses(self.y_true, new.oof)

    def _tuned(self, candidate: Candidate) -> Candidate:
        """The candidate with a threshold where that makes it better."""
        new = self._with_threshold(candidate)
        return new if self.better(new, candidate) else candidate

    @cached_property
    def _fewest_classes(self) -> int:
        """How many classes there are outside of every fold, at the least."""
        outside = (self.y_true[self.folds != fold] for fold in np.unique(self.folds))
        return min(len(np.unique(classes)) for classes in outside)

    def measured(self, candidate: Candidate) -> Recipe:
        """The recipe with its cross-validated metrics, and what prediction sets need."""
        options = {"costs": self.costs, "sample_weight": self.weights}
        metrics = compute_metrics(self.y_true, candidate.oof, candidate.y_pred, **options)
        return dataclasses.replace(
            candidate.recipe,
            metrics=metrics,
            spread=self._spread(candidate),
            sets=calibrate(self.y_true, candidate.proba),  # as it is served
        )

    def _calibrated(self, plain: Candidate, method: str) -> Candidate:
        learn = functools.partial(calibration.learn, method)
        oof = cross_fitted(
            self.folds,
            lambda inside, outside: learn(plain.oof[inside], *self.labels(inside)).predict_proba(
                plain.oof[outside]
            ),
        )
        calibrator = learn(plain.proba, *self.labels())
        recipe = dataclasses.replace(plain.recipe, method=method, calibrator=calibrator)
        return Candidate(recipe, oof, calibrator.predict_proba(plain.proba))

    def _with_threshold(self, plain: Candidate) -> Candidate:
        tune = functools.partial(threshold.tune, metric=self.metric, seed=self.seed)
        second = plain.oof[:, 1]
        y_pred = cross_fitted(
            self.folds,
            lambda inside, outside: second[outside] > tune(second[inside], *self.labels(inside)),
        ).astype(np.intp)
        best = tune(plain.proba[:, 1], *self.labels())
        recipe = dataclasses.replace(plain.recipe, threshold=best)
        return dataclasses.replace(plain, recipe=recipe, y_pred=y_pred)

    def constrained(self, at_least: Constraint, pool: list[Candidate]) -> Iterator[Candidate]:
        """The candidates that can hold the constraint; the first has to, or it is a BadInput."""
        for plain in pool:
            with suppress(BadInput) if plain is not pool[0] else nullcontext():
                rows = plain.proba, plain.oof, self.y_true, self.folds
                best, y_pred = constraint.decide_within(
                    at_least, *rows, metric=self.metric, costs=self.costs
                )
                made = dataclasses.replace(plain.recipe, threshold=best, at_least=str(at_least))
                yield dataclasses.replace(plain, recipe=made, y_pred=y_pred)

    def _score(self, candidate: Candidate, rows: Any = slice(None)) -> float:
        """The objective on some of the rows."""
        y_pred = None if candidate.y_pred is None else candidate.y_pred[rows]
        (y_true, weights), oof = self.labels(rows), candidate.oof[rows]
        options = {"costs": self.costs, "sample_weight": weights}
        return compute_metric(self.metric, y_true, oof, y_pred, **options)

    def labels(self, rows: Any = slice(None)) -> tuple[np.ndarray, np.ndarray | None]:
        """Classes and weights of some of the rows."""
        return self.y_true[rows], None if self.weights is None else self.weights[rows]

    def _gain(self, new: Candidate, old: Candidate) -> float:
        """By how much the objective is better."""
        return sign(self.metric) * (self._score(new) - self._score(old))

    def scores(self, candidate: Candidate) -> np.ndarray:
        """(n_folds,) the objective on each fold; NaN where it is undefined."""
        folds = np.unique(self.folds)
        return np.array([self._score(candidate, self.folds == fold) for fold in folds])

    def _spread(self, candidate: Candidate) -> float:
        """Standard deviation of the objective over the folds; 0 where it is undefined."""
        scores = self.scores(candidate)
        return float(np.nanstd(scores)) if np.isfinite(scores).any() else 0.0
