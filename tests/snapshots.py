"""Stores that several tests begin with are filled once in a process, and then by a copy."""

import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Hashable
from contextlib import closing
from pathlib import Path

import mlflow

FOLDER = tempfile.TemporaryDirectory(prefix="snapshots-")
PATHS = (
    ("experiments", "artifact_location"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
    ("runs", "artifact_uri"),
)
_made: dict[tuple[Hashable, ...], tuple[Path, Path]] = {}


def once(make: Callable[..., object], *arguments: Hashable) -> None:
    """Calls `make` to fill the empty store of a test, or does again what its first call left."""
    store = Path(mlflow.get_tracking_uri().removeprefix("sqlite:///")).parent
    assert not (store / "artifacts").exists(), "what was there before would be kept with it"
    key = (make, *arguments)
    if key in _made:
        _fill(store, *_made[key])
    else:
        make(*arguments)
        copy = Path(FOLDER.name, str(len(_made)))
        shutil.copytree(store, copy)
        _made[key] = (copy, store)


def _fill(store: Path, copy: Path, was: Path) -> None:
    """Copies files and rows into a store; what was kept in `was` is kept in it."""
    shutil.copytree(copy, store, dirs_exist_ok=True, ignore=shutil.ignore_patterns("mlflow.db"))
    with (
        closing(sqlite3.connect(copy / "mlflow.db")) as made,
        closing(sqlite3.connect(store / "mlflow.db")) as link,
    ):
        made.backup(link)
        for table, column in PATHS:
            changed = f"UPDATE {table} SET {column} = replace({column}, ?, ?)"
            link.execute(changed, [str(was), str(store)])
        link.commit()
