"""A loaded model, whoever made it: what it reads of a table, and what it predicts."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from custom_model.served.columns import Column, Label
from tabular.errors import BadInput, choices
from tabular.table.request_log import RequestReader
from tabular.table.structure import ALL_ALIKE, Structure

PROBABILITY = "probability_"


@dataclass(frozen=True)
class ReadTable:
    """A table as a model reads it.

    Args:
        typed: (n_rows, n_columns) what the model predicts from; unreadable cells are missing in it.
        unreadable: (n_rows, n_columns) bool.
        absent: columns that the model reads and the table does not have.
        refused: (n_rows,) bool: rows that the model cannot score.
        reasons: gives the reason for each of them, by position from 0.
    """

    typed: pd.DataFrame
    unreadable: pd.DataFrame
    absent: tuple[str, ...]
    refused: np.ndarray
    reasons: Callable[[], dict[int, str]]


@dataclass(frozen=True)
class PredictedRows:
    """What a model predicts for the rows of a table.

    Args:
        uri: of the model.
        table: (n_scored, n_columns): `prediction`, then `probability_<class>` where the model gives
            probabilities; a model of another maker may give columns of its own.
        scored: (n_rows,) bool: the rows of the table that `table` has.
        reasons: why the others are refused, by position from 0.
    """

    uri: str
    table: pd.DataFrame
    scored: np.ndarray
    reasons: dict[int, str]

    def among(self, rows: np.ndarray) -> "PredictedRows":
        """Those for some of the scored rows, (n_rows,) bool."""
        table = self.table[rows[self.scored]].reset_index(drop=True)
        return replace(self, table=table, scored=self.scored & rows)

    def describe_refused(self, rows: np.ndarray | None = None) -> str:
        """How many of `rows`, or of all, are refused, and why the first is; "" where none is."""
        rows = np.ones(len(self.scored), dtype=bool) if rows is None else rows
        refused = rows & ~self.scored
        if not refused.any():
            return ""
        row = int(refused.argmax())
        return (
            f"{refused.sum()} of {rows.sum()} rows cannot be scored; the first: row {row + 1}, "
            f"{self.reasons[row]}."
        )

    @property
    def y_pred(self) -> list[Label]:
        """Predicted labels, (n_scored,).

        Raises:
            BadInput: the model's answer is not that of a classifier.
        """
        named = [name for name in self.table if not str(name).startswith(PROBABILITY)]
        if "prediction" not in named and len(named) != 1 and len(self.table):
            raise BadInput(
                f"{self.uri} answers with the columns {', '.join(map(str, named[:8]))}; a "
                "classifier's answer has one of labels, and may have probability_<class> for each"
            )
        name = "prediction" if "prediction" in named else (named or [None])[0]
        return [as_python(one) for one in self.table[name]] if len(self.table) else []

    @property
    def proba(self) -> pd.DataFrame | None:
        """Probabilities by class, (n_scored, n_classes); None where the model gives none."""
        names = [name for name in self.table if str(name).startswith(PROBABILITY)]
        if not names:
            return None
        classes = [str(name).removeprefix(PROBABILITY) for name in names]
        return self.table[names].set_axis(classes, axis=1)


Predict = Callable[[pd.DataFrame], tuple[pd.DataFrame, dict[int, str]]]


@dataclass(frozen=True)
class LoadedModel:
    """A model that is ready to be asked.

    Args:
        uri: of the version, whatever stage or alias was asked for.
        path: of its artifact, which lies there for as long as the model is used.
        pyfunc: MLflow's own form of it.
        inputs: columns that it reads; None for all that a table has.
        required: those of them without which it scores no row.
        read: reads a raw table; the second argument says that its cells are uninterpreted text, as
            those of a CSV are. A version of this project reads with the code in its own artifact.
        predict: from typed rows that are not refused to the table of `PredictedRows`, and the
            reason for each row that cannot be scored all the same.
        classes: its labels; empty where it does not say.
        target: heading of the column it predicts, "" where it does not say.
        columns: features of a version of this project; empty for any other model.
        table_columns: headings of its training table without the target.
        run_id: of the run that logged it, "" where it does not say.
        profile: text of its `profile.json`, "" without.
        costs: (n_classes, n_classes) of predicting column for row, by which it decides; or None.
        at_least: the rate that its threshold was chosen to hold, such as precision[yes]:0.9; "" for
            none.
        structure: columns of its training table with a role in place of a feature.
        cut: the first moment of its holdout as text, "" without `structure.time`.
        params: of inference, that every prediction is made with.
        predict_proba: from typed rows to (n_rows, n_classes); None for a model of another maker.
        requests: reads a log of requests; None where the model names no inputs.
    """

    uri: str
    path: Path
    pyfunc: Any
    inputs: tuple[str, ...] | None
    required: tuple[str, ...]
    read: Callable[[pd.DataFrame, bool], ReadTable]
    predict: Predict
    classes: tuple[Label, ...] = ()
    target: str = ""
    columns: tuple[Column, ...] = ()
    table_columns: tuple[str, ...] = ()
    run_id: str = ""
    profile: str = ""
    costs: np.ndarray | None = None
    at_least: str = ""
    structure: Structure = ALL_ALIKE
    cut: str = ""
    params: Mapping[str, Any] = field(default_factory=dict)
    predict_proba: Callable[[pd.DataFrame], np.ndarray] | None = None
    requests: RequestReader | None = None

    def ask(self, cells: ReadTable) -> PredictedRows:
        """Asks for the rows of a table, from `read`, that are not refused.

        Raises:
            BadInput: the model cannot be asked.
        """
        scored, reasons, typed = ~cells.refused, {}, cells.typed
        rows = np.flatnonzero(scored)
        if len(rows) < len(scored):
            reasons = cells.reasons()
            typed = typed[scored].reset_index(drop=True)
        table, refused = self.predict(typed)
        if refused:
            reasons = reasons | {int(rows[row]): reason for row, reason in refused.items()}
            scored[rows[list(refused)]] = False
        return PredictedRows(self.uri, table, scored, dict(sorted(reasons.items())))

    def check_columns(self, names: Iterable[str], data: str) -> None:
        """Looks whether a table has the columns without which no row is scored.

        Raises:
            BadInput: one is missing.
        """
        present = list(names)
        if missing := [name for name in self.required if name not in present]:
            raise BadInput(
                f"column {missing[0]!r} is missing in {data}, and {self.uri} needs it; "
                f"{choices(missing[0], present)}"
            )


def as_python(value: Any) -> Any:
    """A value of numpy as Python's own."""
    return value.item() if isinstance(value, np.generic) else value
