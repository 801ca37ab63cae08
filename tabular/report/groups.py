"""A classifier by groups of rows: what is logged, printed and shown of it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from custom_model.served.columns import Label
from tabular.stats.by_group import SMALL, Gap, GroupEstimates, by_group, gaps


@dataclass(frozen=True)
class Groups:
    """A classifier by groups of rows.

    Args:
        parts: the groups, the largest first; none where no column was asked for.
        gaps: between them, by name, see `tabular.stats.by_group.gaps`.
    """

    parts: list[GroupEstimates] = field(default_factory=list)
    gaps: dict[str, Gap] = field(default_factory=dict)

    @property
    def cautions(self) -> list[str]:
        """Which groups are small, a sentence or none."""
        small = [f"{one.name} ({one.rows})" for one in self.parts if one.small]
        listed = ", ".join(small[:10]) + (f" and {len(small) - 10} more" if len(small) > 10 else "")
        return [f"Groups of fewer than {SMALL} rows, which say little: {listed}."] if small else []

    @property
    def metrics(self) -> dict[str, float]:
        """The gaps by their names as metrics of a run."""
        metrics: dict[str, float] = {}
        for name, gap in self.gaps.items():
            metrics |= gap.named(f"{name}_difference")
        return metrics

    @property
    def table(self) -> pd.DataFrame:
        """A row for each group and metric: group, rows, small, metric, value, low, high."""
        return pd.DataFrame(
            [
                (part.name, part.rows, part.small, name, one.value, one.low, one.high)
                for part in self.parts
                for name, one in part.metrics.items()
            ],
            columns=["group", "rows", "small", "metric", "value", "low", "high"],
        )

    @property
    def shown(self) -> list[str]:
        """Names of the metrics that a page has room for."""
        names = ["accuracy", "f1_macro", "cost", "selection_rate", "recall", "false_positive_rate"]
        return [name for name in names if any(name in part.metrics for part in self.parts)]

    def lines(self, metric: str) -> Iterator[str]:
        """What is printed: a line for each group, then one for each gap."""
        for part in self.parts:
            one = part.metrics[metric]
            between = f" ({words})" if (words := one.between(".4f")) else ""
            few = ", a small group" if part.small else ""
            yield f"where {part.name}: {metric} {one.value:.4f}{between} on {part.rows} rows{few}"
        for name, gap in self.gaps.items():
            between = f"  ({words})" if (words := gap.between(".4f")) else ""
            yield f"{name}_difference {gap.value:.4f}{between}  {gap.where}"


def assess_groups(
    y_true: np.ndarray,
    y_pred: np.ndarray,
    proba: np.ndarray | None,
    groups: np.ndarray,
    labels: Sequence[Label],
    costs: np.ndarray | None = None,
    **options: Any,
) -> Groups:
    """Assesses predictions by groups of rows: see `by_group` and `gaps`, which take the same."""
    return Groups(
        by_group(y_true, y_pred, proba, groups, labels, costs=costs, **options),
        gaps(y_true, y_pred, groups, labels, **options),
    )
