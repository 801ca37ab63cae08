"""What `benchmarks.rivals` measured: read from its file of results, shown as Markdown."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.rival_runner import RIVALS
from tabular.stats.metrics import METRICS

TABLES = {
    "titanic": "Survived",
    "german_credit": "class",
    "satimage": "classes",
    "telco_churn": "Churn",
    "adult": "income-per-year",
    "cmc": "Contraceptive_method",
    "coil2000": "CARAVAN",
    "fine_foods": "score",
    "flights_late": "late",
    "vehicle": "class",
    "phoneme": "class",
    "segment": "class",
    "australian": "class",
    "kr_vs_kp": "class",
}
SCORES = ("f1_macro", "log_loss", "roc_auc")
OURS = "ours"
DEFAULT = "default "  # begins the names of the models of reference


@dataclass(frozen=True)
class Result:
    """A contender on a table.

    Args:
        tool: `ours`, a key of `RIVALS`, or a default model.
        objective: what it was asked for.
        table: a key of `TABLES`.
        seed: of the split and the search.
        scores: on the holdout, by the names of `SCORES`; empty where it failed.
        wall: seconds of the whole process.
        fit: seconds of the call that was given the budget; for ours, of the sweep's run, which
            fits, draws and registers the winner too.
        cpu: seconds of the process and all that it started.
        version: of the tool; for ours, the commit.
        error: why there are no scores.
    """

    tool: str
    objective: str
    table: str
    seed: int
    scores: dict[str, float] = field(default_factory=dict)
    wall: float = 0.0
    fit: float = 0.0
    cpu: float = 0.0
    version: str = ""
    error: str = ""

    @property
    def key(self) -> tuple[str, str, str, int]:
        """What is measured once."""
        return self.tool, self.objective, self.table, self.seed


def file_of(folder: Path, table: str) -> Path:
    """Where a table lies: as Parquet, or as CSV."""
    files = (folder.resolve() / f"{table}{suffix}" for suffix in (".parquet", ".csv"))
    return next(file for file in files if file.exists())


def read(file: Path) -> list[Result]:
    """The results, the last of each key."""
    if not file.exists():
        return []
    lines = file.read_text("utf-8").splitlines()
    results = [Result(**json.loads(line)) for line in lines]
    return list({result.key: result for result in results}.values())


def scores_table(results: Iterable[Result], objective: str) -> list[str]:
    """Every contender on every table, as Markdown."""
    tables, tools = list(TABLES), [OURS, *RIVALS]
    shown = sorted(
        (r for r in results if r.objective in (objective, "")),
        key=lambda r: (
            tables.index(r.table),
            r.seed,
            tools.index(r.tool) if r.tool in tools else len(tools),
        ),
    )
    rows = [
        [
            r.table if r.seed == 42 else f"{r.table}, seed {r.seed}",
            f"{r.tool} {r.version}" if r.tool in RIVALS else r.tool,
            *(f"{r.scores[name]:.4f}" if r.scores else "failed" for name in SCORES),
            *(f"{value:.0f}" if value else "" for value in (r.wall, r.fit, r.cpu)),
        ]
        for r in shown
    ]
    heads = ["table", "tool", "macro-F1", "log loss", "AUC", "seconds", "of them fit", "CPU s"]
    return markdown(heads, rows)


def ranks_table(results: Sequence[Result], tools: Sequence[str]) -> list[str]:
    """Mean rank over the tables that all contenders were given; a failure is last."""
    questions = [("f1_macro", "f1_macro"), ("log_loss", "log_loss"), ("f1_macro", "log_loss")]
    columns = {}
    for objective, score in questions:
        asked = [r for r in results if r.objective == objective and r.tool in tools]
        frame = pd.DataFrame(
            [(r.table, r.seed, r.tool, r.scores.get(score, np.nan)) for r in asked],
            columns=["table", "seed", "tool", "score"],
        )
        wide = frame.pivot(index=["table", "seed"], columns="tool", values="score")
        everyone = frame.groupby(["table", "seed"]).size() == len(tools)
        lower = METRICS[score].lower_is_better
        ranks = wide[everyone].rank(axis=1, ascending=lower, na_option="bottom")
        name = f"{score} when asked for {objective}, {len(ranks)} tables"
        columns[name] = ranks.mean()
    means = pd.DataFrame(columns).reindex(list(tools))
    rows = [[tool, *(f"{value:.2f}" for value in means.loc[tool])] for tool in tools]
    return markdown(["mean rank", *means.columns], rows)


def markdown(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """A table, line by line."""
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    return lines + [f"| {' | '.join(row)} |" for row in rows]
