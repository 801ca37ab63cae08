"""What is drawn whole: a row with its weight, or all rows of a group.

Rows of one group are alike, so that ten of them tell less than ten others. A resample draws groups
in place of rows (the cluster bootstrap, Davison & Hinkley 1997, section 3.8), and a test swaps them
whole. A row's weight is how often it counts; it is drawn as one, whatever it weighs.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array

CHUNK = 4_000_000  # cells of the matrix of weights that are held at once


@dataclass(frozen=True)
class Units:
    """The units of some rows.

    Args:
        of_row: (n_rows,) unit of each row, 0 to n - 1.
        sample_weight: (n_rows,).
        n: how many units there are.
    """

    of_row: np.ndarray
    sample_weight: np.ndarray
    n: int

    def by_cell(self, cells: np.ndarray, n_cells: int) -> Callable[[np.ndarray], np.ndarray]:
        """Weights of cells, (n_resamples, n_cells), of how often each unit counts.

        Args:
            cells: (n_rows,) cell of each row, 0 to n_cells - 1.
            n_cells: how many.
        """
        shape = (self.n, n_cells)
        table = csr_array((self.sample_weight, (self.of_row, cells)), shape=shape)
        return lambda times: np.asarray(times @ table)

    def by_row(self, times: np.ndarray) -> np.ndarray:
        """Weights of the rows, (n_resamples, n_rows), of how often each unit counts."""
        return np.asarray(times[:, self.of_row] * self.sample_weight)

    def among(self, rows: np.ndarray) -> "Units":
        """The units of some rows, (n_rows,) bool."""
        return Units(self.of_row[rows], self.sample_weight[rows], self.n)

    @property
    def worth(self) -> float:
        """How many independent ones a row of weight 1 is worth."""
        return self.effective / total if (total := self.sample_weight.sum()) else 0.0

    @property
    def effective(self) -> float:
        """How many equal units they are worth (Kish 1965)."""
        sizes = np.bincount(self.of_row, self.sample_weight)
        return float(sizes.sum() ** 2 / (sizes**2).sum()) if sizes.any() else 0.0

    def effective_rows(self, hits: np.ndarray, among: np.ndarray) -> tuple[float, float]:
        """A share, and how many independent rows know it as well (Korn & Graubard 1998).

        They follow from the variance of the share between units, by linearisation; where the units
        do not differ, as many as the units are worth.

        Args:
            hits: (n_rows,) bool, the rows that count.
            among: (n_rows,) bool, of these rows.
        """
        weights = self.sample_weight * among
        total = weights.sum()
        share = float((weights * hits).sum() / total)
        sizes = np.bincount(self.of_row, weights, minlength=self.n)
        sizes = sizes[sizes > 0]
        gaps = np.bincount(self.of_row, weights * (hits - share), minlength=self.n)
        variance = (gaps**2).sum() * len(sizes) / max(len(sizes) - 1, 1) / total**2
        worth = float(total**2 / (sizes**2).sum())
        spread = share * (1 - share)
        if spread < 1e-12 or variance < 1e-12:
            return share, worth
        return share, float(min(spread / variance, among.sum()))


def units_of(
    n_rows: int, groups: np.ndarray | None = None, sample_weight: np.ndarray | None = None
) -> Units | None:
    """The units of some rows; None where each row is one and counts once.

    Args:
        n_rows: how many.
        groups: (n_rows,) of anything that can be sorted, equal for rows that belong together.
        sample_weight: (n_rows,) 0 or more.
    """
    if groups is None and sample_weight is None:
        return None
    weights = np.ones(n_rows) if sample_weight is None else np.asarray(sample_weight, float)
    if groups is None:
        return Units(np.arange(n_rows), weights, n_rows)
    names, codes = np.unique(groups, return_inverse=True)
    return Units(codes, weights, len(names))


def draw_times(
    n: int, resamples: int, rng: np.random.Generator, width: int = 0
) -> Iterator[np.ndarray]:
    """How often each of n units is drawn, (some resamples, n) at a time.

    Args:
        n: units, of which as many are drawn with replacement.
        resamples: in all.
        rng: of the draws.
        width: of what is made of one resample, where that is wider than n.
    """
    at_once = max(1, CHUNK // max(n, width))
    for start in range(0, resamples, at_once):
        many = min(at_once, resamples - start)
        drawn = rng.integers(0, n, (many, n)) + np.arange(many)[:, None] * n
        yield np.bincount(drawn.ravel(), minlength=many * n).reshape(many, n).astype(np.float64)
