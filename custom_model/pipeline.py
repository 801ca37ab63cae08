"""Preprocessing and classifier as one scikit-learn Pipeline of stock parts.

A new classifier is a line in `CLASSIFIERS` here and a search space in `tabular/search.py`.
"""

from collections.abc import Sequence
from typing import Any

from sklearn.base import BaseEstimator
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler
from sklearn.svm import SVC

from custom_model.bundle import Column, expanded_names

CLASSIFIERS: dict[str, type[BaseEstimator]] = {
    "logistic_regression": LogisticRegression,
    "random_forest": RandomForestClassifier,
    "hist_gradient_boosting": HistGradientBoostingClassifier,
    "svc": SVC,
    "k_neighbors": KNeighborsClassifier,
    "mlp": MLPClassifier,
}

TREES = ("random_forest", "hist_gradient_boosting")

DEFAULTS: dict[str, dict[str, Any]] = {
    "logistic_regression": {"max_iter": 1000},
    "random_forest": {"n_estimators": 300},
    # scikit-learn's automatic early stopping needs two rows of every class in its own hold-out
    "hist_gradient_boosting": {"early_stopping": False},
    "mlp": {"max_iter": 300},
}
"""Where a default differs from scikit-learn's."""

# Set by the project: the seed comes from the command, the cores are the search's to divide.
_OURS = {"random_state", "n_jobs", "verbose", "warm_start", "probability", "categorical_features"}

MOST_CATEGORIES_ONE_HOT = 50
MOST_CATEGORIES_ORDINAL = 200  # histogram gradient boosting takes at most 255
MOST_WORDS = 200


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


def make_preprocessor(columns: Sequence[Column], *, for_trees: bool) -> ColumnTransformer:
    """Builds the unfitted step from expanded columns to a dense matrix of floats.

    Categories come first, then numbers (booleans and parts of dates among them), then texts.
    Trees get categories as ordinal codes, with an unknown or missing one as NaN, and numbers as
    they are. All else gets one column per category, and numbers imputed and scaled.

    Args:
        columns: the features.
        for_trees: whether the classifier splits on one column at a time.
    """
    categories = [c.name for c in columns if c.kind == "category"]
    texts = [c.name for c in columns if c.kind == "text"]
    others = [n for c in columns if c.kind not in ("category", "text") for n in expanded_names(c)]
    encode: BaseEstimator
    scale: BaseEstimator | str
    if for_trees:
        encode = OrdinalEncoder(
            handle_unknown="use_encoded_value",
            unknown_value=float("nan"),
            max_categories=MOST_CATEGORIES_ORDINAL,
        )
        scale = "passthrough"
    else:
        encode = OneHotEncoder(
            handle_unknown="infrequent_if_exist",
            max_categories=MOST_CATEGORIES_ONE_HOT,
            sparse_output=False,
        )
        scale = make_pipeline(
            SimpleImputer(strategy="median", add_indicator=True, keep_empty_features=True),
            StandardScaler(),
        )
    steps: list[tuple[str, Any, Any]] = []
    if categories:
        steps.append(("categories", encode, categories))
    if others:
        steps.append(("numbers", scale, others))
    for number, name in enumerate(texts):
        words = TfidfVectorizer(max_features=MOST_WORDS, token_pattern=r"(?u)\b\w+\b")
        steps.append((f"text {number}", words, name))
    return ColumnTransformer(steps, sparse_threshold=0, verbose_feature_names_out=False)


def make_model(
    columns: Sequence[Column], classifier: str, params: dict[str, Any], *, seed: int
) -> Pipeline:
    """Builds the unfitted pipeline from expanded columns to class probabilities.

    Args:
        columns: the features.
        classifier: a key of `CLASSIFIERS`.
        params: its hyperparameters.
        seed: random state.
    """
    for_trees = classifier in TREES
    n_categories = sum(c.kind == "category" for c in columns) if for_trees else 0
    return make_pipeline(
        make_preprocessor(columns, for_trees=for_trees),
        make_classifier(classifier, params, seed=seed, n_categories=n_categories),
    )
