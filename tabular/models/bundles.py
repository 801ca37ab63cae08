"""Versions of this project, read and asked with the code in their own artifact."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tabular.models.model import PROBABILITY, Cells, Model, Predict


def is_bundle(inside: Any) -> bool:
    """Whether a model's own code is that of a version of this project."""
    return all(hasattr(inside, part) for part in ("columns", "labels", "table_columns", "pipeline"))


def as_model(inside: Any, *, uri: str, path: Path, pyfunc: Any, run_id: str) -> Model:
    """A loaded version of this project.

    Args:
        inside: its own code, from `unwrap_python_model`.
        uri: see `Model`.
        path: see `Model`.
        pyfunc: see `Model`.
        run_id: see `Model`.
    """
    own = type(inside).load_context.__globals__  # of the file in the artifact
    columns = tuple(inside.columns)
    profile = path / "artifacts" / "profile.json"

    def expand(typed: pd.DataFrame) -> pd.DataFrame:
        expanded: pd.DataFrame = own["expand"](typed, columns)
        return expanded

    return Model(
        uri=uri,
        path=path,
        pyfunc=pyfunc,
        inputs=tuple(column.name for column in columns),
        required=tuple(column.name for column in columns if column.required),
        read=_reader(columns, own["_READERS"], own["_found"]),
        predict=_predictor(inside, expand),
        classes=tuple(inside.labels),
        target=getattr(inside, "target", ""),  # the first versions do not say
        columns=columns,
        table_columns=tuple(inside.table_columns),
        run_id=run_id,
        profile=profile.read_text(encoding="utf-8") if profile.exists() else "",
        pipeline=inside.pipeline,
        expand=expand,
    )


def _reader(
    columns: tuple[Any, ...], readers: Any, describe: Callable[[Any], str]
) -> Callable[[pd.DataFrame, bool], Cells]:
    def read(raw: pd.DataFrame, as_text: bool) -> Cells:
        typed: dict[str, Any] = {}
        unreadable: dict[str, np.ndarray] = {}
        lacking: dict[str, np.ndarray] = {}
        absent = tuple(column.name for column in columns if column.name not in raw)
        refused = np.zeros(len(raw), dtype=bool)
        for column in columns:
            cells = (
                pd.Series([None] * len(raw), dtype=object)
                if column.name in absent
                else raw[column.name]
            )
            values, bad = readers[column.kind][0](cells, column, as_text)
            missing = np.asarray(pd.isna(values), dtype=bool) & ~bad & column.required
            refused |= bad | missing
            typed[column.name] = pd.Series(values).mask(bad) if bad.any() else values
            unreadable[column.name], lacking[column.name] = bad, missing

        def reasons() -> dict[int, str]:
            why: dict[int, str] = {}
            for column in columns:
                wanted = readers[column.kind][1]
                for row in np.flatnonzero(unreadable[column.name]):
                    cell = describe(raw[column.name].iloc[row])
                    why.setdefault(
                        int(row), f"column {column.name!r}: expected {wanted}, found {cell}"
                    )
                nothing = (
                    f"column {column.name!r} is missing"
                    if column.name in absent
                    else f"column {column.name!r}: no value found, and this column needs one "
                    "(it was never empty in training)"
                )
                for row in np.flatnonzero(lacking[column.name]):
                    why.setdefault(int(row), nothing)
            return why

        index = pd.RangeIndex(len(raw))
        return Cells(
            pd.DataFrame(typed, index=index),
            pd.DataFrame(unreadable, index=index),
            absent,
            refused,
            reasons,
        )

    return read


def _predictor(inside: Any, expand: Callable[[pd.DataFrame], pd.DataFrame]) -> Predict:
    classes = pd.Index(inside.labels)
    threshold = getattr(inside, "threshold", 0.5)

    def predict(typed: pd.DataFrame) -> tuple[pd.DataFrame, dict[int, str]]:
        proba = np.empty((0, len(classes)))
        if len(typed):
            proba = np.asarray(inside.pipeline.predict_proba(expand(typed)))
        reasons = {}
        if not np.isfinite(proba).all():  # row by row takes three times as long
            finite = np.isfinite(proba).all(axis=1)
            extreme = "its values are too extreme to be scored"
            reasons = dict.fromkeys(np.flatnonzero(~finite).tolist(), extreme)
            proba = proba[finite]
        codes = proba[:, 1] > threshold if len(classes) == 2 else proba.argmax(axis=1)
        labels = pd.Categorical.from_codes(codes.astype(np.intp), categories=classes)
        table: dict[str, Any] = {"prediction": labels}
        table |= {f"{PROBABILITY}{one}": p for one, p in zip(classes, proba.T, strict=True)}
        return pd.DataFrame(table), reasons

    return predict
