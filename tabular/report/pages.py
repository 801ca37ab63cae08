"""`report.html`: one page, no script, no file beside it. `drift.html` shares its look."""

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jinja2
import numpy as np

from custom_model.served.cells import expected
from tabular.report.assessment import Assessment
from tabular.report.slices import FEWEST_ROWS
from tabular.stats.intervals import GainEstimate
from tabular.stats.metrics import METRICS
from tabular.table.dataset import Dataset
from tabular.table.split import Split

MOST_CLASSES = 100


@dataclass(frozen=True)
class Page:
    """What a report shows.

    Args:
        title: heading.
        summary: one sentence.
        target: heading of the predicted column.
        assessment: of the answers.
        here: name of the assessed rows: "holdout".
        facts: about the data: name and value.
        notes: what was left out, a sentence each.
        pictures: title and PNG.
        cautions: what a reader must know before believing the figures.
        class_counts: rows of each class, by the name of a side; the assessed rows are one.
        others: further values of the metrics, by their heading.
        gains: over another model, by metric.
        importance: columns that tell most, the first ones.
        model_uri: as `mlflow models serve` takes it.
        example: a row as a client sends it; none for no call.
    """

    title: str
    summary: str
    target: str
    assessment: Assessment
    here: str
    facts: Sequence[tuple[str, str]]
    notes: Sequence[str]
    pictures: Sequence[tuple[str, bytes]]
    class_counts: Mapping[str, Sequence[int]]
    cautions: Sequence[str] = ()
    others: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    gains: Mapping[str, GainEstimate] = field(default_factory=dict)
    importance: Sequence[str] = ()
    model_uri: str = ""
    example: Mapping[str, Any] = field(default_factory=dict)


def notes(dataset: Dataset, split: Split) -> list[str]:
    """What was left out or moved, a sentence each."""
    said = [*dataset.notes]
    said += [f"Column {left.name!r} {left.reason}: left out." for left in dataset.left_out]
    if dataset.unlabelled:
        said.append(f"{dataset.unlabelled} rows have no {dataset.target!r}: left out.")
    for column in dataset.columns:
        if column.notation:
            said.append(f"Column {column.name!r}: each cell is {expected(column)}.")
        if column.missing:
            words = ", ".join(repr(word) for word in column.missing)
            kind = f"{column.name!r} is a {column.kind}"
            said.append(f"Column {kind}; {words} in it means a missing value.")
        if column.null_level is not None:
            said.append(
                f"Column {column.name!r} has the value {column.null_level!r}, which CSV readers "
                "take for a missing one: the two count as one value."
            )
    if split.moved:
        said.append(f"{split.moved} rows changed sides so that their class is on both.")
    if split.one_sided:
        names = ", ".join(repr(dataset.labels[code]) for code in split.one_sided[:10])
        said.append(f"Classes with too few rows for both sides, not in the holdout: {names}.")
    return said


def facts(dataset: Dataset, rows: str) -> list[tuple[str, str]]:
    """What the table is.

    Args:
        dataset: the table.
        rows: how many there are, in words.
    """
    kinds = [column.kind for column in dataset.columns]
    return [
        ("source", dataset.source),
        ("target", dataset.target),
        ("rows", rows),
        ("features", ", ".join(f"{kinds.count(k)} {k}" for k in dict.fromkeys(kinds))),
        ("digest", dataset.digest),
    ]


