"""A recipe fitted on the whole training side."""

import copy
import functools
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import joblib
import numpy as np
from joblib import Parallel, delayed
from sklearn.base import clone
from sklearn.ensemble import VotingClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import LabelEncoder
from sklearn.utils import Bunch

from tabular.errors import BadInput, first_line
from tabular.families.classifiers import CLASSIFIERS, Form, form_of
from tabular.families.pipeline import fit_model, fit_preprocessor, make_model
from tabular.recipe import calibration
from tabular.recipe.recipe import Recipe
from tabular.search.cross_validation import Trial, fit_on_files, quiet_fits, save_matrix
from tabular.search.stopping import TimeUp, time_limit
from tabular.search.workers import Processes
from tabular.table.dataset import Dataset
from tabular.table.split import Split


def fit(dataset: Dataset, split: Split, recipe: Recipe, *, seed: int, jobs: int = 1) -> Any:
    """Fits a recipe on the whole training side.

    Args:
        dataset: the table.
        split: its sides.
        recipe: what to fit.
        seed: of every fit.
        jobs: members of an ensemble fitted side by side, -1 for one per core.

    Returns:
        A fitted scikit-learn classifier of expanded columns: a Pipeline; around pipelines, where
        there are several or they are calibrated, a VotingClassifier; and a CalibratedClassifierCV.

    Raises:
        BadInput: scikit-learn refuses the table with these hyperparameters.
    """
    members = [_unfitted(dataset, trial, seed) for trial in recipe.members]
    weights = dataset.roles[split.train].sample_weight
    rows = dataset.expanded[split.train], dataset.codes[split.train], weights
    grouped = bool(dataset.structure.group)
    try:
        # threads, as trees and boosting let go of Python's lock and processes take long to start
        with joblib.parallel_config("threading"), quiet_fits():
            fitted = Parallel(jobs)(
                delayed(fit_model)(one, *rows, grouped=grouped) for one in members
            )
    except TimeUp:
        raise
    except Exception as error:  # scikit-learn's own checks and numpy's errors alike
        raise BadInput(
            f"{recipe.classifier} cannot be fitted to {dataset.source}: {first_line(error)}"
        ) from None
    return assemble(dataset, recipe, fitted, seed=seed, jobs=jobs)


def fit_members(
    dataset: Dataset,
    split: Split,
    trials: Sequence[Trial],
    workers: Processes,
    *,
    seed: int,
    until: float,
) -> dict[int, Pipeline]:
    """Fits trials on the whole training side, in processes that are ended when their time is up.

    Args:
        dataset: the table.
        split: its sides.
        trials: what to fit, the most urgent first.
        workers: where.
        seed: of every fit.
        until: of `time.monotonic`.

    Returns:
        By number of the trial, the pipelines that were fitted in time.
    """
    features, y = dataset.expanded[split.train], dataset.codes[split.train]
    sample_weight = dataset.roles[split.train].sample_weight
    texts = any(column.kind == "text" for column in dataset.columns)
    arrays = {"y": y} | ({} if sample_weight is None else {"weights": sample_weight})
    prepared, works = dict[Form, Any](), dict[int, Callable[[], Any]]()
    with suppress(TimeUp), time_limit(until - time.monotonic()), quiet_fits():
        for name, array in arrays.items():
            np.save(workers.folder / f"all-{name}.npy", array)
        for trial in trials:
            model = _unfitted(dataset, trial, seed)
            form = form_of(CLASSIFIERS[trial.classifier].form, texts)
            if form not in prepared:
                preprocessor = model[0]
                classes = None if dataset.structure.group else y
                matrix = fit_preprocessor(preprocessor, features, sample_weight, classes)
                save_matrix(workers.folder / f"all-{form}.npy", matrix)
                prepared[form] = preprocessor
            works[trial.number] = functools.partial(
                fit_on_files, trial.classifier, trial.params, seed,
                sum(column.kind == "category" for column in dataset.columns) * (form == "trees"),
                [workers.folder / f"all-{name}.npy" for name in (form, *arrays)],
            )  # fmt: skip
    classifiers = dict(zip(works, workers.run(list(works.values()), until), strict=True))
    fitted = {}
    for trial in trials:
        if classifier := classifiers.get(trial.number):
            model = _unfitted(dataset, trial, seed)
            preprocessor = copy.deepcopy(
                prepared[form_of(CLASSIFIERS[trial.classifier].form, texts)]
            )
            parts = zip([name for name, _ in model.steps], [preprocessor, classifier], strict=True)
            fitted[trial.number] = Pipeline(list(parts))
    return fitted


def assemble(
    dataset: Dataset, recipe: Recipe, fitted: Sequence[Pipeline], *, seed: int, jobs: int = 1
) -> Any:
    """The classifier of a recipe, of its fitted members; see `fit`."""
    model: Any = fitted[0]
    if len(fitted) > 1 or recipe.calibrator:
        members = []
        for trial, one in zip(recipe.members, fitted, strict=True):
            unfitted = _unfitted(dataset, trial, seed)
            unfitted.steps[-1] = (one.steps[-1][0], clone(one[-1]))  # of the type that was fitted
            members.append((f"t{trial.number:03d}", unfitted))
        model = VotingClassifier(members, voting="soft", weights=recipe.weights, n_jobs=jobs)
        model = _vote(model, fitted, fitted[0].classes_)
    return calibration.attach(recipe.calibrator, model) if recipe.calibrator else model


def _unfitted(dataset: Dataset, trial: Trial, seed: int) -> Pipeline:
    return make_model(dataset.columns, trial.classifier, trial.params, seed=seed)


def _vote(model: VotingClassifier, fitted: Sequence[Pipeline], y: np.ndarray) -> VotingClassifier:
    """The ensemble of fitted members; its own fit could not hand weights on into pipelines."""
    model.le_ = LabelEncoder().fit(y)
    model.classes_, model.estimators_ = model.le_.classes_, list(fitted)
    model.named_estimators_ = Bunch(**dict(zip(dict(model.estimators), fitted, strict=True)))
    model.feature_names_in_ = fitted[0].feature_names_in_
    return model
