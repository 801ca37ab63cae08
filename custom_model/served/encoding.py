"""The preprocessing of a fitted pipeline, from a Table to a matrix, without a frame."""

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
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
    TargetEncoder,
)

Table = Mapping[str, Sequence[Any]]
"""Values of n rows by expanded column: floats (NaN is missing), categories (None), texts ("")."""

Encode = Callable[[Table], Any]
"""To a matrix, one of numpy or one that can only be multiplied."""


class Uncompiled(Exception):
    """Something that has no arithmetic of its own here; the pipeline itself has to answer."""


@dataclass(frozen=True)
class Words:
    """A matrix with few values in each row, that can be multiplied.

    Args:
        rows: of each row the positions of its values, and the values.
        n_columns: how many columns.
    """

    rows: Sequence[tuple[np.ndarray, np.ndarray]]
    n_columns: int

    def dense(self) -> np.ndarray:
        """(n_rows, n_columns)."""
        matrix = np.zeros((len(self.rows), self.n_columns))
        for row, (codes, values) in zip(matrix, self.rows, strict=True):
            row[codes] = values
        return matrix

    def __matmul__(self, weights: np.ndarray) -> np.ndarray:
        return np.stack([values @ weights.take(codes, axis=0) for codes, values in self.rows])


@dataclass(frozen=True)
class Blocks:
    """Matrices side by side, that can be multiplied.

    Args:
        dense: (n_rows, n_dense), the first columns.
        words: the matrices behind it.
    """

    dense: np.ndarray
    words: Sequence[Words]

    def __matmul__(self, weights: np.ndarray) -> np.ndarray:
        start = self.dense.shape[1]
        product = self.dense @ weights[:start]
        for words in self.words:
            product = product + words @ weights[start : start + words.n_columns]
            start += words.n_columns
        return product


def compile_preprocessor(step: Any) -> Encode:
    """A ColumnTransformer as a function from a Table to a matrix, (n_rows, n_features).

    Raises:
        Uncompiled: a part is of a kind that is not known here.
    """
    if type(step) is not ColumnTransformer:
        raise Uncompiled("preprocessing that is no ColumnTransformer")
    weights = step.transformer_weights or {}
    parts, texts = list[Encode](), list[Callable[[Table], Words]]()
    for name, fitted, names in step.transformers_:
        if isinstance(names, str) and type(fitted) is TfidfVectorizer and step.sparse_output_:
            texts.append(_words(fitted, names, weights.get(name, 1.0)))
        elif isinstance(names, str) and fitted != "drop":
            parts.append(_text(fitted, names, weights.get(name, 1.0)))
        elif name in weights or texts:
            raise Uncompiled("weights of columns that are no texts")
        elif fitted != "drop":
            parts.append(_part(fitted, list(names)))
    if not parts and len(texts) == 1:
        return texts[0]
    dense = parts[0] if len(parts) == 1 else lambda table: _side_by_side(parts, table)
    if not texts:
        return dense
    return lambda table: Blocks(dense(table), [text(table) for text in texts])


def _side_by_side(parts: Sequence[Encode], table: Table) -> np.ndarray:
    if not parts:
        return np.empty((len(next(iter(table.values()))), 0))
    return np.concatenate([part(table) for part in parts], axis=1)


def _part(fitted: Any, names: list[str]) -> Encode:
    kind = type(fitted)
    if kind in (OneHotEncoder, OrdinalEncoder, TargetEncoder):
        return _categories(fitted, fitted, names)
    if fitted == "passthrough" or (kind is FunctionTransformer and fitted.func is None):
        return lambda table: _numbers(table, names)
    if kind is Pipeline and [type(s) for _, s in fitted.steps] == [SimpleImputer, StandardScaler]:
        return _scaled(fitted.steps[0][1], fitted.steps[1][1], names)
    if kind is Pipeline and [type(s) for _, s in fitted.steps] == [TargetEncoder, StandardScaler]:
        return _categories(fitted.steps[0][1], fitted, names)
    raise Uncompiled(f"preprocessing by {kind.__name__}")


def _text(fitted: Any, name: str, weight: float) -> Encode:
    if type(fitted) is not Pipeline:
        plain = _words(fitted, name, weight)
        return lambda table: plain(table).dense()
    if [type(step) for _, step in fitted.steps] != [TfidfVectorizer, TruncatedSVD]:
        raise Uncompiled("texts that are prepared in another way")
    words = _words(fitted.steps[0][1], name, weight)
    directions = np.ascontiguousarray(fitted.steps[1][1].components_.T)
    return lambda table: words(table) @ directions


def _words(v: Any, name: str, weight: float) -> Callable[[Table], Words]:
    plain = type(v) is TfidfVectorizer and v.norm == "l2" and v.use_idf and not v.binary
    if not plain or v.dtype != np.float64:
        raise Uncompiled("words that are weighed in another way")
    return _weigh_text(v, name, weight)


def _weigh_text(
    vectorizer: TfidfVectorizer, name: str, weight: float = 1.0
) -> Callable[[Mapping[str, Sequence[str]]], Words]:
    """Term frequency times inverse document frequency, each row of the length `weight`.

    Args:
        vectorizer: fitted, each row of the length 1.
        name: of the column of texts.
        weight: of all words.
    """
    analyse, codes, idf = vectorizer.build_analyzer(), vectorizer.vocabulary_, vectorizer.idf_

    def weigh(text: str) -> tuple[np.ndarray, np.ndarray]:
        counts = Counter(codes[word] for word in analyse(text) if word in codes)
        kept = sorted(counts)
        frequency = np.array([counts[code] for code in kept], dtype=np.float64)
        if vectorizer.sublinear_tf:
            frequency = np.log(frequency) + 1
        positions = np.array(kept, dtype=np.intp)
        values = frequency * idf.take(positions)
        return positions, values * (weight / (math.sqrt(values @ values) or 1.0))

    def encode(table: Mapping[str, Sequence[str]]) -> Words:
        texts = table[name]
        once = {text: weigh(text) for text in dict.fromkeys(texts)}
        return Words([once[text] for text in texts], len(idf))

    return encode


def _numbers(table: Table, names: list[str]) -> np.ndarray:
    return np.array([table[name] for name in names], dtype=np.float64).T


def _categories(encoder: Any, step: Any, names: list[str]) -> Encode:
    """One table per column, found by asking the step itself for every category that it knows."""
    known = [[c for c in column if isinstance(c, str)] for column in encoder.categories_]
    unseen = "unseen"
    while any(unseen in column for column in known):
        unseen += "_"
    longest = max(map(len, known))
    asked = {
        name: pd.Series([unseen, None, *column, *[unseen] * (longest - len(column))], dtype="str")
        for name, column in zip(names, known, strict=True)
    }
    encoded = step.transform(pd.DataFrame(asked))
    if type(encoder) is OrdinalEncoder:
        widths = [1] * len(names)
    elif type(encoder) is TargetEncoder:
        widths = [encoded.shape[1] // len(names)] * len(names)
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
