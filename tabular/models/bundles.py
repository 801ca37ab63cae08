"""Versions of this project, read and asked with the code in their own artifact."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from mlflow.exceptions import MlflowException

from tabular.errors import BadInput
from tabular.models.model import PROBABILITY, LoadedModel, Predict, ReadTable
from tabular.models.requests import AsFrame, request_reader
from tabular.table.structure import cut_of, structure_of


def is_bundle(inside: Any) -> bool:
    """Whether a model's own code is that of a version of this project."""
    return all(hasattr(inside, part) for part in ("columns", "labels", "table_columns", "pipeline"))


def as_bundle(
    inside: Any, params: Mapping[str, Any], *, uri: str, path: Path, pyfunc: Any, run_id: str
) -> LoadedModel:
    """A loaded version of this project; `inside` is its own code, from `unwrap_python_model`.

    Raises:
        BadInput: it has no such params.
    """
    columns = tuple(inside.columns)
    own = inside if hasattr(inside, "score_typed") else _Older(inside)
    predict: Predict = own.score_typed
    if params:
        _check_params(inside, params, uri)
        predict = partial(inside.score_typed, params=params)
    inputs, table_columns = tuple(column.name for column in columns), tuple(inside.table_columns)
    profile = path / "artifacts" / "profile.json"
    return LoadedModel(
        uri=uri,
        path=path,
        pyfunc=pyfunc,
        inputs=inputs,
        required=tuple(column.name for column in columns if column.required),
        read=own.read,
        predict=predict,
        predict_proba=own.predict_proba_typed,
        classes=tuple(inside.labels),
        target=getattr(inside, "target", ""),  # the first versions do not say
        columns=columns,
        table_columns=table_columns,
        structure=structure_of(pyfunc.metadata.metadata),
        cut=cut_of(pyfunc.metadata.metadata),
        params=params,
        run_id=run_id,
        costs=getattr(inside, "costs", None),
        at_least=getattr(inside, "at_least", ""),
        profile=profile.read_text(encoding="utf-8") if profile.exists() else "",
        requests=request_reader(inputs, _as_frame(inside), own.read, columns=columns),
    )


def _as_frame(inside: Any) -> AsFrame:
    """What the version makes of whatever MLflow hands over, with the code in its own artifact."""
    if hasattr(inside, "score_typed"):
        as_frame = type(inside.model).predict.__globals__["as_frame"]
    else:
        as_frame = type(inside).load_context.__globals__["_as_frame"]
    named = {"columns": inside.columns, "table_columns": [*inside.table_columns]}
    return partial(as_frame, **named)


def _check_params(inside: Any, params: Mapping[str, Any], uri: str) -> None:
    if not hasattr(inside, "read_params"):
        raise BadInput(f"{uri} is of an older release, without {' and '.join(params)}; train again")
    try:
        inside.read_params(params)
    except MlflowException as refusal:
        raise BadInput(f"{uri}: {refusal.message}") from None


class _Older:
    """What `custom_model.served.model.Model` does, for artifacts with all code in one file."""

    def __init__(self, inside: Any) -> None:
        self.code = type(inside).load_context.__globals__  # of the file in the artifact
        self.inside = inside

    def read(self, raw: pd.DataFrame, as_text: bool) -> ReadTable:
        typed: dict[str, Any] = {}
        unreadable: dict[str, np.ndarray] = {}
        lacking: dict[str, np.ndarray] = {}
        columns, readers = self.inside.columns, self.code["_READERS"]
        absent = tuple(column.name for column in columns if column.name not in raw)
        refused = np.zeros(len(raw), dtype=bool)
        nothing = pd.Series([None] * len(raw), dtype=object)
        for column in columns:
            name = column.name
            cells = nothing if name in absent else raw[name]
            values, bad = readers[column.kind][0](cells, column, as_text)
            missing = np.asarray(pd.isna(values), dtype=bool) & ~bad
            typed[name] = pd.Series(values).mask(bad) if bad.any() else values
            unreadable[name], lacking[name] = bad, missing & column.required
            refused |= bad | lacking[name]

        def reasons() -> dict[int, str]:
            why: dict[int, str] = {}
            for column in columns:
                name, wanted = column.name, readers[column.kind][1]
                for row in np.flatnonzero(unreadable[name]).tolist():
                    cell = self.code["_found"](raw[name].iloc[row])
                    why.setdefault(row, f"column {name!r}: expected {wanted}, found {cell}")
                reason = (
                    "the table lacks it"
                    if name in absent
                    else (
                        "no value found, and this column needs one (it was never empty in training)"
                    )
                )
                for row in np.flatnonzero(lacking[name]).tolist():
                    why.setdefault(row, f"column {name!r}: {reason}")
            return dict(sorted(why.items()))

        index = pd.RangeIndex(len(raw))
        of_typed, of_bad = pd.DataFrame(typed, index=index), pd.DataFrame(unreadable, index=index)
        return ReadTable(of_typed, of_bad, absent, refused, reasons)

    def predict_proba_typed(self, typed: pd.DataFrame) -> np.ndarray:
        if typed.empty:
            return np.empty((0, len(self.inside.labels)))
        expanded = self.code["expand"](typed, self.inside.columns)
        return np.asarray(self.inside.pipeline.predict_proba(expanded))

    def score_typed(self, typed: pd.DataFrame) -> tuple[pd.DataFrame, dict[int, str]]:
        classes, proba = pd.Index(self.inside.labels), self.predict_proba_typed(typed)
        finite = np.isfinite(proba).all(axis=1)
        extreme = "its values are too extreme to be scored"
        reasons = dict.fromkeys(np.flatnonzero(~finite).tolist(), extreme)
        proba = proba if finite.all() else proba[finite]
        codes = proba.argmax(axis=1)
        if len(classes) == 2:
            codes = (proba[:, 1] > getattr(self.inside, "threshold", 0.5)).astype(np.intp)
        labels = pd.Categorical.from_codes(codes, categories=classes)
        table: dict[str, Any] = {"prediction": labels}
        table |= {f"{PROBABILITY}{one}": p for one, p in zip(classes, proba.T, strict=True)}
        return pd.DataFrame(table), reasons