def render(page: Page) -> str:
    """Renders the page."""
    assessed = page.assessment
    order = sorted(
        range(len(assessed.labels)),
        key=lambda code: -sum(counts[code] for counts in page.class_counts.values()),
    )
    totals = np.sum([np.asarray(counts) for counts in page.class_counts.values()], axis=0)
    classes = [
        {
            "label": assessed.labels[code],
            "counts": [counts[code] for counts in page.class_counts.values()],
            "share": totals[code] / max(1, totals.sum()),
            "estimates": assessed.classes[code],
        }
        for code in (order[:MOST_CLASSES] if len(order) > MOST_CLASSES else sorted(order))
    ]
    return fill(
        "report.html",
        title=page.title,
        summary=page.summary,
        cautions=page.cautions,
        tiles=_tiles(assessed),
        points=_points(assessed, page.importance),
        facts=page.facts,
        notes=page.notes,
        here=page.here,
        target=page.target,
        assessment=assessed,
        others=page.others,
        gains=page.gains,
        lower_is_better={name for name, one in METRICS.items() if one.lower_is_better},
        class_counts=page.class_counts,
        classes=classes,
        more_classes=len(order) - len(classes),
        pictures=encoded(page.pictures),
        fewest_rows=FEWEST_ROWS,
        serve=f"mlflow models serve -m {page.model_uri} --env-manager local",
        call=_call(page.example) if page.example else "",
    )


def encoded(pictures: Sequence[tuple[str, bytes]]) -> list[tuple[str, str]]:
    """Titles and PNG files, these as the text of a data URI."""
    return [(name, base64.b64encode(png).decode()) for name, png in pictures]


def fill(template: str, **values: Any) -> str:
    """Fills a template that lies beside this file; everything in it is escaped."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters["share"] = share
    environment.filters["chance"] = lambda p: "< 0.0001" if p < 0.0001 else f"{p:.4f}"
    environment.filters["number"] = lambda value: f"{value:.4f}"
    return environment.get_template(template).render(**values)


def share(value: float) -> str:
    """A share in percent, or a dash."""
    return "-" if value != value else f"{value:.1%}"


def _tiles(assessed: Assessment) -> list[tuple[str, str]]:
    accuracy, f1 = assessed.metrics["accuracy"], assessed.metrics["f1_macro"]
    label, most = assessed.majority
    between = f"{share(accuracy.low)} to {share(accuracy.high)} with {100 * assessed.confidence:g}%"
    tiles = [
        (share(accuracy.value), f"of {assessed.rows} rows are answered right ({between})"),
        (share(most), f"would be right by always saying {str(label)[:40]!r}"),
        (f"{f1.value:.3f}", "macro-F1: the mean over the classes, large or small"),
    ]
    if area := assessed.metrics.get("roc_auc"):
        tiles.append((f"{area.value:.3f}", "area under the ROC curve: 0.5 is chance, 1 is perfect"))
    return tiles


def _points(assessed: Assessment, importance: Sequence[str]) -> list[str]:
    """What a reader in a hurry should know."""
    said = []
    accuracy, (label, most) = assessed.metrics["accuracy"], assessed.majority
    if accuracy.low <= most:
        said.append(
            f"By its share of right answers it is not surely better than always saying {label!r}."
        )
    having = [code for code, one in enumerate(assessed.classes) if one.rows]
    weakest = min(having, key=lambda code: assessed.classes[code].recall.value)
    one = assessed.classes[weakest]
    if one.recall.value < 1:
        found = f"{share(one.recall.value)} of its {one.rows} rows are found"
        right = f", and {share(one.precision.value)} of the predictions of it are right"
        right = right if one.predicted else ""
        said.append(f"Hardest class: {str(assessed.labels[weakest])!r}; {found}{right}.")
    worst = [part for part in assessed.slices if part.p_value < 0.05][:1]
    for part in worst:
        said.append(
            f"Surely weaker where {part.column} {part.values}: {share(part.accuracy.value)} right, "
            f"{share(part.rest)} elsewhere."
        )
    if importance:
        said.append(f"It relies most on: {', '.join(importance[:3])}.")
    return said


def _call(example: Mapping[str, Any]) -> str:
    body = json.dumps({"inputs": [dict(example)]}, ensure_ascii=False)
    return (
        "curl localhost:5000/invocations -H 'Content-Type: application/json' \\\n  -d "
        + _shell_quoted(body)
    )


def _shell_quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"
