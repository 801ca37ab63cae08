"""The model."""

import gc
import json
import logging
import os
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import skops.io
from mlflow.exceptions import MlflowException
from threadpoolctl import ThreadpoolController

from .cells import Cells, read_cells
from .columns import Column, expand
from .decision import decide_classes
from .few import FEW_ROWS, Unsure, read_few
from .ragged import refuse_ragged
from .requests import Refusal, UnknownParams, as_frame, conform, refuse_doubled

TRUSTED = (
    # What scikit-learn's fitted classifiers hold besides scikit-learn's public classes. The list
    # stands here and never in the artifact: a file must not be able to vouch for itself.
    "functools.partial",  # its function and arguments are audited too
    "numpy.dtype",
    "sklearn.calibration._CalibratedClassifier",
    "sklearn.calibration._SigmoidCalibration",
    "sklearn.calibration._TemperatureScaling",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn.metrics._dist_metrics.BrayCurtisDistance64",
    "sklearn.metrics._dist_metrics.CanberraDistance64",
    "sklearn.metrics._dist_metrics.ChebyshevDistance64",
    "sklearn.metrics._dist_metrics.EuclideanDistance64",
    "sklearn.metrics._dist_metrics.HammingDistance64",
    "sklearn.metrics._dist_metrics.JaccardDistance64",
    "sklearn.metrics._dist_metrics.ManhattanDistance64",
    "sklearn.metrics._dist_metrics.MinkowskiDistance64",
    "sklearn.metrics._dist_metrics.SEuclideanDistance64",
    "sklearn.neighbors._ball_tree.BallTree",
    "sklearn.neighbors._kd_tree.KDTree",
    "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
    "sklearn.neural_network._stochastic_optimizers.SGDOptimizer",
    "sklearn.tree._tree.Tree",
    "sklearn.utils._bunch.Bunch",
    "sklearn.utils.validation.check_array",
)

TOO_EXTREME = "its values are too extreme to be scored"

_log = logging.getLogger("bundle")


def load_pipeline(path: str | Path) -> Any:
    """Reads a pipeline from skops format, trusting only the types listed in this file.

    Raises:
        MlflowException: the file holds a type that is not on the list.
    """
    unknown = sorted(set(skops.io.get_untrusted_types(file=path)) - set(TRUSTED))
    if unknown:
        raise MlflowException(f"{Path(path).name} holds types that are not trusted: {unknown}")
    return skops.io.load(path, trusted=list(TRUSTED))


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
        self.costs = None if spec.get("costs") is None else np.array(spec["costs"], dtype=float)
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
            params: `threshold`: for two classes, the second is predicted where its probability
                is above it; by default the one that training has chosen, or 0.5.

        Returns:
            (n_rows, 1 + n_classes): `prediction`, a label of the training table in its own type,
            then `probability_<class>` in the order of the classes, each row summing to 1. In a
            model server the same as a list of dicts, which is what MLflow makes JSON of.

        Raises:
            Refusal: something in the input cannot be scored; the message says what and where.
        """
        try:
            threshold = float((params or {}).get("threshold", self.threshold))
            if not 0 <= threshold <= 1:
                raise Refusal(f"params: threshold must lie between 0 and 1, found {threshold}")
            if isinstance(model_input, pd.DataFrame):
                refuse_ragged(model_input, [column.name for column in self.columns])
            probabilities = self._proba_of_few(model_input)
            if probabilities is None:
                frame = as_frame(model_input, self.columns, self.table_columns)
                probabilities = self.predict_proba(frame)
            return self._answer(probabilities, threshold)
        except Refusal:
            raise
        except UnicodeEncodeError:
            raise Refusal(
                "the request holds half a character (such as \\ud800 alone); send whole ones"
            ) from None
        except Exception:
            _log.exception("a request could not be scored")
            raise Refusal("the request could not be scored; the server's log says why") from None

    def predict_proba(self, frame: pd.DataFrame) -> np.ndarray:
        """Probabilities, (n_rows, n_classes), of a raw frame with named columns.

        Args:
            frame: (n_rows, at least the required columns).

        Raises:
            Refusal: something in the frame cannot be scored; the message says what and where.
        """
        if frame.shape == (0, 0):
            return np.empty((0, len(self.labels)))
        refuse_doubled(frame, self.columns, {*self.table_columns, self.target})
        # a CSV without headings has no rows but wrong names
        proba = self.predict_proba_typed(conform(frame, self.columns))
        if not np.isfinite(proba).all():
            row = int((~np.isfinite(proba).all(axis=1)).argmax())
            raise Refusal(f"row {row + 1}: {TOO_EXTREME}")
        return proba

    def _proba_of_few(self, data: Any) -> np.ndarray | None:
        """Probabilities by the short way, None where the long one has to decide."""
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
        return probabilities if np.isfinite(probabilities).all() else None

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
        if not len(typed):
            return np.empty((0, len(self.labels)))
        with self._threads(len(typed)):
            return np.asarray(self.pipeline.predict_proba(expand(typed, self.columns)))

    def score_typed(self, typed: pd.DataFrame) -> tuple[pd.DataFrame, dict[int, str]]:
        """Scores rows that `read` does not refuse.

        Args:
            typed: (n_rows, n_columns) of `Cells`.

        Returns:
            What `predict` answers for the rows that can be scored, in their order, and the reason
            for each of the others by its position from 0.
        """
        proba = self.predict_proba_typed(typed)
        finite = np.isfinite(proba).all(axis=1)
        reasons = dict.fromkeys(np.flatnonzero(~finite).tolist(), TOO_EXTREME)
        return self._table(proba if finite.all() else proba[finite], self.threshold), reasons

    def _answer(
        self, probabilities: np.ndarray, threshold: float
    ) -> pd.DataFrame | list[dict[str, Any]]:
        if not self.serves:
            return self._table(probabilities, threshold)
        names, labels = ["prediction", *self.outputs], self.labels
        codes = self._codes(probabilities, threshold).tolist()
        rows = zip(codes, probabilities.tolist(), strict=True)
        return [dict(zip(names, (labels[code], *row), strict=True)) for code, row in rows]

    def _codes(self, probabilities: np.ndarray, threshold: float) -> np.ndarray:
        """(n_rows,) position of each row's label."""
        return decide_classes(probabilities, threshold, self.costs)

    def _table(self, probabilities: np.ndarray, threshold: float) -> pd.DataFrame:
        codes = self._codes(probabilities, threshold)
        prediction = pd.Categorical.from_codes(codes, categories=pd.Index(self.labels))
        answer: dict[str, Any] = {"prediction": prediction}
        answer |= dict(zip(self.outputs, probabilities.T, strict=True))
        return pd.DataFrame(answer)
