"""How good predictions are: with intervals, by class, by slice, and where they fail most."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from custom_model.served.columns import Column, Label
from tabular.report.slices import Slice, worst_slices
from tabular.stats.costs import alternatives, describe_costs
from tabular.stats.intervals import ClassEstimates, Estimate, describe_method, estimates

MOST_WRONG = 10
MOST_CELLS = 8  # of a wrong row that are shown
LONGEST_CELL = 40


@dataclass(frozen=True)
class Wrong:
    """A row that was predicted wrongly.

    Args:
        row: its number in the rows that were assessed, from 1.
        true: its class.
        predicted: the class predicted.
        proba_predicted: probability of the class predicted.
        proba_true: probability of its class.
        cells: heading and value of its first columns.
    """

    row: int
    true: Label
    predicted: Label
    proba_predicted: float
    proba_true: float
    cells: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Assessment:
    """A classifier on labelled rows.

    Args:
        rows: how many.
        labels: the classes.
        metrics: by name, those that are defined.
        classes: in the order of `labels`.
        majority: the most frequent class, rows counting by their weights, and its share.
        slices: where it is wrong more often than elsewhere, worst first.
        wrong: those predicted wrongly with the highest probability; none without probabilities.
        confidence: of the intervals.
        resamples: of the bootstrap.
        costs: mean cost of a row of what one could do otherwise, by its name in words; empty
            without a matrix of costs.
        drawn: what a resample draws: rows, weighted rows or groups.
    """

    rows: int
    labels: tuple[Label, ...]
    metrics: dict[str, Estimate]
    classes: tuple[ClassEstimates, ...]
    majority: tuple[Label, float]
    slices: tuple[Slice, ...]
    wrong: tuple[Wrong, ...]
    confidence: float
    resamples: int
    costs: dict[str, float] = field(default_factory=dict)
    drawn: str = "rows"

    @property
    def method(self) -> str:
        """How the intervals are computed, in words."""
        return (
            f"{100 * self.confidence:g}% {describe_method(self.drawn)}; {self.resamples} resamples"
        )

    @property
    def cost_sentence(self) -> str:
        """What a thousand rows cost, in words; "" without a matrix of costs."""
        if not self.costs:
            return ""
        return describe_costs(self.metrics["cost"], self.costs)


def assess(
    y_true: np.ndarray,
    y_pred: np.ndarray,
    proba: np.ndarray | None,
    labels: Sequence[Label],
    typed: pd.DataFrame,
    columns: Sequence[Column],
    *,
    confidence: float = 0.95,
    resamples: int = 1000,
    seed: int = 42,
    costs: np.ndarray | None = None,
    groups: np.ndarray | None = None,
    sample_weight: np.ndarray | None = None,
) -> Assessment:
    """Assesses predictions.

    Args:
        y_true: (n_rows,) true classes, 0 to n_classes - 1.
        y_pred: (n_rows,) predicted classes.
        proba: (n_rows, n_classes), rows sum to 1; None where a model gives labels only.
        labels: the classes.
        typed: (n_rows, n_columns) the rows, from `conform`.
        columns: the features.
        confidence: of the two-sided intervals.
        resamples: of the bootstrap.
        seed: of the bootstrap.
        costs: (n_classes, n_classes) of predicting column for row; None without.
        groups: (n_rows,) of rows that belong together; None for each by itself.
        sample_weight: (n_rows,) how often each row counts; None for once.
    """
    metrics, classes = estimates(
        y_true, y_pred, proba, len(labels),
        confidence=confidence, resamples=resamples, seed=seed, costs=costs,
        groups=groups, sample_weight=sample_weight,
    )  # fmt: skip
    counts = np.bincount(y_true, sample_weight, minlength=len(labels))
    return Assessment(
        rows=len(y_true),
        labels=tuple(labels),
        metrics=metrics,
        classes=tuple(classes),
        majority=(labels[int(counts.argmax())], float(counts.max() / counts.sum())),
        slices=tuple(worst_slices(typed, columns, y_true == y_pred, confidence=confidence)),
        wrong=() if proba is None else _most_wrong(y_true, y_pred, proba, labels, typed),
        confidence=confidence,
        resamples=resamples,
        costs={} if costs is None else alternatives(y_true, proba, costs, labels, sample_weight),
        drawn="rows"
        if groups is None and sample_weight is None
        else "weighted rows"
        if groups is None
        else "groups",
    )


def _most_wrong(
    y_true: np.ndarray,
    y_pred: np.ndarray,
    proba: np.ndarray,
    labels: Sequence[Label],
    typed: pd.DataFrame,
) -> tuple[Wrong, ...]:
    wrong = np.flatnonzero(y_true != y_pred)
    worst = wrong[np.argsort(-proba[wrong, y_pred[wrong]], kind="stable")[:MOST_WRONG]]
    shown = typed[typed.columns[:MOST_CELLS]]
    return tuple(
        Wrong(
            row=int(row) + 1,
            true=labels[y_true[row]],
            predicted=labels[y_pred[row]],
            proba_predicted=float(proba[row, y_pred[row]]),
            proba_true=float(proba[row, y_true[row]]),
            cells=tuple((str(name), _cell(shown[name].iloc[row])) for name in shown),
        )
        for row in worst
    )


def _cell(value: object) -> str:
    if value is None or value is pd.NA or value is pd.NaT or value != value:
        return ""
    if isinstance(value, pd.Timestamp):
        return str(value).removesuffix(" 00:00:00")
    text = f"{value:g}" if isinstance(value, float) else str(value)
    return text if len(text) <= LONGEST_CELL else text[: LONGEST_CELL - 1] + "…"
