"""Prediction sets: the classes that hold the true one as often as is asked for.

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
