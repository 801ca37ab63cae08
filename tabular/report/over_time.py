"""A metric over time: by hour, day, week, month, quarter or year, with its interval in each."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from tabular.report import plots
from tabular.report.groups import Groups
from tabular.stats.by_group import SMALL, GroupEstimates
from tabular.stats.intervals import estimates

PERIODS = ("min", "h", "D", "W", "M", "Q", "Y")  # of pandas
MOST_PERIODS = 31
BANDS = 12  # of numbers such as a day since the start, where there are many


@dataclass(frozen=True)
class OverTime:
    """Metrics of predicted classes by period.

    Args:
        parts: one for each period that has rows, the oldest first.
        places: (n_parts,) numbers of the periods, counted on where one has no rows.
    """

    parts: list[GroupEstimates]
    places: list[int]

    def drawn(self, metric: str) -> Figure:
        """The picture of one metric."""
        parts = [
            (n, one)
            for n, one in zip(self.places, self.parts, strict=True)
            if metric in one.metrics
        ]
        names, places = [one.name for _, one in parts], [place for place, _ in parts]
        return plots.by_period(names, places, [one.metrics[metric] for _, one in parts], metric)

    @property
    def table(self) -> pd.DataFrame:
        """A row for each period and metric: period, rows, small, metric, value, low, high."""
        return Groups(self.parts).table.rename(columns={"group": "period"})


def over_time(
    moments: np.ndarray | None,
    y_true: np.ndarray,
    y_pred: np.ndarray,
    n_classes: int,
    *,
    confidence: float,
    resamples: int,
    seed: int,
    costs: np.ndarray | None = None,
    groups: np.ndarray | None = None,
    sample_weight: np.ndarray | None = None,
) -> OverTime | None:
    """Metrics of predicted classes by period; None where no moments are, or all are in one.

    Args:
        moments: (n_rows,) datetime64, or float64 such as a year.
        y_true: (n_rows,) true classes.
        y_pred: (n_rows,) predicted classes.
        n_classes: number of classes.
        confidence: of the two-sided intervals.
        resamples: of the bootstrap.
        seed: of the bootstrap.
        costs: (n_classes, n_classes) of predicting column for row; None without.
        groups: (n_rows,) of rows that are drawn together; None for one by one.
        sample_weight: (n_rows,) how often each row counts; None for once.
    """
    if moments is None:
        return None
    numbers, names = _periods(moments)
    places = np.unique(numbers)
    if len(places) < 2:
        return None
    parts = []
    for place in places:
        rows = numbers == place
        of = (None if part is None else part[rows] for part in (groups, sample_weight))
        drawn = dict(zip(("groups", "sample_weight"), of, strict=True))
        metrics, _ = estimates(
            y_true[rows], y_pred[rows], None, n_classes,
            confidence=confidence, resamples=resamples, seed=seed, costs=costs, **drawn,
        )  # fmt: skip
        parts.append(GroupEstimates(names[place], int(rows.sum()), metrics))
    return OverTime(parts, places.tolist())


def _periods(moments: np.ndarray) -> tuple[np.ndarray, dict[int, str]]:
    """The number of the period that each row is in, and the periods by number, in words."""
    if moments.dtype.kind != "M":
        return _bands(moments)
    chosen: pd.PeriodIndex | None = None
    for period in PERIODS:  # the shortest one that has rows enough, or else the longest
        index = pd.DatetimeIndex(moments).to_period(period)
        rows = pd.Series(index).value_counts()
        if chosen is not None and len(rows) < 2:
            break
        chosen = index
        if len(rows) <= MOST_PERIODS and rows.median() >= SMALL:
            break
    assert chosen is not None
    names = {one.ordinal: _name(one) for one in chosen.unique()}
    numbers = np.asarray(chosen.asi8)
    return numbers, names


def _name(period: pd.Period) -> str:
    return f"week of {period.start_time.date()}" if period.freqstr.startswith("W") else str(period)


def _bands(values: np.ndarray) -> tuple[np.ndarray, dict[int, str]]:
    """Numbers by value, or in bands of equal width."""
    distinct, numbers = np.unique(values, return_inverse=True)
    if len(distinct) <= MOST_PERIODS:
        return numbers, {n: f"{value:g}" for n, value in enumerate(distinct)}
    ends = np.linspace(distinct[0], distinct[-1], BANDS + 1)
    numbers = np.clip(np.searchsorted(ends, values, side="right") - 1, 0, BANDS - 1)
    return numbers, {n: f"from {ends[n]:.6g}" for n in range(BANDS)}
