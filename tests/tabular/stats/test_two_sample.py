"""The tests are exact, and find what is there."""

import numpy as np
import pytest
from scipy.stats import chi2_contingency, fisher_exact

from tabular.stats.two_sample import (
    Statistic,
    chi_squared,
    holm,
    kolmogorov_smirnov,
    permutation_test,
    share_test,
    stability_index,
)


def test_chi_squared_is_that_of_scipy() -> None:
    one, other = np.array([[10, 20, 30, 0]]), np.array([[12, 9, 40, 0]])
    table = np.concatenate([one, other])[:, :3]
    expected = chi2_contingency(table, correction=False).statistic
    assert chi_squared(one, other)[0] == pytest.approx(expected)


@pytest.mark.parametrize("statistic", [chi_squared, kolmogorov_smirnov])
@pytest.mark.parametrize("sizes", [(12, 9), (500, 40)])
def test_two_samples_of_one_distribution_are_rarely_told_apart(
    statistic: Statistic, sizes: tuple[int, int]
) -> None:
    rng = np.random.default_rng(0)
    shares = [0.55, 0.25, 0.1, 0.06, 0.04]
    p_values = []
    for _ in range(300):
        one, other = (rng.multinomial(n, shares) for n in sizes)
        p_values.append(permutation_test(one, other, statistic, smallest=0.01, rng=rng))
    alarms = np.mean(np.array(p_values) <= 0.05)
    assert alarms <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 300)


def test_a_small_p_value_is_resolved_as_far_as_is_asked() -> None:
    rng = np.random.default_rng(0)
    one, other = np.array([500, 0]), np.array([0, 500])
    assert permutation_test(one, other, chi_squared, smallest=1e-4, rng=rng) < 1e-4


def test_ten_million_rows_take_no_longer() -> None:
    rng = np.random.default_rng(0)
    one, other = np.array([4_000_000, 6_000_000]), np.array([4_050_000, 5_950_000])
    assert permutation_test(one, other, chi_squared, smallest=1e-3, rng=rng) < 1e-3
    huge = np.array([4 * 10**9, 6 * 10**9])
    assert permutation_test(huge, huge, chi_squared, smallest=1e-3, rng=rng) == 1.0


def test_an_empty_sample_says_nothing() -> None:
    rng = np.random.default_rng(0)
    none, some = np.zeros(3), np.array([1, 2, 3])
    assert permutation_test(none, some, chi_squared, smallest=0.01, rng=rng) == 1.0


def test_the_share_test_is_fishers() -> None:
    expected = fisher_exact([[9, 91], [2, 198]], alternative="greater").pvalue
    assert share_test(2, 200, 9, 100, only_more=True) == pytest.approx(expected)
    assert share_test(9, 100, 2, 200) == pytest.approx(2 * expected)
    assert share_test(0, 200, 0, 100) == 1.0


def test_holm_multiplies_the_smallest_by_the_number_of_tests() -> None:
    assert holm(np.array([0.04, 0.01, 0.03])).tolist() == pytest.approx([0.06, 0.03, 0.06])
    assert holm(np.empty(0)).tolist() == []


def test_the_stability_index_is_zero_for_equal_shares_and_finite_for_empty_bins() -> None:
    counts = np.array([30, 50, 20])
    assert stability_index(counts, counts) == 0
    assert 0.1 < stability_index(counts, np.array([50, 30, 20])) < 0.3
    assert 1 < stability_index(counts, np.array([0, 0, 100])) < 20
