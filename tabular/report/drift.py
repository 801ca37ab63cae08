"""What monitoring leaves to read: `drift.html`, `drift.csv` and `drift.png`."""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path

import pandas as pd

from tabular.drift.checks import DriftCheck, DriftRule
from tabular.drift.verdict import Drift
from tabular.report import plots
from tabular.report.over_time import OverTime
from tabular.report.pages import fill, share
from tabular.stats.intervals import Estimate

MOST_SHOWN = 100  # checks on the page; the table has all
PANELS = 12  # pictures of single columns
FEWEST_PANELS = 4  # of columns that have not drifted, those that changed most


def checks_table(checks: Sequence[DriftCheck]) -> pd.DataFrame:
    """Every check, (n_checks, n_columns), without the counts of its bins."""
    shown = [field.name for field in fields(DriftCheck)][:7]
    return pd.DataFrame([{name: getattr(check, name) for name in shown} for check in checks])


def write_drift(
    folder: Path,
    drift: Drift,
    rule: DriftRule,
    *,
    title: str,
    sentence: str,
    cautions: Sequence[str],
    by_time: OverTime | None = None,
    estimated: Mapping[str, Estimate] | None = None,
    about: Sequence[str] = (),
) -> None:
    """Writes the files.

    Args:
        folder: to write to.
        drift: what the table came to.
        rule: what counts as drift.
        title: of the page.
        sentence: the verdict in words.
        cautions: what to know before believing it.
        by_time: the metrics by period, where there are labels and moments.
        estimated: the metrics that there would be, by name; none with labels.
        about: what to know of these.
    """
    pictures = {}
    if by_time:
        pictures[f"{rule.metric} over time"] = plots.png(by_time.drawn(rule.metric))
        (folder / "over_time.png").write_bytes(*pictures.values())
    checks_table(drift.checks).to_csv(folder / "drift.csv", index=False)
    effects = plots.effects([check for check in drift.checks if check.about == "values"])
    (folder / "drift.png").write_bytes(plots.png(effects))
    drawn = [check for check in drift.checks if check.bins]
    columns = sorted(
        (check for check in drawn if check.column), key=lambda c: (not c.drift, -c.effect)
    )
    changed = max(FEWEST_PANELS, sum(check.drift for check in columns))
    panels = [*(check for check in drawn if not check.column), *columns[:changed]][:PANELS]
    n_drifted = sum(check.drift for check in drift.checks)
    tiles = [
        (drift.verdict, "is the verdict"),
        (str(n_drifted), f"of {len(drift.checks)} checks are drift"),
        (
            str(drift.rows),
            f"rows{drift.worth}, against {drift.reference_rows} of the training table",
        ),
    ]
    if fall := drift.fall:
        between = fall.between("+.4f")
        between = between and f", {between} with {share(1 - rule.level)}"
        tiles.append((f"{fall.value:+.4f}", f"fall of {rule.metric}{between}"))
    if estimated and (one := estimated.get(rule.metric)):
        between = (between := one.between(".4f")) and f", {between} with {share(1 - rule.level)}"
        tiles.append((f"{one.value:.4f}", f"{rule.metric} as estimated without labels{between}"))
    page = fill(
        "drift.html",
        title=title,
        summary=sentence[0].upper() + sentence[1:] + ".",
        cautions=cautions,
        tiles=tiles,
        checks=drift.checks[:MOST_SHOWN],
        more_checks=max(0, len(drift.checks) - MOST_SHOWN),
        rule=rule,
        estimated=estimated or {},
        about=about,
        pictures=pictures
        | {
            f"{check.column or 'answers'}: {check.about}": plots.png(plots.compared_bins(check))
            for check in panels
        },
    )
    (folder / "drift.html").write_text(page, encoding="utf-8")
