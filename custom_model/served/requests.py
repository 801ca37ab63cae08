"""Whatever MLflow hands over, as a frame."""

import json
import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE

from .cells import DoubledColumn, describe, listed, read_cells
from .columns import PLAIN_NUMBER, Column, Label


class Refusal(MlflowException):
    """A request that cannot be scored, told in one sentence (HTTP 400).

    MLflow's server puts the caller's rows before an exception's message; this message cannot be
    rewritten, so the answer is the sentence and nothing else.
    """

    def __init__(self, *problems: str) -> None:
        self._message = problems[0]
        if more := len(problems) - 1:
            self._message += f" (and {more} more column{'s' * (more > 1)} with problems)"
        self.problems = list(problems[:20])
        super().__init__(self._message, error_code=INVALID_PARAMETER_VALUE)

    @property
    def message(self) -> str:
        """The sentence."""
        return self._message

    @message.setter
    def message(self, _: str) -> None:
        pass

    def serialize_as_json(self) -> str:
        """The body of the answer."""
        return json.dumps(
            {"error_code": self.error_code, "message": self.message, "problems": self.problems}
        )


@dataclass(frozen=True)
class Asked:
    """What the params of a request ask for.

    Args:
        threshold: of two classes, the second is predicted where its probability is above it.
        coverage: of the prediction sets, below 1; 0 for none.
        reasons: how many columns with their effects; 0 for none.
        code: class that the reasons are for; None for each row's predicted one.
    """

    threshold: float
    coverage: float = 0.0
    reasons: int = 0
    code: int | None = None


def read_params(
    params: Mapping[str, Any] | None,
    defaults: Asked,
    labels: Sequence[Label],
    n_columns: int,
    possible: Collection[str],
) -> Asked:
    """Reads the params of a request; what is null is not asked for.

    Args:
        params: of MLflow.
        defaults: what is done where nothing is asked for.
        labels: the classes.
        n_columns: how many features there are.
        possible: `coverage` and `reasons`, where the version has what they are made from.

    Raises:
        Refusal: one of them is not possible.
    """
    given = {name: value for name, value in (params or {}).items() if value is not None}
    if not given:
        return defaults
    asked = replace(
        defaults,
        threshold=float(given.get("threshold", defaults.threshold)),
        coverage=float(given.get("coverage", 0)),
        reasons=given.get("reasons", 0),
    )
    if not 0 <= asked.threshold <= 1:
        raise Refusal(f"params: threshold must lie between 0 and 1, found {asked.threshold}")
    if not 0 <= asked.coverage < 1:
        raise Refusal(
            f"params: coverage must be above 0 and below 1, or 0 for none, found {asked.coverage}"
        )
    for name in ("coverage", "reasons"):
        if given.get(name) and name not in possible:
            raise Refusal(
                f"params: {name} is not possible, as this version has nothing to make it from; "
                "train again"
            )
    if asked.reasons not in range(n_columns + 1):
        raise Refusal(
            f"params: reasons must be a whole number from 0 to {n_columns}, as there are so many "
            f"columns, found {asked.reasons}"
        )
    wanted = str(given.get("reasons_for", ""))
    if not wanted:
        return asked
    if not asked.reasons:
        raise Refusal("params: reasons_for needs reasons, the number of columns")
    names = [str(label) for label in labels]
    if wanted not in names:
        raise Refusal(f"params: reasons_for must be one of {listed(names)}, found {wanted[:40]!r}")
    return replace(asked, code=names.index(wanted))


def conform(
    frame: pd.DataFrame, columns: Sequence[Column], *, as_text: bool = False
) -> pd.DataFrame:
    """Turns a raw frame into a typed one, all or nothing: see `read_cells`.

    Raises:
        Refusal: a column is absent or doubled, or a cell cannot be read or may not be missing.
    """
    try:
        cells = read_cells(frame, columns, as_text=as_text)
    except DoubledColumn as doubled:
        raise Refusal(str(doubled)) from None
    if problems := cells.problems():
        raise Refusal(*problems)
    return cells.typed


