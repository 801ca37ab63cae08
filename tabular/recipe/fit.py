"""A recipe fitted on the whole training side."""

from typing import Any

import joblib
from sklearn.ensemble import VotingClassifier

from tabular.errors import BadInput, first_line
from tabular.families.pipeline import make_model
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
            model.fit(dataset.expanded[split.train], dataset.codes[split.train])
    except Exception as error:  # scikit-learn's own checks and numpy's errors alike
        raise BadInput(
            f"{recipe.classifier} cannot be fitted to {dataset.source}: {first_line(error)}"
        ) from None
    return calibration.attach(recipe.calibrator, model) if recipe.calibrator else model
