"""What training and sweeping begin with: the table, its sides, its folds."""

from collections.abc import Callable
from dataclasses import dataclass

from custom_model.served.columns import Label
from tabular.errors import BadInput
from tabular.report.pages import notes
from tabular.search.folds import Folds
from tabular.store.artifacts import download
from tabular.store.signing import signer
from tabular.table.dataset import Dataset, load_dataset
from tabular.table.split import Split, make_folds, split_rows

Say = Callable[[str], None]
"""Takes a line of progress."""


@dataclass(frozen=True)
class Prepared:
    """A table ready to be learned from."""

    dataset: Dataset
    split: Split
    folds: Folds

    @property
    def never_validated(self) -> list[Label]:
        """Classes with a single row on the training side: every fold is fitted on it."""
        validated = set(self.folds.y_true.tolist())
        return [label for y, label in enumerate(self.dataset.labels) if y not in validated]


def prepare(data: str, target: str, *, seed: int, say: Say) -> Prepared:
    """Reads the table and decides its sides and folds.

    Raises:
        BadInput: the table cannot be read, or has too few rows; or the key to sign with is none.
    """
    signer()
    dataset = load_dataset(data, target, download)
    split = split_rows(dataset.row_hashes, dataset.codes, seed=seed)
    if not split.holdout.any():
        raise BadInput(f"{data} has too few rows: no class has two different ones; add rows")
    y = dataset.codes[split.train]
    positions = make_folds(dataset.row_hashes[split.train], y, seed=seed)
    if not positions:
        raise BadInput(f"{data} has too few rows: no class has three different ones; add rows")
    say(
        f"{dataset.name}: {split.train.sum()} rows to train on, {split.holdout.sum()} held out, "
        f"{len(dataset.columns)} features, {len(dataset.labels)} classes of {dataset.target!r}"
    )
    for note in notes(dataset, split):
        say(f"  {note}")
    folds = Folds(dataset.expanded[split.train], y, dataset.columns, positions)
    return Prepared(dataset, split, folds)
