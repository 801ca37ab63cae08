"""Cross-validation of one configuration on the training side, fold by fold.

Worker processes import this file, so it does without MLflow, whose import takes seconds.
"""

import math
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import threadpool_limits

from tabular.errors import first_line
from tabular.families.classifiers import CLASSIFIERS, Form, form_of, make_classifier
from tabular.search.stopping import TimeUp
from tabular.stats.compute import compute_metric, compute_metrics
from tabular.stats.metrics import sign

if TYPE_CHECKING:
    from tabular.search.folds import Folds

# scikit-learn's guess, at every fit, that classes of two rows each are quantities; a table whose
# target is one was refused when it was read
MANY_CLASSES = "The number of unique classes is greater than 50%"

FoldMatrices = tuple[Any, ...]
"""Rows and classes fitted on, rows and classes validated on; with weights also those of both."""


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
        oof: (n_rows, n_classes) out-of-fold probabilities, rows as in `Folds.order`; None where
            they were not kept.
        rows: of the rung that it was evaluated on, see `search_rungs`; 0 where there are none.
    """

    number: int
    classifier: str
    params: dict[str, Any]
    metrics: dict[str, float] = field(default_factory=dict)
    fold_scores: tuple[float, ...] = ()
    seconds: float = 0.0
    error: str = ""
    stopped: bool = False
    oof: np.ndarray | None = field(default=None, compare=False, repr=False)
    rows: int = 0

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
        costs: (n_classes, n_classes) of predicting column for row, by which to decide; or None.
    """

    number: int
    classifier: str
    params: dict[str, Any]
    metric: str
    seed: int
    bounds: tuple[float, ...] = ()
    costs: np.ndarray | None = field(default=None, compare=False, repr=False)

    @property
    def form(self) -> Form:
        """The form of the matrices that the classifier takes."""
        return CLASSIFIERS[self.classifier].form

    def failed(self, reason: str, seconds: float) -> Trial:
        """The trial, failed."""
        return Trial(self.number, self.classifier, self.params, error=reason, seconds=seconds)


@dataclass(frozen=True)
class FoldFiles:
    """Folds that lie in files, for worker processes, which share one copy in memory.

    Args:
        folder: where the files lie.
        n_folds: how many folds.
        n_classes: number of classes of the whole table.
        n_categories: how many of the first columns of a matrix for trees hold codes of categories.
        weighted: whether rows have weights.
        texts: whether some columns are texts of many words; without, no matrix is sparse.
    """

    folder: str
    n_folds: int
    n_classes: int
    n_categories: int
    weighted: bool = False
    texts: bool = False

    def file(self, form: Form, fold: int, place: int) -> Path:
        """Where one array of one fold lies; `place` is the array's in `FoldMatrices`."""
        return Path(self.folder, f"{form}-{fold}-{place}.npy")

    def matrices(self, form: Form) -> list[FoldMatrices]:
        """See `Folds`; dense arrays are maps of the files."""
        form, places = form_of(form, self.texts), range(6 if self.weighted else 4)
        return [
            tuple(load_matrix(self.file(form, fold, place)) for place in places)
            for fold in range(self.n_folds)
        ]


def save_matrix(file: Path, matrix: Any) -> None:
    """Writes a matrix, sparse or not, under a name that ends in ".npy"."""
    packed = file.with_suffix(".npz")
    packed.unlink(missing_ok=True)
    if sparse.issparse(matrix):
        sparse.save_npz(packed, matrix, compressed=False)
        matrix = np.empty(0)  # only its file is there
    np.save(file, matrix)


def load_matrix(file: Path) -> Any:
    """Reads what `save_matrix` has written; a dense matrix is a map of its file."""
    if (packed := file.with_suffix(".npz")).exists():
        return sparse.load_npz(packed)
    return np.asarray(np.load(file, mmap_mode="r"))


