"""The single checks of a table against a profile: of a column, of the answers, of the metric."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from tabular.drift.profile import (
    CONFIDENCE_EDGES,
    AnswerProfile,
    ColumnProfile,
    count,
    count_confidence,
    interval_names,
)
from tabular.stats.intervals import Estimate, interval
from tabular.stats.metrics import weighted
from tabular.stats.two_sample import (
    chi_squared,
    kolmogorov_smirnov,
    permutation_test,
    share_test,
    stability_index,
)


@dataclass(frozen=True)
class DriftRule:
    """When a table has drifted.

    Args:
        level: most probable false alarm, of all checks together.
        min_psi: population stability index that a change of a distribution has to reach.
        min_share: change of the share of missing, unreadable or unlisted values that matters.
        metric: watched where the table has labels; one of `OF_LABELS`.
        max_fall: of the metric that is no drift yet.
        seed: of the tests' draws.
    """

    level: float = 0.05
    min_psi: float = 0.1
    min_share: float = 0.01
    metric: str = "f1_macro"
    max_fall: float = 0.02
    seed: int = 42


@dataclass(frozen=True)
class Check:
    """One comparison of the table with the profile.

    Args:
        column: heading; empty where it is about the answers.
        about: values, missing, unreadable, levels not listed; of the answers predicted classes,
            confidence, metric.
        effect: size of the change: the stability index, a difference of shares, a fall.
        limit: that the effect has to reach to matter.
        p_value: corrected for the number of checks.
        drift: certain and large enough.
        note: what is to be seen, in words.
        reference: (n_bins,) counts of the profile; empty where there are none to draw.
        current: (n_bins,) counts of the table.
        bins: (n_bins,) in words.
    """

    column: str
    about: str
    effect: float
    limit: float
    p_value: float
    drift: bool = False
    note: str = ""
    reference: tuple[float, ...] = ()
    current: tuple[float, ...] = ()
    bins: tuple[str, ...] = ()


@dataclass(frozen=True)
class Answered:
    """What the model says about the rows of the table that it can score.

    Args:
        said: (n_rows,) predicted codes.
        probabilities: (n_rows, n_classes); None where it gives none.
        codes: (n_rows,) true classes, -1 where there is no label, n_classes where it is one that
            the model does not know; None for a table without labels.
    """

    said: np.ndarray
    probabilities: np.ndarray | None
    codes: np.ndarray | None


def of_column(
    column: ColumnProfile,
    cells: pd.Series,
    n_unreadable: int,
    rule: DriftRule,
    smallest: float,
    rng: np.random.Generator,
) -> list[Check]:
    """Compares the values of a column, and the shares of those that are missing or new.

    Args:
        column: its profile.
        cells: (n_rows,) typed, without unreadable ones.
        n_unreadable: how many these are.
        rule: what counts.
        smallest: p-value that has to be resolved.
        rng: of the draws.

    Returns:
        Checks whose p-values are not yet corrected, and of which none is drift yet.
    """
    reference, current = np.array(column.counts), count(column, cells)
    n_rows = len(cells) + n_unreadable
    checks = []
    if reference.sum() and current.sum():
        statistic = chi_squared if column.levels else kolmogorov_smirnov
        p_value = permutation_test(reference, current, statistic, smallest=smallest, rng=rng)
        checks.append(
            Check(
                column.name,
                "values",
                stability_index(reference, current),
                rule.min_psi,
                p_value,
                reference=tuple(reference.tolist()),
                current=tuple(current.tolist()),
                bins=tuple(column.bin_names),
                note=_moved(column.bin_names, reference, current),
            )
        )

    def share(
        about: str, before: int, of: int, now: int, of_now: int, note: str, more: bool
    ) -> None:
        # where neither sample has any there is nothing to test, nor to correct for
        if before + now and of and of_now:
            change = now / of_now - before / of
            checks.append(
                Check(
                    column.name,
                    about,
                    change if more else abs(change),
                    rule.min_share,
                    float(share_test(before, of, now, of_now, only_more=more)),
                    note=f"{before / of:.1%} before, {now / of_now:.1%} now{note}",
                )
            )

    absent = int(cells.isna().sum())
    share("missing", column.missing, column.rows, absent, n_rows, "", False)
    share("unreadable", 0, column.rows, n_unreadable, n_rows, "", True)
    if column.levels:
        known = set(column.known)
        present = cells[cells.notna().to_numpy(dtype=bool)].astype("str").value_counts()
        new = [str(level) for level in present.index if level not in known] if known else []
        note = f"; never seen: {', '.join(repr(level[:40]) for level in new[:5])}" if new else ""
        share(
            "levels not listed",
            int(reference[-1]),
            int(reference.sum()),
            int(current[-1]),
            int(current.sum()),
            note + (f" and {len(new) - 5} more" if len(new) > 5 else ""),
            True,
        )
    return checks


def _moved(bins: Sequence[str], reference: np.ndarray, current: np.ndarray) -> str:
    """The bin that changed most, in words."""
    shares = [reference / reference.sum(), current / current.sum()]
    most = int(np.argmax(np.abs(shares[1] - shares[0])))
    return f"{bins[most]}: {shares[0][most]:.1%} before, {shares[1][most]:.1%} now"


def of_answers(
    before: AnswerProfile,
    now: Answered,
    rule: DriftRule,
    smallest: float,
    rng: np.random.Generator,
) -> list[Check]:
    """Compares the predicted classes and their probabilities with those on the holdout.

    Args:
        before: profile of the answers on the holdout.
        now: the answers to the table.
        rule: what counts.
        smallest: p-value that has to be resolved.
        rng: of the draws.

    Returns:
        Checks whose p-values are not yet corrected, and of which none is drift yet; none where one
        of the two has no rows.
    """
    if not before.rows or not len(now.said):
        return []
    scale = before.effective / before.rows
    labels = np.zeros(len(before.labels))
    for _, said, rows in before.pairs:
        labels[said] += rows
    current = np.bincount(now.said, minlength=len(labels)).astype(float)
    edges = [f"{edge:g}" for edge in CONFIDENCE_EDGES]
    found = [("predicted classes", chi_squared, labels, current, tuple(map(str, before.labels)))]
    if before.confidence and now.probabilities is not None:
        counts = np.array(count_confidence(now.probabilities, now.said), dtype=float)
        bins = tuple(interval_names(edges))
        sure = np.array(before.confidence, dtype=float)
        found.append(("confidence", kolmogorov_smirnov, sure, counts, bins))
    return [
        Check(
            "",
            about,
            stability_index(scale * reference, counts),
            rule.min_psi,
            permutation_test(
                np.round(scale * reference), counts, statistic, smallest=smallest, rng=rng
            ),
            reference=tuple(reference.tolist()),
            current=tuple(counts.tolist()),
            bins=bins,
            note=_moved(bins, reference, counts),
        )
        for about, statistic, reference, counts, bins in found
    ]


def of_metric(
    before: AnswerProfile,
    now: Answered,
    rule: DriftRule,
    smallest: float,
    rng: np.random.Generator,
) -> tuple[Estimate | None, Check | None]:
    """Fall of the metric since the holdout, and whether it is one.

    Args:
        before: profile of the answers on the holdout.
        now: the answers to the table, with the true classes where they are known.
        rule: with the metric, and the fall that matters.
        smallest: p-value that has to be resolved.
        rng: of the test's draws and the interval's.

    Returns:
        The fall with its interval, above 0 where the metric is worse now, and the check; None and
        None for a table without labels.
    """
    if now.codes is None or not before.pairs or not (labelled := now.codes >= 0).any():
        return None, None
    n_classes = len(before.labels) + 1  # one more for classes that the model does not know
    reference = np.zeros((n_classes, n_classes))
    for true, said, rows in before.pairs:
        reference[true, said] = rows * before.effective / before.rows
    current = np.zeros((n_classes, n_classes))
    np.add.at(current, (now.codes[labelled], now.said[labelled]), 1)
    reference = np.round(reference)
    kinds = np.nonzero(reference + current)
    old, new = reference[kinds], current[kinds]
    score = weighted(rule.metric, kinds[0], kinds[1], n_classes)

    def falls(current: np.ndarray, reference: np.ndarray) -> np.ndarray:
        return score(reference) - score(current)

    if not old.sum():
        return None, None
    p_value = permutation_test(old, new, falls, smallest=smallest, rng=rng)
    drawn = [
        rng.multinomial(int(c.sum()), c / c.sum(), size=1000).astype(float) for c in (old, new)
    ]
    values = [float(score(counts[None])[0]) for counts in (old, new)]
    fall = interval(values[0] - values[1], falls(drawn[1], drawn[0]), 1 - rule.level)
    note = f"{rule.metric}: {values[0]:.4f} on the holdout, {values[1]:.4f} now"
    return fall, Check("", "metric", fall.value, rule.max_fall, p_value, note=note)
