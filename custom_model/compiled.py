"""A fitted pipeline's arithmetic for a few rows at a time, without scikit-learn's cost per call.

scikit-learn spends milliseconds on one row: it checks and copies a frame at each step, and a forest
of 300 trees is 300 calls. `compile_model` takes a fitted model apart once and does the same sums in
the same order on plain arrays. All trees of a forest are joined into one, in which a further
feature, the number of the tree, leads from the root to each of them; scikit-learn's own compiled
walk then goes through all of them in one call.

This file is copied into every model artifact and loaded from there beside `bundle.py`, so it
imports libraries only. Whether its answers are the pipeline's is proved when a model is logged.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy.special import expit
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import (
    ExtraTreesClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
    VotingClassifier,
)
from sklearn.ensemble._hist_gradient_boosting.predictor import TreePredictor
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.frozen import FrozenEstimator
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    OneHotEncoder,
    OrdinalEncoder,
    StandardScaler,
)
from sklearn.tree._tree import Tree

Table = Mapping[str, Sequence[Any]]
"""Values of n rows by expanded column: floats (NaN is missing), categories (None), texts ("")."""

MOST_NODES = 4_000_000
"""A larger forest stays with the pipeline: joined trees take as much memory again, 64 B a node."""


class Uncompiled(Exception):
    """Something that this file has no arithmetic for; the pipeline itself has to answer."""


class _Model(NamedTuple):
    """What a fitted classifier answers, from a Table or, behind a preprocessor, from a matrix.

    Args:
        proba: probabilities (n_rows, n_classes).
        decision: scores (n_rows,) or (n_rows, n_classes), None where scikit-learn has none.
    """

    proba: Callable[[Any], np.ndarray]
    decision: Callable[[Any], np.ndarray] | None = None


def compile_model(model: Any) -> Callable[[Table], np.ndarray]:
    """Takes a fitted model apart.

    Args:
        model: a Pipeline of a ColumnTransformer and a classifier, a soft VotingClassifier of such,
            or a CalibratedClassifierCV of either.

    Returns:
        A function from a Table of n rows to probabilities, (n_rows, n_classes).

    Raises:
        Uncompiled: a part is of a kind that is not known here.
    """
    return _compile(model, behind_preprocessor=False).proba


def _compile(model: Any, *, behind_preprocessor: bool) -> _Model:
    if type(model) is FrozenEstimator:
        return _compile(model.estimator, behind_preprocessor=behind_preprocessor)
    if type(model) is CalibratedClassifierCV:
        return _calibrated(model, behind_preprocessor=behind_preprocessor)
    if type(model) is VotingClassifier:
        return _voting(model, behind_preprocessor=behind_preprocessor)
    if not behind_preprocessor:
        return _pipeline(model)
    if type(model) is LogisticRegression:
        return _linear(model)
    if type(model) in (RandomForestClassifier, ExtraTreesClassifier):
        return _forest(model)
    if type(model) is HistGradientBoostingClassifier:
        return _boosting(model)
    # all others as they are: what they are given is already the matrix
    return _Model(
        lambda matrix: model.predict_proba(matrix), getattr(model, "decision_function", None)
    )


def _pipeline(model: Any) -> _Model:
    if type(model) is not Pipeline or len(model.steps) != 2:
        raise Uncompiled(f"{type(model).__name__} is no pipeline of preprocessing and classifier")
    encode = _preprocessor(model.steps[0][1])
    classifier = _compile(model.steps[1][1], behind_preprocessor=True)
    decide = classifier.decision
    return _Model(
        lambda table: classifier.proba(encode(table)),
        None if decide is None else lambda table: decide(encode(table)),
    )


def _voting(model: VotingClassifier, *, behind_preprocessor: bool) -> _Model:
    if model.voting != "soft":
        raise Uncompiled("a vote without probabilities")
    voters = [
        _compile(voter, behind_preprocessor=behind_preprocessor).proba
        for voter in model.estimators_
    ]
    weights = model._weights_not_none
    return _Model(
        lambda rows: np.average(
            np.asarray([voter(rows) for voter in voters]), axis=0, weights=weights
        )
    )


def _calibrated(model: CalibratedClassifierCV, *, behind_preprocessor: bool) -> _Model:
    """As `CalibratedClassifierCV.predict_proba` has it."""
    if len(model.calibrated_classifiers_) != 1:
        raise Uncompiled("several calibrated classifiers")
    calibrated = model.calibrated_classifiers_[0]
    inner = _compile(calibrated.estimator, behind_preprocessor=behind_preprocessor)
    calibrators, n_classes = calibrated.calibrators, len(calibrated.classes)
    if list(calibrated.estimator.classes_) != list(calibrated.classes):
        raise Uncompiled("a calibrated classifier that knows fewer classes")

    def scores(rows: Any) -> np.ndarray:
        if inner.decision is not None:
            found = inner.decision(rows)
        else:
            found = inner.proba(rows)
            found = found[:, 1] if n_classes == 2 else found
        return found.reshape(-1, 1) if found.ndim == 1 else found

    def by_class(rows: Any) -> np.ndarray:
        found = scores(rows)
        shares = np.zeros((len(found), n_classes))
        if n_classes == 2:
            shares[:, 1] = calibrators[0].predict(found[:, 0])
            shares[:, 0] = 1.0 - shares[:, 1]
        else:
            for code, calibrator in enumerate(calibrators):
                shares[:, code] = calibrator.predict(found[:, code])
            total = np.sum(shares, axis=1)[:, np.newaxis]
            even = np.full_like(shares, 1 / n_classes)
            shares = np.divide(shares, total, out=even, where=total != 0)
        return _at_most_one(shares)

    def by_temperature(rows: Any) -> np.ndarray:
        found = scores(rows)
        if n_classes == 2 and inner.decision is None:
            found = np.concatenate([1 - found, found], axis=1)
        return _at_most_one(calibrators[0].predict(found))

    methods = {"sigmoid": by_class, "isotonic": by_class, "temperature": by_temperature}
    if calibrated.method not in methods:
        raise Uncompiled(f"calibration by {calibrated.method}")
    return _Model(methods[calibrated.method])


def _at_most_one(shares: np.ndarray) -> np.ndarray:
    shares[(shares > 1.0) & (shares <= 1.0 + 1e-5)] = 1.0
    return shares


# --- from a Table to a matrix -------------------------------------------------------------------

Encode = Callable[[Table], np.ndarray]


def _preprocessor(step: Any) -> Encode:
    if type(step) is not ColumnTransformer or step.sparse_output_:
        raise Uncompiled("preprocessing that is no dense ColumnTransformer")
    parts = [_part(fitted, names) for _, fitted, names in step.transformers_ if fitted != "drop"]
    if len(parts) == 1:
        return parts[0]
    return lambda table: np.concatenate([part(table) for part in parts], axis=1)


def _part(fitted: Any, names: Any) -> Encode:
    kind = type(fitted)
    if kind is TfidfVectorizer and isinstance(names, str):
        return _words(fitted, names)
    names = list(names)
    if kind in (OneHotEncoder, OrdinalEncoder):
        return _categories(fitted, names)
    if fitted == "passthrough" or (kind is FunctionTransformer and fitted.func is None):
        return lambda table: _numbers(table, names)
    if kind is Pipeline and [type(s) for _, s in fitted.steps] == [SimpleImputer, StandardScaler]:
        return _scaled(fitted.steps[0][1], fitted.steps[1][1], names)
    raise Uncompiled(f"preprocessing by {kind.__name__}")


def _numbers(table: Table, names: list[str]) -> np.ndarray:
    return np.array([table[name] for name in names], dtype=np.float64).T


def _categories(encoder: Any, names: list[str]) -> Encode:
    """One table per column, found by asking the encoder itself for every category that it knows."""
    known = [[c for c in column if isinstance(c, str)] for column in encoder.categories_]
    unseen = "unseen"
    while any(unseen in column for column in known):
        unseen += "_"
    longest = max(map(len, known))
    asked = {
        name: pd.Series([unseen, None, *column, *[unseen] * (longest - len(column))], dtype="str")
        for name, column in zip(names, known, strict=True)
    }
    encoded = encoder.transform(pd.DataFrame(asked))
    if type(encoder) is OrdinalEncoder:
        widths = [1] * len(names)
    else:
        rare = encoder.infrequent_categories_
        widths = [
            len(column) - (0 if few is None else len(few) - 1)
            for column, few in zip(encoder.categories_, rare, strict=True)
        ]
    if sum(widths) != encoded.shape[1]:
        raise Uncompiled("an encoder that drops a category")
    blocks = np.split(encoded, np.cumsum(widths)[:-1], axis=1)
    rows_of = [
        {None: 1} | {category: row for row, category in enumerate(column, start=2)}
        for column in known
    ]
    columns = list(zip(names, rows_of, map(np.ascontiguousarray, blocks), strict=True))

    def encode(table: Table) -> np.ndarray:
        return np.concatenate(
            [
                block.take([rows.get(value, 0) for value in table[name]], axis=0)
                for name, rows, block in columns
            ],
            axis=1,
        )

    return encode


def _scaled(imputer: SimpleImputer, scaler: StandardScaler, names: list[str]) -> Encode:
    fill = np.asarray(imputer.statistics_, dtype=np.float64)
    if np.isnan(fill).any() or not isinstance(imputer.missing_values, float):
        raise Uncompiled("an imputer that leaves columns out")
    marked = imputer.indicator_.features_ if imputer.add_indicator else np.empty(0, dtype=np.intp)
    mean, scale = scaler.mean_, scaler.scale_
    if mean is None or scale is None:
        raise Uncompiled("a scaler that does half")

    def encode(table: Table) -> np.ndarray:
        values = _numbers(table, names)
        missing = np.isnan(values)
        filled = np.where(missing, fill, values)
        if len(marked):
            filled = np.concatenate([filled, missing[:, marked]], axis=1)
        return (filled - mean) / scale

    return encode


def _words(vectorizer: TfidfVectorizer, name: str) -> Encode:
    """Term frequency times inverse document frequency, each row of length 1."""
    v = vectorizer
    if v.norm != "l2" or not v.use_idf or v.sublinear_tf or v.binary or v.dtype != np.float64:
        raise Uncompiled("words that are weighed in another way")
    analyse, codes, weights = v.build_analyzer(), v.vocabulary_, v.idf_.tolist()

    def encode(table: Table) -> np.ndarray:
        texts = table[name]
        matrix = np.zeros((len(texts), len(weights)))
        for row, text in enumerate(texts):
            counts = Counter(codes[word] for word in analyse(text) if word in codes)
            words = {code: counts[code] * weights[code] for code in sorted(counts)}
            length = math.sqrt(_sum_in_order(value * value for value in words.values()))
            for code, value in words.items():
                matrix[row, code] = value / length
        return matrix

    return encode


def _sum_in_order(values: Iterable[float]) -> float:
    """As a loop in C adds; `sum` compensates its rounding, which scikit-learn does not."""
    total = 0.0
    for value in values:
        total += value
    return total


# --- from a matrix to probabilities -------------------------------------------------------------


def _linear(model: LogisticRegression) -> _Model:
    weights, intercept = model.coef_.T, model.intercept_
    binary = len(model.classes_) == 2

    def decision(matrix: np.ndarray) -> np.ndarray:
        found = matrix @ weights + intercept
        return found.ravel() if binary else found

    def proba(matrix: np.ndarray) -> np.ndarray:
        found = decision(matrix)
        if binary:
            share = expit(found)
            return np.stack([1 - share, share], axis=1)
        found -= found.max(axis=1, keepdims=True)
        np.exp(found, out=found)
        found /= found.sum(axis=1, keepdims=True)
        return found

    return _Model(proba, decision)


class _Joined(NamedTuple):
    """Nodes in front of many trees that lead to each of them by its number.

    Args:
        left: (n_trees - 1,) where to go below the threshold.
        right: (n_trees - 1,) where to go above it.
        threshold: (n_trees - 1,) between two numbers of trees.
        offsets: (n_trees,) where each tree begins.
    """

    left: np.ndarray
    right: np.ndarray
    threshold: np.ndarray
    offsets: np.ndarray


def _join(sizes: Sequence[int]) -> _Joined:
    """A balanced search tree over the numbers of trees with so many nodes each."""
    if sum(sizes) > MOST_NODES:
        raise Uncompiled(f"more than {MOST_NODES} nodes of trees")
    n_trees = len(sizes)
    offsets = n_trees - 1 + np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(np.int64)
    left, right, threshold = [0] * (n_trees - 1), [0] * (n_trees - 1), [0.0] * (n_trees - 1)
    used = 0

    def lead_to(low: int, high: int) -> int:
        nonlocal used
        if high - low == 1:
            return int(offsets[low])
        node, middle = used, (low + high) // 2
        used += 1
        threshold[node] = middle - 0.5
        left[node], right[node] = lead_to(low, middle), lead_to(middle, high)
        return node

    lead_to(0, n_trees)
    return _Joined(np.array(left), np.array(right), np.array(threshold), offsets)


def _once_per_tree(matrix: np.ndarray, n_trees: int, dtype: type) -> np.ndarray:
    """Every row for every tree, with the number of the tree behind it: (n_trees * n_rows, ...)."""
    n_rows, width = matrix.shape
    rows = np.empty((n_trees, n_rows, width + 1), dtype=dtype)
    rows[:, :, :width] = matrix
    rows[:, :, width] = np.arange(n_trees)[:, np.newaxis]
    return rows.reshape(-1, width + 1)


def _forest(model: RandomForestClassifier | ExtraTreesClassifier) -> _Model:
    states = [tree.tree_.__getstate__() for tree in model.estimators_]
    n_trees, n_classes = len(states), len(model.classes_)
    joined = _join([len(state["nodes"]) for state in states])
    front = np.zeros(n_trees - 1, dtype=states[0]["nodes"].dtype)
    front["left_child"], front["right_child"] = joined.left, joined.right
    front["feature"], front["threshold"] = model.n_features_in_, joined.threshold
    trees = []
    for state, offset in zip(states, joined.offsets, strict=True):
        nodes = state["nodes"].copy()
        inner = nodes["left_child"] != -1
        nodes["left_child"][inner] += offset
        nodes["right_child"][inner] += offset
        trees.append(nodes)
    every = np.concatenate([front, *trees])
    depth = max(state["max_depth"] for state in states) + n_trees.bit_length()
    tree = Tree(model.n_features_in_ + 1, np.array([1], dtype=np.intp), 1)
    tree.__setstate__(
        {
            "max_depth": depth,
            "node_count": len(every),
            "nodes": every,
            "values": np.zeros((len(every), 1, 1)),
        }
    )
    shares = np.concatenate(
        [np.zeros((n_trees - 1, n_classes)), *(state["values"][:, 0, :] for state in states)]
    )

    def proba(matrix: np.ndarray) -> np.ndarray:
        leaves = tree.apply(_once_per_tree(matrix, n_trees, np.float32))
        per_tree = shares.take(leaves, axis=0).reshape(n_trees, len(matrix), n_classes)
        return np.add.accumulate(per_tree, axis=0)[-1] / n_trees  # one after the other, as a loop

    return _Model(proba)


def _boosting(model: HistGradientBoostingClassifier) -> _Model:
    predictors = [predictor for iteration in model._predictors for predictor in iteration]
    per_iteration = model.n_trees_per_iteration_
    n_trees, width = len(predictors), model.n_features_in_
    joined = _join([len(predictor.nodes) for predictor in predictors])
    front = np.zeros(n_trees - 1, dtype=predictors[0].nodes.dtype)
    front["left"], front["right"] = joined.left, joined.right
    front["feature_idx"], front["num_threshold"] = width, joined.threshold
    trees, bitsets, n_bitsets = [], [], 0
    for predictor, offset in zip(predictors, joined.offsets, strict=True):
        nodes = predictor.nodes.copy()
        inner = nodes["is_leaf"] == 0
        nodes["left"][inner] += np.uint32(offset)
        nodes["right"][inner] += np.uint32(offset)
        nodes["bitset_idx"] += np.uint32(n_bitsets)
        bitsets.append(predictor.raw_left_cat_bitsets)
        n_bitsets += len(predictor.raw_left_cat_bitsets)
        trees.append(nodes)
    every, bits = np.concatenate([front, *trees]), np.concatenate(bitsets)
    tree = TreePredictor(every, bits, bits)
    known, positions = model._bin_mapper.make_known_categories_bitsets()
    baseline = np.asarray(model._baseline_prediction).reshape(1, 1, per_iteration)
    recode = _recoder(model)

    def raw(matrix: np.ndarray) -> np.ndarray:
        n_rows = len(matrix)
        rows = _once_per_tree(recode(matrix), n_trees, np.float64)
        leaves = tree.predict(rows, known, positions, 1)
        per_tree = leaves.reshape(-1, per_iteration, n_rows).transpose(0, 2, 1)
        start = np.broadcast_to(baseline, (1, n_rows, per_iteration))
        return np.add.accumulate(np.concatenate([start, per_tree]), axis=0)[-1]

    def decision(matrix: np.ndarray) -> np.ndarray:
        found = raw(matrix)
        return found.ravel() if per_iteration == 1 else found

    return _Model(lambda matrix: np.asarray(model._loss.predict_proba(raw(matrix))), decision)


def _recoder(model: HistGradientBoostingClassifier) -> Callable[[np.ndarray], np.ndarray]:
    """What histogram gradient boosting does to its categorical columns: codes first, then rest."""
    if model._preprocessor is None:
        return lambda matrix: matrix
    encoder = model._preprocessor.named_transformers_["encoder"]
    codes = [
        {value: float(code) for code, value in enumerate(column) if value == value}
        for column in encoder.categories_
    ]
    is_category = np.asarray(model.is_categorical_)

    def recode(matrix: np.ndarray) -> np.ndarray:
        recoded = np.empty(matrix.shape)
        recoded[:, : len(codes)] = [
            [table.get(value, np.nan) for table, value in zip(codes, row, strict=True)]
            for row in matrix[:, is_category].tolist()
        ]
        recoded[:, len(codes) :] = matrix[:, ~is_category]
        return recoded

    return recode