@contextmanager
def quiet_fits() -> Iterator[None]:
    """One thread, and no warning: what has not converged is only a worse configuration."""
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.filterwarnings("ignore", MANY_CLASSES, UserWarning)
        yield


def evaluate_configuration(
    task: Task, folds: "Folds | FoldFiles", limit: float = math.inf
) -> Trial:
    """Cross-validates one configuration; a failure is a result, not an exception.

    Args:
        task: the configuration.
        folds: the preprocessed training side.
        limit: seconds after which no further fold is begun, and the configuration has failed.
    """
    started = time.monotonic()
    y_true, oof, scores = list[np.ndarray](), list[np.ndarray](), list[float]()
    sample_weight = list[np.ndarray]()
    n_categories = folds.n_categories * (task.form == "trees")
    try:
        with quiet_fits():
            for inside, y_inside, outside, y_outside, *weights in folds.matrices(task.form):
                if (seconds := time.monotonic() - started) > limit:
                    return task.failed(f"took too long ({seconds:.1f} s)", seconds)
                model = make_classifier(
                    task.classifier, task.params, seed=task.seed, n_categories=n_categories
                )
                weighed = {"sample_weight": weights[0]} if weights else {}
                model = model.fit(inside, y_inside, **weighed)
                proba = np.zeros((outside.shape[0], folds.n_classes))
                proba[:, model.classes_] = model.predict_proba(outside)
                if not np.isfinite(proba).all():
                    raise ValueError("its probabilities are not all numbers")
                y_true.append(y_outside)
                oof.append(proba)
                weight = weights[1] if weights else None
                sample_weight += weights[1:]
                scores.append(
                    compute_metric(
                        task.metric, y_outside, proba, costs=task.costs, sample_weight=weight
                    )
                )
                if _behind(task, scores):
                    return _trial(task, scores, started, stopped=True)
    except TimeUp:
        seconds = time.monotonic() - started
        return task.failed(f"took too long ({seconds:.1f} s)", seconds)
    except Exception as error:  # whatever a configuration does wrong, the sweep goes on
        reason = f"{type(error).__name__}: {first_line(error)}"
        return task.failed(reason, time.monotonic() - started)
    metrics = compute_metrics(
        np.concatenate(y_true),
        np.concatenate(oof),
        costs=task.costs,
        sample_weight=np.concatenate(sample_weight) if sample_weight else None,
    )
    if task.metric not in metrics:
        reason = f"{task.metric} is undefined on this table"
        return task.failed(reason, time.monotonic() - started)
    return _trial(task, scores, started, metrics=metrics, oof=np.concatenate(oof))


def fit_on_files(
    classifier: str, params: dict[str, Any], seed: int, n_categories: int, files: Sequence[Path]
) -> Any:
    """Fits a classifier on arrays that lie in files.

    Args:
        classifier: a key of `CLASSIFIERS`.
        params: its hyperparameters.
        seed: of the fit.
        n_categories: how many of the first columns hold codes of categories.
        files: of the rows, their classes and, where there are some, their weights.
    """
    rows, y, *weights = map(load_matrix, files)
    model = make_classifier(classifier, params, seed=seed, n_categories=n_categories)
    with quiet_fits():
        return model.fit(rows, y, **({"sample_weight": weights[0]} if weights else {}))


def _behind(task: Task, scores: Sequence[float]) -> bool:
    """Whether the mean score so far lies beyond the bound; undefined scores and bounds do not."""
    bound = task.bounds[len(scores) - 1] if len(scores) <= len(task.bounds) else math.nan
    mean = float(np.nanmean(scores)) if math.isfinite(bound) else math.nan
    return sign(task.metric) * (mean - bound) < 0


def _trial(task: Task, scores: Sequence[float], started: float, **rest: Any) -> Trial:
    seconds = time.monotonic() - started
    return Trial(
        task.number, task.classifier, task.params,
        fold_scores=tuple(scores), seconds=seconds, **rest,
    )  # fmt: skip
