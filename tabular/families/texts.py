"""Free text: words and pairs of words, weighed within the rows that are fitted on.

A short text or one whose words seldom recur, as a name, is its two hundred most frequent words, a
column each. Of a text of many words, a classifier that takes sparse matrices gets each frequent
word and pair of words as a column; all others get the thirty components in which these vary most
(latent semantic analysis, Deerwester et al. 1990, "Indexing by latent semantic analysis").
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
from scipy.sparse import csr_array
from sklearn.base import BaseEstimator
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import CountVectorizer, TfidfTransformer, TfidfVectorizer
from sklearn.pipeline import Pipeline, make_pipeline

FEW_WORDS = 200
LONG_TEXT = 30  # words on average
FIRST_ROWS = 10_000  # in which is seen whether words are many
MOST_WORDS = 10_000
FREQUENT_ROWS = 5  # of a word
COMPONENTS = 30
# a row of many words has the length 1, much less than a row of scaled numbers
SPARSE_WEIGHT, COMPONENTS_WEIGHT = 2.0, 4.0

_PATTERN = r"(?u)\b\w+\b|[!?]+"


def few_words() -> TfidfVectorizer:
    """The unfitted step of a text that is short or whose words seldom recur."""
    return TfidfVectorizer(max_features=FEW_WORDS, token_pattern=r"(?u)\b\w+\b")


def has_many_words(texts: Iterable[str]) -> bool:
    """Whether texts have thirty words on average, and two hundred words are in five texts each."""
    analyse, n_rows, lengths = few_words().build_analyzer(), Counter[str](), list[int]()
    for text in islice(texts, FIRST_ROWS):
        words = analyse(text)
        lengths.append(len(words))
        n_rows.update(set(words))
    n_frequent = sum(count >= FREQUENT_ROWS for count in n_rows.values())
    return n_frequent > FEW_WORDS and sum(lengths) >= LONG_TEXT * len(lengths)


def many_words(*, sparse: bool) -> tuple[BaseEstimator, float]:
    """The unfitted step of a text of many words, and the weight of its matrix.

    Args:
        sparse: whether the matrix may be.
    """
    words = TfidfVectorizer(
        max_features=MOST_WORDS,
        min_df=FREQUENT_ROWS,
        ngram_range=(1, 2),
        sublinear_tf=True,
        token_pattern=_PATTERN,
    )
    return _reduced(words, sparse)


def _reduced(words: BaseEstimator, sparse: bool) -> tuple[BaseEstimator, float]:
    if sparse:
        return words, SPARSE_WEIGHT
    return make_pipeline(words, TruncatedSVD(COMPONENTS, random_state=0)), COMPONENTS_WEIGHT


def compact(step: Any) -> None:
    """Makes a fitted step of words small in its file, where numpy's integers are large."""
    words = step.steps[0][1] if isinstance(step, Pipeline) else step
    words.vocabulary_ = {term: int(code) for term, code in words.vocabulary_.items()}


@dataclass(frozen=True)
class Counts:
    """How often each word, and pair of words, is in each text.

    To count does not look at other rows, so a search does it once and not in each fold.

    Args:
        matrix: (n_rows, n_terms).
        word: (n_terms,) whether it is a word, and no pair or mark.
    """

    matrix: csr_array
    word: np.ndarray

    def are_many(self, rows: np.ndarray) -> bool:
        """As `has_many_words` of these rows."""
        seen = self.matrix[rows[:FIRST_ROWS]][:, np.flatnonzero(self.word)]
        frequent = np.bincount(seen.indices, minlength=1) >= FREQUENT_ROWS
        return bool(frequent.sum() > FEW_WORDS and seen.sum() >= LONG_TEXT * seen.shape[0])


def count_words(texts: Iterable[str]) -> Counts:
    """Counts the words of texts, (n_rows,)."""
    vectorizer = CountVectorizer(dtype=np.int32, token_pattern=_PATTERN, ngram_range=(1, 2))
    matrix = csr_array(vectorizer.fit_transform(texts))
    terms = vectorizer.get_feature_names_out()
    return Counts(matrix, np.array([" " not in term and term[0] not in "!?" for term in terms]))


def weigh_words(
    counts: Counts, fitted: np.ndarray, validated: np.ndarray, *, sparse: bool
) -> tuple[Any, Any]:
    """What the step of `many_words`, fitted on some rows, makes of these and of others.

    Args:
        counts: of `count_words`.
        fitted: positions of the rows that it is fitted on.
        validated: positions of the others.
        sparse: whether the matrices may be.
    """
    inside, outside = counts.matrix[fitted], counts.matrix[validated]
    words = np.flatnonzero(np.bincount(inside.indices) >= FREQUENT_ROWS)
    if len(words) > MOST_WORDS:  # the most frequent, as TfidfVectorizer has them
        frequency = np.asarray(inside[:, words].sum(axis=0), dtype=np.float64).ravel()
        words = np.sort(words[(-frequency).argsort()[:MOST_WORDS]])
    step, weight = _reduced(TfidfTransformer(sublinear_tf=True), sparse)
    return (
        step.fit_transform(inside[:, words]) * weight,
        step.transform(outside[:, words]) * weight,
    )
