"""Preprocessing and classifier as one scikit-learn Pipeline of stock parts."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.base import BaseEstimator, clone
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.model_selection import KFold
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler, TargetEncoder

from custom_model.served.columns import Column, expanded_names
from tabular.families.classifiers import CLASSIFIERS, Form, make_classifier
from tabular.families.texts import compact, few_words, has_many_words, many_words

MOST_CATEGORIES_ONE_HOT = 50
SHARES = "shares of classes"  # the name of the step
MOST_CATEGORIES_ORDINAL = 200  # histogram gradient boosting takes at most 255
MOST_SHARES = 10  # classes


def make_preprocessor(columns: Sequence[Column], form: Form) -> ColumnTransformer:
    """Builds the unfitted step from expanded columns to a matrix of floats.

    Categories come first, then numbers (booleans and parts of dates among them), then texts.
    Trees get categories as ordinal codes, with an unknown or missing one as NaN, and numbers as
    they are. All else gets one column per category, and numbers imputed and scaled. The matrix is
    sparse if the form is and a text has many words.
    """
    categories = [c.name for c in columns if c.kind == "category"]
    texts = [c.name for c in columns if c.kind == "text"]
    others = [n for c in columns if c.kind not in ("category", "text") for n in expanded_names(c)]
    encode: BaseEstimator
    scale: BaseEstimator | str
    if form == "trees":
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
        steps.append(("categories", encode, _array(categories)))
    if others:
        steps.append(("numbers", scale, _array(others)))
    steps += [(f"text {number}", few_words(), name) for number, name in enumerate(texts)]
    return ColumnTransformer(
        steps,
        sparse_threshold=1 if form == "sparse" else 0,
        verbose_feature_names_out=False,
    )


def fit_preprocessor(
    preprocessor: ColumnTransformer,
    features: pd.DataFrame,
    sample_weight: np.ndarray | None,
    y: np.ndarray | None = None,
) -> Any:
    """Fits a preprocessor of `make_preprocessor`; returns the rows as it transforms them.

    More than two hundred categories also become the share of each class in their rows, and in the
    rows that are returned its share in other rows (Micci-Barreca 2001,
    https://doi.org/10.1145/507533.507538). Medians, means and variances of numbers are weighted.
    These shares, which categories are frequent and how rare a word is are counted in rows:
    scikit-learn's encoders take no weights.

    Args:
        preprocessor: unfitted.
        features: (n_rows, n_expanded) expanded columns.
        sample_weight: (n_rows,) how often each row counts; None for once.
        y: (n_rows,) classes; None to do without their shares.
    """
    if y is not None and len(np.unique(y)) <= MOST_SHARES:
        _add_shares(preprocessor, features)
    _choose_words(preprocessor, features)
    matrix = _fit_by_place(preprocessor, features, y)
    _make_small(preprocessor)
    scale = preprocessor.named_transformers_.get("numbers")
    if sample_weight is None or not isinstance(scale, Pipeline):
        return matrix
    imputer, scaler = (step for _, step in scale.steps)
    numbers = features[
        next(names for name, _, names in preprocessor.transformers_ if name == "numbers")
    ]
    values = numbers.to_numpy(np.float64, na_value=np.nan)
    imputer.statistics_ = np.array([_median(column, sample_weight) for column in values.T])
    scaler.fit(imputer.transform(numbers), sample_weight=sample_weight)
    again = preprocessor.transform(features)
    if SHARES not in preprocessor.output_indices_:
        return again
    place = preprocessor.output_indices_[SHARES]
    parts = again[:, : place.start], matrix[:, place], again[:, place.stop :]
    return sparse.hstack(parts, format="csr") if sparse.issparse(again) else np.hstack(parts)


def _array(names: Sequence[str]) -> np.ndarray:
    """Names in an array of letters, of which a model's file holds thousands in little room.

    It would cut off a letter 0 at the end of a name; there it is an array of objects.
    """
    letters = np.array(names, dtype=np.str_)
    return letters if letters.tolist() == list(names) else np.array(names, dtype=object)


def _fit_by_place(
    preprocessor: ColumnTransformer, features: pd.DataFrame, y: np.ndarray | None
) -> Any:
    """Fits with the places of columns: scikit-learn looks for each name among all of them.

    What no step takes is not named in the fitted preprocessor.
    """
    places = {name: place for place, name in enumerate(features.columns)}
    named = preprocessor.transformers
    preprocessor.transformers = [
        (name, step, columns if isinstance(columns, str) else [places[one] for one in columns])
        for name, step, columns in named
    ]
    matrix = preprocessor.fit_transform(features, y)
    preprocessor.transformers = named
    preprocessor.transformers_ = [
        (name, step, columns)
        for (name, step, _), (_, _, columns) in zip(preprocessor.transformers_, named, strict=False)
    ]
    return matrix


def _add_shares(preprocessor: ColumnTransformer, features: pd.DataFrame) -> None:
    """Adds a step for the categories of which there are many, if there are such."""
    name, encoder, categories = preprocessor.transformers[0]
    many = [
        column
        for column in (categories if name == "categories" else [])
        if features[column].nunique() > MOST_CATEGORIES_ORDINAL
    ]
    if many:
        encode = TargetEncoder(cv=KFold(5, shuffle=True, random_state=0))
        trees = isinstance(encoder, OrdinalEncoder)
        step = encode if trees else make_pipeline(encode, StandardScaler())
        preprocessor.transformers.insert(1, (SHARES, step, many))


def _choose_words(preprocessor: ColumnTransformer, features: pd.DataFrame) -> None:
    """Replaces the step of each text of many words; without one the matrix is not sparse."""
    texts = [(step, name) for step, _, name in preprocessor.transformers if isinstance(name, str)]
    many = [step for step, name in texts if has_many_words(features[name])]
    if not many:
        preprocessor.set_params(sparse_threshold=0)
        return
    words, weight = many_words(sparse=preprocessor.sparse_threshold > 0)
    preprocessor.set_params(
        **{step: clone(words) for step in many}, transformer_weights=dict.fromkeys(many, weight)
    )


def _make_small(preprocessor: ColumnTransformer) -> None:
    """Changes in a fitted preprocessor what its file may not hold, or would be large in it."""
    for name, step, columns in [*preprocessor.transformers, *preprocessor.transformers_]:
        if name == SHARES:  # a KFold is no type that a file may have
            (step[0] if isinstance(step, Pipeline) else step).set_params(cv=5)
        elif isinstance(columns, str) and step is preprocessor.named_transformers_[name]:
            compact(step)
    places = preprocessor._transformer_to_input_indices
    preprocessor._transformer_to_input_indices = {
        name: np.array(of_step, dtype=np.intp) for name, of_step in places.items()
    }
    preprocessor._columns = [columns for _, _, columns in preprocessor.transformers_]
    steps = [step for _, step, _ in preprocessor.transformers_]
    steps += [one for step in steps if isinstance(step, Pipeline) for _, one in step.steps]
    if not any(isinstance(columns, str) for columns in preprocessor._columns):
        steps.append(preprocessor)  # else it gives the name on, of which there is no array
    for step in steps:
        if "feature_names_in_" in vars(step):
            step.feature_names_in_ = _array(step.feature_names_in_)


def _median(values: np.ndarray, sample_weight: np.ndarray) -> float:
    """The median of the rows as often as they count; 0 without a value, as scikit-learn fills."""
    order = np.argsort(values)[: np.isfinite(values).sum()]
    if not len(order):
        return 0.0
    total = sample_weight[order].cumsum()
    middle = total[-1] / 2
    low = np.searchsorted(total, middle * (1 - 1e-12))
    high = np.searchsorted(total, middle * (1 + 1e-12), side="right")
    return float((values[order[low]] + values[order[min(high, len(order) - 1)]]) / 2)


def fit_model(
    model: Pipeline,
    features: pd.DataFrame,
    y: np.ndarray,
    sample_weight: np.ndarray | None,
    *,
    grouped: bool = False,
) -> Pipeline:
    """Fits a pipeline of `make_model`.

    Args:
        model: unfitted.
        features: (n_rows, n_expanded) expanded columns.
        y: (n_rows,) classes.
        sample_weight: (n_rows,) how often each row counts; None for once.
        grouped: whether rows belong together; categories do without shares of classes then, as
            other rows of a group would give them away.
    """
    (_, preprocessor), (name, classifier) = model.steps
    matrix = fit_preprocessor(preprocessor, features, sample_weight, None if grouped else y)
    weights = {} if sample_weight is None else {"sample_weight": sample_weight}
    model.steps[-1] = (name, classifier.fit(matrix, y, **weights))
    return model


def make_model(
    columns: Sequence[Column], classifier: str, params: dict[str, Any], *, seed: int
) -> Pipeline:
    """Builds the unfitted pipeline from expanded columns to class probabilities."""
    form = CLASSIFIERS[classifier].form
    n_categories = sum(c.kind == "category" for c in columns) if form == "trees" else 0
    return make_pipeline(
        make_preprocessor(columns, form),
        make_classifier(classifier, params, seed=seed, n_categories=n_categories),
    )
