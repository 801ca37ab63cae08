"""What a table looked like: a version carries this profile, and later tables are compared with it.

The bins of a column are chosen on one random part of the rows and counted on the others. So the
counted rows and those of a later table are alike in every way if the table is, which keeps tests on
the counts exact; bins that are quantiles, or the most frequent levels, of the counted rows
themselves would make any other table look different.

The predictions are those for held-out rows: of its training rows a model is more certain.
All rows with the same content are on one side of the split, so that a holdout of few different rows
is a few draws, not many; its counts are reduced to the effective number (Kish 1965). So are all
counts where rows have weights or belong together: tests on them are then approximate (Rao & Scott
1981), for groups on the safe side, as a group counts no more than one row.
"""

import itertools
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from custom_model.served.columns import Column, Label
from tabular.stats.compute import combinations, place_in
from tabular.stats.units import Units, units_of

BINNED_SHARE = 0.2  # of the rows choose the bins
MOST_BINNED = 20_000
BINS = 10  # of equal frequency, and one beyond either end
MOST_LEVELS = 20  # of a category with a bin of their own
MOST_KNOWN = 1000  # levels that are remembered by name
CONFIDENCE_EDGES = (0.3, 0.4, *(percent / 100 for percent in range(50, 100, 5)), 0.98, 0.99, 0.999)
OTHER, UNSEEN = "(other levels)", "(levels not listed)"


@dataclass(frozen=True)
class ColumnProfile:
    """One column, counted.

    Args:
        name: heading.
        kind: number, category, boolean, date or text.
        rows: how many were counted, by weight.
        missing: rows without a value, by weight.
        edges: (n_bins - 1,) upper ends of the bins of a number, of a date in days since 1970, of a
            text in words; empty for a category or boolean.
        levels: categories by bin; the last two bins are of less frequent and of further ones.
        known: every level of the whole table; empty where there are too many.
        listed: levels that the last bin is the rest of.
        counts: (n_bins,) rows, by weight.
        effective: how many independent rows they are worth; None for as many as there are.
    """

    name: str
    kind: str
    rows: float
    missing: float
    edges: tuple[float, ...] = ()
    levels: tuple[str, ...] = ()
    known: tuple[str, ...] = ()
    listed: tuple[str, ...] = ()
    counts: tuple[float, ...] = ()
    effective: float | None = None

    @property
    def scale(self) -> float:
        """What one row is worth."""
        return 1 if self.effective is None else self.effective / self.rows

    @property
    def n_bins(self) -> int:
        """How many bins the rows are counted in."""
        return len(self.levels) + 2 if self.levels else len(self.edges) + 1

    @property
    def bin_names(self) -> list[str]:
        """Each bin in words."""
        if self.levels:
            return [*self.levels, OTHER, UNSEEN]
        ends = [_end(edge, self.kind) for edge in self.edges]
        # the second bin is the lowest value alone, as many columns have many zeros
        return [f"< {ends[1]}", ends[1], *interval_names(ends[1:])[1:]]


def interval_names(ends: Sequence[str]) -> list[str]:
    """Each bin in words, by the upper ends of all but the last: `≤ 1`, `(1, 2]`, `> 2`."""
    between = [f"({low}, {high}]" for low, high in itertools.pairwise(ends)]
    return [f"≤ {ends[0]}", *between, f"> {ends[-1]}"]


