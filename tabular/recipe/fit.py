"""A recipe fitted on the whole training side."""

from collections.abc import Sequence
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
from tabular.families.pipeline import fit_model, make_model
from tabular.recipe import calibration
from tabular.recipe.recipe import Recipe
from tabular.search.cross_validation import quiet_fits
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
    members = [
        (
            f"t{trial.number:03d}",
            make_model(dataset.columns, trial.classifier, trial.params, seed=seed),
        )
        for trial in recipe.members
    ]
    model = members[0][1]
    if len(members) > 1 or recipe.calibrator:
        model = VotingClassifier(members, voting="soft", weights=recipe.weights, n_jobs=jobs)
    try:
        # threads, as trees and boosting let go of Python's lock and processes take long to start
        with joblib.parallel_config("threading"), quiet_fits():
            weights = dataset.roles[split.train].sample_weight
            rows = dataset.expanded[split.train], dataset.codes[split.train], weights
            if isinstance(model, VotingClassifier):
                fit_members = Parallel(jobs)(
                    delayed(fit_model)(clone(one), *rows) for _, one in members
                )
                model = _vote(model, fit_members, rows[1])
            else:
                fit_model(model, *rows)
    except Exception as error:  # scikit-learn's own checks and numpy's errors alike
        raise BadInput(
            f"{recipe.classifier} cannot be fitted to {dataset.source}: {first_line(error)}"
        ) from None
    return calibration.attach(recipe.calibrator, model) if recipe.calibrator else model


def _vote(model: VotingClassifier, fitted: Sequence[Pipeline], y: np.ndarray) -> VotingClassifier:
    """The ensemble of fitted members; its own fit could not hand weights on into pipelines."""
    model.le_ = LabelEncoder().fit(y)
    model.classes_, model.estimators_ = model.le_.classes_, list(fitted)
    model.named_estimators_ = Bunch(**dict(zip(dict(model.estimators), fitted, strict=True)))
    model.feature_names_in_ = fitted[0].feature_names_in_
    return model
