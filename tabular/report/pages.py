"""`report.html`: one page, no script, no file beside it. `drift.html` shares its look."""

import base64
import json
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jinja2
import numpy as np

from custom_model.served.cells import expected
from custom_model.served.columns import Column
from tabular.report.assessment import Assessment
from tabular.report.explained import SetSizes
from tabular.report.groups import Groups
from tabular.report.slices import FEWEST_ROWS
from tabular.stats.intervals import GainEstimate
from tabular.stats.metrics import METRICS
from tabular.table.dataset import Dataset
from tabular.table.split import Split

MOST_CLASSES = 100
MOST_ALIKE = 5  # columns of which the same is said, a sentence each


@dataclass(frozen=True)
class Page:
    """What a report shows.

    Args:
        title: heading.
        summary: one sentence.
        dataset: the table.
        assessment: of the predictions for some of its rows.
        here: name of the assessed rows: "holdout".
        cautions: what to know before believing the figures.
        pictures: PNG by title.
        sides: (n_rows,) bool, the rows of each side by its name, such as "rows in training".
        notes: what was left out, a sentence each.
        others: further values of the metrics, by their heading.
        gains: over another model, by metric.
        model_uri: as `mlflow models serve` takes it.
        example: a row as a client sends it; none for no call.
        importance: columns that the model relies on, the most important first.
        sets: coverage and sizes of prediction sets.
        reasons: of the rows that are most confidently wrong.
        groups: the predictions by groups of rows.
    """

    title: str
    summary: str
    dataset: Dataset
    assessment: Assessment
    here: str
    pictures: Mapping[str, bytes]
    sides: Mapping[str, np.ndarray]
    notes: Sequence[str] = ()
    cautions: Sequence[str] = ()
    others: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    gains: Mapping[str, GainEstimate] = field(default_factory=dict)
    model_uri: str = ""
    example: Mapping[str, Any] = field(default_factory=dict)
    importance: Sequence[str] = ()
    sets: Sequence[SetSizes] = ()
    reasons: Sequence[str] = ()
    groups: Groups = field(default_factory=Groups)


def notes(dataset: Dataset, split: Split) -> list[str]:
    """What was left out or moved, a sentence each."""
    sentences = [*dataset.notes]
    sentences += _of_columns((left.name, f" {left.reason}: left out.") for left in dataset.left_out)
    if dataset.unlabelled:
        sentences.append(f"{dataset.unlabelled} rows have no {dataset.target!r}: left out.")
    sentences += _of_columns((c.name, told) for c in dataset.columns for told in _readings(c))
    if split.cut is not None:
        sentences.append(
            f"Held out: rows from {split.first_moment} on, by {dataset.structure.time!r}."
        )
    if split.unused is not None:
        sentences.append(
            f"{split.unused.sum()} older rows are of groups of the holdout: not trained on."
        )
    if split.left_out is not None:
        sentences.append(f"{split.left_out.sum()} rows were not trained on, as the time was up.")
    if split.moved:
        sentences.append(f"{split.moved} rows changed sides so that their class is on both.")
    if split.one_sided:
        names = ", ".join(repr(dataset.labels[code]) for code in split.one_sided[:10])
        sentences.append(f"Classes with too few rows for both sides, not in the holdout: {names}.")
    return sentences


def _readings(column: Column) -> Iterator[str]:
    """What is said of how a column is read, each the end of a sentence."""
    if column.notation:
        yield f": each cell is {expected(column)}."
    if column.missing:
        words = ", ".join(repr(word) for word in column.missing)
        yield f" is a {column.kind}; {words} in it means a missing value."
    if column.null_level is not None:
        yield (
            f" has the value {column.null_level!r}, which CSV readers take for a missing one: the "
            "two count as one value."
        )


def _of_columns(told: Iterable[tuple[str, str]]) -> list[str]:
    """Sentences from names of columns and what is said of each; the same of many, once."""
    told, names = list(told), dict[str, list[str]]()
    for name, ending in told:
        names.setdefault(ending, []).append(name)
    sentences = []
    for name, ending in told:
        alike = names[ending]
        if len(alike) <= MOST_ALIKE:
            sentences.append(f"Column {name!r}{ending}")
        elif name == alike[0]:
            first = ", ".join(map(repr, alike[:MOST_ALIKE]))
            sentences.append(f"Each of {len(alike)} columns ({first}, ...){ending}")
    return sentences


def write_report(folder: Path, page: Page) -> None:
    """Writes `report.html`, and each picture in it as a file."""
    for name, png in page.pictures.items():
        (folder / f"{name}.png").write_bytes(png)
    (folder / "report.html").write_text(render(page), encoding="utf-8")


