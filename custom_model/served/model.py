"""The model."""

import gc
import json
import logging
import os
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from threadpoolctl import ThreadpoolController

from .cells import Cells, read_cells
from .columns import Column, expand
from .few import FEW_ROWS, Unsure, read_few
from .ragged import refuse_ragged
from .reasons import largest, shapley_values
from .requests import Asked, Refusal, UnknownParams, as_frame, conform, read_params, refuse_doubled
from .sets import decide_classes, in_sets
from .trust import load_pipeline

TOO_EXTREME = "its values are too extreme to be scored"

_log = logging.getLogger("bundle")


class Model:
    """Preprocessing, classifier and probabilities behind MLflow's `predict`.

    Args:
        artifacts: paths of `bundle` (JSON) and `pipeline` (skops).
    """

    def __init__(self, artifacts: Mapping[str, str]) -> None:
        spec = json.loads(Path(artifacts["bundle"]).read_text(encoding="utf-8"))
        self.columns = [Column(**{**c, "missing": tuple(c["missing"])}) for c in spec["columns"]]
        self.labels: list[Any] = spec["labels"]
        self.table_columns: list[str] = spec["table_columns"]
        self.target: str = spec["target"]
        self.outputs = [f"probability_{label}" for label in self.labels]
        self.threshold: float = spec.get("threshold", 0.5)
        self.at_least: str = spec.get("at_least", "")
        self.costs = None if spec.get("costs") is None else np.array(spec["costs"], dtype=float)
        self.sets: dict[str, Any] | None = spec.get("sets")
        self.typical: dict[str, Any] | None = spec.get("typical")
        self.pipeline = load_pipeline(artifacts["pipeline"])
        self.few = self._compile() if spec["compiled"]["proved"] else None
        self.thread_pools = ThreadpoolController()
        self.serves = "__pyfunc_model_path__" in os.environ  # set by `mlflow models serve`
        if self.serves:
            logger = logging.getLogger("mlflow.models.utils")
            if not any(type(f).__name__ == UnknownParams.__name__ for f in logger.filters):
                logger.addFilter(UnknownParams())
            gc.collect()
            gc.freeze()  # else the collector walks through every imported library while it serves

    def _compile(self) -> Callable[[Any], np.ndarray] | None:
        """The short way for a few rows; None where this scikit-learn does not have it."""
        try:
            from .compiled import compile_model  # it imports private parts of scikit-learn

            return compile_model(self.pipeline)
        except Exception:
            _log.exception("the model could not be compiled; the pipeline answers, more slowly")
            return None

    def predict(
        self, model_input: Any, params: Mapping[str, Any] | None = None
    ) -> pd.DataFrame | list[dict[str, Any]]:
        """Scores rows.

        Args:
            model_input: (n_rows, at least the required columns) frame; also a list of dicts, a dict
                of lists, or an array (n_rows, n_features) where all features are numbers.
            params: `threshold`, by default the one that training has chosen, or 0.5; `coverage`,
                `reasons` and `reasons_for`: see `Asked`.

        Returns:
            (n_rows, 1 + n_classes or more): `prediction`, a label of the training table in its own
            type, then `probability_<class>` in the order of the classes, each row summing to 1,
            then what the params ask for, see `_extras`. In a model server the same as a list of
            dicts, which is what MLflow makes JSON of.

        Raises:
            Refusal: something in the input cannot be scored; the message says what and where.
        """
        try:
            asked = self.read_params(params)
            if isinstance(model_input, pd.DataFrame):
                refuse_ragged(model_input, [column.name for column in self.columns])
            proba, rows = self._proba_of_few(model_input) or self._proba_of_frame(
                as_frame(model_input, self.columns, self.table_columns)
            )
            return self._answer(proba, rows, asked)
        except Refusal:
            raise
        except UnicodeEncodeError:
            raise Refusal(
                "the request holds half a character (such as \\ud800 alone); send whole ones"
            ) from None
        except Exception:
            _log.exception("a request could not be scored")
            raise Refusal("the request could not be scored; the server's log says why") from None

    def read_params(self, params: Mapping[str, Any] | None) -> Asked:
        """What the params of a request ask for, see `read_params`."""
        made_from = {"coverage": self.sets, "reasons": self.typical}
        possible = [name for name, there in made_from.items() if there]
        return read_params(params, Asked(self.threshold), self.labels, len(self.columns), possible)

    def predict_proba(self, frame: pd.DataFrame) -> np.ndarray:
        """Probabilities, (n_rows, n_classes), of a raw frame with named columns.

        Args:
            frame: (n_rows, at least the required columns).

        Raises:
            Refusal: something in the frame cannot be scored; the message says what and where.
        """
        return self._proba_of_frame(frame)[0]

    def _proba_of_frame(self, frame: pd.DataFrame) -> tuple[np.ndarray, Any]:
        """Probabilities of a raw frame, and its expanded columns."""
        if frame.shape == (0, 0):
            frame = frame.reindex(columns=[column.name for column in self.columns])
        refuse_doubled(frame, self.columns, {*self.table_columns, self.target})
        # a CSV without headings has no rows but wrong names
        expanded = expand(conform(frame, self.columns), self.columns)
        proba = self._proba_of_expanded(expanded)
        if not np.isfinite(proba).all():
            row = int((~np.isfinite(proba).all(axis=1)).argmax())
            raise Refusal(f"row {row + 1}: {TOO_EXTREME}")
        return proba, expanded

    def _proba_of_few(self, data: Any) -> tuple[np.ndarray, Any] | None:
        """The same by the short way, None where the long one has to decide."""
        if self.few is None:
            return None
        try:
            table = read_few(data, self.columns, self.table_columns, self.target)
            with self._threads(FEW_ROWS):
                probabilities = self.few(table)
        except Unsure:
            return None
        except Exception:
            _log.exception("the compiled model failed; the pipeline answers")
            return None
        return (probabilities, table) if np.isfinite(probabilities).all() else None

    def _threads(self, n_rows: int) -> AbstractContextManager[Any]:
        """One OpenMP thread for a few rows: waking others takes longer than the work."""
        if n_rows > FEW_ROWS:
            return nullcontext()
        return self.thread_pools.limit(limits=1, user_api="openmp")

    def read(self, frame: pd.DataFrame, as_text: bool = False) -> Cells:
        """Reads a raw table as this model does, see `read_cells`."""
        return read_cells(frame, self.columns, as_text=as_text)

    def predict_proba_typed(self, typed: pd.DataFrame) -> np.ndarray:
        """Probabilities, (n_rows, n_classes), of rows that `read` does not refuse.

        Args:
            typed: (n_rows, n_columns) of `Cells`.
        """
        return self._proba_of_expanded(expand(typed, self.columns))

    def _proba_of_expanded(self, expanded: pd.DataFrame) -> np.ndarray:
        if not len(expanded):
            return np.empty((0, len(self.labels)))
        with self._threads(len(expanded)):
            return np.asarray(self.pipeline.predict_proba(expanded))

    def score_typed(
        self, typed: pd.DataFrame, params: Mapping[str, Any] | None = None
    ) -> tuple[pd.DataFrame, dict[int, str]]:
        """Scores rows that `read` does not refuse.

        Args:
            typed: (n_rows, n_columns) of `Cells`.
            params: as those of `predict`.

        Returns:
            What `predict` answers for the rows that can be scored, in their order, and the reason
            for each of the others by its position from 0.

        Raises:
            Refusal: the params are not possible.
        """
        asked = self.read_params(params)
        expanded = expand(typed, self.columns)
        proba = self._proba_of_expanded(expanded)
        finite = np.isfinite(proba).all(axis=1)
        refused = dict.fromkeys(np.flatnonzero(~finite).tolist(), TOO_EXTREME)
        if refused:
            proba, expanded = proba[finite], expanded[finite].reset_index(drop=True)
        return self._table(proba, expanded, asked), refused

    def _answer(
        self, proba: np.ndarray, rows: Any, asked: Asked
    ) -> pd.DataFrame | list[dict[str, Any]]:
        if not self.serves:
            return self._table(proba, rows, asked)
        names, labels = ["prediction", *self.outputs], self.labels
        codes = self._codes(proba, asked.threshold)
        pairs = zip(codes.tolist(), proba.tolist(), strict=True)
        answers = [dict(zip(names, (labels[code], *row), strict=True)) for code, row in pairs]
        for name, cells in self._extras(proba, codes, rows, asked).items():
            for answer, cell in zip(answers, cells.tolist(), strict=True):
                answer[name] = cell
        return answers

    def _extras(
        self, proba: np.ndarray, codes: np.ndarray, rows: Any, asked: Asked
    ) -> dict[str, np.ndarray]:
        """What params ask for, by name: `in_set_<class>`, `reason_1`, `reason_1_effect`, ..."""
        extras: dict[str, np.ndarray] = {}
        if asked.coverage and self.sets:
            inside = in_sets(self.sets, proba, asked.coverage)
            extras |= {f"in_set_{y}": c for y, c in zip(self.labels, inside.T, strict=True)}
        if asked.reasons and self.typical:
            explained = codes if asked.code is None else np.full(len(codes), asked.code)
            moved = self._effects(rows, self.typical, explained)
            extras |= largest(moved, self.columns, asked.reasons)
        return extras

    def _effects(self, rows: Any, typical: dict[str, Any], codes: np.ndarray) -> np.ndarray:
        """(n_rows, n_columns), predicted in the way in which the rows were."""
        if isinstance(rows, pd.DataFrame):
            explain = partial(
                shapley_values, lambda some: self._proba_of_expanded(pd.DataFrame(some))
            )
        else:
            assert self.few is not None
            explain = partial(shapley_values, self.few, block_rows=FEW_ROWS)
        with self._threads(len(rows) if isinstance(rows, pd.DataFrame) else 1):
            return explain(rows, typical, self.columns, codes)

    def _codes(self, probabilities: np.ndarray, threshold: float) -> np.ndarray:
        """(n_rows,) position of each row's label."""
        return decide_classes(probabilities, threshold, self.costs)

    def _table(self, proba: np.ndarray, rows: Any, asked: Asked) -> pd.DataFrame:
        codes = self._codes(proba, asked.threshold)
        prediction = pd.Categorical.from_codes(codes, categories=pd.Index(self.labels))
        answer: dict[str, Any] = {"prediction": prediction}
        answer |= dict(zip(self.outputs, proba.T, strict=True))
        for name, cells in self._extras(proba, codes, rows, asked).items():
            # a type also where no row has a reason
            answer[name] = pd.array(cells, dtype="str") if cells.dtype == object else cells
        return pd.DataFrame(answer)
