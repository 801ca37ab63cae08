"""From probabilities to decisions: the class of a row, and its prediction set.

A prediction set has the classes that hold the true one as often as is asked for.

Conformal prediction with the score 1 - probability of the true class (Sadinle, Lei and Wasserman
2019, doi 10.1080/01621459.2017.1395341), within classes (Vovk 2012, doi 10.1007/s10994-013-5355-6).
The scores are those of out-of-fold predictions (cross-conformal, Vovk 2015, doi
10.1007/s10472-013-9368-4).
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

FEWEST_ROWS = 30  # of a group of classes
FEWEST_OUTSIDE = 3  # of its rows are expected outside of their sets, or the bound is noise
ROUNDING = 1e-9  # the short way for a few rows and the pipeline differ by no more


def calibrate(y_true: np.ndarray, proba: np.ndarray) -> dict[str, Any]:
    """Probabilities that a class needs to be in a set, by the coverage.

    A class of few rows shares its bounds with the next smallest ones.

    Args:
        y_true: (n_rows,) classes.
        proba: (n_rows, n_classes) out of fold.

    Returns:
        JSON. `groups`: of classes, with `classes`, `rows` and `bounds`, the probabilities of the
        true class at `_ranks`, falling; `pooled`: the same for all classes together.
    """
    own = proba[np.arange(len(y_true)), y_true]
    counts = np.bincount(y_true, minlength=proba.shape[1])
    groups: list[list[int]] = []
    for y in np.argsort(counts, kind="stable").tolist():
        if groups and counts[groups[-1]].sum() < FEWEST_ROWS:
            groups[-1].append(y)
        else:
            groups.append([y])

    every = list(range(proba.shape[1]))

    def bounds(classes: list[int]) -> dict[str, Any]:
        falling = -np.sort(-own[np.isin(y_true, classes)])
        values = falling[_ranks(len(falling)) - 1].tolist()
        return {"classes": classes, "rows": len(falling), "bounds": values}

    if counts[groups[-1]].sum() < FEWEST_ROWS:
        groups = [every]
    return {"groups": [bounds(group) for group in groups], "pooled": bounds(every)}


def in_sets(calibration: Mapping[str, Any], proba: np.ndarray, coverage: float) -> np.ndarray:
    """Which classes are in the set of each row.

    Args:
        calibration: of `calibrate`.
        proba: (n_rows, n_classes).
        coverage: share of the rows whose set has their class, above 0 and below 1.

    Returns:
        (n_rows, n_classes) bool; a row may have no class, and it may have all.
    """
    lowest = np.zeros(proba.shape[1])
    for group in groups_for(calibration, coverage):
        n_rows = group["rows"]
        rank = max(1, math.ceil((n_rows + 1) * coverage - ROUNDING))
        if rank <= n_rows:  # else so high a coverage needs every class
            at = int(np.searchsorted(_ranks(n_rows), rank))
            lowest[group["classes"]] = group["bounds"][at]
    return np.asarray(proba >= lowest - ROUNDING)


def groups_for(calibration: Mapping[str, Any], coverage: float) -> list[dict[str, Any]]:
    """The groups of classes that have rows enough for a coverage, else all classes as one group."""
    enough = FEWEST_OUTSIDE / (1 - coverage) - ROUNDING
    groups: list[dict[str, Any]] = calibration["groups"]
    return groups if all(g["rows"] >= enough for g in groups) else [calibration["pooled"]]


def _ranks(n_rows: int) -> np.ndarray:
    """The ranks that are kept of so many rows: every one of few; else each percent and the tail."""
    percents = np.ceil((n_rows + 1) * np.arange(1, 100) / 100 - ROUNDING)
    tail = n_rows + 1 - np.geomspace(1, max(1.0, n_rows / 100), 30).round()
    ranks = np.concatenate([percents, tail]) if n_rows > 130 else np.arange(1, n_rows + 1)
    return np.unique(ranks).astype(np.intp)


def decide_classes(
    proba: np.ndarray, threshold: float = 0.5, costs: np.ndarray | None = None
) -> np.ndarray:
    """The predicted class of each row, (n_rows,); the first of equals.

    Args:
        proba: (n_rows, n_classes) probabilities.
        threshold: of two classes, the second is predicted where its probability is above this.
        costs: (n_classes, n_classes) of predicting column for row; of more than two classes the one
            of least expected cost is predicted (Elkan 2001); those of two are `threshold_of`.
    """
    if proba.shape[1] == 2:
        return (proba[:, 1] > threshold).astype(np.intp)
    if costs is None:
        return np.asarray(proba.argmax(axis=1))
    # one class after the other: the sum of a row does not depend on how many rows there are
    expected = sum(proba[:, [y]] * costs[y] for y in range(proba.shape[1]))
    return np.asarray(expected).argmin(axis=1)


def threshold_of(costs: np.ndarray | None) -> float:
    """The threshold of two classes above which the second costs less; 0.5 without costs.

    Args:
        costs: (2, 2) of predicting column for row; a right prediction costs no more than a wrong
            one, and not every prediction costs the same.
    """
    if costs is None or len(costs) != 2:
        return 0.5
    wrongly, missed = costs[0, 1] - costs[0, 0], costs[1, 0] - costs[1, 1]
    return float(wrongly / (wrongly + missed))
