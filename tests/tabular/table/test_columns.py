"""Kinds of columns, decided from the columns."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from custom_model.served.columns import Column
from tabular.errors import BadInput
from tabular.table.columns import LeftOut, infer_columns


def infer(cells: Any, **others: Any) -> Column | LeftOut:
    """The kind of one column of a table, beside a plain one."""
    frame = pd.DataFrame({"x": cells, **others})
    frame["plain"] = np.linspace(0, 1, len(frame))
    columns, left_out = infer_columns(frame)
    found: list[Column | LeftOut] = [*columns, *left_out]
    return next(column for column in found if column.name == "x")


def kind(cells: Any, **others: Any) -> str:
    found = infer(cells, **others)
    return found.kind if isinstance(found, Column) else found.reason


def test_numbers_that_arrive_as_text_are_numbers_and_their_odd_spellings_missing() -> None:
    found = infer([*map(str, np.arange(0.5, 60)), " ", "?", "n/a", "Inf"])
    assert found == Column("x", "number", required=False, missing=("?", "Inf", "n/a"), text=True)


def test_a_few_stray_words_among_many_numbers_are_missing_values() -> None:
    found = infer([*map(str, np.arange(0.5, 100)), "not measured"])
    assert found == Column("x", "number", required=False, missing=("not measured",), text=True)


def test_many_stray_words_make_a_column_of_words() -> None:
    assert kind(["1", "2", "low", "high", "1", "low"] * 10) == "category"


def test_leading_zeros_are_codes() -> None:
    assert kind(["01", "02", "10"] * 10) == "category"


@pytest.mark.parametrize("as_text", [False, True])
def test_few_integers_far_apart_are_codes(as_text: bool) -> None:
    values: list[Any] = [110, 205, 940] * 20
    assert kind([str(v) for v in values] if as_text else values) == "category"


@pytest.mark.parametrize(
    "values",
    [[1, 2, 3], [0, 5, 90], [100, 200, 500], list(range(2018, 2024)), [1, 2, 3, 4, 5, 8]],
)
def test_counts_grades_and_years_are_numbers(values: list[int]) -> None:
    assert kind(values * 20) == "number"


def test_none_is_a_value_where_no_cell_is_empty_and_nothing_marks_missing_ones_with_it() -> None:
    assert infer(["None", "brick", "brick"] * 10) == Column("x", "category", null_level="None")


def test_na_is_missing_where_it_marks_missing_numbers_in_the_same_table() -> None:
    cells = ["NA", "brick", "wood"] * 10
    found = infer(cells, size=["NA", *map(str, range(29))])
    assert found == Column("x", "category", required=False)
    assert infer(cells) == Column("x", "category", null_level="NA")


def test_booleans_are_found_in_text_and_typed_columns() -> None:
    assert infer(["true", "False"] * 5) == Column("x", "boolean")
    assert infer(["True", "False", ""] * 5) == Column("x", "boolean", required=False)
    assert infer(pd.array([True, None] * 5, dtype="boolean")) == Column("x", "boolean", False)


def test_dates_and_timestamps_are_found() -> None:
    days = pd.date_range("2024-01-01", periods=30)
    assert infer(days.strftime("%Y-%m-%d")) == Column("x", "date")
    assert infer(days) == Column("x", "date")
    assert infer((days + pd.Timedelta("1h")).astype("str")) == Column("x", "date", time=True)
    assert infer(list(days.date)) == Column("x", "date")


def test_free_text_is_text() -> None:
    assert kind([f"order {i} came late and was broken" for i in range(40)]) == "text"


@pytest.mark.parametrize(
    "cells",
    [
        range(1, 31),
        [str(i) for i in range(30)],
        [f"user-{i:03}" for i in range(30)],
    ],
)
def test_identifiers_are_left_out(cells: Any) -> None:
    assert "identifier" in kind(cells)


def test_an_integer_named_id_that_never_repeats_is_left_out() -> None:
    frame = pd.DataFrame({"order_id": np.arange(30) ** 2, "size": np.arange(30) ** 2})
    columns, left_out = infer_columns(frame)
    assert ([c.name for c in columns], [c.name for c in left_out]) == (["size"], ["order_id"])


def test_constants_and_empty_columns_are_left_out() -> None:
    assert "one value only" in kind(["EUR"] * 10)
    assert "one value only" in kind([3] * 10)
    assert kind([""] * 10) == "is empty"
    assert kind([None] * 10) == "is empty"


def test_one_value_or_none_is_a_feature() -> None:
    assert infer(["yes", ""] * 10) == Column("x", "category", required=False)


def test_lists_and_bytes_are_left_out() -> None:
    assert "lists" in kind([[1], [2]] * 5)
    assert "bytes" in kind([b"a", b"b"] * 5)


def test_a_table_without_features_is_refused() -> None:
    with pytest.raises(BadInput, match="no column is left"):
        infer_columns(pd.DataFrame({"x": ["a"] * 5}))


def test_a_heading_that_a_date_needs_is_refused() -> None:
    frame = pd.DataFrame(
        {"d": pd.date_range("2024-01-01", periods=30), "d (month)": np.linspace(0, 1, 30)}
    )
    with pytest.raises(BadInput, match="rename"):
        infer_columns(frame)


def test_a_free_text_that_says_none_is_a_missing_one() -> None:
    cells = [f"order {i} came late and was broken" for i in range(40)]
    assert infer([*cells, "None"]) == Column("x", "text", required=False)


@pytest.mark.parametrize("empty", ["", "NA"])
def test_a_dictionary_column_may_hold_empty_texts(empty: str) -> None:
    size = ["NA", *(str(i + 0.5) for i in range(29))]
    cells = pd.Categorical(["u", empty, "v"] * 10)
    assert infer(cells, size=size) == Column("x", "category", required=False)


def test_periods_are_left_out() -> None:
    assert "not supported" in kind(pd.period_range("2020-01", periods=30, freq="M"))


def test_infinite_numbers_count_as_missing() -> None:
    found = infer([float("inf"), *(i * 0.5 for i in range(29))])
    assert found == Column("x", "number", required=False, missing=("inf",))


def test_numbers_as_text_in_a_typed_file_stay_readable_as_text() -> None:
    assert infer(["1.5", "2.5", "3.5"] * 10) == Column("x", "number", text=True)
