"""Texts of a fitted pipeline as words, without scipy's sparse matrices, slow for a few rows."""

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer


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


def weigh_text(
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
