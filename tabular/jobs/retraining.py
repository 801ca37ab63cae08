"""What a sweep takes over from the version in production, the champion."""

import json
import tempfile
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tabular.errors import BadInput
from tabular.jobs.preparation import Say
from tabular.search.cross_validation import Trial
from tabular.stats.constraint import Constraint
from tabular.store import production, registry
from tabular.store.artifacts import download
from tabular.store.registry import Version
from tabular.store.trials import read_members, sweep_had
from tabular.table.dataset import Dataset


def champion_of(name: str) -> str:
    """The version of a model in production, as `models:/<name>/<n>`; "" if there is none."""
    try:
        number = production.champion(name)
    except BadInput:  # a registry without aliases, where nothing can be in production
        return ""
    return "" if number is None else f"models:/{name}/{number}"


def first_trials(
    uri: str, dataset: Dataset, families: Sequence[str], say: Say
) -> list[tuple[str, Mapping[str, Any]]]:
    """Families and hyperparameters of the trials that a champion was made of.

    Args:
        uri: `models:/<name>/<n>`, "" for none.
        dataset: that will be searched.
        families: that will be searched.
        say: takes one line: how many there are, or why there are none.
    """
    if not uri:
        return []
    try:
        members = _members(uri, dataset)
    except BadInput as reason:
        say(f"  Begins without the recipe of {uri}: {reason}.")
        return []
    kept = [trial for trial in members if trial.classifier in families]
    others = sorted({trial.classifier for trial in members} - set(families))
    line = f"  Begins with the recipe of {uri}: "
    line += ", ".join(trial.classifier for trial in kept) or "none of it"
    say(line + (f"; not searched here: {', '.join(others)}." if others else "."))
    return [(trial.classifier, trial.params) for trial in kept]


def is_made_of(
    uri: str,
    dataset: Dataset,
    metrics: Collection[str],
    costs: np.ndarray | None,
    at_least: Constraint | None,
) -> bool:
    """Whether a champion is the result of a sweep of this very table for the same purpose.

    Args:
        uri: `models:/<name>/<n>`, "" for none.
        dataset: the table; its digest covers rows, target and roles of columns.
        metrics: the objective, as it may have been written.
        costs: see `Recipe`.
        at_least: a rate to be held, None for none.
    """
    try:
        version = _version(uri) if uri else None
        if version is None or version.tags.get("data_digest") != dataset.digest:
            return False
        made_with = _bundle(uri)
    except BadInput:
        return False
    given = None if costs is None else costs.tolist()
    wanted = (given, "" if at_least is None else str(at_least))
    return wanted == (made_with.get("costs"), made_with.get("at_least", "")) and sweep_had(
        version.tags.get("sweep_run_id", ""), {"metric": metrics}
    )


def _version(uri: str) -> Version:
    name, _, number = uri.removeprefix("models:/").rpartition("/")
    version = registry.read_version(name, int(number))
    if version is None:
        raise BadInput("it was deleted")
    if not version.ours:
        raise BadInput("it was not registered by this project")
    return version


def _bundle(uri: str) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        try:
            file = download(f"{uri}/artifacts/bundle.json", Path(folder))
            return dict(json.loads(file.read_text(encoding="utf-8")))
        except (BadInput, ValueError, OSError):
            raise BadInput("its files cannot be read") from None


def _members(uri: str, dataset: Dataset) -> list[Trial]:
    version, made_with = _version(uri), _bundle(uri)
    target = made_with.get("target", dataset.target)  # the first versions do not say
    if target != dataset.target:
        raise BadInput(f"it predicts {target!r}")
    here, there = set(dataset.table_columns), set(made_with.get("table_columns", ()))
    if here != there:
        column = min(here ^ there)
        raise BadInput(f"{column!r} is {'not in its' if column in here else 'only in its'} table")
    return read_members(version.run_id)
