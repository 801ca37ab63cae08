"""Versions compared on rows that neither was trained on."""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

from custom_model.served.columns import Label
from tabular.errors import BadInput
from tabular.gate.decide import Decision, Predictions, decide, evaluate_version
from tabular.gate.rules import Rule
from tabular.models.classes import align, key
from tabular.models.load import load_model
from tabular.models.model import LoadedModel
from tabular.report.parts import name_groups
from tabular.stats.constraint import read_constraint
from tabular.stats.costs import align_costs
from tabular.stats.metrics import rank_key
from tabular.store.artifacts import read_of_run
from tabular.store.registry import Version
from tabular.table.split import GROUP_HASH, ROW_HASH
from tabular.table.structure import Roles, hash_groups, read_roles

FEWEST_ROWS = 10
TIMED_ROWS = 20


class NotComparable(BadInput):
    """Two versions cannot be compared; the message says why."""


@dataclass(frozen=True)
class Contender:
    """A version that is compared.

    Args:
        version: from the registry.
        model: that was loaded of it.
        holdout: of a challenger: typed held-out rows with the target, indexed by row hash.
        target: heading of the predicted column; "" where a champion does not say.
        trained_on: (n,) hashes of the rows it was trained on; none where that is not known.
        groups_trained_on: (n,) hashes of their groups; none without groups.
    """

    version: Version
    model: LoadedModel
    holdout: pd.DataFrame
    target: str
    trained_on: np.ndarray
    groups_trained_on: np.ndarray = field(default_factory=lambda: np.empty(0))


def load_contender(version: Version, folder: str) -> Contender:
    """Loads a version, whoever made it.

    Raises:
        BadInput: it cannot be loaded, or its files were changed.
    """
    model = load_model(f"models:/{version.name}/{version.number}", folder)
    rows = read_of_run(version.run_id, "training_rows.parquet") if version.ours else None
    trained_on = np.empty(0) if rows is None else rows[ROW_HASH].to_numpy()
    groups = np.empty(0)
    if rows is not None and GROUP_HASH in rows:
        groups = rows[GROUP_HASH].unique()
    return Contender(version, model, pd.DataFrame(), model.target, trained_on, groups)


def with_holdout(contender: Contender) -> Contender:
    """A loaded version of this project as a challenger, with the rows it was not trained on.

    Raises:
        BadInput: its rows are gone, or it was trained on some of them.
    """
    version, model = contender.version, contender.model
    holdout = read_of_run(version.run_id, "holdout.parquet")
    if holdout is None or not len(contender.trained_on):
        raise BadInput(
            f"version {version.number} cannot be compared: its held-out rows are gone from the "
            "tracking store"
        )
    if np.isin(holdout.index.to_numpy(), contender.trained_on).any():
        raise BadInput(f"version {version.number} was trained on rows of its own holdout")
    target = [name for name in holdout.columns if name not in model.table_columns]
    return replace(contender, holdout=holdout, target=target[0])


def compare(
    current: Version | None,
    pool: Sequence[Version],
    ranked: int,
    rule: Rule,
    folder: str,
    say: Callable[[str], None],
    judge: Version | None = None,
) -> tuple[Contender, Decision]:
    """Asks every challenger for the rows it shares with the champion, and gates the best.

    Args:
        current: the version in production, None if there is none.
        pool: the challengers.
        ranked: from how many they were picked.
        rule: of the gate.
        folder: to keep the versions' files in.
        say: takes a line for each version that is left out.
        judge: the version whose costs count for all; None without costs.

    Returns:
        The best challenger, and the decision on it.

    Raises:
        BadInput: a challenger that is alone cannot be loaded.
        NotComparable: no challenger can be compared with the version in production.
    """
    try:
        champion = load_contender(current, folder) if current else None
    except BadInput as error:
        raise NotComparable(str(error)) from None
    if champion and not len(champion.trained_on):
        say(
            f"the rows that version {champion.version.number} was trained on are not known; those "
            "among the compared ones count in its favour"
        )
    judging = load_contender(judge, folder).model if judge else None
    scored = []
    for candidate in pool:
        try:
            challenger = with_holdout(load_contender(candidate, folder))
            classes, target = challenger.model.classes, challenger.target
            rows = common_rows(challenger, champion)
            roles = _roles(rows, challenger)
            features = rows.drop(columns=target).reset_index(drop=True)
            by_rows = None
            if rule.by:
                where = f"the held-out rows of version {candidate.number}"
                columns = challenger.model.columns
                by_rows = name_groups(features, columns, features, rule.by, where)
            predictions = ask_version(challenger, features, classes)
            before = ask_version(champion, features, classes) if champion else None
        except BadInput as error:
            if len(pool) == 1:
                raise
            say(f"version {candidate.number} is left out: {error}")
            continue
        code_of = {label: code for code, label in enumerate(classes)}
        y_true = np.array([code_of[label] for label in rows[target].tolist()])
        costs = align_costs(judging.costs, judging.classes, classes) if judging else None
        weights = roles.sample_weight
        score = rank_key(rule.metric, evaluate_version(y_true, predictions, costs, weights))
        scored.append((score, challenger, y_true, predictions, before, by_rows, costs, roles))
    if not scored:
        raise NotComparable("no newer version can be compared with the one in production")
    _, challenger, y_true, predictions, before, by_rows, costs, roles = min(
        scored, key=lambda item: item[0]
    )
    classes, promised = challenger.model.classes, challenger.model.at_least
    refreshed = (
        current is not None
        and current.ours
        and current.number < challenger.version.number
        and current.tags.get("data_digest") != challenger.version.tags.get("data_digest")
    )
    decision = decide(
        y_true,
        predictions,
        before,
        rule,
        labels=challenger.model.classes,
        refreshed=refreshed,
        challengers=ranked,
        by_rows=by_rows,
        costs=costs,
        groups=roles.groups,
        sample_weight=roles.sample_weight,
        at_least=read_constraint(promised, classes) if promised else None,
    )
    return challenger, decision