def plain(value: Any) -> Any:
    """The value that MLflow wrapped into an array without dimensions."""
    return value.item() if isinstance(value, np.ndarray) and not value.ndim else value


def as_frame(data: Any, columns: Sequence[Column], table_columns: list[str]) -> pd.DataFrame:
    """Whatever MLflow hands over, as a frame with named columns; names win over positions."""
    if isinstance(data, dict):
        if not data:
            raise Refusal("no columns found; send each column with a list of its values")
        if any(np.ndim(values) for values in data.values()):
            return _from_lists(data)
        data = [data]
    if isinstance(data, list) and all(isinstance(row, dict) for row in data):
        return pd.DataFrame([{name: plain(cell) for name, cell in row.items()} for row in data])
    if isinstance(data, list):
        data = np.array(data, dtype=object)
    if isinstance(data, np.ndarray):
        if data.ndim != 2:
            raise Refusal("expected a list of rows, each an object or a list of values")
        if data.dtype.kind == "U":
            _refuse_texts(data, columns, table_columns)
        return _named_by_position(pd.DataFrame(data).infer_objects(), columns, table_columns)
    if not isinstance(data, pd.DataFrame):
        raise Refusal(f"expected rows of named values, found {describe(data)}")
    needed = {column.name for column in columns if column.required}
    if isinstance(data.columns, pd.RangeIndex) and not needed <= set(map(str, data.columns)):
        return data if data.empty else _named_by_position(data, columns, table_columns)
    return data


def _refuse_texts(texts: np.ndarray, columns: Sequence[Column], table_columns: list[str]) -> None:
    """Refuses a text among plain numbers, naming it alone: numpy makes texts of all such cells.

    Accepts nothing: which of the cells that look like numbers were texts cannot be told any more.
    """
    plain = np.vectorize(lambda text: bool(PLAIN_NUMBER.fullmatch(text)), otypes=[bool])(texts)
    cells = texts.astype(object)
    cells[plain] = texts[plain].astype(float)
    frame = pd.DataFrame(cells).infer_objects()
    conform(_named_by_position(frame, columns, table_columns), columns)


def _from_lists(data: dict[str, Any]) -> pd.DataFrame:
    lengths = {len(values) if np.ndim(values) else None for values in data.values()}
    if len(lengths) > 1:
        raise Refusal("the columns have unequal lengths; send as many values for each")
    arrays = {name: np.asarray(values) for name, values in data.items()}
    return pd.DataFrame(
        {
            name: pd.Series([plain(cell) for cell in cells] if cells.dtype == object else cells)
            if cells.ndim == 1
            else pd.Series(list(cells))
            for name, cells in arrays.items()
        }
    )


def _named_by_position(
    frame: pd.DataFrame, columns: Sequence[Column], table_columns: list[str]
) -> pd.DataFrame:
    features = [column.name for column in columns]
    if any(column.kind != "number" for column in columns):
        raise Refusal("rows without names need a model of numbers only; send names with the values")
    for names in (table_columns, features):
        if len(names) == len(frame.columns):
            return frame.set_axis(names, axis=1)
    width = len(frame.columns)
    raise Refusal(f"row 1: expected {len(features)} numbers ({listed(features)}), found {width}")


def refuse_doubled(frame: pd.DataFrame, features: Sequence[Column], known: set[str]) -> None:
    """Refuses `x.1` beside a feature `x`: pandas' mark of a heading that is there twice."""
    present = set(frame.columns)
    for column in features:
        if f"{column.name}.1" in present and f"{column.name}.1" not in known:
            raise Refusal(f"column {column.name!r} is there more than once; send it once")


class UnknownParams(logging.Filter):
    """Refuses inference parameters that the model does not know.

    MLflow drops them with a warning, and so answers a mistyped `threshold` as if none was sent.
    Only the warning is seen in time; attached in a model server's own process alone.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Raises where MLflow warns."""
        text = record.getMessage()
        if text.startswith(("Unrecognized params", "`params` can only be specified")):
            raise Refusal(
                "unknown params; possible are 'coverage', 'reasons', 'reasons_for' and, of models "
                "of two classes, 'threshold'"
            )
        return True
