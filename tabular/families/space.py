"""What is searched: the classifiers that a table allows, their defaults, their search spaces.

A new classifier needs a line in `CLASSIFIERS` of `tabular/families/classifiers.py`, and here a
space in `suggest` and a point in `default_params`.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import optuna

from tabular.families.classifiers import CLASSIFIERS

SVC_ROWS = 3_000  # its time grows with the square of the rows, and calibration fits it five times
NEIGHBORS_ROWS = 20_000  # it keeps every row and compares each new one with all of them
MLP_ROW_PASSES = 600_000  # rows times epochs
EARLY_STOPPING_ROWS = 10_000  # below, the tenth that is set aside to watch is missed in the fit
FEW_ROWS = 200  # below, 300 trees would be most of the time of a search
LONG_TAIL_ROWS = 20  # boosting with its defaults diverges where a class is rarer than this
IMBALANCE = 1.5  # of the most frequent class to the rarest, from where weights are worth trying


@dataclass(frozen=True)
class Shape:
    """What the spaces are sized by.

    Args:
        n_rows: rows that each fold fits on.
        n_classes: number of classes.
        rarest: rows of the rarest class, of all training rows.
        imbalanced: whether the classes differ enough for weights to matter.
    """

    n_rows: int
    n_classes: int
    rarest: int
    imbalanced: bool

    @property
    def long_tailed(self) -> bool:
        """Whether a class is too rare for boosting's usual learning rate."""
        return self.n_classes > 2 and self.rarest < LONG_TAIL_ROWS


def shape_of(codes: np.ndarray, n_fitted: int) -> Shape:
    """The shape of a training side.

    Args:
        codes: (n_rows,) its classes, 0 to n_classes - 1.
        n_fitted: rows that each fold fits on.
    """
    counts = np.bincount(codes)
    rarest = int(counts[counts > 0].min())
    return Shape(n_fitted, len(counts), rarest, bool(counts.max() > IMBALANCE * rarest))


def affordable(codes: np.ndarray) -> list[str]:
    """The classifiers that a table of this size and these classes allows.

    Args:
        codes: (n_rows,) classes of the training side.
    """
    n_rows, shape = len(codes), shape_of(codes, len(codes))
    unfit = {
        "svc": n_rows > SVC_ROWS or shape.rarest < 10,  # five rows per class and fold calibrate it
        "k_neighbors": n_rows > NEIGHBORS_ROWS,
    }
    return [classifier for classifier in CLASSIFIERS if not unfit.get(classifier, False)]


def fixed_params(classifier: str, shape: Shape) -> dict[str, Any]:
    """Hyperparameters that follow from the table and are not searched.

    Args:
        classifier: a key of `CLASSIFIERS`.
        shape: of the table.
    """
    if classifier in ("random_forest", "extra_trees"):
        few, many = shape.n_rows < FEW_ROWS, shape.n_rows > EARLY_STOPPING_ROWS
        return {"n_estimators": 100 if few or many else 300}
    if classifier == "mlp":
        return {"max_iter": int(np.clip(MLP_ROW_PASSES // shape.n_rows, 10, 300))}
    if classifier == "hist_gradient_boosting" and _stops_early(shape):
        return {"early_stopping": True, "n_iter_no_change": 15, "max_iter": 500}
    return {}


def _stops_early(shape: Shape) -> bool:
    return shape.n_rows >= EARLY_STOPPING_ROWS and shape.rarest >= LONG_TAIL_ROWS


def default_params(classifier: str, shape: Shape) -> dict[str, Any]:
    """The point of a classifier's space that is tried first.

    Args:
        classifier: a key of `CLASSIFIERS`.
        shape: of the table.
    """
    forest = {"min_samples_leaf": 1, "max_features": "sqrt", "criterion": "gini"}
    boosting = {
        "learning_rate": 0.03 if shape.long_tailed else 0.1,
        "max_leaf_nodes": 31,
        "min_samples_leaf": 5 if shape.long_tailed else 20,
        "l2_regularization": 1e-3,
        "max_features": 1.0,
    }
    if not _stops_early(shape):
        boosting["max_iter"] = 60
    points: dict[str, dict[str, Any]] = {
        "logistic_regression": {"C": 1.0},
        "hist_gradient_boosting": boosting,
        "random_forest": forest,
        "extra_trees": forest,
        "naive_bayes": {"var_smoothing": 1e-9},
        "k_neighbors": {"n_neighbors": 5, "weights": "uniform", "p": 2},
        "mlp": {"hidden_layer_sizes": 100, "alpha": 1e-4, "learning_rate_init": 1e-3},
        "svc": {"C": 1.0, "gamma": "scale"},
    }
    point = points[classifier]
    if shape.imbalanced and "class_weight" in CLASSIFIERS[classifier]().get_params():
        point = {**point, "class_weight": None}
    return point


def suggest(trial: optuna.trial.BaseTrial, classifier: str, shape: Shape) -> dict[str, Any]:
    """Asks for one classifier's hyperparameters, in ranges sized by the table.

    Args:
        trial: of Optuna.
        classifier: a key of `CLASSIFIERS`.
        shape: of the table.
    """

    def real(name: str, low: float, high: float) -> float:
        return trial.suggest_float(f"{classifier}.{name}", low, high, log=True)

    def whole(name: str, low: int, high: int) -> int:
        return trial.suggest_int(f"{classifier}.{name}", low, max(low, high), log=True)

    def one_of(name: str, *options: Any) -> Any:
        return trial.suggest_categorical(f"{classifier}.{name}", options)

    params: dict[str, Any] = {}
    if classifier == "logistic_regression":
        params = {"C": real("C", 1e-3, 1e2)}
    elif classifier in ("random_forest", "extra_trees"):
        params = {
            "min_samples_leaf": whole("min_samples_leaf", 1, min(20, shape.n_rows // 10)),
            "max_features": one_of("max_features", "sqrt", 0.2, 0.4, 0.7),
            "criterion": one_of("criterion", "gini", "log_loss"),
        }
    elif classifier == "hist_gradient_boosting":
        params = {
            "learning_rate": real("learning_rate", 0.02, 0.1 if shape.long_tailed else 0.3),
            "max_leaf_nodes": whole("max_leaf_nodes", 4, 64),
            "min_samples_leaf": whole("min_samples_leaf", 2, max(20, min(60, shape.n_rows // 5))),
            "l2_regularization": real("l2_regularization", 1e-3, 10),
            "max_features": one_of("max_features", 1.0, 0.5, 0.25),
        }
        if not _stops_early(shape):  # one tree per class and iteration
            params["max_iter"] = whole("max_iter", 30, 300 if shape.n_classes <= 10 else 60)
    elif classifier == "naive_bayes":
        params = {"var_smoothing": real("var_smoothing", 1e-9, 1e-1)}
    elif classifier == "k_neighbors":
        params = {
            "n_neighbors": whole("n_neighbors", 1, max(5, min(50, shape.n_rows // 2))),
            "weights": one_of("weights", "uniform", "distance"),
            "p": one_of("p", 1, 2),
        }
    elif classifier == "mlp":
        params = {
            "hidden_layer_sizes": whole("hidden_layer_sizes", 8, 128),
            "alpha": real("alpha", 1e-5, 1.0),
            "learning_rate_init": real("learning_rate_init", 3e-4, 1e-2),
        }
    elif classifier == "svc":
        params = {"C": real("C", 1e-2, 1e2), "gamma": one_of("gamma", "scale", "auto")}
    if shape.imbalanced and "class_weight" in CLASSIFIERS[classifier]().get_params():
        params["class_weight"] = one_of("class_weight", None, "balanced")
    return params
