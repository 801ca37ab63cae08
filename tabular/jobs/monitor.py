"""The tracked comparison of a table with the profile inside a model."""

import dataclasses
import math
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tabular.drift.checks import CurrentPredictions, DriftCheck, DriftRule
from tabular.drift.profile import from_json
from tabular.drift.verdict import LARGE_SHIFT, Drift, Verdict, compare_with_profile
from tabular.errors import BadInput, choices
from tabular.jobs.preparation import Say
from tabular.models.classes import align
from tabular.models.classes import key as key_of_class
from tabular.models.held_out import estimate_without_labels
from tabular.models.labelled import moments_in, roles_in
from tabular.models.late_labels import join_labels
from tabular.models.load import load_model
from tabular.models.model import LoadedModel, PredictedRows
from tabular.report.drift import checks_table, write_drift
from tabular.report.over_time import OverTime, over_time
from tabular.stats.costs import alternatives, describe_costs
from tabular.stats.intervals import Estimate
from tabular.stats.units import units_of
from tabular.store.artifacts import download
from tabular.store.runs import log_results, start_run
from tabular.table.addresses import without_password
from tabular.table.files import RawTable, read_table
from tabular.table.labels import true_labels


@dataclass(frozen=True)
class Watch:
    """What a look at a table came to, and the verdict in words."""

    run_id: str
    drift: Drift
    sentence: str


def monitor(
    *,
    model: str,
    data: str,
    ignore: Sequence[str],
    rule: DriftRule,
    say: Say,
    labels: str = "",
    key: Sequence[str] = (),
) -> Watch:
    """Compares a table with the one that a model was trained on.

    Args:
        model: URI of a bundle of this project.
        data: see `load_dataset`; labels are used where the table has them.
        ignore: columns that may change, such as the date of a row.
        rule: what counts as drift.
        say: takes each line of progress.
        labels: a table of labels that came later, see `join_labels`; "" for none.
        key: columns by which they are joined.

    Raises:
        BadInput: the model carries no profile, or the table cannot be read; no run is opened then.
    """
    with tempfile.TemporaryDirectory() as folder:
        loaded = load_model(model, folder)
        table = read_table(data, download, loaded.requests)
        if not loaded.profile:
            raise BadInput(
                f"{model} carries no profile of its training table; train it again with this "
                "project"
            )
        profile = from_json(loaded.profile)
        if rule.metric == "cost" and loaded.costs is None:
            raise BadInput(f"{model} carries no costs; take another metric")
        metric = rule.metric or ("f1_macro" if loaded.costs is None else "cost")
        rule = dataclasses.replace(rule, metric=metric)
        names = [column.name for column in profile.columns]
        for name in ignore:
            if name not in names:
                raise BadInput(
                    f"column {name!r} to ignore is not a feature; {choices(name, names)}"
                )
        late = join_labels(table, data, labels, key, loaded.target, loaded.classes)
        cells = loaded.read(table.frame, table.as_text)
        predicted = loaded.ask(cells)
        typed = cells.typed.drop(columns=[*{*ignore, *cells.absent}])
        roles, unstructured = roles_in(loaded, table, np.ones(len(typed), dtype=bool), data)
        units = units_of(len(typed), roles.groups, roles.sample_weight)
        current = _current(
            loaded, predicted, _labels(loaded, table) if late is None else late.labels
        )
        if units:
            current = dataclasses.replace(current, units=units.among(predicted.scored))
        drift = compare_with_profile(profile, typed, cells.unreadable, current, rule, units)
        estimated, about = estimate_without_labels(loaded, typed, predicted.scored, current, rule)
        by_time, unread = _by_time(loaded, table, data, predicted.scored, current, rule)
        absent = tuple(
            DriftCheck(
                name, "column is not in the table", 1.0, 0.0, 0.0, drift=name in loaded.required
            )
            for name in cells.absent
            if name not in ignore
        )
        verdict: Verdict = "drift" if any(check.drift for check in absent) else drift.verdict
        drift = dataclasses.replace(drift, checks=(*absent, *drift.checks), verdict=verdict)
        cautions = [*table.notes, *(late.notes if late else ()), *unstructured, *unread]
        gone = [name for name in cells.absent if name in loaded.required]
        if gone:
            cautions.append(f"No row can be scored: column {gone[0]!r} is not in the table.")
        elif sentence := predicted.describe_refused():
            cautions.append(sentence)
        sentence = _sentence(drift)
        given = {"model": model, "data": without_password(data), "ignore": ",".join(ignore)}
        given |= {"labels": without_password(labels), "key": ",".join(key)}
        with start_run(f"monitor {table.name}", given | dataclasses.asdict(rule)) as run:
            place = Path(tempfile.mkdtemp(dir=folder))
            write_drift(
                place,
                drift,
                rule,
                title=f"{table.name}: {drift.verdict}",
                sentence=sentence,
                cautions=cautions,
                by_time=by_time,
                estimated=estimated,
                about=about,
            )
            tables = {"drift.json": checks_table(drift.checks)}
            tables |= {"over_time.json": by_time.table} if by_time else {}
            metrics = _metrics(drift, int((~predicted.scored).sum()))
            metrics |= late.metrics if late else {}
            for name, one in estimated.items():
                metrics |= one.named(f"estimated_{name}")
            log_results(
                metrics,
                tags={"verdict": drift.verdict, "watched_model": model},
                folder=place,
                tables=tables,
            )
    for line in (*cautions, *_cost_lines(current, loaded), *about, sentence):
        say(line)
    return Watch(run.info.run_id, drift, sentence)


