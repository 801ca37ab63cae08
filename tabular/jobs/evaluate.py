"""The tracked evaluation of any model on any labelled table, alone or against another one."""

import json
import math
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd

from custom_model.packaging import to_request
from custom_model.served.columns import Label
from tabular.errors import BadInput
from tabular.jobs.preparation import Say
from tabular.models.labelled import all_labels, features_for, read_labelled, say_seen
from tabular.models.load import Subject, align, ask, key, load_subject
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
from tabular.store.runs import log_dataset, start_run
from tabular.table.addresses import without_password
from tabular.table.dataset import Dataset
from tabular.table.files import read_table
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
    read = read_table(data, download)
    raw = read.frame
    subjects = [load_subject(uri) for uri in (model, against) if uri]
    target = target or subjects[0].target or read.target
    table = read_labelled(subjects[0], raw, target, data)
    kept = table.scorable.copy()
    cautions = [*read.notes, *table.notes]
    others = [read_labelled(subject, raw, target, data) for subject in subjects[1:]]
    for subject, other in zip(subjects[1:], others, strict=True):
        kept &= other.scorable
        cautions += [f"{subject.uri}: {note}" for note in other.notes]
    for subject in subjects:
        caution, seen = say_seen(subject, table.raw, kept, rows)
        cautions += [caution] if caution else []
        if rows == "unseen" and seen is not None:
            kept &= ~seen
    if not kept.any():
        raise BadInput(
            f"no row of {data} is left to evaluate on"
            + (f": {' '.join(cautions)}" if cautions else "")
        )
    answers = [
        ask(subject, features_for(subject, part, target)[kept].reset_index(drop=True))
        for subject, part in zip(subjects, [table, *others], strict=True)
    ]
    truth = [label for label, keep in zip(table.labels, kept, strict=True) if keep]
    labels, unknown = all_labels(subjects, truth, answers, data, target)
    cautions += unknown
    class_codes = {key(label): code for code, label in enumerate(labels)}
    codes = np.array([class_codes[key(label)] for label in truth], dtype=np.int64)
    aligned = [align(said, shares, labels) for said, shares in answers]
    typed = table.typed[kept].reset_index(drop=True)
    assessments = [
        assess(
            codes,
            said,
            shares,
            labels,
            typed,
            table.columns,
            confidence=confidence,
            resamples=resamples,
            seed=seed,
        )
        for said, shares in aligned
    ]
    gains: dict[str, GainEstimate] = {}
    if against:
        gains, sentence = _gains(codes, aligned, labels, confidence, resamples, seed)
        cautions.append(sentence)
    for caution in cautions:
        say(caution)
    dataset = Dataset(
        name=read.name,
        source=without_password(data),
        target=target,
        columns=table.columns,
        table_columns=tuple(name for name in raw.columns if name != target),
        typed=typed,
        codes=codes,
        labels=labels,
        row_hashes=hash_rows(table.raw[kept].drop(columns=target)),
        unlabelled=len(raw) - len(table.raw),
    )
    given = {
        "model": model,
        "data": data,
        "target": target,
        "against": against,
        "rows": rows,
        "confidence": confidence,
        "resamples": resamples,
        "seed": seed,
    }
    with start_run(f"evaluate {dataset.name}", given) as run:
        log_dataset(dataset, context="evaluation")
        mlflow.log_metrics(_flat(assessments, gains))
        with tempfile.TemporaryDirectory() as folder:
            _write(Path(folder), subjects, dataset, assessments, gains, cautions, *aligned[0], seed)
            mlflow.log_artifacts(folder)
        second = assessments[1] if against else None
        return Evaluation(run.info.run_id, assessments[0], second, gains, tuple(cautions))


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


def _flat(assessments: list[Assessment], gains: dict[str, GainEstimate]) -> dict[str, float]:
    """The figures by the names that the run has them under."""
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
    subjects: list[Subject],
    dataset: Dataset,
    assessments: list[Assessment],
    gains: dict[str, GainEstimate],
    cautions: list[str],
    said: np.ndarray,
    probabilities: np.ndarray | None,
    seed: int,
) -> None:
    subject, assessed = subjects[0], assessments[0]
    codes, labels = dataset.codes, dataset.labels
    figures = {"confusion_matrix": plots.confusion_matrix(codes, said, labels)}
    if probabilities is not None:
        figures["roc"] = plots.roc(codes, probabilities, labels)
        figures["precision_recall"] = plots.precision_recall(codes, probabilities, labels)
        figures["calibration"] = plots.calibration(codes, probabilities, labels)
    important: list[str] = []
    if subject.pipeline is not None:
        known = codes < len(subject.labels)
        names, means, spreads = column_importance(
            subject.pipeline, dataset.typed[known], codes[known], subject.columns, seed=seed
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
                    one.uri: asdict(found) for one, found in zip(subjects, assessments, strict=True)
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
    if subject.columns:
        example = to_request(dataset.typed[:1])[0]
    page = report.Page(
        title=f"{subject.uri} on {dataset.name}",
        summary=f"{subject.uri} on {len(codes)} labelled rows of {dataset.source}"
        + (f", against {subjects[1].uri} on the same rows." if gains else "."),
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
            for one, found in list(zip(subjects, assessments, strict=True))[1:]
        },
        gains=gains,
        importance=important,
        model_uri=subject.uri,
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
