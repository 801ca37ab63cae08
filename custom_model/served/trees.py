"""Many trees joined into one, so that one call walks through all of them.

A further feature, the number of the tree, leads from the root to each tree. The walk itself is
scikit-learn's own compiled one.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from sklearn.ensemble import (
    ExtraTreesClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
)
from sklearn.ensemble._hist_gradient_boosting.predictor import TreePredictor
from sklearn.tree._tree import Tree

from .encoding import Uncompiled

MOST_NODES = 4_000_000
"""A larger forest stays with the pipeline: joined trees take as much memory again, 64 B a node."""

FEW_FOR_BOOSTING = 100
"""For more rows scikit-learn's own loop over the trees of boosting is faster."""


class Compiled(NamedTuple):
    """What a fitted classifier answers, from a Table or, behind a preprocessor, from a matrix.

    Args:
        proba: probabilities (n_rows, n_classes).
        decision: scores (n_rows,) or (n_rows, n_classes), None where scikit-learn has none.
    """

    proba: Callable[[Any], np.ndarray]
    decision: Callable[[Any], np.ndarray] | None = None


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


def compile_forest(model: RandomForestClassifier | ExtraTreesClassifier) -> Compiled:
    """A forest as one tree.

    Raises:
        Uncompiled: it is too large.
    """
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
    leaf_proba = np.concatenate(
        [np.zeros((n_trees - 1, n_classes)), *(state["values"][:, 0, :] for state in states)]
    )

    def proba(matrix: np.ndarray) -> np.ndarray:
        leaves = tree.apply(_once_per_tree(matrix, n_trees, np.float32))
        per_tree = leaf_proba.take(leaves, axis=0).reshape(n_trees, len(matrix), n_classes)
        return np.add.accumulate(per_tree, axis=0)[-1] / n_trees  # one after the other, as a loop

    return Compiled(proba)


def compile_boosting(model: HistGradientBoostingClassifier) -> Compiled:
    """The trees of all iterations as one tree.

    Raises:
        Uncompiled: there are too many.
    """
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
        """(n_rows, n_trees_per_iteration) sums of the leaves' values."""
        n_rows = len(matrix)
        rows = _once_per_tree(recode(matrix), n_trees, np.float64)
        leaves = tree.predict(rows, known, positions, 1)
        per_tree = leaves.reshape(-1, per_iteration, n_rows).transpose(0, 2, 1)
        start = np.broadcast_to(baseline, (1, n_rows, per_iteration))
        return np.add.accumulate(np.concatenate([start, per_tree]), axis=0)[-1]

    def decision(matrix: np.ndarray) -> np.ndarray:
        if len(matrix) > FEW_FOR_BOOSTING:
            return np.asarray(model.decision_function(matrix))
        scores = raw(matrix)
        return scores.ravel() if per_iteration == 1 else scores

    def proba(matrix: np.ndarray) -> np.ndarray:
        if len(matrix) > FEW_FOR_BOOSTING:
            return np.asarray(model.predict_proba(matrix))
        return np.asarray(model._loss.predict_proba(raw(matrix)))

    return Compiled(proba, decision)


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