def _labels(model: LoadedModel, table: RawTable) -> np.ndarray | None:
    """The labels that a table has itself, (n_rows,) object; None for none."""
    if model.target not in table.frame:
        return None
    try:
        return true_labels(table, model.target, table.name, model.classes)
    except BadInput:  # an empty column
        return None


def _current(
    model: LoadedModel, predicted: PredictedRows, labels: np.ndarray | None
) -> CurrentPredictions:
    """The predictions for the rows that can be scored, with their true classes if there are any."""
    y_pred, proba = align(predicted.y_pred, predicted.proba, model.classes)
    if labels is None or not predicted.scored.any():
        return CurrentPredictions(y_pred, proba, None, model.costs)
    codes = {key_of_class(label): code for code, label in enumerate(model.classes)}
    y_true = np.array(
        [
            -1 if label is None else codes.get(key_of_class(label), len(codes))
            for label in labels[predicted.scored]
        ],
        dtype=np.int64,
    )
    return CurrentPredictions(y_pred, proba, y_true if (y_true >= 0).any() else None, model.costs)


def _by_time(
    model: LoadedModel,
    table: RawTable,
    data: str,
    scored: np.ndarray,
    current: CurrentPredictions,
    rule: DriftRule,
) -> tuple[OverTime | None, list[str]]:
    """The metrics by period where there are labels and moments, and what to say of these."""
    if current.y_true is None:
        return None, []
    n_classes = len(model.classes) + 1  # one more for classes that the model does not know
    known = current.y_true >= 0
    if rule.metric == "cost":  # what these cost is not known
        n_classes -= 1
        known &= current.y_true < n_classes
    rows = scored.copy()
    rows[scored] = known
    moments, cautions = moments_in(model, table, rows, data)
    roles, _ = roles_in(model, table, rows, data)
    by_time = over_time(
        moments,
        current.y_true[known],
        current.y_pred[known],
        n_classes,
        confidence=1 - rule.level,
        resamples=1000,
        seed=rule.seed,
        costs=current.costs if rule.metric == "cost" else None,
        groups=roles.groups,
        sample_weight=roles.sample_weight,
    )
    return by_time, cautions


def _cost_lines(current: CurrentPredictions, model: LoadedModel) -> list[str]:
    """What a thousand rows cost now, in words; none without labels or costs."""
    if current.costs is None or current.y_true is None:
        return []
    rows = (current.y_true >= 0) & (current.y_true < len(model.classes))
    weights = current.units.sample_weight[rows] if current.units else None
    if not (rows.any() if weights is None else weights.any()):
        return []
    proba = None if current.proba is None else current.proba[rows]
    y_true, y_pred = current.y_true[rows], current.y_pred[rows]
    cost = Estimate(float(np.average(current.costs[y_true, y_pred], weights=weights)))
    others = alternatives(y_true, proba, current.costs, model.classes, weights)
    return [describe_costs(cost, others)]


def _sentence(drift: Drift) -> str:
    drifted = [check for check in drift.checks if check.drift]
    if drift.verdict == "drift":
        first = ", ".join(f"{check.column or 'answers'} ({check.about})" for check in drifted[:5])
        more = f" and {len(drifted) - 5} more" if len(drifted) > 5 else ""
        return f"drift: {first}{more}"
    rows = f"{drift.rows} rows{drift.worth}"
    power = (
        f"a shift of {drift.detectable:.2f} standard deviations of one column would be found in "
        "four of five such tables"
        if math.isfinite(drift.detectable)
        else "no shift of one column would be found"
    )
    if drift.verdict == "fine":
        return f"fine: no drift in {len(drift.checks)} checks of {rows}; {power}"
    return (
        f"too few rows to tell: no drift is seen in {rows} against "
        f"{drift.reference_rows}, and {power}; {LARGE_SHIFT} is wanted"
    )


def _metrics(drift: Drift, n_refused: int) -> dict[str, float]:
    metrics = {
        "rows": float(drift.rows),
        "rows_refused": float(n_refused),
        "drifted": float(sum(check.drift for check in drift.checks)),
    }
    values = [check.effect for check in drift.checks if check.about == "values"]
    if values:
        metrics["largest_stability_index"] = max(values)
    if math.isfinite(drift.detectable):
        metrics["detectable_shift"] = drift.detectable
    return metrics | (drift.fall.named("metric_fall") if drift.fall else {})
