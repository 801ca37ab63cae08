"""When two labels are the same class, and predictions in the order of given classes."""

import re
from collections.abc import Sequence

import numpy as np
import pandas as pd

from custom_model.served.columns import Label


def key(label: object) -> str:
    """What makes two labels the same class, whatever their types: 1, 1.0, "1" and "1.0" are."""
    text = str(label).strip()
    return text.removesuffix(".0") if re.fullmatch(r"-?\d+\.0", text) else text


def align(
    y_pred: Sequence[Label], proba: pd.DataFrame | None, classes: Sequence[Label]
) -> tuple[np.ndarray, np.ndarray | None]:
    """Predictions as codes and probabilities of given classes.

    Args:
        y_pred: (n_rows,) labels, each of them one of `classes`.
        proba: (n_rows, some classes) by label, or None.
        classes: in their order; one that the model does not know has probability 0.

    Returns:
        (n_rows,) codes, and (n_rows, n_classes) probabilities or None.
    """
    codes = {key(label): code for code, label in enumerate(classes)}
    predicted = np.array([codes[key(label)] for label in y_pred], dtype=np.int64)
    if proba is None:
        return predicted, None
    aligned = np.zeros((len(predicted), len(classes)))
    for name in proba.columns:
        if key(name) in codes:
            aligned[:, codes[key(name)]] = proba[name].to_numpy(dtype=float)
    return predicted, aligned
