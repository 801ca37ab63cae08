"""The rows that a version was not trained on, how calibrated it is on them, and what follows."""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from tabular.drift.checks import CurrentPredictions, DriftRule
from tabular.drift.density_ratio import density_ratio
from tabular.drift.estimate import AS_IT_IS, Calibration, estimate_metrics, fit_calibration
from tabular.models.classes import align, key
from tabular.models.model import LoadedModel
from tabular.stats.intervals import Estimate
from tabular.store.artifacts import read_of_run
from tabular.table.structure import Roles, read_roles

MOST_ROWS = 10_000
ESTIMATE_SEES = (
    "The estimate is by the model's probabilities: it sees that other rows came, and not that the "
    "relation of features and class has changed."
)


@dataclass(frozen=True)
class HeldOut:
    """Held-out rows.

    Args:
        typed: (n_rows, n_columns) features.
        y_true: (n_rows,) codes of the model's classes.
        proba: (n_rows, n_classes).
        roles: their groups and weights.
    """

    typed: pd.DataFrame
    y_true: np.ndarray
    proba: np.ndarray
    roles: Roles


def held_out(model: LoadedModel, *, seed: int) -> HeldOut | None:
    """At most `MOST_ROWS` of them at random; None where they are gone, or of another model.

    Raises:
        BadInput: a weight among them cannot be read.
    """
    rows = read_of_run(model.run_id, "holdout.parquet") if model.run_id else None
    if rows is None or not {model.target, *model.structure.names} <= set(rows):
        return None
    if len(rows) > MOST_ROWS:
        rows = rows.sample(MOST_ROWS, random_state=seed)
    cells = model.read(rows.reset_index(drop=True), False)
    predicted = model.ask(cells)
    _, proba = align(predicted.y_pred, predicted.proba, model.classes)
    codes = {key(label): code for code, label in enumerate(model.classes)}
    y_true = np.array([codes.get(key(label), -1) for label in rows[model.target]], dtype=np.int64)
    if proba is None or not predicted.scored.all() or (y_true < 0).any():
        return None
    structure = replace(model.structure, time="")
    where = f"the held-out rows of {model.uri}"
    roles = read_roles(rows, structure, rows.index.to_numpy(), where, as_text=False)
    return HeldOut(cells.typed, y_true, proba, roles)


def calibration_for(model: LoadedModel, typed: pd.DataFrame, *, seed: int) -> Calibration | None:
    """How calibrated a model is for the rows of a table, by its held-out rows that are like them.

    Args:
        model: that predicts.
        typed: (n_rows, n_columns) the rows; features without which they are compared are left out.
        seed: of the comparison.

    Returns:
        None where the held-out rows are gone.

    Raises:
        BadInput: a weight among these cannot be read.
    """
    if (before := held_out(model, seed=seed)) is None:
        return None
    columns = [column for column in model.columns if column.name in typed]
    likeness = density_ratio(before.typed, typed, columns, seed=seed)
    groups, sample_weight = before.roles.groups, before.roles.sample_weight
    return fit_calibration(before.y_true, before.proba, likeness, groups, sample_weight)


def estimate_without_labels(
    model: LoadedModel,
    typed: pd.DataFrame,
    scored: np.ndarray,
    current: CurrentPredictions,
    rule: DriftRule,
) -> tuple[dict[str, Estimate], list[str]]:
    """What the metrics of a table would be, by the probabilities of the model.

    Args:
        model: that predicts.
        typed: (n_rows, n_columns) its rows; columns that are not to be compared are left out.
        scored: (n_rows,) bool, those that are predicted.
        current: the predictions.
        rule: its metric, level and seed.

    Returns:
        The metrics by name, and what to know of them in words; none of both where there are labels.

    Raises:
        BadInput: a weight among the held-out rows cannot be read.
    """
    weighs = scored.any() and (current.units is None or current.units.sample_weight.any())
    if current.y_true is not None or current.proba is None or not weighs:
        return {}, []
    about = [ESTIMATE_SEES]
    calibration = calibration_for(model, typed[scored], seed=rule.seed)
    if calibration is None:
        about.append(
            f"The held-out rows of {model.uri} are gone from the tracking store: its probabilities "
            "are taken as they are, and the interval is of the labels' chance alone."
        )
    estimated = estimate_metrics(
        current.y_pred,
        current.proba,
        calibration or AS_IT_IS,
        costs=current.costs,
        units=current.units,
        confidence=1 - rule.level,
        seed=rule.seed,
    )
    if one := estimated.get(rule.metric):
        between = f" ({words})" if (words := one.between(".4f")) else ""
        about.insert(0, f"Without labels, {rule.metric} is estimated at {one.value:.4f}{between}.")
    return estimated, about
