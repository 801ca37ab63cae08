"""What the compiled parts of a model have in common."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

Table = Mapping[str, Sequence[Any]]
"""Values of n rows by expanded column: floats (NaN is missing), categories (None), texts ("")."""


class Uncompiled(Exception):
    """Something that this file has no arithmetic for; the pipeline itself has to answer."""


class Compiled(NamedTuple):
    """What a fitted classifier answers, from a Table or, behind a preprocessor, from a matrix.

    Args:
        proba: probabilities (n_rows, n_classes).
        decision: scores (n_rows,) or (n_rows, n_classes), None where scikit-learn has none.
    """

    proba: Callable[[Any], np.ndarray]
    decision: Callable[[Any], np.ndarray] | None = None