def render(page: Page) -> str:
    """The page as HTML."""
    assessed, dataset = page.assessment, page.dataset
    sides = np.array(
        [
            np.bincount(dataset.codes[rows], minlength=len(dataset.labels))
            for rows in page.sides.values()
        ]
    )
    totals = sides.sum(axis=0)
    shown = np.arange(len(totals))
    if len(shown) > MOST_CLASSES:
        shown = np.argsort(-totals, kind="stable")[:MOST_CLASSES]
    classes = [
        {
            "label": assessed.labels[y],
            "counts": sides[:, y],
            "share": totals[y] / max(1, totals.sum()),
            "estimates": assessed.classes[y],
        }
        for y in shown
    ]
    return fill(
        "report.html",
        **vars(page),
        tiles=_tiles(assessed),
        facts=_facts(dataset, page.sides),
        points=_points(assessed, page.importance),
        lower_is_better={name for name, one in METRICS.items() if one.lower_is_better},
        classes=classes,
        more_classes=len(totals) - len(classes),
        fewest_rows=FEWEST_ROWS,
        serve=f"mlflow models serve -m {page.model_uri} --env-manager local",
        call=curl(page.example) if page.example else "",
    )


def curl(row: Mapping[str, Any]) -> str:
    """The command that asks a model server about one row."""
    body = json.dumps({"inputs": [dict(row)]}, ensure_ascii=False)
    return (
        "curl localhost:5000/invocations -H 'Content-Type: application/json' \\\n  -d "
        + shlex.quote(body)
    )


def fill(template: str, **values: Any) -> str:
    """Fills a template that lies beside this file; everything in it is escaped."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters |= {
        "share": share,
        "chance": lambda p: "< 0.0001" if p < 0.0001 else f"{p:.4f}",
        "number": lambda value: f"{value:.4f}",
        "base64": lambda png: base64.b64encode(png).decode(),
    }
    return environment.get_template(template).render(**values)


def share(value: float) -> str:
    """A share in percent, or a dash."""
    return "-" if value != value else f"{value:.1%}"


def _facts(dataset: Dataset, sides: Mapping[str, np.ndarray]) -> list[tuple[str, str]]:
    """What the table is: name and value."""
    rows = [f"{rows.sum()}{side.removeprefix('rows')}" for side, rows in sides.items()]
    kinds = [column.kind for column in dataset.columns]
    return [
        ("source", dataset.source),
        ("target", dataset.target),
        ("rows", ", ".join(rows)),
        ("features", ", ".join(f"{kinds.count(k)} {k}" for k in dict.fromkeys(kinds))),
        ("digest", dataset.digest),
    ]


def _tiles(assessed: Assessment) -> list[tuple[str, str]]:
    """The most important numbers, and what each of them is."""
    accuracy, f1 = assessed.metrics["accuracy"], assessed.metrics["f1_macro"]
    label, most = assessed.majority
    between = f"{accuracy.between('.1%')} with {100 * assessed.confidence:g}%"
    tiles = [
        (share(accuracy.value), f"of {assessed.rows} rows are predicted correctly ({between})"),
        (share(most), f"would be correct by always predicting {str(label)[:40]!r}"),
        (f"{f1.value:.3f}", "macro-F1: the mean over the classes, large or small"),
    ]
    if area := assessed.metrics.get("roc_auc"):
        tiles.append((f"{area.value:.3f}", "area under the ROC curve: 0.5 is chance, 1 is perfect"))
    return tiles


def _points(assessed: Assessment, importance: Sequence[str]) -> list[str]:
    """What a reader in a hurry should know."""
    points = [assessed.cost_sentence] if assessed.costs else []
    label, most = assessed.majority
    if assessed.metrics["accuracy"].low <= most:
        points.append(
            f"By its accuracy it is not certainly better than always predicting {label!r}."
        )
    present = [y for y, one in enumerate(assessed.classes) if one.rows]
    weakest = min(present, key=lambda y: assessed.classes[y].recall.value)
    one = assessed.classes[weakest]
    if one.recall.value < 1:
        point = (
            f"Hardest class: {str(assessed.labels[weakest])!r}; {share(one.recall.value)} of its "
            f"{one.rows} rows are predicted as it"
        )
        if one.predicted:
            point += f", and {share(one.precision.value)} of the predictions of it are right"
        points.append(f"{point}.")
    for part in [part for part in assessed.slices if part.p_value < 0.05][:1]:
        points.append(
            f"Certainly weaker where {part.column} {part.values}: {share(part.accuracy.value)} "
            f"right, {share(part.rest)} elsewhere."
        )
    if importance:
        points.append(f"It relies most on: {', '.join(importance[:3])}.")
    return points
