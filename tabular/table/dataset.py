"""A labelled table: from its raw cells to typed features and classes."""

import hashlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import pandas as pd

from custom_model.served.cells import read_cells
from custom_model.served.columns import Column, Label, expand
from tabular.errors import BadInput
from tabular.table.addresses import Download, without_password
from tabular.table.columns import LeftOut, infer_columns, is_text
from tabular.table.files import read_table
from tabular.table.labels import classes_of, read_labels
from tabular.table.notations.plain import with_numbers
from tabular.table.split import Hashes, hash_rows
from tabular.table.structure import (
    ALL_ALIKE,
    TOGETHER,
    WHEN,
    Roles,
    Structure,
    check_names,
    read_roles,
    read_weights,
)
from tabular.table.suspicious import describe_repeats, describe_suspicious

StructureOf = Callable[[str], Structure]
"""Takes the name of a data set."""


@dataclass(frozen=True)
class Dataset:
    """A labelled table whose column kinds are known.

    Args:
        name: of the data set, safe as a name in the registry.
        source: what the user gave: a built-in name, a path or a URI.
        target: heading of the column to predict.
        columns: the features.
        table_columns: headings of all columns but the target and weights, in the table's order.
        typed: (n_rows, n_columns), one typed column per feature.
        codes: (n_rows,) class of each row, an index into `labels`.
        labels: the classes, sorted, in their own type.
        row_hashes: (n_rows,) hash of each row's content, target and weight aside.
        left_out: columns that are not features.
        unlabelled: rows left out because they have no target.
        notes: how the table was read, a sentence each.
        structure: columns with a role in place of a feature.
        roles: what they hold.
        role_cells: (n_rows, n_roles) these columns as the table has them.
    """

    name: str
    source: str
    target: str
    columns: tuple[Column, ...]
    table_columns: tuple[str, ...]
    typed: pd.DataFrame
    codes: np.ndarray
    labels: tuple[Label, ...]
    row_hashes: Hashes
    left_out: tuple[LeftOut, ...] = ()
    unlabelled: int = 0
    notes: tuple[str, ...] = ()
    structure: Structure = ALL_ALIKE
    roles: Roles = field(default_factory=Roles)
    role_cells: pd.DataFrame = field(default_factory=pd.DataFrame)

    @cached_property
    def expanded(self) -> pd.DataFrame:
        """(n_rows, at least n_columns): what pipelines are fitted on."""
        return expand(self.typed, self.columns)

    @cached_property
    def digest(self) -> str:
        """16 hex digits: the same for the same rows in any order."""
        return digest(self, np.ones(len(self.codes), dtype=bool))

    def labelled(self, rows: np.ndarray) -> pd.DataFrame:
        """Typed features, the target, and the columns of the structure of some rows.

        Groups are text, moments datetime64 or float64, weights float64.

        Args:
            rows: (n_rows,) bool.
        """
        frame = self.typed[rows].reset_index(drop=True)
        frame[self.target] = pd.array([self.labels[code] for code in self.codes[rows]])
        for name in self.structure.group:
            frame[name] = self.role_cells[name][rows].astype("str").to_numpy()
        if self.roles.moments is not None:
            frame[self.structure.time] = self.roles.moments[rows]
        if self.roles.sample_weight is not None:
            frame[self.structure.weight] = self.roles.sample_weight[rows]
        return frame


def digest(dataset: Dataset, rows: np.ndarray) -> str:
    """Identifies a set of labelled rows in 16 hex digits, whatever their order.

    Args:
        dataset: the table.
        rows: (n_rows,) bool.
    """
    labels = pd.util.hash_array(np.array([repr(label) for label in dataset.labels], dtype=object))
    parts = [dataset.row_hashes[rows], labels[dataset.codes[rows]]]
    if (weights := dataset.roles.sample_weight) is not None:
        parts.append(weights[rows].view(np.uint64))
    pairs = np.stack(parts, axis=1)
    pairs = pairs[np.lexsort(pairs.T)]
    names = "\0".join([*sorted(dataset.table_columns), dataset.target])
    names += f"\0{dataset.structure}" if dataset.structure.names else ""
    return hashlib.sha256(names.encode() + pairs.tobytes()).hexdigest()[:16]


