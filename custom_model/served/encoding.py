"""The preprocessing of a fitted pipeline, from a Table to a matrix, without a frame."""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy.sparse import csr_array, hstack
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    OneHotEncoder,
    OrdinalEncoder,
    StandardScaler,
)

Table = Mapping[str, Sequence[Any]]
"""Values of n rows by expanded column: floats (NaN is missing), categories (None), texts ("")."""

Encode = Callable[[Table], Any]
"""To a matrix, dense or sparse."""


class Uncompiled(Exception):
    """Something that has no arithmetic of its own here; the pipeline itself has to answer."""


def compile_preprocessor(step: Any) -> Encode:
    """A ColumnTransformer as a function from a Table to a matrix, (n_rows, n_features).

    Raises:
        Uncompiled: a part is of a kind that is not known here.
    """
    if type(step) is not ColumnTransformer:
        raise Uncompiled("preprocessing that is no ColumnTransformer")
    weights = step.transformer_weights or {}
    parts = [
        _weighed(_part(fitted, names), weights.get(name, 1.0))
        for name, fitted, names in step.transformers_
        if fitted != "drop"
    ]
    if step.sparse_output_:
        return lambda table: hstack([part(table) for part in parts], format="csr")
    if len(parts) == 1:
        return parts[0]
    return lambda table: np.concatenate([part(table) for part in parts], axis=1)


def _weighed(encode: Encode, weight: float) -> Encode:
    return encode if weight == 1.0 else lambda table: encode(table) * weight


def _part(fitted: Any, names: Any) -> Encode:
    kind = type(fitted)
    if isinstance(names, str):
        return _text(fitted, names)
    names = list(names)
    if kind in (OneHotEncoder, OrdinalEncoder):
        return _categories(fitted, names)
    if fitted == "passthrough" or (kind is FunctionTransformer and fitted.func is None):
        return lambda table: _numbers(table, names)
    if kind is Pipeline and [type(s) for _, s in fitted.steps] == [SimpleImputer, StandardScaler]:
        return _scaled(fitted.steps[0][1], fitted.steps[1][1], names)
    raise Uncompiled(f"preprocessing by {kind.__name__}")


def _text(fitted: Any, name: str) -> Encode:
    steps = [step for _, step in fitted.steps] if type(fitted) is Pipeline else [fitted]
    kinds = [type(step) for step in steps]
    if kinds == [TfidfVectorizer]:
        return _words(steps[0], name)
    if kinds[:2] != [TfidfVectorizer, TruncatedSVD] or kinds[2:] not in ([], [StandardScaler]):
        raise Uncompiled(f"texts prepared by {kinds[-1].__name__}")
    return _components(_words(steps[0], name), steps[1], *steps[2:] or [None])


def _numbers(table: Table, names: list[str]) -> np.ndarray:
    return np.array([table[name] for name in names], dtype=np.float64).T


def _categories(encoder: Any, names: list[str]) -> Encode:
    """One table per column, found by asking the encoder itself for every category that it knows."""
    known = [[c for c in column if isinstance(c, str)] for column in encoder.categories_]
    unseen = "unseen"
    while any(unseen in column for column in known):
        unseen += "_"
    longest = max(map(len, known))
    asked = {
        name: pd.Series([unseen, None, *column, *[unseen] * (longest - len(column))], dtype="str")
        for name, column in zip(names, known, strict=True)
    }
    encoded = encoder.transform(pd.DataFrame(asked))
    if type(encoder) is OrdinalEncoder:
        widths = [1] * len(names)
    else:
        rare = encoder.infrequent_categories_
        widths = [
            len(column) - (0 if few is None else len(few) - 1)
            for column, few in zip(encoder.categories_, rare, strict=True)
        ]
    if sum(widths) != encoded.shape[1]:
        raise Uncompiled("an encoder that drops a category")
    blocks = np.split(encoded, np.cumsum(widths)[:-1], axis=1)
    rows_of = [
        {None: 1} | {category: row for row, category in enumerate(column, start=2)}
        for column in known
    ]
    columns = list(zip(names, rows_of, map(np.ascontiguousarray, blocks), strict=True))

    def encode(table: Table) -> np.ndarray:
        return np.concatenate(
            [
                block.take([rows.get(value, 0) for value in table[name]], axis=0)
                for name, rows, block in columns
            ],
            axis=1,
        )

    return encode


def _scaled(imputer: SimpleImputer, scaler: StandardScaler, names: list[str]) -> Encode:
    fill = np.asarray(imputer.statistics_, dtype=np.float64)
    if np.isnan(fill).any() or not isinstance(imputer.missing_values, float):
        raise Uncompiled("an imputer that leaves columns out")
    marked = imputer.indicator_.features_ if imputer.add_indicator else np.empty(0, dtype=np.intp)
    mean, scale = scaler.mean_, scaler.scale_
    if mean is None or scale is None:
        raise Uncompiled("a scaler that does half")

    def encode(table: Table) -> np.ndarray:
        values = _numbers(table, names)
        missing = np.isnan(values)
        filled = np.where(missing, fill, values)
        if len(marked):
            filled = np.concatenate([filled, missing[:, marked]], axis=1)
        return (filled - mean) / scale

    return encode


def _words(vectorizer: TfidfVectorizer, name: str) -> Callable[[Table], csr_array]:
    """Term frequency times inverse document frequency, each row of length 1."""
    v = vectorizer
    if v.norm != "l2" or not v.use_idf or v.binary or v.dtype != np.float64:
        raise Uncompiled("words that are weighed in another way")
    analyse, codes, weights = v.build_analyzer(), v.vocabulary_, v.idf_.tolist()
    frequency: Callable[[int], float] = (lambda n: math.log(n) + 1) if v.sublinear_tf else float

    def weigh(text: str) -> tuple[list[int], list[float]]:
        counts = Counter(codes[word] for word in analyse(text) if word in codes)
        kept = sorted(counts)
        values = [frequency(counts[code]) * weights[code] for code in kept]
        length = math.sqrt(_sum_in_order(value * value for value in values))
        return kept, [value / length for value in values]

    def encode(table: Table) -> csr_array:
        texts = table[name]
        once = {text: weigh(text) for text in dict.fromkeys(texts)}
        rows = [once[text] for text in texts]
        ends = np.cumsum([0, *(len(kept) for kept, _ in rows)])
        return csr_array(
            (
                np.array([value for _, values in rows for value in values]),
                np.array([code for kept, _ in rows for code in kept], dtype=np.int32),
                ends.astype(np.int32),
            ),
            shape=(len(texts), len(weights)),
        )

    return encode


def _components(words: Encode, svd: TruncatedSVD, scaler: StandardScaler | None) -> Encode:
    """The components in which the words of the training rows vary most."""
    directions = np.ascontiguousarray(svd.components_.T)
    if scaler is None:
        return lambda table: words(table) @ directions
    mean, scale = scaler.mean_, scaler.scale_
    return lambda table: (words(table) @ directions - mean) / scale


def _sum_in_order(values: Iterable[float]) -> float:
    """As a loop in C adds; `sum` compensates its rounding, which scikit-learn does not."""
    total = 0.0
    for value in values:
        total += value
    return total
