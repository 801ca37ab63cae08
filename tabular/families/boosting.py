"""LightGBM and CatBoost: fitted by their libraries, kept as scikit-learn's boosting.

Both grow trees that split on one column at a time, and scikit-learn's boosting can hold such trees.
So a fit ends with a `HistGradientBoostingClassifier` that has them and predicts what the library
does. A model's file and its server know nothing of either library. Categories are ordered codes
here, as in forests.

Worker processes of a search import this file, so the libraries, an extra, are imported where they
fit.
"""

import json
import tempfile
from dataclasses import dataclass
from numbers import Integral, Real
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.ensemble._hist_gradient_boosting.common import PREDICTOR_RECORD_DTYPE
from sklearn.ensemble._hist_gradient_boosting.predictor import TreePredictor
from sklearn.utils._param_validation import Interval, StrOptions

COMPARED_ROWS, TOLERANCE = 200, 1e-9  # of a fit, asked of the library and of the trees taken over
AT_LEAST_ZERO = Interval(Real, 0, None, closed="left")
PART = Interval(Real, 0, 1, closed="right")
POSITIVE = Interval(Real, 0, None, closed="neither")


def _whole(low: int, high: int | None = None) -> Interval:
    return Interval(Integral, low, high, closed="left" if high is None else "both")


@dataclass(kw_only=True, eq=False, repr=False)
class LightGBM(BaseEstimator):
    """LightGBM's trees, by the names of `lightgbm.LGBMClassifier`."""

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "n_estimators": [_whole(1)],
        "learning_rate": [POSITIVE],
        "num_leaves": [_whole(2, 131_072)],
        "max_depth": [_whole(-1)],
        "min_child_samples": [_whole(1)],
        "min_child_weight": [AT_LEAST_ZERO],
        "min_split_gain": [AT_LEAST_ZERO],
        "subsample": [PART],
        "colsample_bytree": [PART],
        "reg_alpha": [AT_LEAST_ZERO],
        "reg_lambda": [AT_LEAST_ZERO],
        "class_weight": [StrOptions({"balanced"}), None],
        "random_state": [_whole(0)],
    }

    n_estimators: int = 100
    learning_rate: float = 0.05
    num_leaves: int = 31
    max_depth: int = -1
    min_child_samples: int = 20
    min_child_weight: float = 1e-3
    min_split_gain: float = 0.0
    subsample: float = 0.8
    colsample_bytree: float = 0.5
    reg_alpha: float = 0.0
    reg_lambda: float = 0.0
    class_weight: str | None = None
    random_state: int = 0

    def fit(
        self, X: np.ndarray, y: np.ndarray, sample_weight: np.ndarray | None = None
    ) -> HistGradientBoostingClassifier:
        """Fits on one thread; returns the trees as scikit-learn's boosting.

        Args:
            X: (n_rows, n_columns) floats, NaN where a value is missing.
            y: (n_rows,) classes, two or more.
            sample_weight: (n_rows,) how often each row counts; None for once.
        """
        from lightgbm import LGBMClassifier

        model = LGBMClassifier(
            **self.get_params(),
            subsample_freq=1,
            n_jobs=1,
            verbose=-1,
            deterministic=True,
            force_col_wise=True,
        )
        model.fit(X, y, sample_weight=sample_weight)
        n_outputs = len(model.classes_) if len(model.classes_) > 2 else 1
        trees = [
            _lightgbm_tree(text)
            for text in model.booster_.model_to_string(num_iteration=-1).split("\nTree=")[1:]
        ]
        fitted = _as_boosting(trees, [0.0] * n_outputs, model.classes_, X.shape[1])
        return _compared(fitted, model, X)


@dataclass(kw_only=True, eq=False, repr=False)
class CatBoost(BaseEstimator):
    """CatBoost's symmetric trees, by the names of `catboost.CatBoostClassifier`."""

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "iterations": [_whole(1)],
        "learning_rate": [PART],
        "depth": [_whole(1, 12)],
        "l2_leaf_reg": [AT_LEAST_ZERO],
        "random_strength": [AT_LEAST_ZERO],
        "subsample": [PART],
        "rsm": [PART],
        "max_bin": [_whole(1, 65_535)],
        "leaf_estimation_iterations": [_whole(1)],
        "auto_class_weights": [StrOptions({"Balanced", "SqrtBalanced"}), None],
        "random_state": [_whole(0)],
    }

    iterations: int = 300
    learning_rate: float = 0.06
    depth: int = 5
    l2_leaf_reg: float = 3.0
    random_strength: float = 1.0
    subsample: float = 0.8
    rsm: float = 1.0
    max_bin: int = 128
    leaf_estimation_iterations: int = 1
    auto_class_weights: str | None = None
    random_state: int = 0

    def fit(
        self, X: np.ndarray, y: np.ndarray, sample_weight: np.ndarray | None = None
    ) -> HistGradientBoostingClassifier:
        """Fits on one thread; returns the trees as scikit-learn's boosting. See `LightGBM.fit`."""
        from catboost import CatBoostClassifier

        model = CatBoostClassifier(
            **self.get_params(),
            bootstrap_type="Bernoulli",
            boosting_type="Plain",
            thread_count=1,
            allow_writing_files=False,
            verbose=False,
        )
        model.fit(X, y, sample_weight=sample_weight)
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder, "model.json")
            model.save_model(str(file), format="json")
            content = json.loads(file.read_text(encoding="utf-8"))
        scale, bias = content["scale_and_bias"]
        missing_is_high = {
            feature["feature_index"]
            for feature in content["features_info"]["float_features"]
            if feature["nan_value_treatment"] == "AsTrue"
        }
        trees = [
            tree
            for one in content["oblivious_trees"]
            for tree in _catboost_trees(one, len(bias), scale, missing_is_high)
        ]
        fitted = _as_boosting(trees, bias, model.classes_, X.shape[1])
        return _compared(fitted, model, X)


