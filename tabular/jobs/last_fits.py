"""From the trials of a sweep to a fitted recipe within its time, and what there is if that is late.

First the best recipe; then the best trial whose last fit was done in time; then a simple classifier
on a sample of the rows.
"""

import dataclasses
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tabular.errors import BadInput
from tabular.families.classifiers import CLASSIFIERS
from tabular.jobs.plan import Plan
from tabular.jobs.preparation import Prepared, sampled
from tabular.jobs.timing import LAST_FIT, MORE_ROWS, Timing
from tabular.recipe.finish import finish
from tabular.recipe.fit import assemble, fit, fit_members
from tabular.recipe.recipe import Recipe, as_it_is
from tabular.search.cross_validation import Task, Trial, evaluate_configuration
from tabular.search.folds import Folds
from tabular.search.loop import ranked
from tabular.search.rungs import near_best, on_rows
from tabular.search.stopping import TimeUp, time_limit
from tabular.search.workers import Engine, Processes
from tabular.stats.constraint import Constraint
from tabular.table.split import Split


@dataclass(frozen=True)
class LastFits:
    """What the last fits of a sweep need.

    Args:
        prepared: the table.
        rungs: of its rows, from the one that the trials were evaluated on.
        engine: that has evaluated the trials.
        timing: of the sweep.
        plan: what was asked for.
        families: that were searched.
        costs: by which it decides, see `Task`.
        at_least: the rate that is to be held; None for none.
        number: of the next trial.
        log: logs one more trial.
    """

    prepared: Prepared
    rungs: Sequence[Folds]
    engine: Engine
    timing: Timing
    plan: Plan
    families: Sequence[str]
    costs: np.ndarray | None
    at_least: Constraint | None
    number: Callable[[], int]
    log: Callable[[Trial], None]

    def recipes(self, trials: Sequence[Trial], folds: Folds | None = None) -> list[Recipe]:
        """The recipes that trials give, best first; see `finish`.

        Args:
            trials: best first.
            folds: that they were evaluated on, where it is another one.

        Raises:
            BadInput: the constraint cannot be held.
        """
        folds = folds or self.rungs[0]
        with_oof = [trial for trial in trials if trial.oof is not None]
        if self.at_least and not with_oof:
            raise BadInput("at_least needs out-of-fold probabilities; give the sweep more time")
        plain = [as_it_is(trial, folds.y_true, costs=self.costs) for trial in trials]
        if not with_oof:
            return plain

        def made() -> list[Recipe]:
            return finish(
                with_oof, folds, self.plan.metric, seed=self.plan.seed,
                costs=self.costs, at_least=self.at_least, most=self.plan.register,
            )  # fmt: skip

        return made() if self.at_least else self.timing.recipes(made, plain, with_oof)

    def fit(self, recipe: Recipe, trials: Sequence[Trial]) -> tuple[Recipe, Split, Any]:
        """Fits a recipe, or what the time allows.

        Args:
            recipe: to be fitted.
            trials: evaluated on every fold, best first; what there is in its place.

        Returns:
            The recipe that was fitted, the sides of its table, and the model.

        Raises:
            BadInput: scikit-learn refuses the table with these hyperparameters.
        """
        dataset, split, plan = self.prepared.dataset, self.prepared.split, self.plan
        if not plan.timeout:
            return recipe, split, fit(dataset, split, recipe, seed=plan.seed, jobs=plan.jobs)
        if isinstance(self.engine, Processes):
            if len(self.rungs) > 1:
                return self._on_rungs(self.engine, recipe, trials) or self.simplest()
            made = self._in_processes(self.engine, recipe, trials)
        else:
            made = self._in_process(recipe, trials)
        if made is None or made[0] is not recipe:
            self.timing.deadline.left_out.append(f"the last fit of {recipe.name}")
        return (made[0], split, made[1]) if made else self.simplest()

    def _in_processes(
        self, workers: Processes, recipe: Recipe, trials: Sequence[Trial]
    ) -> tuple[Recipe, Any] | None:
        dataset, split, seed = self.prepared.dataset, self.prepared.split, self.plan.seed
        until = self.timing.fits_until(recipe.members)
        first = [min(trials, key=lambda trial: trial.seconds)]
        sure = [trial for trial in trials if self.timing.in_time(trial, until)]
        if not {trial.number for trial in recipe.members} <= {trial.number for trial in sure}:
            first += sure[:1]
        wanted = {trial.number: trial for trial in (*first, *recipe.members)}
        fitted = fit_members(dataset, split, list(wanted.values()), workers, seed=seed, until=until)
        if not fitted.keys() >= {trial.number for trial in recipe.members}:
            done = [trial for trial in trials if trial.number in fitted][:1]
            if not done:
                return None
            [recipe] = self.recipes(done)
        members = [fitted[trial.number] for trial in recipe.members]
        return recipe, assemble(dataset, recipe, members, seed=seed, jobs=self.plan.jobs)

    def _on_rungs(
        self, workers: Processes, recipe: Recipe, trials: Sequence[Trial]
    ) -> tuple[Recipe, Split, Any] | None:
        """The recipe, fitted on the rung that it was made on, and again on larger ones in time.

        More rows are worth more than an ensemble: where it would be late on a larger rung, the
        trial of the lowest log loss that is likely to be in time is taken there, if it is near that
        of the best.
        """
        timing, made = self.timing, None
        until = timing.fits_until(recipe.members)
        for rung in self.rungs:
            late = f"the last fit of {recipe.name} on {len(rung.y)} rows"
            wanted = [recipe.members]
            if made:
                until = timing.fits_until([], trials)
                if timing.packing(made[2]) > timing.deadline.left():
                    wanted = []
                sure = self._in_time(recipe.members, rung, until)
                if not wanted or len(sure) < len(recipe.members):
                    quick = self._in_time(near_best(trials), rung, until, MORE_ROWS)
                    wanted += [(trial,) for trial in quick and ranked(quick, "log_loss")[:1]]
            former, made = made, self._on_rung(workers, rung, recipe, wanted, until, bool(made))
            if not made or made[0] is not recipe:
                timing.deadline.left_out.append(late)
            if not made:
                return former
            recipe = made[0]
        return made

    def _in_time(
        self, trials: Sequence[Trial], rung: Folds, until: float, times: float = LAST_FIT
    ) -> list[Trial]:
        """The trials whose fit on a rung takes so many times that on a fold, and is in time."""
        return [
            trial
            for trial in trials
            if self.timing.in_time(on_rows(trial, len(rung.y)), until, times)
        ]

    def _on_rung(
        self,
        workers: Processes,
        rung: Folds,
        recipe: Recipe,
        wanted: Sequence[tuple[Trial, ...]],
        until: float,
        in_time: bool,
    ) -> tuple[Recipe, Split, Any] | None:
        """The first of what is wanted that is fitted by `until`, its file `in_time` if asked."""
        dataset, seed, split = self.prepared.dataset, self.plan.seed, self._only(rung)
        trials = {trial.number: trial for members in reversed(wanted) for trial in members}
        fitted = fit_members(dataset, split, list(trials.values()), workers, seed=seed, until=until)
        for members in wanted:
            if not fitted.keys() >= {trial.number for trial in members}:
                continue
            found = recipe
            if members is not recipe.members:
                try:
                    [found] = self.recipes(members)
                except BadInput:  # it cannot hold the constraint
                    continue
            parts = [fitted[trial.number] for trial in members]
            model = assemble(dataset, found, parts, seed=seed, jobs=self.plan.jobs)
            if not in_time or self.timing.packing(model) < self.timing.deadline.left():
                return found, split, model
        return None

    def _only(self, rung: Folds) -> Split:
        """The sides of the table with no other rows to train on than those of a rung."""
        split = self.prepared.split
        if rung is self.prepared.folds:
            return split
        left_out = split.train.copy()
        left_out[rung.features.index] = False
        return dataclasses.replace(split, left_out=left_out)

    def _in_process(self, recipe: Recipe, trials: Sequence[Trial]) -> tuple[Recipe, Any] | None:
        dataset, split, timing = self.prepared.dataset, self.prepared.split, self.timing
        quick = min(trials, key=lambda trial: trial.seconds)
        for until in (timing.fits_until(recipe.members), timing.deadline.at):
            try:
                with time_limit(until - time.monotonic()):
                    return recipe, fit(dataset, split, recipe, seed=self.plan.seed)
            except TimeUp:
                [recipe] = self.recipes([quick])
        return None

    def simplest(self) -> tuple[Recipe, Split, Any]:
        """A simple classifier on a sample of the training rows, cross-validated and fitted there.

        Raises:
            BadInput: there are too few rows, or none succeeds.
        """
        few, plan = sampled(self.prepared, seed=self.plan.seed), self.plan
        families = [name for name in CLASSIFIERS if name in self.families]
        error = "no configuration could be evaluated: the time was up before the first trial"
        for family in families if few.folds.positions else []:
            task = Task(self.number(), family, {}, plan.metric, plan.seed, costs=self.costs)
            trial = evaluate_configuration(task, few.folds)
            if trial.metrics:
                self.log(trial)
                [recipe] = self.recipes([trial], few.folds)
                return recipe, few.split, fit(few.dataset, few.split, recipe, seed=plan.seed)
            error = f"no configuration could be evaluated: {trial.error}"
        raise BadInput(error)