@dataclass(frozen=True)
class PredictionProfile:
    """What a model predicts for held-out rows.

    Args:
        labels: its classes.
        rows: how many there are, by weight.
        effective: how many independent ones they are worth.
        pairs: (n_pairs, 3): code of the true class, of the predicted class, rows.
        confidence: (n_bins,) rows by the probability of the predicted class, binned by
            `CONFIDENCE_EDGES`; empty where the model gives none.
    """

    labels: tuple[Label, ...]
    rows: float
    effective: float
    pairs: tuple[tuple[int, int, float], ...]
    confidence: tuple[float, ...]

    @property
    def columns(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """True classes, predicted classes and rows of the pairs, (n_pairs,) each."""
        y_true, y_pred, rows = np.array(self.pairs).T
        return y_true.astype(int), y_pred.astype(int), rows


@dataclass(frozen=True)
class Profile:
    """A table, and what a model predicts for held-out rows of it.

    Args:
        columns: the features, in the order of the table.
        answers: the predictions for the holdout.
    """

    columns: tuple[ColumnProfile, ...]
    answers: PredictionProfile


def profile_columns(
    typed: pd.DataFrame, columns: Sequence[Column], *, seed: int, units: Units | None = None
) -> tuple[ColumnProfile, ...]:
    """Profiles the features of a table.

    Args:
        typed: (n_rows, n_columns) from `conform`.
        columns: the features.
        seed: chooses the rows that choose the bins.
        units: of the rows; None where each is one and counts once.
    """
    order = np.random.default_rng(seed).permutation(len(typed))
    cut = min(MOST_BINNED, max(1, round(BINNED_SHARE * len(typed))))
    binned = np.zeros(len(typed), dtype=bool)
    binned[order[:cut]] = True
    profiles = (_profile(typed[column.name], column, binned, units) for column in columns)
    if units is None:
        return tuple(profiles)
    effective = units.among(~binned).effective
    return tuple(replace(profile, effective=effective) for profile in profiles)


def profile_predictions(
    y_true: np.ndarray,
    y_pred: np.ndarray,
    proba: np.ndarray | None,
    labels: Sequence[Label],
    row_hashes: np.ndarray,
    sample_weight: np.ndarray | None = None,
) -> PredictionProfile:
    """Profiles a model's predictions for rows that it was not trained on.

    Args:
        y_true: (n_rows,) true classes.
        y_pred: (n_rows,) predicted classes.
        proba: (n_rows, n_classes).
        labels: the classes.
        row_hashes: (n_rows,) of the rows' content, or of their groups.
        sample_weight: (n_rows,) how often each row counts; None for once.
    """
    units = units_of(len(y_true), row_hashes, sample_weight)
    pairs, counts = combinations(len(labels), y_true, y_pred)
    if sample_weight is not None:
        counts = np.bincount(place_in(pairs, len(labels), y_true, y_pred), sample_weight)
    return PredictionProfile(
        labels=tuple(labels),
        rows=len(y_true) if sample_weight is None else float(sample_weight.sum()),
        effective=units.effective if units else 0.0,
        pairs=tuple(zip(*(c.tolist() for c in (*pairs, counts)), strict=True)),
        confidence=() if proba is None else count_confidence(proba, y_pred, sample_weight),
    )


def count_confidence(
    proba: np.ndarray, y_pred: np.ndarray, sample_weight: np.ndarray | None = None
) -> tuple[float, ...]:
    """Rows by the probability of the predicted class, in the bins of `CONFIDENCE_EDGES`.

    Args:
        proba: (n_rows, n_classes).
        y_pred: (n_rows,) predicted classes.
        sample_weight: (n_rows,) how often each row counts; None for once.

    Returns:
        (n_bins,) rows.
    """
    sure = proba[np.arange(len(y_pred)), y_pred]
    bins = np.searchsorted(CONFIDENCE_EDGES, sure, side="left")
    return tuple(np.bincount(bins, sample_weight, len(CONFIDENCE_EDGES) + 1).tolist())


def count(
    profile: ColumnProfile, cells: pd.Series | np.ndarray, sample_weight: np.ndarray | None = None
) -> np.ndarray:
    """Rows of a typed column in each bin of a profile, (n_bins,); missing ones are in none.

    Args:
        profile: of the column.
        cells: (n_rows,) typed.
        sample_weight: (n_rows,) how often each row counts; None for once.
    """
    known = np.asarray(pd.notna(cells), dtype=bool)
    present, n_bins = cells[known], profile.n_bins
    weights = None if sample_weight is None else sample_weight[known]
    if profile.levels:
        codes = dict.fromkeys(profile.listed, n_bins - 2)
        codes |= {level: code for code, level in enumerate(profile.levels)}
        of_rows, levels = pd.factorize(pd.Series(present).astype("str"))
        bins = np.array([codes.get(str(level), n_bins - 1) for level in levels], dtype=np.int64)
        return np.bincount(bins[of_rows], weights, n_bins)
    bins = np.searchsorted(profile.edges, as_numbers(present, profile.kind), side="left")
    return np.bincount(bins, weights, n_bins)


def to_json(profile: Profile) -> str:
    """The profile as it lies in a model's artifact."""
    return json.dumps(asdict(profile), ensure_ascii=False)


def from_json(text: str) -> Profile:
    """The profile of `to_json`."""
    spec: dict[str, Any] = json.loads(text)
    columns = tuple(ColumnProfile(**_tuples(column)) for column in spec["columns"])
    return Profile(columns, PredictionProfile(**_tuples(spec["answers"])))


def _tuples(values: dict[str, Any]) -> dict[str, Any]:
    return {name: tuple(v) if isinstance(v, list) else v for name, v in values.items()}


def _profile(
    typed: pd.Series, column: Column, binned: np.ndarray, units: Units | None = None
) -> ColumnProfile:
    cells: Any = typed.to_numpy(np.float64) if column.kind == "number" else typed
    present = np.asarray(pd.notna(cells), dtype=bool)
    choosing, counted = cells[binned & present], cells[~binned]
    weights = None if units is None else units.sample_weight[~binned]
    missing = ~present[~binned]
    sizes: tuple[float, float] = len(counted), int(missing.sum())
    if weights is not None:
        sizes = float(weights.sum()), float(weights[missing].sum())
    profile = ColumnProfile(column.name, column.kind, *sizes)
    if column.kind in ("category", "boolean"):
        frequent = tuple(map(str, choosing.astype("str").value_counts().index))
        every = cells[present].astype("str").unique()
        profile = replace(
            profile,
            levels=frequent[:MOST_LEVELS] or (UNSEEN,),
            known=tuple(sorted(map(str, every))) if len(every) <= MOST_KNOWN else (),
            listed=frequent[:MOST_KNOWN],
        )
    else:
        numbers = as_numbers(choosing, column.kind) if len(choosing) else np.zeros(1)
        cuts = np.quantile(numbers, np.arange(BINS + 1) / BINS, method="inverted_cdf")
        edges = np.unique([np.nextafter(cuts[0], -np.inf), *cuts])
        profile = replace(profile, edges=tuple(edges.tolist()))
    return replace(profile, counts=tuple(count(profile, counted, weights).tolist()))


def as_numbers(cells: pd.Series | np.ndarray, kind: str) -> np.ndarray:
    """Values of a column that is no category, (n_rows,) float: itself, days, or words."""
    if isinstance(cells, np.ndarray):
        return cells
    if kind == "date":
        return cells.to_numpy("datetime64[us]").astype(np.int64) / 86.4e9
    if kind == "text":
        return (cells.astype("str").str.count(r"\S+")).to_numpy(dtype=np.float64)
    return cells.to_numpy(dtype=np.float64)


def _end(edge: float, kind: str) -> str:
    if kind == "date":
        return str(np.datetime64(int(edge), "D"))
    return f"{edge:g} words" if kind == "text" else f"{edge:g}"
