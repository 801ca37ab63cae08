"""How well answers fit the truth, with intervals, by class, by slice, and where they fail most."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from custom_model.served.columns import Column, Label
from tabular.report.slices import Slice, worst_slices
from tabular.stats.intervals import METHOD, ClassEstimates, Estimate, estimates

MOST_WRONG = 10
MOST_CELLS = 8  # of a wrong row that are shown
LONGEST_CELL = 40


@dataclass(frozen=True)
class Wrong:
    """A row that was answered wrongly.

    Args:
        row: its number in the rows that were assessed, from 1.
        true: its class.
        said: the class predicted.
        of_said: probability of the class predicted.
        of_true: probability of its class.
        cells: heading and value of its first columns.
    """

    row: int
    true: Label
    said: Label
    of_said: float
    of_true: float
    cells: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Assessment:
    """A classifier on labelled rows.

    Args:
        rows: how many.
        labels: the classes.
        metrics: by name, those that are defined.
        classes: in the order of `labels`.
        slices: where it is wrong more often than elsewhere, worst first.
        wrong: the most confidently wrong rows; none without probabilities.
        confidence: of the intervals.
        resamples: of the bootstrap.
    """

    rows: int
    labels: tuple[Label, ...]
    metrics: dict[str, Estimate]
    classes: tuple[ClassEstimates, ...]
    slices: tuple[Slice, ...]
    wrong: tuple[Wrong, ...]
    confidence: float
    resamples: int

    @property
    def method(self) -> str:
        """How the intervals were found, in words."""
        return f"{100 * self.confidence:g}% {METHOD}; {self.resamples} resamples"

    @property
    def majority(self) -> tuple[Label, float]:
        """The most frequent class of these rows, and its share."""
        counts = [one.rows for one in self.classes]
        most = int(np.argmax(counts))
        return self.labels[most], counts[most] / self.rows


def assess(
    codes: np.ndarray,
    said: np.ndarray,
    probabilities: np.ndarray | None,
    labels: Sequence[Label],
    typed: pd.DataFrame,
    columns: Sequence[Column],
    *,
    confidence: float = 0.95,
    resamples: int = 1000,
    seed: int = 42,
) -> Assessment:
    """Assesses answers.

    Args:
        codes: (n_rows,) true classes, 0 to n_classes - 1.
        said: (n_rows,) predicted classes.
        probabilities: (n_rows, n_classes), rows sum to 1; None where a model gives labels only.
        labels: the classes.
        typed: (n_rows, n_columns) the rows, from `conform`.
        columns: the features.
        confidence: of the two-sided intervals.
        resamples: of the bootstrap.
        seed: of the bootstrap.
    """
    metrics, classes = estimates(
        codes,
        said,
        probabilities,
        len(labels),
        confidence=confidence,
        resamples=resamples,
        seed=seed,
    )
    return Assessment(
        rows=len(codes),
        labels=tuple(labels),
        metrics=metrics,
        classes=tuple(classes),
        slices=tuple(worst_slices(typed, columns, codes == said, confidence=confidence)),
        wrong=_most_wrong(codes, said, probabilities, labels, typed),
        confidence=confidence,
        resamples=resamples,
    )


def _most_wrong(
    codes: np.ndarray,
    said: np.ndarray,
    probabilities: np.ndarray | None,
    labels: Sequence[Label],
    typed: pd.DataFrame,
) -> tuple[Wrong, ...]:
    if probabilities is None:
        return ()
    wrong = np.flatnonzero(codes != said)
    of_said = probabilities[wrong, said[wrong]]
    worst = wrong[np.argsort(-of_said, kind="stable")[:MOST_WRONG]]
    return tuple(
        Wrong(
            row=int(row) + 1,
            true=labels[codes[row]],
            said=labels[said[row]],
            of_said=float(probabilities[row, said[row]]),
            of_true=float(probabilities[row, codes[row]]),
            cells=tuple(
                (str(name), _cell(typed[name].iloc[row])) for name in typed.columns[:MOST_CELLS]
            ),
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
