"""Preprocessing and classifier as one scikit-learn Pipeline of stock parts."""

from collections.abc import Sequence
from typing import Any

from sklearn.base import BaseEstimator
from sklearn.compose import ColumnTransformer
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler

from custom_model.served.columns import Column, expanded_names
from tabular.families.classifiers import CLASSIFIERS, make_classifier

MOST_CATEGORIES_ONE_HOT = 50
MOST_CATEGORIES_ORDINAL = 200  # histogram gradient boosting takes at most 255
MOST_WORDS = 200


def make_preprocessor(columns: Sequence[Column], *, for_trees: bool) -> ColumnTransformer:
    """Builds the unfitted step from expanded columns to a dense matrix of floats.

    Categories come first, then numbers (booleans and parts of dates among them), then texts.
    Trees get categories as ordinal codes, with an unknown or missing one as NaN, and numbers as
    they are. All else gets one column per category, and numbers imputed and scaled.
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
    """Builds the unfitted pipeline from expanded columns to class probabilities."""
    for_trees = CLASSIFIERS[classifier].splits
    n_categories = sum(c.kind == "category" for c in columns) if for_trees else 0
    return make_pipeline(
        make_preprocessor(columns, for_trees=for_trees),
        make_classifier(classifier, params, seed=seed, n_categories=n_categories),
    )
