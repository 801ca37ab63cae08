"""What training and sweeping begin with: the table, its sides, its folds."""

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from custom_model.served.columns import Label
from tabular.errors import BadInput
from tabular.families.classifiers import can_weigh
from tabular.report.pages import notes
from tabular.search.folds import Folds
from tabular.store import registry
from tabular.store.artifacts import download
from tabular.store.signing import signer
from tabular.table.dataset import Dataset, load_dataset
from tabular.table.split import N_FOLDS, Split, make_folds, split_rows
from tabular.table.structure import Structure, combined

SAMPLE_CELLS, SAMPLE_ROWS, SAMPLE_OF_CLASS = 100_000, 60, 5  # at least so many rows, of a class

Say = Callable[[str], None]
"""Takes a line of progress."""


@dataclass(frozen=True)
class Prepared:
    """A table ready to be learned from.

    Args:
        dataset: the table.
        split: its sides.
        folds: of the training side, for cross-validation.
    """

    dataset: Dataset
    split: Split
    folds: Folds

    @property
    def never_validated(self) -> list[Label]:
        """Classes with a single row on the training side: every fold is fitted on it."""
        validated = set(self.folds.y_true.tolist())
        return [label for y, label in enumerate(self.dataset.labels) if y not in validated]


@dataclass(frozen=True)
class RoleColumns:
    """What a command was asked to make of columns that are no features.

    Args:
        model_name: in the registry; "" for the data set's name. What is not given is as in its
            newest version.
        group: comma list of columns, "" or `none`; see `Structure`.
        time: column, "" or `none`.
        weight: column, "" or `none`.
    """

    model_name: str = ""
    group: str = ""
    time: str = ""
    weight: str = ""

    def structure(self, name: str) -> Structure:
        """The structure of the data set of this name."""
        former = registry.newest_structure(self.model_name or name)
        return combined(self.group, self.time, self.weight, former)


def prepare(
    data: str, target: str, *, seed: int, say: Say, asked: RoleColumns | None = None
) -> Prepared:
    """Reads the table and decides its sides and folds.

    Args:
        data: see `load_dataset`.
        target: column to predict.
        seed: of the split and the folds.
        say: takes each line about the table.
        asked: which columns have a role in place of a feature; None for no column.

    Raises:
        BadInput: the table cannot be read, or has too few rows; or the key to sign with is none.
    """
    signer()
    dataset = load_dataset(data, target, download, asked.structure if asked else None)
    roles = dataset.roles
    split = split_rows(
        dataset.row_hashes, dataset.codes, seed=seed, groups=roles.groups, moments=roles.moments
    )
    unit = "groups" if dataset.structure.group else "ones"
    if not split.holdout.any():
        raise BadInput(f"{data} has too few rows: no class has two different {unit}; add rows")
    _check_classes(dataset, split)
    folds = _folds(dataset, split, seed)
    if not folds.positions:
        raise BadInput(
            f"{data} has too few moments to train on: no rows of two classes are older than others"
            if dataset.structure.time
            else f"{data} has too few rows: no class has three different {unit}; add rows"
        )
    say(
        f"{dataset.name}: {split.train.sum()} rows to train on, {split.holdout.sum()} held out, "
        f"{len(dataset.columns)} features, {len(dataset.labels)} classes of {dataset.target!r}"
    )
    for note in notes(dataset, split):
        say(f"  {note}")
    return Prepared(dataset, split, folds)


def _folds(dataset: Dataset, split: Split, seed: int, n_folds: int = N_FOLDS) -> Folds:
    y, roles = dataset.codes[split.train], dataset.roles[split.train]
    hashes = dataset.row_hashes[split.train]
    positions = make_folds(
        hashes, y, n_folds=n_folds, seed=seed, groups=roles.groups, moments=roles.moments
    )
    rows = dataset.expanded[split.train]
    return Folds(
        rows, y, dataset.columns, positions, roles.sample_weight,
        grouped=bool(dataset.structure.group),
    )  # fmt: skip


def sampled(prepared: Prepared, *, seed: int) -> Prepared:
    """The same table with fewer rows to train on: so few that a simple fit takes about a second.

    Args:
        prepared: the table.
        seed: of the sample and its folds.
    """
    features, y = prepared.folds.features, prepared.folds.y
    first = features[:100]
    n_bytes = int(first.memory_usage(index=False, deep=True).sum())
    cells = max(features.shape[1], n_bytes // (8 * len(first)))  # a long text counts as many
    n_rows = min(len(y), max(SAMPLE_ROWS, SAMPLE_CELLS // cells))
    shuffled = np.random.default_rng(seed).permutation(len(y))
    counts = np.bincount(y)
    wanted = np.maximum(np.minimum(counts, SAMPLE_OF_CLASS), counts * n_rows // len(y))
    place = np.zeros(len(y), dtype=np.intp)  # of a row among those of its class
    for code in range(len(counts)):
        of_class = shuffled[y[shuffled] == code]
        place[of_class] = np.arange(len(of_class))
    left_out = np.zeros(len(prepared.split.holdout), dtype=bool)
    left_out[np.flatnonzero(prepared.split.train)[place >= wanted[y]]] = True
    split = dataclasses.replace(prepared.split, left_out=left_out if left_out.any() else None)
    n_folds = N_FOLDS if n_rows * cells <= SAMPLE_CELLS else 2  # each fits all of the columns
    return Prepared(prepared.dataset, split, _folds(prepared.dataset, split, seed, n_folds))


def _check_classes(dataset: Dataset, split: Split) -> None:
    """Sees whether a holdout by time leaves rows of every class to train on.

    Raises:
        BadInput: it does not.
    """
    trained = np.unique(dataset.codes[split.train])
    lost = np.setdiff1d(np.unique(dataset.codes[split.holdout]), trained)
    if not len(lost) and len(trained) > 1:
        return
    older = (
        f"before {split.first_moment} in {dataset.structure.time!r}, from where rows are held out"
    )
    if split.unused is not None and split.unused.any():
        older += f" ({split.unused.sum()} older rows are of groups of the holdout)"
    what = f"no rows of class {dataset.labels[lost[0]]!r}" if len(lost) else "one class only"
    raise BadInput(
        f"{dataset.source} has {what} {older}; leave such classes out, or give time=none or "
        "another column"
    )


def check_weighed(structure: Structure, classifiers: Sequence[str]) -> None:
    """Sees whether the classifiers that were asked for take weights, where the table has some.

    Raises:
        BadInput: one of them does not.
    """
    if structure.weight and (others := [one for one in classifiers if not can_weigh(one)]):
        raise BadInput(
            f"{others[0]} takes no weights, and {structure.weight!r} says how much a row counts; "
            "take another classifier, or weight=none"
        )
