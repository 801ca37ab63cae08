"""`report.html`: one page, no script, no file beside it."""

import base64
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
import numpy as np

from tabular.dataset import Dataset
from tabular.metrics import METRICS, metric_names
from tabular.split import Split

_TEMPLATE = Path(__file__).with_name("report.html")
MOST_CLASSES = 100


def notes(dataset: Dataset, split: Split) -> list[str]:
    """What was left out or moved, a sentence each."""
    said = [f"Column {left.name!r} {left.reason}: left out." for left in dataset.left_out]
    if dataset.unlabelled:
        said.append(f"{dataset.unlabelled} rows have no {dataset.target!r}: left out.")
    for column in dataset.columns:
        if column.missing:
            words = ", ".join(repr(word) for word in column.missing)
            said.append(f"Column {column.name!r} is a number; {words} in it means a missing value.")
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


def render(
    dataset: Dataset,
    split: Split,
    *,
    title: str,
    summary: str,
    metrics: Mapping[str, float],
    pictures: Sequence[Path],
    example: Sequence[Mapping[str, Any]],
) -> str:
    """Renders the page.

    Args:
        dataset: the table.
        split: its sides.
        title: heading.
        summary: one sentence.
        metrics: `holdout_*` and `cv_*`.
        pictures: PNG files.
        example: rows as a client sends them.
    """
    counts = [
        np.bincount(dataset.codes[rows], minlength=len(dataset.labels))
        for rows in (split.train, split.holdout)
    ]
    f1 = [metrics.get(f"holdout_f1_class_{n}") for n in metric_names(dataset.labels)]
    classes = zip(dataset.labels, *counts, map(_number, f1), strict=True)
    kinds = [column.kind for column in dataset.columns]
    template = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined).from_string(
        _TEMPLATE.read_text(encoding="utf-8")
    )
    return template.render(
        title=title,
        summary=summary,
        data=[
            ("source", dataset.source),
            ("target", dataset.target),
            ("rows", f"{split.train.sum()} in training, {split.holdout.sum()} in the holdout"),
            ("features", ", ".join(f"{kinds.count(k)} {k}" for k in dict.fromkeys(kinds))),
            ("digest", dataset.digest),
        ],
        notes=notes(dataset, split),
        metrics=[
            (name, _number(metrics.get(f"holdout_{name}")), _number(metrics.get(f"cv_{name}")))
            for name in METRICS
        ],
        classes=list(classes)[:MOST_CLASSES],
        pictures=[
            (picture.stem, base64.b64encode(picture.read_bytes()).decode()) for picture in pictures
        ],
        call="curl localhost:5000/invocations -H 'Content-Type: application/json' \\\n  -d "
        + _shell_quoted(json.dumps({"inputs": list(example[:1])}, ensure_ascii=False)),
    )


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def _shell_quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"
