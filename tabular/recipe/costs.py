"""The user's matrix of costs, read and checked."""

import csv
import io
import json
import math
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from custom_model.served.columns import Label
from tabular.errors import BadInput, choices, first_line

FORM = 'such as {"no": {"yes": 1}, "yes": {"no": 10}}: the true class, the predicted one, the cost'


def read_costs(
    text: str, labels: Sequence[Label], download: Callable[[str, Path], Path]
) -> np.ndarray:
    """Costs of predicting column for row, (n_classes, n_classes) in the order of the labels.

    Args:
        text: JSON, `{"true": {"predicted": cost}}`; or CSV of several lines, with the predicted
            classes as headings and the true ones in the first column; or the path or URI of a file
            with one of these. A right prediction that is not named costs nothing.
        labels: the classes.
        download: fetches the file of a URI into a folder.

    Raises:
        BadInput: it cannot be read, a class is unknown or missing, a cost is no number or below 0,
            or a right prediction costs more than a wrong one.
    """
    given = _given(text, download)
    known = {str(label): y for y, label in enumerate(labels)}
    costs = np.full((len(labels), len(labels)), np.nan)
    np.fill_diagonal(costs, 0.0)
    for true, row in given.items():
        for predicted, cost in row.items():
            for name in (true, predicted):
                if name not in known:
                    raise BadInput(f"cost: {name!r} is no class; {choices(name, known)}")
            if not isinstance(cost, float):
                raise BadInput(f"cost of {predicted!r} for {true!r}: no number, found {cost!r}")
            if not math.isfinite(cost) or (cost < 0 and true != predicted):
                raise BadInput(
                    f"cost of {predicted!r} for {true!r}: expected 0 or more, found {cost}; a gain "
                    "is a cost below 0 of a right prediction"
                )
            costs[known[true], known[predicted]] = cost
    if np.isnan(costs).any():
        y, other = map(int, np.argwhere(np.isnan(costs))[0])
        raise BadInput(
            f"cost: what it costs to predict {str(labels[other])!r} for {str(labels[y])!r} is not "
            "given; give a cost for every pair of classes"
        )
    if (excess := costs - np.diag(costs)[:, None]).min() < 0:
        y, other = divmod(int(excess.argmin()), len(labels))
        raise BadInput(
            f"cost: predicting {str(labels[other])!r} for {str(labels[y])!r} costs less than "
            "predicting it right"
        )
    if not excess.any():
        raise BadInput("cost: every prediction costs the same, so there is nothing to decide")
    return costs


def _given(text: str, download: Callable[[str, Path], Path]) -> dict[str, dict[str, Any]]:
    """The cost by true and predicted class, as it stands."""
    if not text.lstrip().startswith("{") and "\n" not in text.strip():
        text = _read(text, download)
    if not text.strip():
        raise BadInput(f"cost: the file is empty; write JSON into it {FORM}")
    if not text.lstrip().startswith("{"):
        header, *rows = csv.reader(io.StringIO(text.strip()))
        return {
            row[0].strip(): {
                name.strip(): _number(cell)
                for name, cell in zip(header[1:], row[1:], strict=False)
                if cell.strip()
            }
            for row in rows
            if row
        }
    try:
        given = json.loads(text, parse_int=float)
    except json.JSONDecodeError as error:
        raise BadInput(f"cost is no JSON ({error}); write it {FORM}") from None
    if not all(isinstance(row, dict) for row in given.values()):
        raise BadInput(f"cost: expected an object for each true class; write it {FORM}")
    return dict(given)


def _read(place: str, download: Callable[[str, Path], Path]) -> str:
    """The text of a file."""
    with tempfile.TemporaryDirectory() as folder:
        path = download(place, Path(folder)) if "://" in place or ":/" in place else Path(place)
        try:
            return path.read_text("utf-8-sig")
        except (OSError, ValueError) as error:
            raise BadInput(
                f"cost: {place!r} cannot be read ({first_line(error)}); give a file "
                f"of JSON or CSV, or JSON {FORM}"
            ) from None


def _number(cell: str) -> Any:
    try:
        return float(cell)
    except ValueError:
        return cell
