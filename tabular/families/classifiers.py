"""The classifiers: scikit-learn's, by the names that users write.

A new classifier is a line in `CLASSIFIERS` here and a space in `tabular/families/space.py`. Worker
processes of a search import this file, so it needs scikit-learn alone.
"""

from typing import Any

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

CLASSIFIERS: dict[str, type[BaseEstimator]] = {
    "logistic_regression": LogisticRegression,
    "hist_gradient_boosting": HistGradientBoostingClassifier,
    "random_forest": RandomForestClassifier,
    "extra_trees": ExtraTreesClassifier,
    "naive_bayes": GaussianNB,
    "k_neighbors": KNeighborsClassifier,
    "svc": SVC,
    "mlp": MLPClassifier,
}
"""In the order in which a search tries their defaults: what is quick and good comes first."""

TREES = ("hist_gradient_boosting", "random_forest", "extra_trees")

DEFAULTS: dict[str, dict[str, Any]] = {
    "logistic_regression": {"max_iter": 1000},
    "random_forest": {"n_estimators": 300},
    "extra_trees": {"n_estimators": 300},
    # scikit-learn's automatic early stopping needs two rows of every class in its own hold-out
    "hist_gradient_boosting": {"early_stopping": False},
    "mlp": {"max_iter": 300},
}
"""Where a default differs from scikit-learn's."""

# Set by the project: the seed comes from the command, the cores are the search's to divide.
_OURS = {"random_state", "n_jobs", "verbose", "warm_start", "probability", "categorical_features"}


def hyperparameters(classifier: str) -> dict[str, Any]:
    """Names and defaults of a classifier's hyperparameters.

    Args:
        classifier: a key of `CLASSIFIERS`.
    """
    defaults = CLASSIFIERS[classifier]().get_params() | DEFAULTS.get(classifier, {})
    return {name: value for name, value in defaults.items() if name not in _OURS}


def make_classifier(
    classifier: str, params: dict[str, Any], *, seed: int, n_categories: int = 0
) -> BaseEstimator:
    """Builds an unfitted classifier that predicts probabilities.

    Args:
        classifier: a key of `CLASSIFIERS`.
        params: hyperparameters by scikit-learn's names.
        seed: random state, where the classifier has one.
        n_categories: how many of the first columns hold ordinal codes of categories.

    Raises:
        sklearn.utils.InvalidParameterError: a value that scikit-learn does not take.
    """
    estimator = CLASSIFIERS[classifier](**(DEFAULTS.get(classifier, {}) | params))
    if "random_state" in estimator.get_params():
        estimator.set_params(random_state=seed)
    if classifier == "hist_gradient_boosting" and n_categories:
        estimator.set_params(categorical_features=list(range(n_categories)))
    estimator._validate_params()
    if classifier == "svc":
        # an SVC has no probabilities of its own: Platt's sigmoid on cross-validated scores
        return CalibratedClassifierCV(estimator, ensemble=False)
    return estimator
