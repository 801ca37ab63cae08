"""Cross-validation of one configuration on the training side, fold by fold.

Worker processes import this file, so it does without MLflow, whose import takes seconds.
"""

import math
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import threadpool_limits

from tabular.errors import first_line
from tabular.families.classifiers import CLASSIFIERS, make_classifier
from tabular.stats.metrics import LOWER_IS_BETTER, evaluate, evaluate_one

# scikit-learn's guess, at every fit, that classes of two rows each are quantities; a table whose
# target is one was refused when it was read
MANY_CLASSES = "The number of unique classes is greater than 50%"

FoldMatrices = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Trial:
    """One configuration and what became of it.

    Args:
        number: from 0, in the order of asking.
        classifier: a key of `CLASSIFIERS`.
        params: its hyperparameters.
        metrics: by name, over the out-of-fold predictions of all training rows; empty where not
            every fold was evaluated.
        fold_scores: the metric that was searched for, on each fold that was evaluated.
        seconds: wall time of the fits.
        error: why it failed, "" if it did not.
        stopped: it was behind too far to win, and not every fold was evaluated.
        probabilities: (n_rows, n_classes) out of fold, in the order of `out_of_fold`; None where
            they were not kept.
    """

    number: int
    classifier: str
    params: dict[str, Any]
    metrics: dict[str, float] = field(default_factory=dict)
    fold_scores: tuple[float, ...] = ()
    seconds: float = 0.0
    error: str = ""
    stopped: bool = False
    probabilities: np.ndarray | None = field(default=None, compare=False, repr=False)

    @property
    def spread(self) -> float:
        """Standard deviation of the metric over the folds; 0 where it is undefined."""
        return float(np.nanstd(self.fold_scores)) if np.isfinite(self.fold_scores).any() else 0.0

    @property
    def given_up(self) -> str:
        """When it was given up, in words; "" where it was not."""
        n_folds = len(self.fold_scores)
        return f"given up after {n_folds} fold{'s' * (n_folds > 1)}" if self.stopped else ""


@dataclass(frozen=True)
class Task:
    """What a worker is asked for; evaluating it depends on nothing but this and the folds.

    Args:
        number: of the trial.
        classifier: a key of `CLASSIFIERS`.
        params: its hyperparameters.
        metric: whose score is wanted on each fold.
        seed: of the fits.
        bounds: after each fold, the mean score so far beyond which the configuration is given up;
            empty to evaluate every fold.
    """

    number: int
    classifier: str
    params: dict[str, Any]
    metric: str
    seed: int
    bounds: tuple[float, ...] = ()

    @property
    def for_trees(self) -> bool:
        """Which matrices the classifier takes: those for trees, or those for all others."""
        return CLASSIFIERS[self.classifier].splits

    def failed(self, reason: str, seconds: float) -> Trial:
        """The trial, failed."""
        return Trial(self.number, self.classifier, self.params, error=reason, seconds=seconds)


class FoldSource(Protocol):
    """The preprocessed training side, as evaluating a configuration needs it.

    Args:
        n_classes: of the whole table.
        n_categories: how many of the first columns of a matrix for trees hold codes of categories.
    """

    n_classes: int
    n_categories: int

    def matrices(self, for_trees: bool) -> list[FoldMatrices]:
        """Per fold: rows and classes fitted on, rows and classes validated on."""


class FoldFiles:
    """Folds that lie in files, for worker processes, which share one copy in memory.

    Args:
        folder: where the files lie.
        n_folds: how many folds.
        n_classes: number of classes of the whole table.
        n_categories: how many columns are categories.
    """

    def __init__(self, folder: str, n_folds: int, n_classes: int, n_categories: int) -> None:
        self.folder, self.n_folds = folder, n_folds
        self.n_classes, self.n_categories = n_classes, n_categories
        self._matrices: dict[bool, list[FoldMatrices]] = {}

    def _read(self, for_trees: bool, fold: int, place: int) -> np.ndarray:
        return np.asarray(np.load(self.file(for_trees, fold, place), mmap_mode="r"))

    def file(self, for_trees: bool, fold: int, place: int) -> Path:
        """Where one array of one fold lies.

        Args:
            for_trees: the matrices that trees take, else those of the other classifiers.
            fold: its number, from 0.
            place: 0 to 3, of the array in `FoldMatrices`.
        """
        return Path(self.folder, f"{'trees' if for_trees else 'others'}-{fold}-{place}.npy")

    def matrices(self, for_trees: bool) -> list[FoldMatrices]:
        """See `Folds`; the arrays are maps of the files."""
        if for_trees not in self._matrices:
            self._matrices[for_trees] = [
                (self._read(for_trees, fold, 0), self._read(for_trees, fold, 1),
                 self._read(for_trees, fold, 2), self._read(for_trees, fold, 3))
                for fold in range(self.n_folds)
            ]  # fmt: skip
        return self._matrices[for_trees]


def evaluate_configuration(task: Task, folds: FoldSource, limit: float = math.inf) -> Trial:
    """Cross-validates one configuration; a failure is a result, not an exception.

    Args:
        task: the configuration.
        folds: the preprocessed training side.
        limit: seconds after which no further fold is begun, and the configuration has failed.
    """
    started = time.monotonic()
    sign = 1 if task.metric in LOWER_IS_BETTER else -1
    truth, probabilities, scores = [], [], []
    try:
        with threadpool_limits(1), warnings.catch_warnings():
            # a configuration that has not converged is only a worse one
            warnings.simplefilter("ignore", ConvergenceWarning)
            warnings.filterwarnings("ignore", MANY_CLASSES, UserWarning)
            for inside, inside_codes, outside, outside_codes in folds.matrices(task.for_trees):
                if (seconds := time.monotonic() - started) > limit:
                    return task.failed(f"took too long ({seconds:.1f} s)", seconds)
                model = make_classifier(
                    task.classifier,
                    task.params,
                    seed=task.seed,
                    n_categories=folds.n_categories * task.for_trees,
                )
                model.fit(inside, inside_codes)
                aligned = np.zeros((len(outside), folds.n_classes))
                aligned[:, model.classes_] = model.predict_proba(outside)
                if not np.isfinite(aligned).all():
                    raise ValueError("its probabilities are not all numbers")
                truth.append(outside_codes)
                probabilities.append(aligned)
                scores.append(evaluate_one(task.metric, outside_codes, aligned))
                bound = task.bounds[len(scores) - 1] if len(scores) <= len(task.bounds) else np.nan
                if np.isfinite(bound) and sign * np.nanmean(scores) > sign * bound:
                    return _trial(task, scores, started, stopped=True)
    except Exception as error:  # whatever a configuration does wrong, the sweep goes on
        kind, line = type(error).__name__, first_line(error)
        reason = line if line == kind else f"{kind}: {line}"
        return task.failed(reason, time.monotonic() - started)
    everything = np.concatenate(probabilities)
    metrics = evaluate(np.concatenate(truth), everything)
    if task.metric not in metrics:
        reason = f"{task.metric} is undefined on this table"
        return task.failed(reason, time.monotonic() - started)
    return _trial(task, scores, started, metrics=metrics, probabilities=everything)


def _trial(task: Task, scores: Sequence[float], started: float, **rest: Any) -> Trial:
    return Trial(
        task.number,
        task.classifier,
        task.params,
        fold_scores=tuple(scores),
        seconds=time.monotonic() - started,
        **rest,
    )
