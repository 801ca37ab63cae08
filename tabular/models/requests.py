"""Bodies of requests, read as the model server reads them: by MLflow, then by the model."""

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from io import BytesIO, StringIO
from typing import Any

import numpy as np
import pandas as pd

from custom_model.served.columns import Column
from custom_model.served.numbers import groups_by_point
from tabular.errors import first_line
from tabular.models.model import ReadTable
from tabular.table.request_log import Body, RequestReader, RequestRows

AsFrame = Callable[[Any], pd.DataFrame]
"""Whatever MLflow hands over, as a frame with named columns."""


def request_reader(
    features: Sequence[str],
    as_frame: AsFrame,
    read: Callable[[pd.DataFrame, bool], ReadTable],
    *,
    schema: Any = None,
    columns: Sequence[Column] = (),
) -> RequestReader:
    """What reads logged requests for a model.

    Args:
        features: headings that the model reads.
        as_frame: of the model.
        read: as in `LoadedModel`.
        schema: of the inputs in the model's signature, by which MLflow reads a request.
        columns: features of a version of this project.
    """
    notations = {
        column.name: notation
        for column in columns
        if column.kind == "number" and groups_by_point(notation := getattr(column, "notation", ""))
    }

    def read_bodies(bodies: Sequence[Body]) -> RequestRows:
        unread: dict[int, str] = {}
        alike: defaultdict[Any, list[tuple[int, pd.DataFrame]]] = defaultdict(list)
        for position, body in enumerate(bodies):
            try:
                frame = as_frame(_parse(body, schema))
            except Exception as error:  # of MLflow, of pandas, or the model's refusal
                unread[position] = first_line(error)[:200]
            else:
                alike[*frame.columns, *frame.dtypes].append((position, frame))
        emptied: Counter[str] = Counter()
        frames, positions = [pd.DataFrame()], [np.empty(0, dtype=np.int64)]
        for group in alike.values():
            raw = pd.concat([frame for _, frame in group], ignore_index=True)
            raw.columns = raw.columns.map(str)
            cells = read(raw, False)
            emptied.update(
                {str(n): int(c.sum()) for n, c in cells.unreadable.items() if n in raw and c.any()}
            )
            typed = cells.typed.drop(columns=[*cells.absent])
            for name, notation in notations.items():
                if name in typed:
                    typed[name] = _respelled(typed[name], notation)
            rest = raw.drop(columns=[name for name in raw if name in typed]).astype(object)
            frames.append(pd.concat([typed, rest], axis=1))
            positions.append(np.repeat([p for p, _ in group], [len(f) for _, f in group]))
        whole, origin = pd.concat(frames, ignore_index=True), np.concatenate(positions)
        order = np.argsort(origin, kind="stable")
        return RequestRows(whole.iloc[order], origin[order], unread, emptied)

    return RequestReader(tuple(features), read_bodies)


def _parse(body: Body, schema: Any) -> Any:
    """What MLflow's server hands to `predict`."""
    from mlflow.pyfunc import scoring_server as server

    kind = body.content_type.partition(";")[0].strip()
    if kind == server.CONTENT_TYPE_CSV:
        return server.parse_csv_input(StringIO(body.content.decode("utf-8")), schema)
    if kind == server.CONTENT_TYPE_PARQUET:
        return server.parse_parquet_input(BytesIO(body.content))
    request = json.loads(body.content)
    data = {key: value for key, value in request.items() if key in server.SUPPORTED_FORMATS}
    return server.infer_and_parse_data(data, schema)


def _respelled(numbers: pd.Series, notation: str) -> pd.Series:
    """Numbers as texts of a notation in which a point stands between thousands.

    As a number, 12.375 would be refused there: it may be a 12.375 that a CSV reader has misread.
    """
    decimal = notation[notation.index("234") + 3]
    texts = [None if np.isnan(n) else repr(n).replace(".", decimal) for n in numbers.tolist()]
    return pd.Series(texts, dtype="str")
