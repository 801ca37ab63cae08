"""The tracked evaluation of any model on any labelled table, alone or against another one."""

import json
import math
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from custom_model.packaging import to_request
from custom_model.served.columns import Label
from tabular.errors import BadInput
from tabular.jobs.preparation import Say
from tabular.models.classes import align
from tabular.models.labelled import (
    classes_of,
    describe_refused,
    describe_seen,
    features_of,
    seen_rows,
)
from tabular.models.load import load_model
from tabular.models.model import Model, PredictedRows
from tabular.report import pages as report
from tabular.report import plots
from tabular.report.assessment import Assessment, assess
from tabular.report.importance import column_importance, most_important
from tabular.report.pages import GainEstimate
from tabular.report.slices import Slice
from tabular.stats.intervals import Estimate, interval
from tabular.stats.metrics import METRICS, metric_names
from tabular.stats.paired import OF_LABELS, Paired, gain, mcnemar
from tabular.store.artifacts import download
from tabular.store.runs import log_dataset, log_results, start_run
from tabular.table.addresses import without_password
from tabular.table.dataset import Dataset
from tabular.table.files import RawTable, read_table
from tabular.table.labels import true_labels
from tabular.table.split import hash_rows

MOST_DRAWN = 100_000_000  # rows in all, for the gains of metrics that are drawn by rows


