"""The classifiers, one record each, by the names that users write.

A new classifier is one more record in `CLASSIFIERS`. Worker processes of a search import this file,
so it needs scikit-learn alone.
"""

import importlib.util
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import (
    ExtraTreesClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
)
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.svm import SVC
from sklearn.utils.validation import has_fit_parameter

from tabular.errors import BadInput
from tabular.families.boosting import CatBoost, LightGBM
from tabular.families.space import OneOf, Range, Shape, Space

SVC_ROWS = 3_000  # its time grows with the square of the rows, and calibration fits it five times
NEIGHBORS_ROWS = 20_000  # it keeps every row and compares each new one with all of them
MLP_ROW_PASSES = 600_000  # rows times epochs
MANY_ROWS = 10_000  # below, the tenth that early stopping sets aside is missed in the fit
SOME_ROWS = 2_000  # from here on the points that were best for LightGBM and CatBoost differ
FEW_CLASSES = 3  # above, CatBoost grows half as many trees: it takes a time for each class
FEW_ROWS = 200  # below, 300 trees would be most of the time of a search

Form = Literal["trees", "dense", "sparse"]
"""The matrix that a classifier takes: for trees, for what takes sparse ones, for all others."""


def form_of(form: Form, texts: bool) -> Form:
    """The form itself, but without texts nothing is sparse."""
    return "dense" if form == "sparse" and not texts else form


@dataclass(frozen=True)
class Classifier:
    """What the project knows of a classifier.

    Args:
        estimator: its class.
        space: its hyperparameters for a table of a shape: their ranges, and the point tried first.
        defaults: hyperparameters whose default differs from scikit-learn's.
        fixed: hyperparameters that follow from the table and are not searched.
        affordable: whether a search of a table of this shape tries it.
        form: of the matrix that it takes. Those of "trees" split on one column at a time and take
            missing values: categories reach them as codes, and numbers as they are.
        takes_categories: it wants to know which columns hold codes of categories.
        calibrated: it has no probabilities of its own, and is calibrated to have some.
        package: of `requirements-boosting.txt`, without which it cannot be fitted; "" for none.
    """

    estimator: type[BaseEstimator]
    space: Callable[[Shape], Space]
    defaults: Mapping[str, Any] = field(default_factory=dict)
    fixed: Callable[[Shape], dict[str, Any]] = lambda shape: {}
    affordable: Callable[[Shape], bool] = lambda shape: True
    form: Form = "dense"
    takes_categories: bool = False
    calibrated: bool = False
    package: str = ""


