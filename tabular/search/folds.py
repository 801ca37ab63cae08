"""The training side, preprocessed once per fold."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from custom_model.served.columns import Column
from tabular.errors import BadInput, first_line
from tabular.families.pipeline import make_preprocessor
from tabular.search.cross_validation import FoldFiles, FoldMatrices

Fold = tuple[np.ndarray, np.ndarray]
"""Positions fitted on, positions validated on."""


class Folds:
    """The training side, preprocessed once per fold and kind of classifier.

    Args:
        features: (n_rows, n_expanded) expanded columns of the training side.
        codes: (n_rows,) classes, 0 to n_classes - 1.
        columns: the features.
        folds: positions fitted on and validated on.
    """

    def __init__(
        self,
        features: pd.DataFrame,
        codes: np.ndarray,
        columns: Sequence[Column],
        folds: Sequence[Fold],
    ) -> None:
        self.features, self.codes, self.columns, self.folds = features, codes, columns, folds
        self.n_classes = int(codes.max()) + 1
        self.n_categories = sum(column.kind == "category" for column in columns)
        self._matrices: dict[bool, list[FoldMatrices]] = {}

    @property
    def order(self) -> np.ndarray:
        """(n_rows,) positions of the rows in the order of out-of-fold predictions."""
        return np.concatenate([validated for _, validated in self.folds])

    @property
    def truth(self) -> np.ndarray:
        """(n_rows,) classes in the order of out-of-fold predictions."""
        return np.asarray(self.codes[self.order])

    @property
    def fold_of_row(self) -> np.ndarray:
        """(n_rows,) number of the fold, in the order of out-of-fold predictions."""
        return np.repeat(np.arange(len(self.folds)), [len(v) for _, v in self.folds])

    def matrices(self, for_trees: bool) -> list[FoldMatrices]:
        """Per fold: rows and classes fitted on, rows and classes validated on.

        Raises:
            BadInput: a column cannot be prepared.
        """
        if for_trees not in self._matrices:
            self._matrices[for_trees] = [self.prepare(fold, for_trees) for fold in self.folds]
        return self._matrices[for_trees]

    def prepare(self, fold: Fold, for_trees: bool) -> FoldMatrices:
        """One fold of `matrices`, made anew.

        Args:
            fold: rows fitted on and rows validated on.
            for_trees: the matrices that trees take, else those of the other classifiers.

        Raises:
            BadInput: a column cannot be prepared.
        """
        fitted, validated = fold
        preprocessor = make_preprocessor(self.columns, for_trees=for_trees)
        try:
            inside = preprocessor.fit_transform(self.features.iloc[fitted])
            outside = preprocessor.transform(self.features.iloc[validated])
        except ValueError as error:
            raise BadInput(f"the columns cannot be prepared: {first_line(error)}") from None
        return inside, self.codes[fitted], outside, self.codes[validated]

    def write(self, folder: str, for_trees: bool) -> FoldFiles:
        """Writes `matrices` to files, once for each kind of classifier; says where they lie.

        Args:
            folder: where to.
            for_trees: the matrices that trees take, else those of the other classifiers.

        Raises:
            BadInput: a column cannot be prepared.
        """
        files = FoldFiles(folder, len(self.folds), self.n_classes, self.n_categories)
        if not files.file(for_trees, 0, 0).exists():
            for number, fold in enumerate(self.folds):
                for place, array in enumerate(self.prepare(fold, for_trees)):
                    np.save(files.file(for_trees, number, place), array)
        return files