@dataclass(frozen=True)
class Evaluation:
    """What an evaluation found.

    Args:
        run_id: of its run.
        assessment: of the model.
        against: of the second model, None without one.
        gains: of the model over the second one, by metric.
        cautions: what must be known before believing the figures.
    """

    run_id: str
    assessment: Assessment
    against: Assessment | None
    gains: dict[str, GainEstimate]
    cautions: tuple[str, ...]


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

    Raises:
        BadInput: the model or the table cannot be used; no run is opened then.
    """
    table = read_table(data, download)
    with tempfile.TemporaryDirectory() as folder:
        models = [load_model(uri, folder) for uri in (model, against) if uri]
        target = target or models[0].target or table.target
        labels = true_labels(table, target, data, models[0].classes)
        features = table.frame.drop(columns=target)
        for one in models:
            one.check_columns(features.columns, data)
        cells = [one.read(features, table.as_text) for one in models]
        asked = [one.ask(read) for one, read in zip(models, cells, strict=True)]
        kept, cautions = _rows_to_keep(models, asked, table, labels, rows)
        asked = [predictions.among(kept) for predictions in asked]
        typed, columns = features_of(models[0], cells[0], table, target)
        typed = typed[kept].reset_index(drop=True)
        y_true = labels[kept].tolist()
        classes, caution = classes_of(models, asked, y_true, data, target)
        aligned = [align(one.y_pred, one.proba, classes) for one in asked]
        codes, _ = align(y_true, None, classes)
        options: dict[str, Any] = {"confidence": confidence, "resamples": resamples, "seed": seed}
        assessments = [
            assess(codes, y_pred, proba, classes, typed, columns, **options)
            for y_pred, proba in aligned
        ]
        cautions += [caution] if caution else []
        gains: dict[str, GainEstimate] = {}
        if against:
            gains, sentence = _gains(codes, aligned, classes, confidence, resamples, seed)
            cautions.append(sentence)
        for caution in cautions:
            say(caution)
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
            unlabelled=sum(label is None for label in labels),
        )
        given = {
            "model": model,
            "data": without_password(data),
            "target": target,
            "against": against,
            "rows": rows,
        }
        with start_run(f"evaluate {dataset.name}", {**given, **options}) as run:
            log_dataset(dataset, context="evaluation")
            place = Path(tempfile.mkdtemp(dir=folder))
            _write(place, models, dataset, assessments, gains, cautions, *aligned[0], seed)
            log_results(_metrics(assessments, gains), folder=place)
    second = assessments[1] if against else None
    return Evaluation(run.info.run_id, assessments[0], second, gains, tuple(cautions))


def _rows_to_keep(
    models: Sequence[Model],
    asked: Sequence[PredictedRows],
    table: RawTable,
    labels: np.ndarray,
    rows: str,
) -> tuple[np.ndarray, list[str]]:
    """The rows to evaluate on, (n_rows,) bool, and what to say of the others."""
    labelled = np.array([label is not None for label in labels])
    kept, cautions = labelled.copy(), list(table.notes)
    if not labelled.all():
        cautions.append(f"{(~labelled).sum()} rows have no label and are left out.")
    for model, predictions in zip(models, asked, strict=True):
        if sentence := describe_refused(model, predictions, labelled):
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


def _gains(
    codes: np.ndarray,
    aligned: list[tuple[np.ndarray, np.ndarray | None]],
    labels: tuple[Label, ...],
    confidence: float,
    resamples: int,
    seed: int,
) -> tuple[dict[str, GainEstimate], str]:
    """Gains of the first model over the second, and McNemar's test in words."""
    (said, shares), (other_said, other_shares) = aligned
    every = np.eye(len(labels))
    of_labels = Paired(codes, every[other_said], every[said])
    of_shares = (
        Paired(codes, other_shares, shares)
        if shares is not None and other_shares is not None
        else None
    )
    gains = {}
    for metric in METRICS:
        paired = of_labels if metric in OF_LABELS else of_shares
        if paired is None:
            continue
        times = resamples
        if metric not in OF_LABELS:
            times = max(200, min(resamples, MOST_DRAWN // len(codes)))
        found = gain(paired, metric, resamples=times, seed=seed)
        if math.isfinite(found.value):
            one = interval(found.value, found.resampled, confidence)
            gains[metric] = GainEstimate(found.value, one.low, one.high, found.p_value)
    only = ((said == codes) & (other_said != codes)).sum()
    other = ((said != codes) & (other_said == codes)).sum()
    return gains, (
        f"Of {len(codes)} rows, {only} are answered right by the first model alone and {other} by "
        f"the second alone (McNemar's exact p-value {mcnemar(of_labels):.4f})."
    )


def _metrics(assessments: list[Assessment], gains: dict[str, GainEstimate]) -> dict[str, float]:
    """Every figure by its name as a metric of the run."""
    flat: dict[str, float] = {}

    def put(name: str, one: Estimate | GainEstimate) -> None:
        for ending, value in (("", one.value), ("_low", one.low), ("_high", one.high)):
            if math.isfinite(value):
                flat[name + ending] = value

    for prefix, assessed in zip(("", "against_"), assessments, strict=False):
        for name, one in assessed.metrics.items():
            put(prefix + name, one)
        for name, of_class in zip(metric_names(assessed.labels), assessed.classes, strict=True):
            if of_class.rows:
                put(f"{prefix}f1_class_{name}", of_class.f1)
    for name, found in gains.items():
        put(f"gain_{name}", found)
    return flat


def _write(
    folder: Path,
    models: Sequence[Model],
    dataset: Dataset,
    assessments: list[Assessment],
    gains: dict[str, GainEstimate],
    cautions: list[str],
    said: np.ndarray,
    probabilities: np.ndarray | None,
    seed: int,
) -> None:
    model, assessed = models[0], assessments[0]
    codes, labels = dataset.codes, dataset.labels
    figures = {"confusion_matrix": plots.confusion_matrix(codes, said, labels)}
    if probabilities is not None:
        figures["roc"] = plots.roc(codes, probabilities, labels)
        figures["precision_recall"] = plots.precision_recall(codes, probabilities, labels)
        figures["calibration"] = plots.calibration(codes, probabilities, labels)
    important: list[str] = []
    if model.predict_proba:
        known = codes < len(model.classes)
        names, means, spreads = column_importance(
            model.predict_proba, dataset.typed[known], codes[known], seed=seed
        )
        figures["feature_importance"] = plots.feature_importance(names, means, spreads)
        important = most_important(names, means, spreads)
    pictures = [(name, plots.png(figure)) for name, figure in figures.items()]
    for name, picture in pictures:
        (folder / f"{name}.png").write_bytes(picture)
    (folder / "evaluation.json").write_text(
        json.dumps(
            {
                "cautions": cautions,
                "gains": {name: asdict(found) for name, found in gains.items()},
                "models": {
                    one.uri: asdict(found) for one, found in zip(models, assessments, strict=True)
                },
            },
            indent=1,
            default=str,
        ),
        encoding="utf-8",
    )
    pd.DataFrame([_row(part) for part in assessed.slices]).to_csv(
        folder / "slices.csv", index=False
    )
    example: dict[str, Any] = {}
    if model.columns:
        example = to_request(dataset.typed[:1])[0]
    page = report.Page(
        title=f"{model.uri} on {dataset.name}",
        summary=f"{model.uri} on {len(codes)} labelled rows of {dataset.source}"
        + (f", against {models[1].uri} on the same rows." if gains else "."),
        target=dataset.target,
        assessment=assessed,
        here="on this table",
        facts=report.facts(dataset, str(len(codes))),
        notes=(),
        cautions=cautions,
        pictures=pictures,
        class_counts={"rows": np.bincount(codes, minlength=len(labels)).tolist()},
        others={
            one.uri: {name: estimate.value for name, estimate in found.metrics.items()}
            for one, found in list(zip(models, assessments, strict=True))[1:]
        },
        gains=gains,
        importance=important,
        model_uri=model.uri,
        example=example,
    )
    (folder / "report.html").write_text(report.render(page), encoding="utf-8")


def _row(part: Slice) -> dict[str, Any]:
    return {
        "column": part.column,
        "values": part.values,
        "rows": part.rows,
        "accuracy": part.accuracy.value,
        "low": part.accuracy.low,
        "high": part.accuracy.high,
        "accuracy_elsewhere": part.rest,
        "p_value": part.p_value,
    }