def _forest(estimator: type[BaseEstimator]) -> Classifier:
    return Classifier(
        estimator,
        space=lambda shape: {
            "min_samples_leaf": Range(1, min(20, shape.n_rows // 10), first=1),
            "max_features": OneOf("sqrt", 0.2, 0.4, 0.7),
            "criterion": OneOf("gini", "log_loss"),
        },
        defaults={"n_estimators": 300},
        fixed=lambda shape: {"n_estimators": 300 if FEW_ROWS <= shape.n_rows <= MANY_ROWS else 100},
        form="trees",
    )


def _boosting_stops_early(shape: Shape) -> bool:
    return shape.n_rows >= MANY_ROWS and not shape.rare_class


def _boosting_space(shape: Shape) -> Space:
    # with its defaults boosting diverges where there are many classes and one of them is rare
    diverges = shape.n_classes > 2 and shape.rare_class
    space: Space = {
        "learning_rate": Range(0.02, 0.1 if diverges else 0.3, first=0.03 if diverges else 0.1),
        "max_leaf_nodes": Range(4, 64, first=31),
        "min_samples_leaf": Range(
            2, max(20, min(60, shape.n_rows // 5)), first=5 if diverges else 20
        ),
        "l2_regularization": Range(1e-3, 10, first=1e-3),
        "max_features": OneOf(1.0, 0.5, 0.25),
    }
    if not _boosting_stops_early(shape):  # one tree per class and iteration
        space["max_iter"] = Range(30, 300 if shape.n_classes <= 10 else 60, first=60)
    return space


def _lightgbm_space(shape: Shape) -> Space:
    some, many = shape.n_rows >= SOME_ROWS, shape.n_classes > 10  # one tree per class and iteration
    return {
        "n_estimators": Range(40, 80 if many else 400, first=60 if many else 200 if some else 100),
        "learning_rate": Range(0.02, 0.2, first=0.05),
        "num_leaves": Range(4, 64, first=20 if some else 31),
        "min_child_samples": Range(2, max(20, min(60, shape.n_rows // 5)), first=20),
        "colsample_bytree": OneOf(0.5, 0.25, 1.0),
        "reg_lambda": Range(1e-3, 10, first=1e-3),
    }


def _catboost_space(shape: Shape) -> Space:
    some, several = shape.n_rows >= SOME_ROWS, shape.n_classes > FEW_CLASSES
    space: Space = {
        "learning_rate": Range(0.03, 0.3, first=0.12 if several else 0.1 if some else 0.06),
        "depth": Range(3, 8, first=6 if some else 5),
        "l2_leaf_reg": Range(0.5, 30, first=3.0),
        "random_strength": OneOf(1.0, 0.0, 3.0),
        "leaf_estimation_iterations": OneOf(1, 5),
    }
    if shape.imbalanced:
        space["auto_class_weights"] = OneOf(None, "Balanced")
    return space


CLASSIFIERS: dict[str, Classifier] = {
    "logistic_regression": Classifier(
        LogisticRegression,
        space=lambda shape: {"C": Range(1e-3, 1e2, first=1.0)},
        defaults={"max_iter": 1000},
        form="sparse",
    ),
    "lightgbm": Classifier(LightGBM, space=_lightgbm_space, form="trees", package="lightgbm"),
    "hist_gradient_boosting": Classifier(
        HistGradientBoostingClassifier,
        space=_boosting_space,
        # scikit-learn's automatic early stopping needs two rows of every class in its own hold-out
        defaults={"early_stopping": False},
        fixed=lambda shape: (
            {"early_stopping": True, "n_iter_no_change": 15, "max_iter": 500}
            if _boosting_stops_early(shape)
            else {}
        ),
        form="trees",
        takes_categories=True,
    ),
    "catboost": Classifier(
        CatBoost,
        space=_catboost_space,
        fixed=lambda shape: {"iterations": 150 if shape.n_classes > FEW_CLASSES else 300},
        affordable=lambda shape: shape.n_classes <= 10,
        form="trees",
        package="catboost",
    ),
    "random_forest": _forest(RandomForestClassifier),
    "extra_trees": _forest(ExtraTreesClassifier),
    "naive_bayes": Classifier(
        GaussianNB, space=lambda shape: {"var_smoothing": Range(1e-9, 1e-1, first=1e-9)}
    ),
    "k_neighbors": Classifier(
        KNeighborsClassifier,
        space=lambda shape: {
            "n_neighbors": Range(1, max(5, min(50, shape.n_rows // 2)), first=5),
            "weights": OneOf("uniform", "distance"),
            "p": OneOf(1, 2, first=2),
        },
        affordable=lambda shape: shape.n_rows <= NEIGHBORS_ROWS,
    ),
    "svc": Classifier(
        SVC,
        space=lambda shape: {
            "C": Range(1e-2, 1e2, first=1.0),
            "gamma": OneOf("scale", "auto"),
        },
        # five rows per class and fold calibrate it
        affordable=lambda shape: shape.n_rows <= SVC_ROWS and shape.rarest >= 10,
        calibrated=True,
    ),
    "mlp": Classifier(
        MLPClassifier,
        space=lambda shape: {
            "hidden_layer_sizes": Range(8, 128, first=100),
            "alpha": Range(1e-5, 1.0, first=1e-4),
            "learning_rate_init": Range(3e-4, 1e-2, first=1e-3),
        },
        defaults={"max_iter": 300},
        fixed=lambda shape: {"max_iter": int(np.clip(MLP_ROW_PASSES // shape.n_rows, 10, 300))},
    ),
}
"""In the order in which a search tries their defaults: what is quick and good comes first."""

# Set by the project: the seed comes from the command, the cores are the search's to divide.
_OURS = {"random_state", "n_jobs", "verbose", "warm_start", "probability", "categorical_features"}


def hyperparameters(classifier: str) -> dict[str, Any]:
    """Names and defaults of a classifier's hyperparameters."""
    record = CLASSIFIERS[classifier]
    defaults = record.estimator().get_params() | record.defaults
    return {name: value for name, value in defaults.items() if name not in _OURS}


def can_weigh(classifier: str) -> bool:
    """Whether a classifier's fit takes a weight for each row."""
    return bool(has_fit_parameter(CLASSIFIERS[classifier].estimator, "sample_weight"))


def _is_installed(classifier: str) -> bool:
    package = CLASSIFIERS[classifier].package
    return not package or importlib.util.find_spec(package) is not None


def installed() -> list[str]:
    """The classifiers that can be fitted here."""
    return [name for name in CLASSIFIERS if _is_installed(name)]


def check_installed(classifiers: Sequence[str]) -> None:
    """Sees whether classifiers can be fitted here.

    Raises:
        BadInput: one of them cannot.
    """
    for name in classifiers:
        if not _is_installed(name):
            raise BadInput(
                f"{name} needs the package {CLASSIFIERS[name].package}; "
                "pip install -r requirements-boosting.txt installs it"
            )


def affordable(shape: Shape) -> list[str]:
    """The classifiers that a search of a table of this shape tries."""
    return [name for name in installed() if CLASSIFIERS[name].affordable(shape)]


def space_of(classifier: str, shape: Shape) -> Space:
    """The search space of a classifier, class weights included where they are worth trying."""
    space = CLASSIFIERS[classifier].space(shape)
    if shape.imbalanced and "class_weight" in hyperparameters(classifier):
        space = {**space, "class_weight": OneOf(None, "balanced")}
    return space


def nearest_params(classifier: str, params: Mapping[str, Any], shape: Shape) -> dict[str, Any]:
    """The point of a classifier's space that is nearest to hyperparameters from elsewhere.

    Args:
        classifier: a key of `CLASSIFIERS`.
        params: by scikit-learn's names; what the space has not is passed over, and what they have
            not is as in the point that is tried first.
        shape: of the table.
    """
    return {
        name: range_.nearest(params.get(name, range_.first))
        for name, range_ in space_of(classifier, shape).items()
    }


def make_classifier(
    classifier: str, params: dict[str, Any], *, seed: int, n_categories: int = 0
) -> BaseEstimator:
    """Builds an unfitted classifier; what its `fit` returns predicts probabilities.

    Args:
        classifier: a key of `CLASSIFIERS`.
        params: hyperparameters by scikit-learn's names.
        seed: random state, where the classifier has one.
        n_categories: how many of the first columns hold ordinal codes of categories.

    Raises:
        BadInput: its package is not installed.
        sklearn.utils.InvalidParameterError: a value that scikit-learn does not take.
    """
    check_installed([classifier])
    record = CLASSIFIERS[classifier]
    estimator = record.estimator(**{**record.defaults, **params})
    if "random_state" in estimator.get_params():
        estimator.set_params(random_state=seed)
    if record.takes_categories and n_categories:
        estimator.set_params(categorical_features=list(range(n_categories)))
    estimator._validate_params()
    if record.calibrated:  # Platt's sigmoid on cross-validated scores
        return CalibratedClassifierCV(estimator, ensemble=False)
    return estimator
