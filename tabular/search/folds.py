"""The training side, preprocessed once per fold."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from custom_model.served.columns import Column
from tabular.errors import BadInput, first_line
from tabular.families.pipeline import fit_preprocessor, make_preprocessor
from tabular.families.space import Shape, shape_of
from tabular.search.cross_validation import FoldFiles, FoldMatrices
from tabular.table.split import Fold


class Folds:
    """The training side, preprocessed once per fold and kind of classifier.

    Args:
        features: (n_rows, n_expanded) expanded columns of the training side.
        y: (n_rows,) classes, 0 to n_classes - 1.
        columns: the features.
        positions: of the rows fitted on and validated on, for each fold.
        weights: (n_rows,) how often each row counts; None for once.
    """

    def __init__(
        self,
        features: pd.DataFrame,
        y: np.ndarray,
        columns: Sequence[Column],
        positions: Sequence[Fold],
        weights: np.ndarray | None = None,
    ) -> None:
        self.features, self.y, self.columns, self.positions = features, y, columns, positions
        self.weights = weights
        self.n_classes = int(y.max()) + 1
        self.n_categories = sum(column.kind == "category" for column in columns)
        self._matrices: dict[bool, list[FoldMatrices]] = {}

    @property
    def shape(self) -> Shape:
        """What search spaces are sized by."""
        return shape_of(self.y, min(len(fitted) for fitted, _ in self.positions))

    @property
    def order(self) -> np.ndarray:
        """(n_oof,) positions of the rows in the order of out-of-fold predictions.

        Folds that go forward in time do not predict the oldest rows.
        """
        return np.concatenate([validated for _, validated in self.positions])

    @property
    def y_true(self) -> np.ndarray:
        """(n_rows,) classes in the order of out-of-fold predictions."""
        return np.asarray(self.y[self.order])

    @property
    def sample_weight(self) -> np.ndarray | None:
        """(n_rows,) weights in the order of out-of-fold predictions; None without."""
        return None if self.weights is None else np.asarray(self.weights[self.order])

    @property
    def fold_of_row(self) -> np.ndarray:
        """(n_rows,) number of the fold, in the order of out-of-fold predictions."""
        return np.repeat(np.arange(len(self.positions)), [len(v) for _, v in self.positions])

    def matrices(self, for_trees: bool) -> list[FoldMatrices]:
        """The folds in the form that a classifier takes, for trees or for all others.

        Raises:
            BadInput: a column cannot be prepared.
        """
        if for_trees not in self._matrices:
            self._matrices[for_trees] = [self._prepare(fold, for_trees) for fold in self.positions]
        return self._matrices[for_trees]

    def _prepare(self, fold: Fold, for_trees: bool) -> FoldMatrices:
        fitted, validated = fold
        preprocessor = make_preprocessor(self.columns, for_trees=for_trees)
        try:
            weights = None if self.weights is None else self.weights[fitted]
            inside = fit_preprocessor(preprocessor, self.features.iloc[fitted], weights)
            outside = preprocessor.transform(self.features.iloc[validated])
        except ValueError as error:
            raise BadInput(f"the columns cannot be prepared: {first_line(error)}") from None
        matrices: FoldMatrices = (inside, self.y[fitted], outside, self.y[validated])
        if self.weights is None:
            return matrices
        return (*matrices, self.weights[fitted], self.weights[validated])

    def write(self, folder: str, for_trees: bool) -> FoldFiles:
        """Writes the folds to files, once for each kind of classifier; returns where they lie.

        Raises:
            BadInput: a column cannot be prepared.
        """
        files = FoldFiles(
            folder,
            len(self.positions),
            self.n_classes,
            self.n_categories,
            weighted=self.weights is not None,
        )
        if not files.file(for_trees, 0, 0).exists():
            try:  # the first file is written last
                for number, fold in reversed(list(enumerate(self.positions))):
                    for place, array in reversed(list(enumerate(self._prepare(fold, for_trees)))):
                        np.save(files.file(for_trees, number, place), array)
            except BaseException:
                files.file(for_trees, 0, 0).unlink(missing_ok=True)
                raise
        return files
