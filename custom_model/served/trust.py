"""Which types a model's file may hold."""

from pathlib import Path
from typing import Any

import skops.io
from mlflow.exceptions import MlflowException

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


def load_pipeline(path: str | Path) -> Any:
    """Reads a pipeline from skops format, trusting only the types listed in this file.

    Raises:
        MlflowException: the file holds a type that is not on the list.
    """
    unknown = sorted(set(skops.io.get_untrusted_types(file=path)) - set(TRUSTED))
    if unknown:
        raise MlflowException(f"{Path(path).name} holds types that are not trusted: {unknown}")
    return skops.io.load(path, trusted=list(TRUSTED))
