"""Rows that are not alike: which belong together, which came later, how much each counts."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from custom_model.served.cells import read_cells
from tabular.errors import BadInput, choices
from tabular.table.columns import infer_columns
from tabular.table.split import hash_rows

OFF = "none"
"""Turns a role off that the newest version of the model has."""

TOGETHER, WHEN = "says which rows belong together", "says when a row was"
"""Why a column with a role is no feature."""

METADATA = "structure"
"""Key in the metadata of a logged model, see `to_metadata`."""


@dataclass(frozen=True)
class Structure:
    """Columns with a role in place of a feature.

    Args:
        group: rows with equal values in all of these belong together; none for no groups.
        time: says when a row was; "" for no order.
        weight: says how much a row counts; "" for all the same.
    """

    group: tuple[str, ...] = ()
    time: str = ""
    weight: str = ""

    @property
    def names(self) -> tuple[str, ...]:
        """The columns."""
        return tuple(name for name in (*self.group, self.time, self.weight) if name)

    def __str__(self) -> str:
        roles = {"group": ",".join(self.group), "time": self.time, "weight": self.weight}
        return " ".join(f"{role}={name}" for role, name in roles.items() if name) or OFF


ALL_ALIKE = Structure()


@dataclass(frozen=True)
class Roles:
    """What the columns of a structure hold; None for a role that no column has.

    Args:
        groups: (n_rows,) uint64, equal for rows that belong together, whatever the table.
        moments: (n_rows,) datetime64 or float64.
        sample_weight: (n_rows,) float64, above 0.
    """

    groups: np.ndarray | None = None
    moments: np.ndarray | None = None
    sample_weight: np.ndarray | None = None

    def __getitem__(self, rows: np.ndarray) -> "Roles":
        return Roles(*(None if part is None else part[rows] for part in vars(self).values()))


def combined(group: str, time: str, weight: str, former: Structure) -> Structure:
    """The structure that a command asks for.

    Args:
        group: comma list of columns; "" for those of `former`, `none` for none.
        time: column; likewise.
        weight: column; likewise.
        former: of the newest version of the model.
    """
    names = tuple(name.strip() for name in group.split(",") if name.strip())
    return Structure(
        former.group if not names else () if names == (OFF,) else names,
        former.time if not time else "" if time == OFF else time,
        former.weight if not weight else "" if weight == OFF else weight,
    )


def to_metadata(structure: Structure, cut: str = "") -> dict[str, Any]:
    """What a logged model carries of a structure; nothing where there is none.

    Args:
        structure: of its table.
        cut: the first moment that is held out, "" without `time`.
    """
    if not structure.names:
        return {}
    return {METADATA: asdict(structure) | {"cut": cut}}


def structure_of(metadata: Mapping[str, Any] | None) -> Structure:
    """The structure that a model was trained with; an empty one for models that name none.

    Args:
        metadata: of the logged model, `MLmodel`'s.
    """
    stored = (metadata or {}).get(METADATA, {})
    return Structure(
        tuple(stored.get("group", ())), stored.get("time", ""), stored.get("weight", "")
    )


def cut_of(metadata: Mapping[str, Any] | None) -> str:
    """The first moment that was held out, as text; "" without `time`."""
    return str((metadata or {}).get(METADATA, {}).get("cut", ""))


def check_names(frame: pd.DataFrame, target: str, structure: Structure, source: str) -> None:
    """Sees whether a table has the columns of a structure, each in one role.

    Raises:
        BadInput: it has not.
    """
    others = [name for name in frame.columns if name != target]
    roles = [*(("group", name) for name in structure.group)]
    roles += [("time", structure.time)] * bool(structure.time)
    roles += [("weight", structure.weight)] * bool(structure.weight)
    taken: dict[str, str] = {target: "target"}
    for role, name in roles:
        if name in taken:
            raise BadInput(
                f"column {name!r} is given as {role} and as {taken[name]}; give it one role"
            )
        if name not in others:
            raise BadInput(
                f"{role} column {name!r} not found in {source}; {choices(name, others)}; "
                f"{role}={OFF} goes without"
            )
        taken[name] = role


def read_weights(cells: pd.Series, source: str) -> np.ndarray:
    """Weights, (n_rows,) float64, 0 or more; a row of weight 0 counts as absent.

    Raises:
        BadInput: a cell is no number, missing or negative, or all are 0.
    """
    weights = pd.to_numeric(cells, errors="coerce").to_numpy(np.float64, na_value=np.nan)
    bad = ~(np.isfinite(weights) & (weights >= 0))
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        cell = cells.iloc[row]
        found = "no value" if pd.isna(cell) or str(cell).strip() == "" else repr(str(cell)[:40])
        raise BadInput(
            f"weight column {cells.name!r} of {source}: expected a number of 0 or more in every "
            f"row, found {found} in labelled row {row + 1}"
        )
    if not weights.any():
        raise BadInput(f"weight column {cells.name!r} of {source} is 0 in every row; no row counts")
    return weights


def read_moments(cells: pd.Series, source: str, *, as_text: bool) -> np.ndarray:
    """When each row was, (n_rows,): datetime64 of a date, float64 of a number such as a year.

    Raises:
        BadInput: a cell cannot be read or is missing, or all are equal.
    """
    name = str(cells.name)
    try:
        columns, _ = infer_columns(cells.to_frame(), as_text=as_text)
    except BadInput:  # each value once, such as the number of the row, or one value
        columns = []
    if columns and columns[0].kind == "date":
        typed = read_cells(cells.to_frame(), columns, as_text=as_text).typed[name]
        moments = typed.to_numpy("datetime64[us]")
    else:
        moments = pd.to_numeric(cells, errors="coerce").to_numpy(np.float64, na_value=np.nan)
    bad = pd.isna(moments) | (np.isinf(moments) if moments.dtype.kind == "f" else False)
    if (cells.notna().all() and cells.nunique() == 1) or (moments == moments[0]).all():
        raise BadInput(
            f"time column {name!r} of {source} has one moment only ({cells.iloc[0]}); "
            "rows cannot be held out by it"
        )
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        raise BadInput(
            f"time column {name!r} of {source}: expected a date, or a number that grows with "
            f"time, in every row, found {str(cells.iloc[row])[:40]!r} in labelled row {row + 1}"
        )
    return np.asarray(moments)


def hash_groups(frame: pd.DataFrame, structure: Structure, row_hashes: np.ndarray) -> np.ndarray:
    """Groups, (n_rows,) uint64; a row whose cells of `group` are all empty is one of its own.

    Args:
        frame: (n_rows, n_columns) raw.
        structure: with `group`.
        row_hashes: (n_rows,) from `hash_rows`.
    """
    names = [*structure.group]
    nothing = hash_rows(pd.DataFrame([[""] * len(names)], columns=names))
    groups = hash_rows(frame[names])
    return np.where(groups == nothing, row_hashes, groups)


def read_roles(
    frame: pd.DataFrame,
    structure: Structure,
    row_hashes: np.ndarray,
    source: str,
    *,
    as_text: bool,
) -> Roles:
    """Reads the columns of a structure.

    A row whose cells of `group` are all empty is a group of its own.

    Args:
        frame: (n_rows, n_columns) raw, with labels and a weight above 0 in every row.
        structure: its columns.
        row_hashes: (n_rows,) from `hash_rows`.
        source: where the table came from.
        as_text: its cells are uninterpreted text.

    Raises:
        BadInput: a cell cannot be read.
    """
    groups = moments = weights = None
    if structure.group:
        groups = hash_groups(frame, structure, row_hashes)
    if structure.time:
        moments = read_moments(frame[structure.time], source, as_text=as_text)
    if structure.weight:
        weights = read_weights(frame[structure.weight], source)
    return Roles(groups, moments, weights)
