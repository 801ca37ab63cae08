"""The results of a sweep, as `leaderboard.csv`, `leaderboard.html` and two pictures."""

import math
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pandas as pd
from matplotlib.figure import Figure

from tabular.families.space import Shape
from tabular.recipe.recipe import Recipe
from tabular.report import plots
from tabular.report.pages import fill
from tabular.search.cross_validation import Trial
from tabular.search.loop import make_study, ranked, recall
from tabular.stats.metrics import METRICS, sign

ENOUGH = 8  # configurations of a family before anything is said about its hyperparameters
MOST_SHOWN = 200  # rows of the page; the file has all


def table(
    trials: Sequence[Trial], recipe: Recipe, metric: str, run_ids: Mapping[int, str], best: str
) -> pd.DataFrame:
    """The recipe, then every trial, best first; those given up and those that failed last.

    Args:
        trials: of the sweep, at least one of them evaluated on every fold.
        recipe: that was registered first.
        metric: the objective.
        run_ids: of the children, by number of the trial.
        best: run id of the recipe.

    Returns:
        (1 + n_trials, n_columns): rank, configuration, `cv_<metric>` with the objective first,
        spread, seconds, state, run_id.
    """

    def row(
        rank: str, configuration: str, of: Recipe | Trial, seconds: float, state: str, run_id: str
    ) -> dict[str, Any]:
        return {
            "rank": rank,
            "configuration": configuration,
            f"cv_{metric}": math.nan,  # first of the metrics
            "spread": of.spread if of.metrics else math.nan,
            **{f"cv_{name}": of.metrics.get(name, math.nan) for name in METRICS},
            "seconds": round(seconds, 2),
            "state": state,
            "run_id": run_id,
        }

    rows = [row("best", recipe.name, recipe, 0.0, "registered", best)]
    order = [*ranked(trials, metric), *(trial for trial in trials if not trial.metrics)]
    for place, trial in enumerate(order, start=1):
        params = ", ".join(
            f"{name}={value:.4g}" if isinstance(value, float) else f"{name}={value}"
            for name, value in trial.params.items()
        )
        configuration = f"t{trial.number:03d} {trial.classifier}({params})"
        state = trial.error or trial.given_up or "finished"
        state += f", on {trial.rows} rows" if trial.rows else ""
        run_id = run_ids.get(trial.number, "")
        rank = str(place) if trial.metrics else ""
        rows.append(row(rank, configuration, trial, trial.seconds, state, run_id))
    return pd.DataFrame(rows)


def page(frame: pd.DataFrame, title: str) -> str:
    """The table as a page without scripts."""
    shown = frame.head(MOST_SHOWN).drop(columns="run_id")
    cells = shown.map(
        lambda cell: cell if isinstance(cell, str) else "" if cell != cell else f"{cell:.4f}"
    )
    return fill(
        "leaderboard.html",
        title=title,
        summary="Cross-validated on the training side. The first row is what was registered.",
        cautions=[],
        columns=list(shown.columns),
        rows=cells.to_numpy(),
        left_out=len(frame) - len(shown),
    )


def write(
    folder: Path,
    frame: pd.DataFrame,
    trials: Sequence[Trial],
    metric: str,
    classifiers: Sequence[str],
    shape: Shape,
    title: str,
) -> None:
    """Writes the table, the page and the pictures of a sweep."""
    frame.to_csv(folder / "leaderboard.csv", index=False)
    (folder / "leaderboard.html").write_text(page(frame, title), encoding="utf-8")
    optimization_history(trials, metric).savefig(folder / "optimization_history.png", dpi=100)
    if figure := hyperparameter_importance(trials, metric, classifiers, shape):
        figure.savefig(folder / "hyperparameter_importance.png", dpi=100)


def optimization_history(trials: Sequence[Trial], metric: str) -> Figure:
    """Score of each trial in the order of asking, and the best so far."""
    whole = [trial for trial in trials if trial.metrics]
    numbers = np.array([trial.number for trial in whole])
    scores = np.array([trial.metrics[metric] for trial in whole])
    rows = np.array([trial.rows for trial in whole])
    figure, axes = plots.empty(9, 4.5)
    for classifier in dict.fromkeys(trial.classifier for trial in whole):
        of_it = np.array([trial.classifier == classifier for trial in whole])
        axes.scatter(numbers[of_it], scores[of_it], s=22, label=classifier)
    for place, rung in enumerate(dict.fromkeys(rows.tolist())):
        on_it = rows == rung
        so_far = sign(metric) * np.maximum.accumulate(sign(metric) * scores[on_it])
        label = "" if place else "best so far"
        axes.step(numbers[on_it], so_far, where="post", color="0.3", linewidth=1, label=label)
    # a hopeless configuration must not flatten all others
    worst, best = np.quantile(scores, [0.1, 1] if sign(metric) > 0 else [0.9, 0])
    margin = 0.1 * abs(best - worst) or 0.01
    axes.set_ylim(min(worst, best) - margin, max(worst, best) + margin)
    axes.set(xlabel="trial", ylabel=f"cv_{metric}", title="Optimisation history")
    axes.legend(fontsize=8, ncols=2)
    return figure


def hyperparameter_importance(
    trials: Sequence[Trial], metric: str, classifiers: Sequence[str], shape: Shape
) -> Figure | None:
    """How much each hyperparameter distinguishes the better configurations.

    PED-ANOVA (Watanabe et al. 2023, doi 10.24963/ijcai.2023/488), within each family; None where no
    family has `ENOUGH` trials. On rungs, the trials are those of the first.
    """
    values: dict[str, float] = {}
    rung = min((trial.rows for trial in trials), default=0)
    for classifier in classifiers:
        whole = [t for t in trials if t.classifier == classifier and t.metrics and t.rows == rung]
        if len(whole) < ENOUGH:
            continue
        study = make_study(metric, seed=0)
        for trial in whole:
            recall(study, trial, classifiers, shape, metric)
        with warnings.catch_warnings():  # of trials that are all as good, which are equal then
            warnings.filterwarnings("ignore", "Target and region quantiles", UserWarning)
            importances = optuna.importance.get_param_importances(
                study, evaluator=optuna.importance.PedAnovaImportanceEvaluator()
            )
        values |= {name: value for name, value in importances.items() if name != "classifier"}
    if not values:
        return None
    names = list(values)[::-1]
    figure, axes = plots.bars(names, [values[name] for name in names])
    axes.set(xlabel="share within the family", title="Hyperparameter importance")
    return figure