def load_dataset(
    data: str,
    target: str = "",
    download: Download | None = None,
    structure_of: StructureOf | None = None,
) -> Dataset:
    """Reads a labelled table.

    Args:
        data: see `tabular.table.files.open_table`.
        target: heading of the column to predict; a built-in set has its own.
        download: see `tabular.table.addresses.fetch`.
        structure_of: gives the columns with a role in place of a feature; None for none.

    Raises:
        BadInput: the table cannot be read, or cannot be learned from.
    """
    raw = read_table(data, download)
    return make_dataset(
        raw.frame,
        target or raw.target,
        name=raw.name,
        source=without_password(data),
        as_text=raw.as_text,
        notes=raw.notes,
        structure=structure_of(raw.name) if structure_of else ALL_ALIKE,
    )


def make_dataset(
    frame: pd.DataFrame,
    target: str,
    *,
    name: str,
    source: str,
    as_text: bool | None = None,
    notes: tuple[str, ...] = (),
    structure: Structure = ALL_ALIKE,
) -> Dataset:
    """Finds kinds and classes of a raw table.

    Args:
        frame: (n_rows, n_columns).
        target: heading of the column to predict.
        name: of the data set.
        source: where it came from.
        as_text: its cells are uninterpreted text; None for so if all of them are text.
        notes: how it was read.
        structure: columns with a role in place of a feature.

    Raises:
        BadInput: the table cannot be learned from.
    """
    names = [str(column) for column in frame.columns]
    if doubled := [column for column, times in Counter(names).items() if times > 1]:
        raise BadInput(f"column {doubled[0]!r} is in {source} more than once; rename one of them")
    frame = frame.set_axis(names, axis=1)
    if frame.empty:
        raise BadInput(f"{source} has no rows; give a table with at least two rows of two classes")
    if as_text is None:
        as_text = all(is_text(frame[column]) for column in names)
    if as_text:
        frame = with_numbers(frame, {target, *structure.names})
    labels, reading = read_labels(frame, target, source, as_text=as_text)
    check_names(frame, target, structure, source)
    known = labels.notna().to_numpy()
    unlabelled, counted = int((~known).sum()), known
    if structure.weight:
        counted = known.copy()
        counted[known] = read_weights(frame[structure.weight][known], source) > 0
    classes, codes, caution = classes_of(labels[counted], target, source)
    frame = frame.drop(columns=target)
    frame = (frame if counted.all() else frame[counted]).reset_index(drop=True)
    features = frame.drop(columns=structure.weight) if structure.weight else frame
    of_roles = [name for name in structure.names if name != structure.weight]
    without_role = features.drop(columns=of_roles)
    columns, left_out = infer_columns(without_role, as_text=as_text)
    left_out += [LeftOut(name, WHEN if name == structure.time else TOGETHER) for name in of_roles]
    cells = read_cells(features, columns, as_text=as_text)
    if problems := cells.problems():
        raise BadInput(f"{source}: {problems[0]}")
    row_hashes = hash_rows(features, columns)
    suspicious = describe_suspicious(cells.typed, columns)
    if not structure.group:
        suspicious += describe_repeats(without_role, cells.typed, columns, codes)
    roles = read_roles(frame, structure, row_hashes, source, as_text=as_text)
    return Dataset(
        name=name,
        source=source,
        target=target,
        columns=tuple(columns),
        table_columns=tuple(features.columns),
        typed=cells.typed,
        codes=codes,
        labels=classes,
        row_hashes=row_hashes,
        left_out=tuple(left_out),
        unlabelled=unlabelled,
        notes=(*notes, *reading, *caution, *suspicious),
        structure=structure,
        roles=roles,
        role_cells=frame[[*structure.names]],
    )
