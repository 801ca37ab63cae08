"""What training and sweeping begin with: the table, its sides, its folds."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from custom_model.served.columns import Label
from tabular.errors import BadInput
from tabular.report.pages import notes
from tabular.search.folds import Fold
from tabular.store.artifacts import download
from tabular.table.dataset import Dataset, load_dataset
from tabular.table.split import Split, make_folds, split_rows

Say = Callable[[str], None]
"""Takes a line of progress."""


@dataclass(frozen=True)
class Prepared:
    """A table ready to be learned from.

    Args:
        dataset: the table.
        split: its sides.
        folds: for cross-validation, as positions within the training side.
    """

    dataset: Dataset
    split: Split
    folds: list[Fold]

    @property
    def features(self) -> pd.DataFrame:
        """(n_training_rows, n_expanded) of the training side."""
        return self.dataset.expanded[self.split.train]

    @property
    def codes(self) -> np.ndarray:
        """(n_training_rows,) classes of the training side."""
        return self.dataset.codes[self.split.train]

    @property
    def never_validated(self) -> list[Label]:
        """Classes with a single row on the training side: every fold is fitted on it."""
        validated = {code for _, outside in self.folds for code in self.codes[outside].tolist()}
        return [label for code, label in enumerate(self.dataset.labels) if code not in validated]


def prepare(data: str, target: str, *, seed: int, say: Say) -> Prepared:
    """Reads the table, decides its sides and folds, and says what it found.

    Args:
        data: see `load_dataset`.
        target: column to predict.
        seed: of the split and the folds.
        say: takes each line.

    Raises:
        BadInput: the table cannot be read, or has too few rows.
    """
    dataset = load_dataset(data, target, download)
    split = split_rows(dataset.row_hashes, dataset.codes, seed=seed)
    if not split.holdout.any():
        raise BadInput(f"{data} has too few rows: no class has two different ones; add rows")
    folds = make_folds(dataset.row_hashes[split.train], dataset.codes[split.train], seed=seed)
    if not folds:
        raise BadInput(f"{data} has too few rows: no class has three different ones; add rows")
    say(
        f"{dataset.name}: {split.train.sum()} rows to train on, {split.holdout.sum()} held out, "
        f"{len(dataset.columns)} features, {len(dataset.labels)} classes of {dataset.target!r}"
    )
    for note in notes(dataset, split):
        say(f"  {note}")
    return Prepared(dataset, split, folds)
