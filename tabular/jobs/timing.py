"""How the time of a sweep is divided: until when it searches, and what is kept for the rest."""

import math
import pickle
import time
from collections.abc import Callable, Sequence
from typing import Any

from tabular.process import BEGAN
from tabular.recipe.ensemble import MEMBERS
from tabular.recipe.recipe import Recipe
from tabular.search.cross_validation import Trial
from tabular.search.stopping import Deadline

# What follows the search takes about as much of Python as the imports at the beginning, so it is
# measured in them: on a slow or busy machine both take longer.
IMPORTS_SECONDS = 3.0  # where this process is no command, and nothing was measured
FINISH_IMPORTS = 1.5  # for the model's file, its proof, the report
COLUMN_IMPORTS = 0.0003  # for each column of a wide table
MEGABYTE_IMPORTS = 0.1  # for each megabyte of a model that is fitted on a rung of rows
EXIT_IMPORTS = 0.4  # of this the registration, the leaderboard and the end of the process
PROMOTION_IMPORTS = 4.0  # MLflow's server is started for the proof
# A member's last fit, its file and its proof take about so many times its fit on a fold.
FINISH_FITS = 3.0
LAST_FIT = 2.0  # times a fit on a fold, at most: of more rows, on cores that are shared
MORE_ROWS = 1.25  # times a fit on a fold, in the mean
# Ensemble, calibration and threshold: for each out-of-fold probability, and shares of what is left.
CELL_IMPORTS = 3e-5
MOST_RECIPE = 1.5  # times that, at most
RECIPE_SHARE, MOST_RECIPE_SHARE = 0.3, 0.6
FITS_SHARE = 0.4  # of the time that is left then, at least, for the last fits


class Timing:
    """The division of a sweep's time.

    Args:
        timeout: seconds for the whole command; 0 for no limit.
        promotes: whether the promotion is part of the command.
    """

    def __init__(self, timeout: float, *, promotes: bool = False) -> None:
        now = time.monotonic()
        began = now if BEGAN is None else BEGAN
        self.imports = IMPORTS_SECONDS if BEGAN is None else now - began
        self.finish = FINISH_IMPORTS * self.imports
        self.timeout = timeout or math.inf
        after = self.imports * (EXIT_IMPORTS + PROMOTION_IMPORTS * promotes)
        self.deadline = Deadline(began + self.timeout - min(after, self.timeout / 3))

    def keep_for(self, n_columns: int) -> None:
        """Keeps time for the file, the proof and the report of a table of so many columns."""
        self.finish += COLUMN_IMPORTS * self.imports * n_columns

    def recipes(
        self, finish: Callable[[], list[Recipe]], plain: list[Recipe], trials: Sequence[Trial]
    ) -> list[Recipe]:
        """What `finish` makes of the trials, or what there is without it."""
        left, likely = self.deadline.left(), self._recipe_seconds(trials)
        seconds = min(max(RECIPE_SHARE * left, MOST_RECIPE * likely), MOST_RECIPE_SHARE * left)
        what = "ensemble, calibration and threshold"
        return self.deadline.within(what, seconds, finish, plain)

    def fits_until(self, members: Sequence[Trial], again: Sequence[Trial] = ()) -> float:
        """When the last fits have to be done, of `time.monotonic`.

        Args:
            members: what is fitted; its file and its proof take time too.
            again: of what a recipe may still be made after the fits.
        """
        left = self.deadline.left()
        after = self.finish + sum(_fold_seconds(trial) for trial in members)
        after += self._recipe_seconds(again)
        return time.monotonic() + max(left - after, FITS_SHARE * left)

    def packing(self, model: Any) -> float:
        """Seconds that a fitted model's file, its proof and the report need."""
        megabytes = len(pickle.dumps(model)) / 1e6
        return self.finish + MEGABYTE_IMPORTS * self.imports * megabytes

    def in_time(self, trial: Trial, until: float, times: float = LAST_FIT) -> bool:
        """Whether the last fit of a trial is done by then, if it takes so many times its fold's."""
        return times * _fold_seconds(trial) <= until - time.monotonic()

    def reserve(self, trials: Sequence[Trial]) -> float:
        """Seconds that are kept for what comes after the search, by the trials so far."""
        costs = sorted(_fold_seconds(trial) for trial in trials if trial.metrics)
        seconds = self.finish + self._recipe_seconds(trials) + FINISH_FITS * sum(costs[-MEMBERS:])
        return min(seconds, self.timeout / 2)

    def _recipe_seconds(self, trials: Sequence[Trial]) -> float:
        """What ensemble, calibration and threshold are likely to take."""
        n_cells = max((trial.oof.size for trial in trials if trial.oof is not None), default=0)
        return CELL_IMPORTS * self.imports * n_cells


def _fold_seconds(trial: Trial) -> float:
    """What one fit of a trial has taken, with its predictions."""
    return trial.seconds / max(1, len(trial.fold_scores))