def _roles(rows: pd.DataFrame, challenger: Contender) -> Roles:
    """Groups and weights of held-out rows."""
    structure = replace(challenger.model.structure, time="")
    where = f"the held-out rows of version {challenger.version.number}"
    return read_roles(rows, structure, rows.index.to_numpy(), where, as_text=False)


def _new_to(champion: Contender, rows: pd.DataFrame, challenger: Contender) -> np.ndarray:
    """Which rows the champion cannot know, (n_rows,) bool.

    It was trained on none of them nor on others of their groups, and all are from its cut on.
    """
    structure, cut = challenger.model.structure, champion.model.cut
    new = ~np.isin(rows.index.to_numpy(), champion.trained_on)
    if structure.group:
        groups = hash_groups(rows, structure, rows.index.to_numpy())
        new &= ~np.isin(groups, champion.groups_trained_on)
    if structure.time and cut:
        moments = rows[structure.time].to_numpy()
        try:
            new &= moments >= (float(cut) if moments.dtype.kind == "f" else np.datetime64(cut))
        except ValueError:
            raise NotComparable(
                f"versions {challenger.version.number} and {champion.version.number} cannot be "
                f"compared: {structure.time!r} holds numbers in one table and dates in the other"
            ) from None
    return np.asarray(new)


def common_rows(challenger: Contender, champion: Contender | None) -> pd.DataFrame:
    """Held-out rows of the challenger that the champion was not trained on either.

    Args:
        challenger: the version that would replace the champion.
        champion: the version in production, None if there is none.

    Returns:
        (n_rows, n_columns + 1): typed, with the target, indexed by the rows' hashes.

    Raises:
        NotComparable: there are too few, or the two predict different columns or classes.
    """
    rows = challenger.holdout
    if champion is None:
        return rows
    ours, theirs = ({key(c): c for c in m.model.classes} for m in (challenger, champion))
    of_ours, of_theirs = (contender.model.structure for contender in (challenger, champion))
    since = f" from {champion.model.cut} on" if champion.model.cut else ""
    why = ""
    if champion.model.columns and of_ours != of_theirs:
        why = f"one was made with {of_ours}, the other with {of_theirs}"
    elif champion.target not in ("", challenger.target):
        why = f"one predicts {challenger.target!r}, the other {champion.target!r}"
    elif theirs and ours.keys() != theirs.keys():
        only = [[a[k] for k in a if k not in b][:5] for a, b in ((ours, theirs), (theirs, ours))]
        why = f"their classes differ; only one has {only[0]}, only the other {only[1]}"
    elif len(rows := rows[_new_to(champion, rows, challenger)]) < FEWEST_ROWS:
        why = f"only {len(rows)} rows{since} are new to both, {FEWEST_ROWS} are needed"
    if why:
        raise NotComparable(
            f"versions {challenger.version.number} and {champion.version.number} cannot be "
            f"compared: {why}"
        )
    return rows


def ask_version(
    contender: Contender, features: pd.DataFrame, classes: tuple[Label, ...]
) -> Predictions:
    """Asks a version, and times single rows.

    Raises:
        NotComparable: the version cannot score these rows, or predicts another class.
    """
    model, number = contender.model, contender.version.number
    cells = model.read(features, False)
    predicted = model.ask(cells)
    for row, reason in predicted.reasons.items():
        raise NotComparable(
            f"version {number} cannot score the common rows; the first: row {row + 1}, {reason}"
        )
    known = {key(label) for label in classes}
    if others := sorted({key(label) for label in predicted.y_pred} - known):
        raise NotComparable(f"version {number} predicts {others[0]!r}, no class of its challenger")
    y_pred, proba = align(predicted.y_pred, predicted.proba, classes)
    # a version of this project as a server asks it, by the short way for a few rows
    ask = model.pyfunc.predict if model.columns else model.predict
    seconds = []
    for row in range(min(TIMED_ROWS, len(features))):
        one = cells.typed.iloc[row : row + 1]
        started = time.perf_counter()
        ask(one)
        seconds.append(time.perf_counter() - started)
    latency = statistics.median(seconds)
    if proba is None:
        return Predictions(np.eye(len(classes))[y_pred], latency, y_pred, labels_only=True)
    return Predictions(proba, latency, y_pred)
