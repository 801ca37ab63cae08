"""The tracked evaluation of any model on any labelled table, alone or against another one."""

import json
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, astuple, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from custom_model.packaging import to_request
from tabular.errors import BadInput
from tabular.jobs.preparation import Say
from tabular.models.classes import align
from tabular.models.labelled import (
    classes_of_models,
    describe_seen,
    features_of,
    moments_in,
    roles_in,
    seen_rows,
    structured,
    without_labels,
)
from tabular.models.late_labels import join_labels
from tabular.models.load import load_model
from tabular.models.model import LoadedModel, PredictedRows
from tabular.report import pages as report
from tabular.report import plots
from tabular.report.assessment import Assessment, assess
from tabular.report.gains import assess_gains
from tabular.report.groups import Groups, assess_groups
from tabular.report.importance import column_importance
from tabular.report.over_time import OverTime, over_time
from tabular.report.parts import name_groups
from tabular.stats.by_class import metric_names
from tabular.stats.costs import align_costs
from tabular.stats.intervals import GainEstimate
from tabular.store.artifacts import download
from tabular.store.runs import log_dataset, log_results, start_run
from tabular.table.addresses import without_password
from tabular.table.dataset import Dataset
from tabular.table.files import RawTable, read_table
from tabular.table.labels import true_labels
from tabular.table.split import hash_rows

COST_ALTERNATIVES = ("cost_of_one_class", "cost_of_most_probable")
SLICE_COLUMNS = (
    "column", "values", "rows", "accuracy", "low", "high", "accuracy_elsewhere", "p_value"
)  # fmt: skip


@dataclass(frozen=True)
class Evaluation:
    """The result of an evaluation.

    Args:
        run_id: of its run.
        assessment: of the model.
        against: of the second model, None without one.
        gains: of the model over the second one, by metric.
        cautions: what to know before believing the figures.
        groups: the model by groups of rows.
    """

    run_id: str
    assessment: Assessment
    against: Assessment | None
    gains: dict[str, GainEstimate]
    cautions: tuple[str, ...]
    groups: Groups


def evaluate(
    *,
    model: str,
    data: str,
    target: str,
    against: str,
    rows: str,
    confidence: float,
    resamples: int,
    seed: int,
    say: Say,
    by: Sequence[str] = (),
    labels: str = "",
    key: Sequence[str] = (),
) -> Evaluation:
    """Evaluates a model on a labelled table, and logs metrics, pictures and a report to a run.

    Args:
        model: URI of MLflow.
        data: see `load_dataset`.
        target: column of the true labels; "" for the one that the model predicts.
        against: URI of a second model to compare with on the same rows; "" for none.
        rows: `all`, or `unseen` for those that neither model was trained on.
        confidence: of the two-sided intervals.
        resamples: of the bootstrap.
        seed: of the bootstrap.
        say: takes each line of progress.
        by: headings by which the rows are grouped, of features or of other columns of the table.
        labels: a table of labels that came later, see `join_labels`; "" where `data` has them.
        key: columns by which they are joined.

    Raises:
        BadInput: the model or the table cannot be used; no run is opened then.
    """
    with tempfile.TemporaryDirectory() as folder:
        models = [load_model(uri, folder) for uri in (model, against) if uri]
        table = read_table(data, download, models[0].requests)
        of_structure = structured(models)
        target = target or models[0].target or table.target
        late = join_labels(table, data, labels, key, target, models[0].classes)
        target = late.target if late else target
        truth = late.labels if late else true_labels(table, target, data, models[0].classes)
        features = without_labels(table.frame, target, key, models)
        for one in models:
            one.check_columns(features.columns, data)
        cells = [one.read(features, table.as_text) for one in models]
        predicted = [one.ask(read) for one, read in zip(models, cells, strict=True)]
        kept, cautions = _rows_to_keep(models, predicted, table, truth, rows)
        cautions += late.notes if late else []
        predicted = [one.among(kept) for one in predicted]
        roles, absent = roles_in(of_structure, table, kept, data)
        cautions += absent
        drawn: dict[str, Any] = {"groups": roles.groups, "sample_weight": roles.sample_weight}
        moments, sentences = moments_in(of_structure, table, kept, data)
        cautions += sentences
        typed, columns = features_of(models[0], cells[0], features, as_text=table.as_text)
        typed = typed[kept].reset_index(drop=True)
        y_true = truth[kept].tolist()
        classes, caution = classes_of_models(models, predicted, y_true, data, target)
        aligned = [align(one.y_pred, one.proba, classes) for one in predicted]
        codes = align(y_true, None, classes)[0]
        options: dict[str, Any] = {"confidence": confidence, "resamples": resamples, "seed": seed}
        costs = next(
            (align_costs(m.costs, m.classes, classes) for m in models if m.costs is not None), None
        )
        shared = {"costs": costs, **drawn, **options}
        assessments = [
            assess(codes, y_pred, proba, classes, typed, columns, **shared)
            for y_pred, proba in aligned
        ]
        cautions += [caution] if caution else []
        by_time = over_time(moments, codes, aligned[0][0], len(classes), **shared)
        groups = Groups()
        if by:
            names = name_groups(typed, columns, features[kept], by, data)
            groups = assess_groups(codes, *aligned[0], names, classes, costs, **options)
            cautions += groups.cautions
            if of_structure.structure.group or of_structure.structure.weight:
                cautions.append(f"By {', '.join(by)} each row counts once and is independent.")
        gains: dict[str, GainEstimate] = {}
        if against:
            gains, sentence = assess_gains(
                codes, aligned, classes, confidence, resamples, seed, costs, roles
            )
            cautions.append(sentence)
        for line in [*cautions, *filter(None, [assessments[0].cost_sentence])]:
            say(line)
        dataset = Dataset(
            name=table.name,
            source=without_password(data),
            target=target,
            columns=columns,
            table_columns=tuple(features.columns),
            typed=typed,
            codes=codes,
            labels=classes,
            row_hashes=hash_rows(features[kept]),
            unlabelled=sum(label is None for label in truth),
        )
        given = {
            "model": model,
            "data": without_password(data),
            "target": target,
            "against": against,
            "rows": rows,
            "by": ",".join(by),
            "labels": without_password(labels),
            "key": ",".join(key),
        }
        with start_run(f"evaluate {dataset.name}", {**given, **options}) as run:
            log_dataset(dataset, context="evaluation")
            place = Path(tempfile.mkdtemp(dir=folder))
            _write(
                place, models, dataset, assessments, gains, cautions,
                *aligned[0], seed, groups, by_time,
            )  # fmt: skip
            tables = {"by_group.json": groups.table} if by else {}
            tables |= {"over_time.json": by_time.table} if by_time else {}
            metrics = _metrics(assessments, gains) | groups.metrics | (late.metrics if late else {})
            log_results(metrics, folder=place, tables=tables)
    second = assessments[1] if against else None
    return Evaluation(run.info.run_id, assessments[0], second, gains, tuple(cautions), groups)


