"""The training side, preprocessed once per fold."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse

from custom_model.served.columns import Column
from tabular.errors import BadInput, first_line
from tabular.families.classifiers import Form, form_of
from tabular.families.pipeline import fit_preprocessor, make_preprocessor
from tabular.families.space import Shape, shape_of
from tabular.families.texts import Counts, count_words, few_words, has_many_words, weigh_words
from tabular.search.cross_validation import FoldFiles, FoldMatrices, quiet_fits, save_matrix
from tabular.table.split import Fold


class Folds:
    """The training side, preprocessed once per fold and kind of classifier.

    Args:
        features: (n_rows, n_expanded) expanded columns of the training side.
        y: (n_rows,) classes, 0 to n_classes - 1.
        columns: the features.
        positions: of the rows fitted on and validated on, for each fold.
        weights: (n_rows,) how often each row counts; None for once.
        grouped: whether rows belong together, see `fit_model`.
    """

    def __init__(
        self,
        features: pd.DataFrame,
        y: np.ndarray,
        columns: Sequence[Column],
        positions: Sequence[Fold],
        weights: np.ndarray | None = None,
        *,
        grouped: bool = False,
    ) -> None:
        self.features, self.y, self.columns, self.positions = features, y, columns, positions
        self.weights, self.grouped = weights, grouped
        self.n_classes = int(y.max()) + 1
        self.n_categories = sum(column.kind == "category" for column in columns)
        texts = [column.name for column in columns if column.kind == "text"]
        self.texts = texts if any(has_many_words(features[name]) for name in texts) else []
        self._others = [column for column in columns if column.name not in self.texts]
        self._counts: dict[str, Counts] = {}
        self._matrices: dict[Form, list[FoldMatrices]] = {}

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

    def matrices(self, form: Form) -> list[FoldMatrices]:
        """The folds in the form that a classifier takes.

        Raises:
            BadInput: a column cannot be prepared.
        """
        form = form_of(form, bool(self.texts))
        if form not in self._matrices:
            self._matrices[form] = [self._prepare(fold, form) for fold in self.positions]
        return self._matrices[form]

    def _prepare(self, fold: Fold, form: Form) -> FoldMatrices:
        fitted, validated = fold
        weights = None if self.weights is None else self.weights[fitted]
        try:
            with quiet_fits():
                blocks = [self._weigh(name, fold, form) for name in self.texts]
                if self._others:
                    step = make_preprocessor(self._others, form)
                    y = None if self.grouped else self.y[fitted]
                    inside = fit_preprocessor(step, self.features.iloc[fitted], weights, y)
                    blocks.insert(0, (inside, step.transform(self.features.iloc[validated])))
        except ValueError as error:
            raise BadInput(f"the columns cannot be prepared: {first_line(error)}") from None
        inside, outside = map(_joined, zip(*blocks, strict=True))
        matrices: FoldMatrices = (inside, self.y[fitted], outside, self.y[validated])
        if self.weights is None:
            return matrices
        return (*matrices, self.weights[fitted], self.weights[validated])

    def _weigh(self, name: str, fold: Fold, form: Form) -> tuple[Any, Any]:
        """What the words of a text become, counted once for all folds and forms."""
        texts = self.features[name]
        if name not in self._counts:
            self._counts[name] = count_words(texts)
        fitted, validated = fold
        if self._counts[name].are_many(fitted):
            return weigh_words(self._counts[name], fitted, validated, sparse=form == "sparse")
        words = few_words()
        inside = words.fit_transform(texts.iloc[fitted])
        return inside.toarray(), words.transform(texts.iloc[validated]).toarray()

    def write(self, folder: str, form: Form) -> FoldFiles:
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
            texts=bool(self.texts),
        )
        form = form_of(form, files.texts)
        if not files.file(form, 0, 0).exists():
            try:  # the first file is written last
                for number, fold in reversed(list(enumerate(self.positions))):
                    for place, array in reversed(list(enumerate(self._prepare(fold, form)))):
                        save_matrix(files.file(form, number, place), array)
            except BaseException:
                files.file(form, 0, 0).unlink(missing_ok=True)
                raise
        return files


def _joined(parts: Sequence[Any]) -> Any:
    if len(parts) == 1:
        return parts[0]
    if any(sparse.issparse(part) for part in parts):
        return sparse.hstack(parts, format="csr")
    return np.concatenate(parts, axis=1)
