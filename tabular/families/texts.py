"""Free text: words and pairs of words, weighed within the rows that are fitted on.

Few words, as in names, are a column each. Of many words and their pairs, a classifier that takes
sparse matrices gets a column each too; all others get the thirty components in which these vary
most (latent semantic analysis, Deerwester et al. 1990, "Indexing by latent semantic analysis").
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from scipy.sparse import csr_array
from sklearn.base import BaseEstimator
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import CountVectorizer, TfidfTransformer, TfidfVectorizer
from sklearn.pipeline import Pipeline, make_pipeline

Form = Literal["trees", "dense", "sparse"]
"""The matrix that a classifier takes: for trees, for what takes sparse ones, for all others."""

FEW_WORDS = 200
MOST_WORDS = 10_000
FREQUENT_ROWS = 5  # of a word; where none is in so many, all words count
COMPONENTS = 30
# a row of many words has the length 1, much less than a row of scaled numbers
SPARSE_WEIGHT, COMPONENTS_WEIGHT = 2.0, 4.0

_PATTERN = r"(?u)\b\w+\b|[!?]+"


def form_of(form: Form, texts: bool) -> Form:
    """The form itself, but without texts nothing is sparse."""
    return "dense" if form == "sparse" and not texts else form


def choose_words(texts: Iterable[str], *, sparse: bool) -> tuple[BaseEstimator, float]:
    """The unfitted step from a column of texts to a matrix, and the weight of this matrix.

    Args:
        texts: (n_rows,) that it will be fitted on.
        sparse: whether the matrix may be.
    """
    words = make_words()
    analyse, n_rows, n_frequent = words.build_analyzer(), Counter[str](), 0
    for text in texts:
        terms = set(analyse(text))
        n_rows.update(terms)
        n_frequent += sum(n_rows[term] == FREQUENT_ROWS for term in terms)
        if n_frequent > FEW_WORDS:
            break
    n_words = n_frequent or len(n_rows)
    words.set_params(min_df=FREQUENT_ROWS if n_frequent else 1)
    words.set_params(ngram_range=(1, 1 if n_words <= FEW_WORDS else 2))
    return _behind(words, sparse, n_words)


def make_words() -> TfidfVectorizer:
    """An unfitted vectorizer of single words."""
    return TfidfVectorizer(max_features=MOST_WORDS, sublinear_tf=True, token_pattern=_PATTERN)


def _behind(words: BaseEstimator, sparse: bool, n_words: int) -> tuple[BaseEstimator, float]:
    if n_words <= FEW_WORDS:
        return words, 1.0
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
        single: (n_terms,) whether it is a word and no pair.
    """

    matrix: csr_array
    single: np.ndarray


def count_words(texts: Iterable[str]) -> Counts:
    """Counts the words of texts, (n_rows,)."""
    vectorizer = CountVectorizer(dtype=np.int32, token_pattern=_PATTERN, ngram_range=(1, 2))
    matrix = csr_array(vectorizer.fit_transform(texts))
    single = np.array([" " not in term for term in vectorizer.get_feature_names_out()])
    return Counts(matrix, single)


def weigh_words(
    counts: Counts, fitted: np.ndarray, validated: np.ndarray, *, sparse: bool
) -> tuple[Any, Any]:
    """What the step of `choose_words`, fitted on some rows, makes of these and of others.

    Args:
        counts: of `count_words`.
        fitted: positions of the rows that it is fitted on.
        validated: positions of the others.
        sparse: whether the matrices may be.
    """
    inside, outside = counts.matrix[fitted], counts.matrix[validated]
    n_rows = np.bincount(inside.indices, minlength=inside.shape[1])
    kept = n_rows >= (FREQUENT_ROWS if n_rows.max() >= FREQUENT_ROWS else 1)
    n_words = int((kept & counts.single).sum())
    words = np.flatnonzero(kept if n_words > FEW_WORDS else kept & counts.single)
    if len(words) > MOST_WORDS:  # the most frequent, as TfidfVectorizer has them
        frequency = np.asarray(inside[:, words].sum(axis=0), dtype=np.float64).ravel()
        words = np.sort(words[(-frequency).argsort()[:MOST_WORDS]])
    step, weight = _behind(TfidfTransformer(sublinear_tf=True), sparse, n_words)
    pair = step.fit_transform(inside[:, words]), step.transform(outside[:, words])
    if not sparse and not isinstance(step, Pipeline):
        pair = pair[0].toarray(), pair[1].toarray()
    return pair[0] * weight, pair[1] * weight
