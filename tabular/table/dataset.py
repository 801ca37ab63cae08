"""A labelled table, read once: from a built-in set, CSV or Parquet to features and classes."""

import hashlib
import os
import re
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
import sklearn.datasets

from custom_model.bundle import Column, Label, Refusal, conform, expand
from tabular.errors import BadInput, choices, first_line
from tabular.table.columns import LeftOut, infer_columns, is_text, missing_markers
from tabular.table.labels import classes_of, read_labels
from tabular.table.split import Hashes, hash_rows

BUILT_IN = ("iris", "wine", "breast_cancer", "digits")
TABLE_ENDINGS = (".csv", ".csv.gz", ".tsv", ".tsv.gz", ".parquet", ".pq")


@dataclass(frozen=True)
class Dataset:
    """A labelled table whose column kinds are known.

    Args:
        name: of the data set, safe as a name in the registry.
        source: what the user gave: a built-in name, a path or a URI.
        target: heading of the column to predict.
        columns: the features.
        table_columns: headings of all columns but the target, in the table's order.
        typed: (n_rows, n_columns), one typed column per feature.
        codes: (n_rows,) class of each row, an index into `labels`.
        labels: the classes, sorted, in their own type.
        row_hashes: (n_rows,) hash of each row's content, the target aside.
        left_out: columns that are not features.
        unlabelled: rows left out because they have no target.
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

    @cached_property
    def expanded(self) -> pd.DataFrame:
        """(n_rows, at least n_columns): what pipelines are fitted on."""
        return expand(self.typed, self.columns)

    @cached_property
    def digest(self) -> str:
        """16 hex digits: the same for the same rows in any order."""
        return digest(self, np.ones(len(self.codes), dtype=bool))

    def labelled(self, rows: np.ndarray) -> pd.DataFrame:
        """Typed features and the target of some rows.

        Args:
            rows: (n_rows,) bool.
        """
        frame = self.typed[rows].reset_index(drop=True)
        frame[self.target] = pd.array([self.labels[code] for code in self.codes[rows]])
        return frame


def digest(dataset: Dataset, rows: np.ndarray) -> str:
    """Identifies a set of labelled rows in 16 hex digits, whatever their order.

    Args:
        dataset: the table.
        rows: (n_rows,) bool.
    """
    labels = pd.util.hash_array(np.array([repr(label) for label in dataset.labels], dtype=object))
    pairs = np.stack([dataset.row_hashes[rows], labels[dataset.codes[rows]]], axis=1)
    pairs = pairs[np.lexsort(pairs.T)]
    names = "\0".join([*sorted(dataset.table_columns), dataset.target])
    return hashlib.sha256(names.encode() + pairs.tobytes()).hexdigest()[:16]


def load_dataset(data: str, target: str = "") -> Dataset:
    """Reads a labelled table.

    Args:
        data: `iris`, `wine`, `breast_cancer`, `digits`, or a path or URI of a CSV, TSV or Parquet
            file or a folder of Parquet files.
        target: heading of the column to predict; a built-in set has its own.

    Raises:
        BadInput: the table cannot be read, or cannot be learned from.
    """
    if data in BUILT_IN:
        frame, own_target = load_built_in(data)
        return make_dataset(frame, target or own_target, name=data, source=data)
    return make_dataset(read_table(data), target, name=safe_name(data), source=data)


def make_dataset(frame: pd.DataFrame, target: str, *, name: str, source: str) -> Dataset:
    """Finds kinds and classes of a raw table.

    Args:
        frame: (n_rows, n_columns); cells of a CSV are uninterpreted text.
        target: heading of the column to predict.
        name: of the data set.
        source: where it came from.

    Raises:
        BadInput: the table cannot be learned from.
    """
    names = [str(column) for column in frame.columns]
    if doubled := [column for column, times in Counter(names).items() if times > 1]:
        raise BadInput(f"column {doubled[0]!r} is in {source} more than once; rename one of them")
    frame = frame.set_axis(names, axis=1)
    if not target:
        raise BadInput(
            f"no target given for {source}; say which column to predict with -P target=<column>, "
            f"one of: {', '.join(names[:30])}"
        )
    if target not in names:
        raise BadInput(f"target column {target!r} not found in {source}; {choices(target, names)}")
    if frame.empty:
        raise BadInput(f"{source} has no rows; give a table with at least two rows of two classes")
    spelled = all(is_text(frame[column]) for column in names)
    markers = missing_markers(frame.drop(columns=target))
    labels = read_labels(frame[target], markers, spelled=spelled)
    known = labels.notna().to_numpy()
    classes, codes = classes_of(labels[known], target, source)
    features = frame[known].drop(columns=target).reset_index(drop=True)
    columns, left_out = infer_columns(features)
    try:
        typed = conform(features, columns, as_text=True)
    except Refusal as refusal:
        raise BadInput(f"{source}: {refusal.message}") from None
    return Dataset(
        name=name,
        source=source,
        target=target,
        columns=tuple(columns),
        table_columns=tuple(features.columns),
        typed=typed,
        codes=codes,
        labels=classes,
        row_hashes=hash_rows(features),
        left_out=tuple(left_out),
        unlabelled=int((~known).sum()),
    )


def read_table(source: str) -> pd.DataFrame:
    """Reads a file as it stands; a CSV's cells stay text, an empty one is "".

    Args:
        source: path or URI of `.csv`, `.csv.gz`, `.tsv`, `.parquet`, or a folder of Parquet files.

    Returns:
        (n_rows, n_columns) raw: text cells of a CSV, the columns' own types of Parquet.

    Raises:
        BadInput: there is no such file, or it is not what its ending says.
    """
    source = source.removeprefix("file://")
    lower = source.lower()
    is_uri = "://" in source
    if not is_uri and not os.path.exists(source):  # noqa: PTH110 - Path.exists raises on long names
        hint = choices(source, BUILT_IN)
        raise BadInput(
            f"data {source[:200]!r} not found: no such file or folder in {Path.cwd()}, and no "
            f"built-in set; {hint}"
        )
    folder = not is_uri and Path(source).is_dir()
    if not folder and not lower.endswith(TABLE_ENDINGS):
        raise BadInput(
            f"data {source!r} has an unknown ending; possible: {', '.join(TABLE_ENDINGS)}"
        )
    try:
        if folder or lower.endswith((".parquet", ".pq")):
            frame = pd.read_parquet(source, dtype_backend="numpy_nullable")
            # a named index of pandas is a column of the file like any other
            return frame.reset_index() if any(frame.index.names) else frame
        frame = _read_csv(source, "\t" if ".tsv" in lower[-7:] else ",")
        if len(frame.columns) == 1:
            for separator in ";\t|":
                if separator in str(frame.columns[0]):
                    frame = _read_csv(source, separator)
    except UnicodeDecodeError:
        raise BadInput(f"{source} is not UTF-8 text; save it as UTF-8") from None
    except Exception as error:  # the parsers raise many kinds; each has one line that matters
        raise BadInput(f"{source} cannot be read: {first_line(error)}") from None
    if not isinstance(frame.index, pd.RangeIndex):
        raise BadInput(f"{source} cannot be read: its rows have more cells than its heading")
    return frame


def _read_csv(source: str, separator: str) -> pd.DataFrame:
    head = pd.read_csv(source, sep=separator, header=None, nrows=1, dtype=str, na_filter=False)
    names = [str(cell).removeprefix("\ufeff") for cell in head.iloc[0]]
    names = [name or f"Unnamed: {position}" for position, name in enumerate(names)]
    if doubled := [name for name, times in Counter(names).items() if times > 1]:
        raise ValueError(f"column {doubled[0]!r} is there more than once; rename one of them")
    return pd.read_csv(
        source,
        sep=separator,
        dtype=str,
        keep_default_na=False,
        na_filter=False,
        encoding="utf-8-sig",
    )


def safe_name(source: str) -> str:
    """A file's stem as a name that the registry takes."""
    stem = re.split(r"[/\\]", source.rstrip("/\\"))[-1]
    for ending in (".gz", *TABLE_ENDINGS):
        stem = stem[: -len(ending)] if stem.lower().endswith(ending) else stem
    return re.sub(r"[^\w.-]+", "_", stem).strip("._") or "table"


def load_built_in(name: str) -> tuple[pd.DataFrame, str]:
    """A table of `BUILT_IN` with its target column, and that column's heading.

    Args:
        name: one of `BUILT_IN`.

    Returns:
        (n_rows, n_columns + 1) and the heading.
    """
    loaded = getattr(sklearn.datasets, f"load_{name}")(as_frame=True)
    labels = np.asarray(loaded.target_names).astype(object)[loaded.target.to_numpy()]
    target = {"iris": "species", "wine": "cultivar", "breast_cancer": "diagnosis"}.get(
        name, "digit"
    )
    return loaded.data.assign(**{target: pd.Series(labels).infer_objects()}), target
