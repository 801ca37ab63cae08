"""Free text: words and pairs of words, weighed within the rows that are fitted on.

A classifier that takes sparse matrices gets one column per word or pair; all others get the thirty
components in which these vary most (latent semantic analysis, Deerwester et al. 1990, doi
10.1002/(SICI)1097-4571(199009)41:6<391::AID-ASI1>3.0.CO;2-9).
"""

from collections.abc import Iterable
from typing import Any, Literal

import numpy as np
from scipy import sparse
from sklearn.base import BaseEstimator
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import CountVectorizer, TfidfTransformer, TfidfVectorizer
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

Form = Literal["trees", "dense", "sparse"]
"""The matrix that a classifier takes: for trees, for what takes sparse ones, for all others."""

MOST_WORDS = 10_000
COMPONENTS = 30
SPARSE_WEIGHT = 2.0  # a row of words has the length 1, much less than a row of scaled numbers
_ANALYSIS = {"token_pattern": r"(?u)\b\w+\b|[!?]+", "ngram_range": (1, 2)}


def form_of(form: Form, texts: bool) -> Form:
    """The form itself, but without texts nothing is sparse."""
    return "dense" if form == "sparse" and not texts else form


def make_words(form: Form) -> BaseEstimator:
    """The unfitted step from one column of texts to a matrix."""
    return _behind(
        TfidfVectorizer(max_features=MOST_WORDS, sublinear_tf=True, **_ANALYSIS), form, COMPONENTS
    )


def _behind(words: BaseEstimator, form: Form, components: int) -> BaseEstimator:
    if form == "sparse":
        return words
    svd = TruncatedSVD(components, random_state=0)
    return make_pipeline(words, svd, *([StandardScaler()] if form == "dense" else []))


def limit_components(step: Any, texts: Iterable[str]) -> None:
    """Leaves an unfitted step of `make_words` no more components than there are words."""
    if not isinstance(step, Pipeline):
        return
    analyse, terms = step.steps[0][1].build_analyzer(), set[str]()
    for text in texts:
        terms.update(analyse(text))
        if len(terms) >= COMPONENTS:
            return
    step.set_params(truncatedsvd__n_components=max(1, len(terms)))


def compact(step: Any) -> None:
    """Makes a fitted step of `make_words` small in its file, where numpy's integers are large."""
    words = step.steps[0][1] if isinstance(step, Pipeline) else step
    words.vocabulary_ = {term: int(code) for term, code in words.vocabulary_.items()}


def count_words(texts: Iterable[str]) -> sparse.csr_array:
    """(n_rows, n_terms) how often each word and pair is in each text.

    To count does not look at other rows, so a search does it once and not in each fold.
    """
    return CountVectorizer(dtype=np.int32, **_ANALYSIS).fit_transform(texts)


def weigh_words(
    counts: Any, fitted: np.ndarray, validated: np.ndarray, form: Form
) -> tuple[Any, Any]:
    """What a step of `make_words`, fitted on some rows, makes of these and of others.

    Args:
        counts: of `count_words`.
        fitted: positions of the rows that it is fitted on.
        validated: positions of the others.
        form: of the matrices.
    """
    inside, outside = counts[fitted], counts[validated]
    frequency = np.asarray(inside.sum(axis=0), dtype=np.float64).ravel()
    present = np.flatnonzero(frequency)
    kept = np.sort(present[(-frequency[present]).argsort()[:MOST_WORDS]])  # as TfidfVectorizer
    step = _behind(TfidfTransformer(sublinear_tf=True), form, min(COMPONENTS, len(kept)))
    weight = SPARSE_WEIGHT if form == "sparse" else 1.0
    return (
        step.fit_transform(inside[:, kept]) * weight,
        step.transform(outside[:, kept]) * weight,
    )
