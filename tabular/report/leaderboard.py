"""What a sweep has found, as `leaderboard.csv`, `leaderboard.html` and two pictures."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pandas as pd
from matplotlib.figure import Figure

from tabular.families.space import Shape
from tabular.recipe.recipe import Recipe
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
    order = ranked(trials, metric)
    rest = [trial for trial in trials if not trial.metrics]
    rows = [_row("best", recipe.name, recipe.metrics, recipe.spread, "registered", 0.0, best)]
    for place, trial in enumerate([*order, *rest], start=1):
        state = trial.error or trial.given_up or "finished"
        params = ", ".join(
            f"{name}={value:.4g}" if isinstance(value, float) else f"{name}={value}"
            for name, value in trial.params.items()
        )
        rows.append(
            _row(
                str(place) if trial.metrics else "",
                f"t{trial.number:03d} {trial.classifier}({params})",
                trial.metrics,
                trial.spread if trial.metrics else float("nan"),
                state,
                trial.seconds,
                run_ids.get(trial.number, ""),
            )
        )
    frame = pd.DataFrame(rows)
    others = [f"cv_{name}" for name in METRICS if name != metric]
    ends = ["seconds", "state", "run_id"]
    return frame[["rank", "configuration", f"cv_{metric}", "spread", *others, *ends]]


def _row(
    rank: str,
    configuration: str,
    metrics: Mapping[str, float],
    spread: float,
    state: str,
    seconds: float,
    run_id: str,
) -> dict[str, Any]:
    return {
        "rank": rank,
        "configuration": configuration,
        **{f"cv_{name}": metrics.get(name, float("nan")) for name in METRICS},
        "spread": spread,
        "seconds": round(seconds, 2),
        "state": state,
        "run_id": run_id,
    }


def page(frame: pd.DataFrame, title: str) -> str:
    """The table as a page without scripts.

    Args:
        frame: of `table`.
        title: heading.
    """
    shown = frame.head(MOST_SHOWN).drop(columns="run_id")
    cells = [
        ["" if value != value else f"{value:.4f}" if isinstance(value, float) else str(value)
         for value in row]
        for row in shown.itertuples(index=False)
    ]  # fmt: skip
    return fill(
        "leaderboard.html",
        title=title,
        summary="Cross-validated on the training side. The first row is what was registered.",
        cautions=[],
        columns=list(shown.columns),
        rows=cells,
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
    """Writes the table, the page and the pictures.

    Args:
        folder: where to.
        frame: of `table`.
        trials: of the sweep.
        metric: the objective.
        classifiers: families that were searched.
        shape: of the table.
        title: of the page.
    """
    frame.to_csv(folder / "leaderboard.csv", index=False)
    (folder / "leaderboard.html").write_text(page(frame, title), encoding="utf-8")
    history(trials, metric).savefig(folder / "optimization_history.png", dpi=100)
    if figure := importance(trials, metric, classifiers, shape):
        figure.savefig(folder / "hyperparameter_importance.png", dpi=100)


def history(trials: Sequence[Trial], metric: str) -> Figure:
    """Score of each trial in the order of asking, and the best so far.

    Args:
        trials: of the sweep.
        metric: the objective.
    """
    whole = [trial for trial in trials if trial.metrics]
    numbers = np.array([trial.number for trial in whole])
    scores = np.array([trial.metrics[metric] for trial in whole])
    so_far = sign(metric) * np.maximum.accumulate(sign(metric) * scores)
    figure = Figure(figsize=(9, 4.5), layout="constrained")
    axes = figure.subplots()
    for classifier in dict.fromkeys(trial.classifier for trial in whole):
        of_it = np.array([trial.classifier == classifier for trial in whole])
        axes.scatter(numbers[of_it], scores[of_it], s=22, label=classifier)
    axes.step(numbers, so_far, where="post", color="0.3", linewidth=1, label="best so far")
    # a hopeless configuration must not flatten all others
    worst, best = np.quantile(scores, [0.1, 1] if sign(metric) > 0 else [0.9, 0])
    margin = 0.1 * abs(best - worst) or 0.01
    axes.set_ylim(min(worst, best) - margin, max(worst, best) + margin)
    axes.set(xlabel="trial", ylabel=f"cv_{metric}", title="Optimisation history")
    axes.legend(fontsize=8, ncols=2)
    return figure


def importance(
    trials: Sequence[Trial], metric: str, classifiers: Sequence[str], shape: Shape
) -> Figure | None:
    """How much each hyperparameter tells the better configurations from the rest.

    PED-ANOVA (Watanabe et al. 2023, doi 10.24963/ijcai.2023/488), within each family.

    Args:
        trials: of the sweep.
        metric: the objective.
        classifiers: families that were searched.
        shape: of the table.

    Returns:
        None where no family has `ENOUGH` trials.
    """
    bars: dict[str, float] = {}
    for classifier in classifiers:
        whole = [trial for trial in trials if trial.classifier == classifier and trial.metrics]
        if len(whole) < ENOUGH:
            continue
        study = make_study(metric, seed=0)
        for trial in whole:
            recall(study, trial, classifiers, shape, metric)
        found = optuna.importance.get_param_importances(
            study, evaluator=optuna.importance.PedAnovaImportanceEvaluator()
        )
        bars |= {name: value for name, value in found.items() if name != "classifier"}
    if not bars:
        return None
    names = list(bars)[::-1]
    figure = Figure(figsize=(9, 1.2 + 0.3 * len(names)), layout="constrained")
    axes = figure.subplots()
    axes.barh(names, [bars[name] for name in names])
    axes.set(xlabel="share within the family", title="Hyperparameter importance")
    return figure
