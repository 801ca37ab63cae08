"""What a profile remembers, and what counts as drift."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from custom_model.served.columns import Column
from custom_model.served.requests import conform
from tabular.drift.checks import CurrentPredictions, DriftRule
from tabular.drift.profile import (
    Profile,
    count,
    from_json,
    profile_columns,
    profile_predictions,
    to_json,
)
from tabular.drift.verdict import Drift, compare_with_profile, detectable_shift
from tabular.stats.units import Units, units_of
from tabular.table.columns import infer_columns
from tests.tables import mixed_table

HASHES = np.arange(300, dtype=np.uint64)


def features(n_rows: int = 2000, seed: int = 0) -> pd.DataFrame:
    return mixed_table(n_rows, seed).drop(columns=["customer", "currency", "label"])


COLUMNS = tuple(infer_columns(features())[0])


def predictions(n_rows: int, seed: int, accuracy: float = 0.9) -> CurrentPredictions:
    rng = np.random.default_rng(seed)
    y_true = rng.integers(0, 2, n_rows)
    y_pred = np.where(rng.random(n_rows) < accuracy, y_true, 1 - y_true)
    sure = rng.uniform(0.5, 1, n_rows)
    proba = np.stack(
        [np.where(y_pred == 0, sure, 1 - sure), np.where(y_pred, sure, 1 - sure)], axis=1
    )
    return CurrentPredictions(y_pred, proba, y_true)


def reference(columns: tuple[Column, ...] = COLUMNS) -> Profile:
    before = predictions(300, 1)
    assert before.y_true is not None
    return Profile(
        profile_columns(conform(features(), COLUMNS, as_text=True), columns, seed=0),
        profile_predictions(before.y_true, before.y_pred, before.proba, ["no", "yes"], HASHES),
    )


def look(
    frame: pd.DataFrame,
    current: CurrentPredictions | None = None,
    rule: DriftRule | None = None,
    units: Units | None = None,
) -> Drift:
    typed = conform(frame, [Column(c.name, c.kind, False, time=c.time) for c in COLUMNS])
    readable = pd.DataFrame(np.zeros(typed.shape, dtype=bool), columns=typed.columns)
    current = current or predictions(len(frame), 2)
    return compare_with_profile(reference(), typed, readable, current, rule or DriftRule(), units)


def drifted(drift: Drift) -> set[tuple[str, str]]:
    return {(check.column, check.about) for check in drift.checks if check.drift}


def test_a_profile_survives_its_file() -> None:
    profile = reference()
    again = from_json(to_json(profile))
    assert to_json(again) == to_json(profile)
    typed = conform(features(500, 5), COLUMNS, as_text=True)
    for one, other in zip(profile.columns, again.columns, strict=True):
        assert (count(one, typed[one.name]) == count(other, typed[other.name])).all()
        assert len(one.bin_names) == len(one.counts)


def test_a_bin_is_called_by_both_its_ends() -> None:
    counts = pd.DataFrame({"calls": [0.0] * 50 + [1.0] * 30 + [2.0] * 20})
    (column,) = profile_columns(counts, [Column("calls", "number")], seed=0)
    assert column.bin_names == ["< 0", "0", "(0, 1]", "(1, 2]", "> 2"]


def test_every_row_is_counted_once_or_missing() -> None:
    for column in reference().columns:
        assert sum(column.counts) + column.missing == column.rows == 1600


def test_repeated_rows_of_a_holdout_count_as_few() -> None:
    y_true = np.zeros(300, dtype=int)
    few = profile_predictions(y_true, y_true, None, ["a", "b"], HASHES % 3)
    assert few.effective == pytest.approx(3)
    assert profile_predictions(y_true, y_true, None, ["a", "b"], HASHES).effective == 300


def test_another_table_of_the_same_kind_is_fine() -> None:
    drift = look(features(1000, 7))
    assert drift.verdict == "fine"
    assert drifted(drift) == set()
    assert drift.fall is not None
    assert drift.fall.low < 0.02


def test_a_shift_is_found_where_it_is() -> None:
    frame = features(500, 8)
    frame["amount"] += 5  # half a standard deviation
    assert drifted(look(frame)) == {("amount", "values")}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"plan": "free"}, {("plan", "values"), ("plan", "levels not listed")}),
        ({"amount": None}, {("amount", "missing")}),
        ({"joined": pd.Timestamp("2026-01-01")}, {("joined", "values")}),
        ({"note": "one two"}, {("note", "values"), ("note", "missing")}),
        ({"active": True}, {("active", "values")}),
    ],
)
def test_every_kind_of_column_is_watched(
    change: dict[str, object], expected: set[tuple[str, str]]
) -> None:
    frame = features(500, 9)
    [(name, value)] = change.items()
    frame[name] = frame[name].astype(object)
    frame.loc[frame.index[:400], name] = value  # type: ignore[call-overload]
    assert drifted(look(frame)) == expected


def test_new_levels_are_named() -> None:
    frame = features(500, 9)
    frame.loc[frame.index[:50], "plan"] = "free"
    [note] = [c.note for c in look(frame).checks if c.about == "levels not listed"]
    assert note == "0.0% before, 10.0% now; never seen: 'free'"


def test_a_certain_but_trivial_shift_is_no_drift() -> None:
    counted = next(c for c in reference().columns if c.name == "amount")
    rng = np.random.default_rng(0)
    profile = Profile((counted,), reference().answers)
    cells = pd.DataFrame({"amount": rng.normal(50.0 + 0.5, 10, 1_000_000)})
    readable = pd.DataFrame({"amount": np.zeros(len(cells), dtype=bool)})
    nothing = CurrentPredictions(np.empty(0, dtype=int), None, None)
    strict = compare_with_profile(profile, cells, readable, nothing, DriftRule(min_psi=0))
    assert strict.verdict == "drift"
    assert compare_with_profile(profile, cells, readable, nothing, DriftRule()).verdict == "fine"


def test_other_answers_are_drift_without_labels() -> None:
    one = predictions(1000, 3)
    sure = np.tile([0.02, 0.98], (1000, 1))
    drift = look(features(1000, 7), CurrentPredictions(np.ones(1000, dtype=int), sure, None))
    assert drifted(drift) == {("", "predicted classes"), ("", "confidence")}
    assert drift.fall is None
    assert (
        drifted(look(features(1000, 7), CurrentPredictions(one.y_pred, one.proba, None))) == set()
    )


def test_a_fall_of_the_metric_is_drift_and_has_its_interval() -> None:
    drift = look(features(1000, 7), predictions(1000, 3, accuracy=0.7))
    assert drifted(drift) == {("", "metric")}
    assert drift.fall is not None
    assert drift.fall.value == pytest.approx(0.2, abs=0.05)
    assert 0.1 < drift.fall.low < drift.fall.value < drift.fall.high < 0.3
    better = look(features(1000, 7), predictions(1000, 3, accuracy=1.0))
    assert drifted(better) == set()


def test_classes_that_the_model_does_not_know_count_as_wrong() -> None:
    now = predictions(1000, 3)
    assert now.y_true is not None
    y_true = np.where(np.arange(1000) < 500, 2, now.y_true)
    drift = look(features(1000, 7), CurrentPredictions(now.y_pred, now.proba, y_true))
    assert ("", "metric") in drifted(drift)


@pytest.mark.parametrize("labelled", [5, 1000])
def test_a_fall_on_rows_of_groups_is_that_of_the_rows_as_they_are(labelled: int) -> None:
    now, frame = predictions(1000, 3, accuracy=0.7), features(1000, 7)
    assert now.y_true is not None
    y_true = np.where(np.arange(1000) < labelled, now.y_true, -1)
    rule = DriftRule(metric="accuracy")
    by_row = look(frame, dataclasses.replace(now, y_true=y_true), rule)
    units = units_of(1000, np.arange(1000) // 50)
    grouped = dataclasses.replace(now, y_true=y_true, units=units)
    drift = look(frame, grouped, rule, units)
    assert drift.fall is not None and by_row.fall is not None
    assert drift.fall.value == pytest.approx(by_row.fall.value)
    assert (drift.rows, drift.effective_rows, drift.worth) == (
        1000, 20, ", worth 20 independent ones"
    )  # fmt: skip
    assert (by_row.rows, by_row.effective_rows, by_row.worth) == (1000, 1000, "")


def test_labelled_rows_are_worth_what_they_are_worth_among_themselves() -> None:
    now, frame = predictions(1000, 3, accuracy=0.7), features(1000, 7)
    assert now.y_true is not None
    groups = np.minimum(np.arange(1000), 500)  # 500 rows by themselves, and a group of 500
    by_row = look(frame, dataclasses.replace(now, y_true=np.where(groups < 500, now.y_true, -1)))
    units = units_of(1000, groups)
    alone = np.where(groups < 500, now.y_true, -1)
    drift = look(frame, dataclasses.replace(now, y_true=alone, units=units), units=units)
    assert drift.fall is not None and by_row.fall is not None
    widths = [fall.high - fall.low for fall in (drift.fall, by_row.fall)]
    assert widths[0] == pytest.approx(widths[1], rel=0.1)


def test_a_few_rows_cannot_be_called_fine() -> None:
    drift = look(features(20, 7))
    assert drift.verdict == "too few rows to tell"
    assert drift.detectable > 0.8


def test_the_detectable_shift_is_found_at_least_four_times_in_five() -> None:
    shift = detectable_shift(2000, 200, 0.05, 20)
    rng = np.random.default_rng(0)
    columns = (Column("x", "number"),)
    rule, none = (
        DriftRule(level=0.05 / 20, min_psi=0),
        CurrentPredictions(np.empty(0, dtype=int), None, None),
    )
    hits, answers = 0, reference().answers
    for repetition in range(100):
        typed = pd.DataFrame({"x": rng.normal(size=2500)})
        profile = Profile(profile_columns(typed, columns, seed=repetition), answers)
        now = pd.DataFrame({"x": rng.normal(shift, 1, 200)})
        readable = pd.DataFrame({"x": np.zeros(200, dtype=bool)})
        hits += compare_with_profile(profile, now, readable, none, rule).verdict == "drift"
    assert hits / 100 >= 0.75


def test_a_column_without_a_value_has_a_profile() -> None:
    typed = pd.DataFrame({"x": [np.nan] * 10, "c": pd.array([None] * 10, dtype="str")})
    columns = (Column("x", "number", False), Column("c", "category", False))
    for profile in profile_columns(typed, columns, seed=0):
        assert (profile.missing, sum(profile.counts)) == (8, 0)
