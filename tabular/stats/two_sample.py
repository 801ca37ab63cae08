"""Whether two samples can come from one distribution: exact tests on counts.

If they do, which rows are in which sample is chance: given the two samples together, the counts of
one are a draw from the multivariate hypergeometric distribution. Comparing the statistic with that
of such draws is a permutation test, exact for any number of rows (Fisher 1935; its Monte Carlo form
counts the observed one among the draws, Phipson & Smyth 2010, doi 10.2202/1544-6115.1585).
"""

import math
from collections.abc import Callable

import numpy as np
from scipy.stats import hypergeom

DRAWS = 1000  # of a first look; more only where few of them reach the observed statistic
ENOUGH = 20  # draws that reach it: the p-value is large, whatever further draws say
MOST_DRAWS = 200_000
LARGEST = 10**9 - 1  # rows in both samples together, for numpy's sampler

Statistic = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""Takes the counts of both samples, (n_draws, n_bins) each; gives (n_draws,)."""


def kolmogorov_smirnov(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Largest distance of the two distribution functions at the ends of ordered bins.

    Args:
        one: (n_draws, n_bins) counts of one sample.
        other: (n_draws, n_bins) counts of the other.

    Returns:
        (n_draws,) from 0 to 1.
    """
    shares = [c.cumsum(axis=1) / c.sum(axis=1, keepdims=True) for c in (one, other)]
    return np.asarray(np.abs(shares[0] - shares[1]).max(axis=1))


def chi_squared(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Pearson's chi-squared of the table of two samples by bins.

    Args:
        one: (n_draws, n_bins) counts of one sample.
        other: (n_draws, n_bins) counts of the other.

    Returns:
        (n_draws,), 0 or more.
    """
    both = one + other
    sizes = [counts.sum(axis=1, keepdims=True) for counts in (one, other)]
    expected = both * sizes[0] / (sizes[0] + sizes[1])
    squares = (one - expected) ** 2
    terms = np.divide(squares, expected, out=np.zeros(both.shape), where=both > 0)
    return np.asarray(terms.sum(axis=1) * (1 + sizes[0] / sizes[1])[:, 0])


def permutation_test(
    reference: np.ndarray,
    current: np.ndarray,
    statistic: Statistic,
    *,
    smallest: float,
    rng: np.random.Generator,
) -> float:
    """p-value that two rows of counts differ only by chance.

    Args:
        reference: (n_bins,) counts of one sample.
        current: (n_bins,) of the other.
        statistic: large where they differ.
        smallest: p-value that has to be resolved, such as the level over the number of tests.
        rng: of the draws.

    Returns:
        In (0, 1]; 1 where one of the samples is empty.
    """
    reference, current = _at_most(reference), _at_most(current)
    if not reference.sum() or not current.sum():
        return 1.0
    both = reference + current
    filled = both > 0
    reference, current, both = reference[filled], current[filled], both[filled]
    observed = float(statistic(current[None], reference[None])[0]) - 1e-12
    needed = min(MOST_DRAWS, max(DRAWS, math.ceil(1.5 / smallest)))
    reached = drawn = 0
    while drawn < needed and reached < ENOUGH:
        many = DRAWS if not drawn else min(needed - drawn, 10 * DRAWS)
        counts = rng.multivariate_hypergeometric(
            both, int(current.sum()), size=many, method="marginals"
        )
        reached += int((statistic(counts, both - counts) >= observed).sum())
        drawn += many
    return (reached + 1) / (drawn + 1)


def _at_most(counts: np.ndarray) -> np.ndarray:
    """Counts as integers; beyond what the sampler takes they are scaled down."""
    total = counts.sum()
    scaled = counts * (LARGEST // 2 / total) if total > LARGEST // 2 else counts
    return np.floor(scaled).astype(np.int64)


def share_test(
    reference: np.ndarray | int,
    of_reference: np.ndarray | int,
    current: np.ndarray | int,
    of_current: np.ndarray | int,
    *,
    only_more: bool = False,
) -> np.ndarray:
    """Fisher's exact p-values that a share differs only by chance (Fisher 1935).

    Args:
        reference: rows of the first sample that count; a number, or (n_tests,) as the others.
        of_reference: rows of the first sample.
        current: rows of the second sample that count.
        of_current: rows of the second sample.
        only_more: one-sided, that the share has not risen; else twice the smaller side.
    """
    in_current = hypergeom(of_reference + of_current, reference + current, of_current)
    more = in_current.sf(current - 1)
    return np.minimum(1, more if only_more else 2 * np.minimum(more, in_current.cdf(current)))


def holm(p_values: np.ndarray) -> np.ndarray:
    """Adjusted p-values that keep the family-wise error rate (Holm 1979), in the same order.

    Args:
        p_values: (n_tests,).
    """
    order = np.argsort(p_values, kind="stable")
    stepped = p_values[order] * np.arange(len(p_values), 0, -1)
    adjusted = np.empty(len(p_values))
    adjusted[order] = np.minimum(1, np.maximum.accumulate(stepped))
    return adjusted


def stability_index(reference: np.ndarray, current: np.ndarray) -> float:
    """Population stability index: the symmetric divergence of two rows of counts.

    Half a row is added to each bin (Jeffreys), so that an empty one is not infinitely far.

    Args:
        reference: (n_bins,) counts.
        current: (n_bins,) counts.
    """
    one, other = ((c + 0.5) / (c.sum() + len(c) / 2) for c in (reference, current))
    return float(((other - one) * np.log(other / one)).sum())
