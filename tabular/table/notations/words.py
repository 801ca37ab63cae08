"""Words among numbers or dates that mean "no value"."""

import re
from dataclasses import dataclass

import numpy as np
import pandas as pd

NULL_WORDS = frozenset(
    {"?", "-", "--", ".", "na", "n/a", "nan", "null", "none", "nil", "missing", "unknown", "<na>"}
    | {"#n/a", "#na", "#value!", "#div/0!", "inf", "-inf", "+inf", "infinity", "-infinity"}
)
"""Words that mean "no value", in lower case."""

_NO_DATE = re.compile(r"nat|never|0+[-/.]0+[-/.]0+(?:[ t]00:00(?::00)?(?:\.0+)?)?")

STRAY_SHARE = 0.05  # other words are read as missing if they are at most so many of the cells
STRAY_SPELLINGS = 3


@dataclass(frozen=True)
class Reading:
    """A column of texts, read as numbers or dates.

    Args:
        notation: of `custom_model.served.columns.Column`.
        values: (n_distinct,) float64 or datetime64, of each distinct text.
        missing: the texts that mean "no value".
    """

    notation: str
    values: np.ndarray
    missing: frozenset[str]


def strays(counts: pd.Series, unread: np.ndarray) -> frozenset[str] | None:
    """The texts that mean "no value" in a column; None if they are too many for that.

    Args:
        counts: rows of each distinct text.
        unread: (n_distinct,) bool, texts that are none of the values.
    """
    if not unread.any():
        return frozenset()
    if unread.all():
        return None
    spelled = counts.index[unread]
    others = list[int]()
    for text, n_rows in zip(spelled, counts.to_numpy()[unread], strict=True):
        word = text.lower()
        if word not in NULL_WORDS and not _NO_DATE.fullmatch(word):
            others.append(n_rows)
            if len(others) > STRAY_SPELLINGS:
                return None
    return None if sum(others) > STRAY_SHARE * counts.sum() else frozenset(spelled)