def _rows_to_keep(
    models: Sequence[LoadedModel],
    predicted: Sequence[PredictedRows],
    table: RawTable,
    labels: np.ndarray,
    rows: str,
) -> tuple[np.ndarray, list[str]]:
    """The rows to evaluate on, (n_rows,) bool, and what to say of the others."""
    labelled = np.array([label is not None for label in labels])
    kept, cautions = labelled.copy(), list(table.notes)
    if not labelled.all():
        cautions.append(f"{(~labelled).sum()} rows have no label and are left out.")
    for model, predictions in zip(models, predicted, strict=True):
        if sentence := predictions.describe_refused(labelled):
            cautions.append(sentence if model is models[0] else f"{model.uri}: {sentence}")
        kept &= predictions.scored
    for model in models:
        seen = seen_rows(model, table.frame)
        if rows == "unseen" and seen is not None:
            kept &= ~seen
        if sentence := describe_seen(model, seen, kept):
            cautions.append(sentence)
    if not kept.any():
        raise BadInput(f"no row of {table.name} is left to evaluate on: {' '.join(cautions)}")
    return kept, cautions


def _metrics(assessments: list[Assessment], gains: dict[str, GainEstimate]) -> dict[str, float]:
    """Every figure by its name as a metric of the run."""
    metrics: dict[str, float] = {}
    for prefix, assessed in zip(("", "against_"), assessments, strict=False):
        for name, one in assessed.metrics.items():
            metrics |= one.named(prefix + name)
        for name, cost in zip(COST_ALTERNATIVES, assessed.costs.values(), strict=False):
            metrics[prefix + name] = cost
        for name, of_class in zip(metric_names(assessed.labels), assessed.classes, strict=True):
            metrics |= of_class.f1.named(f"{prefix}f1_class_{name}")
    for name, gained in gains.items():
        metrics |= gained.named(f"gain_{name}")
    return metrics


def _write(
    folder: Path,
    models: Sequence[LoadedModel],
    dataset: Dataset,
    assessments: list[Assessment],
    gains: dict[str, GainEstimate],
    cautions: list[str],
    y_pred: np.ndarray,
    proba: np.ndarray | None,
    seed: int,
    groups: Groups,
    by_time: OverTime | None,
) -> None:
    """Writes the pictures, the figures as JSON and CSV, and the page."""
    model, assessed = models[0], assessments[0]
    y_true, classes = dataset.codes, dataset.labels
    importance = None
    if model.predict_proba:
        rows = y_true < len(model.classes)
        importance = column_importance(
            model.predict_proba, dataset.typed[rows], y_true[rows], seed=seed
        )
    figures = plots.pictures(y_true, y_pred, proba, classes, importance)
    if by_time:
        figures["over_time"] = by_time.drawn("cost" if assessed.costs else "f1_macro")
    by_model = {one.uri: of for one, of in zip(models, assessments, strict=True)}
    evaluation = {
        "cautions": cautions,
        "gains": {name: asdict(one) for name, one in gains.items()},
        "models": {uri: asdict(one) for uri, one in by_model.items()},
    }
    text = json.dumps(evaluation, indent=1, default=str)
    (folder / "evaluation.json").write_text(text, encoding="utf-8")
    slices = [
        (one.column, one.values, one.rows, *astuple(one.accuracy), one.rest, one.p_value)
        for one in assessed.slices
    ]
    pd.DataFrame(slices, columns=SLICE_COLUMNS).to_csv(folder / "slices.csv", index=False)
    page = report.Page(
        title=f"{model.uri} on {dataset.name}",
        summary=f"{model.uri} on {len(y_true)} labelled rows of {dataset.source}"
        + (f", against {models[1].uri} on the same rows." if gains else "."),
        dataset=dataset,
        assessment=assessed,
        here="on this table",
        cautions=cautions,
        pictures=plots.as_png(figures),
        sides={"rows": np.ones(len(y_true), dtype=bool)},
        others={
            one.uri: {name: estimate.value for name, estimate in of.metrics.items()}
            for one, of in zip(models[1:], assessments[1:], strict=True)
        },
        gains=gains,
        importance=importance.most_important if importance else (),
        model_uri=model.uri,
        example=to_request(dataset.typed[:1])[0] if model.columns else {},
        groups=groups,
    )
    report.write_report(folder, page)