def _lightgbm_tree(text: str) -> np.ndarray:
    """A tree of LightGBM's text format as scikit-learn's nodes: inner ones first, then leaves.

    https://github.com/microsoft/LightGBM/blob/v4.7.0/src/io/tree.cpp has the format.
    """
    lines = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)

    def numbers(name: str, dtype: Any) -> np.ndarray:
        return np.array(lines[name].split(), dtype=dtype)

    value = numbers("leaf_value", np.float64)
    n_inner = len(value) - 1
    nodes = np.zeros(n_inner + len(value), dtype=PREDICTOR_RECORD_DTYPE)
    nodes["is_leaf"][n_inner:], nodes["value"][n_inner:] = 1, value
    if not n_inner:
        return nodes
    inner, kind = nodes[:n_inner], numbers("decision_type", np.int64)
    inner["feature_idx"] = numbers("split_feature", np.int64)
    inner["num_threshold"] = threshold = numbers("threshold", np.float64)
    # the second bit: missing goes left; the third and fourth: 0 where missing counts as 0.0
    inner["missing_go_to_left"] = np.where(kind & 12, kind & 2, threshold >= 0) > 0
    for side in ("left", "right"):
        child = numbers(f"{side}_child", np.int64)
        inner[side] = np.where(child < 0, n_inner + ~child, child)
    return nodes


def _catboost_trees(
    tree: dict[str, Any], n_outputs: int, scale: float, missing_is_high: set[int]
) -> list[np.ndarray]:
    """A symmetric tree of CatBoost as scikit-learn's nodes, one tree for each output.

    All nodes of a level split alike. A leaf's number has a bit for each level, set where a value is
    above the border. CatBoost compares in single precision, scikit-learn in double.
    """
    splits = tree["splits"] or []
    values = np.reshape(tree["leaf_values"], (-1, n_outputs))
    nodes = np.zeros(2 * len(values) - 1, dtype=PREDICTOR_RECORD_DTYPE)
    for level, split in enumerate(splits):
        width = 2**level
        of_level = nodes[width - 1 : 2 * width - 1]
        of_level["feature_idx"] = split["float_feature_index"]
        of_level["num_threshold"] = _largest_not_above(np.float32(split["border"]))
        of_level["missing_go_to_left"] = split["float_feature_index"] not in missing_is_high
        of_level["left"] = 2 * width - 1 + np.arange(width)
        of_level["right"] = of_level["left"] + width
    trees = []
    for output in range(n_outputs):
        leaves = nodes[len(values) - 1 :]
        leaves["is_leaf"], leaves["value"] = 1, scale * values[:, output]
        trees.append(nodes.copy())
    return trees


def _largest_not_above(border: np.float32) -> float:
    """The largest double that is not above the border once it is rounded to single precision."""
    above = np.nextafter(border, np.float32(np.inf))
    middle = (float(border) + float(above)) / 2
    return float(np.nextafter(middle, -np.inf)) if np.float32(middle) > border else middle


def _as_boosting(
    trees: list[np.ndarray], baseline: list[float], classes: np.ndarray, n_columns: int
) -> HistGradientBoostingClassifier:
    """Trees as scikit-learn's boosting; the baseline has an output per class, or one for two."""
    n_outputs, rows = len(baseline), np.repeat(np.asarray(classes), 2)
    model = HistGradientBoostingClassifier(max_iter=1, early_stopping=False)
    model.fit(np.zeros((len(rows), n_columns)), rows)  # all but the trees is then in place
    bitsets = np.empty((0, 8), dtype=np.uint32)  # of categories
    predictors = [TreePredictor(nodes, bitsets, bitsets) for nodes in trees]
    model._predictors = [
        predictors[first : first + n_outputs] for first in range(0, len(trees), n_outputs)
    ]
    model._baseline_prediction = np.reshape(np.asarray(baseline, dtype=np.float64), (1, -1))
    return model


def _compared(
    fitted: HistGradientBoostingClassifier, model: Any, X: np.ndarray
) -> HistGradientBoostingClassifier:
    """The trees as they were taken over, if they predict what the library does."""
    rows = X[:COMPARED_ROWS]
    difference = np.abs(fitted.predict_proba(rows) - model.predict_proba(rows)).max()
    if not difference <= TOLERANCE:
        name = type(model).__name__
        raise ValueError(f"the trees of {name} could not be taken over: off by {difference:.3g}")
    return fitted
