"""One table of known numbers and dates, written in every notation, is one and the same table."""

import datetime
import functools
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from custom_model.served.cells import read_cells
from custom_model.served.columns import Column, expand
from custom_model.served.dates import CLOCK
from custom_model.served.requests import Refusal, conform
from tabular.report.pages import notes
from tabular.table.columns import LeftOut, infer_columns
from tabular.table.dataset import Dataset, make_dataset
from tabular.table.split import split_rows
from tests.tabular.table.writers import (
    AS_NUMBERS,
    DAYS,
    MOMENTS,
    NUMBERS,
    PLAIN,
    TIMES,
    Write,
    compact,
    dataset_of,
    in_notation,
    known_values,
    marked,
)


@functools.cache
def plainly_written(seed: int) -> tuple[Dataset, LogisticRegression]:
    plain = dataset_of(in_notation(known_values(seed), *PLAIN))
    return plain, LogisticRegression().fit(plain.expanded / 1e4, plain.codes)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 5),
    st.sampled_from(NUMBERS),
    st.sampled_from([*DAYS, compact]),
    st.sampled_from(MOMENTS + AS_NUMBERS),
    st.sampled_from(TIMES),
)
def test_every_notation_gives_the_same_typed_table_split_and_answers(
    seed: int, number: Write, day: Write, moment: Write, time: Write
) -> None:
    plain, model = plainly_written(seed)
    texts = in_notation(known_values(seed), number, day, moment, time)
    noted = dataset_of(texts)
    assert not noted.left_out
    pd.testing.assert_frame_equal(noted.typed, plain.typed)
    assert [c.kind for c in noted.columns] == ["number", "date", "date", "number"]
    if day is not compact and moment not in AS_NUMBERS:
        assert (noted.row_hashes == plain.row_hashes).all()
    few = texts.drop(columns="y").astype(object).iloc[:7]  # as JSON has it
    if not noted.columns[0].notation:
        few["amount"] = few["amount"].astype(float)
    asked = expand(conform(few, noted.columns), noted.columns) / 1e4
    np.testing.assert_array_equal(
        model.predict_proba(asked), model.predict_proba(plain.expanded[:7] / 1e4)
    )


def column_of(cells: Any, name: str = "x") -> Column | LeftOut:
    """What one column of a table becomes, beside a plain one."""
    frame = pd.DataFrame({name: pd.Series(cells)})
    frame["plain"] = np.linspace(0, 1, len(frame))
    columns, left_out = infer_columns(frame)
    every: list[Column | LeftOut] = [*columns, *left_out]
    return next(column for column in every if column.name == name)


def reason(cells: Any) -> str:
    found = column_of(cells)
    assert isinstance(found, LeftOut), found
    return found.reason


def typed(cells: Any, column: Column | LeftOut, *, as_text: bool = False) -> list[Any]:
    assert isinstance(column, Column)
    frame = pd.DataFrame({column.name: pd.Series(cells, dtype=object)})
    return conform(frame, [column], as_text=as_text)[column.name].tolist()


@pytest.mark.parametrize(
    ("cells", "why"),
    [
        (["1,234", "2,345", "9,876"] * 10, "comma may stand before thousands or decimals"),
        (["1,234.5", "1.234,5"] * 10, "written in different ways"),
        (["$5", "6 €", "$7"] * 10, "more than one unit"),
        (["5%", "0.05", "7%"] * 10, "percentages beside other numbers"),
        (["01/02/2024", "03/04/2024", "05/06/2024"] * 10, "cannot be told apart"),
        (["01/01/2024", "02/02/2024"] * 10, "cannot be told apart"),
        (["2024-31-01", "2024-27-02", "2024-03-03"] * 10, "year-day-month"),
        ([f"{i}e50" for i in range(1, 50)], "beyond 3.4e"),
        ([i * 1e50 for i in range(1, 50)], "beyond 3.4e"),
    ],
)
def test_what_is_ambiguous_is_left_out_with_its_reason(cells: list[Any], why: str) -> None:
    assert why in reason(cells)


@pytest.mark.parametrize(
    ("cells", "notation"),
    [
        (["1,234", "2,345", "9,87"], "1234,5"),
        (["1,234", "2,345", "1,234.5"], "1,234.5"),
        (["1,234", "2,345", "1,234,567"], "1,234.5"),
        (["1,234", "2,345", "12345,678"], "1234,5"),
        (["1,234", "2,345", "0,678"], "1234,5"),
        (["$1,234", "$2,345", "$9,876"], "$1,234.5"),
        (["1.234 €", "2.345 €", "9.876 €"], "1.234,5 €"),
        (["12,34,567", "1,234", "99"], "1,234.5"),
        ([f"{v:,}" for v in (*range(1200, 1320, 10), 5, 900)], "1,234.5"),
        ([f"{v:,}".replace(",", ".") for v in (*range(1200, 1320, 10), 5, 900)], "1.234,5"),
        ([f"{v / 1000:.3f}" for v in (*range(1200, 1320, 10), 5, 900)], ""),
    ],
)
def test_other_cells_settle_what_a_comma_or_point_means(cells: list[str], notation: str) -> None:
    found = column_of(cells * 5)
    assert isinstance(found, Column) and found.kind == "number"
    assert found.notation == notation


@pytest.mark.parametrize(
    "cells",
    [
        [f"0171 123 4{i:02}" for i in range(30)],
        [f"192.168.{i}.1" for i in range(30)],
        [f"1.{i}.2" for i in range(30)],
        [f"ABC {i:03}" for i in range(100, 130)],
        [f"{i}-{i + 3}" for i in range(30)],
        [f"{i}:{i % 7}" for i in range(1, 31)],
        ["5 kg", "7 kg", "9 m"] * 10,
        ["0", "1", "2", "3+"] * 10,
        ["24-", "25", "26", "27+"] * 10,
        ["1)", "2)", "3)"] * 10,
        ["2000-1", "2000-2", "2001-1"] * 10,
        ["2009-10", "2010-11", "2011-12"] * 10,
    ],
)
def test_codes_versions_and_ranges_are_no_numbers(cells: list[str]) -> None:
    found = column_of(cells)
    assert isinstance(found, LeftOut) or found.kind in ("category", "text")


def test_a_text_in_the_notation_and_a_plain_number_are_read_and_others_are_refused() -> None:
    column = column_of(["1.234,50 €", "12,5 €", "-9,00 €"] * 10)
    assert typed(["2.345,75 €", "2345,75", "-3 €", 12.5], column) == [2345.75, 2345.75, -3, 12.5]
    for text in ("12.5", "1,234.50", "12,5 $", "--5", "(-5)"):
        with pytest.raises(Refusal, match=r"expected a number such as 1\.234,5 €"):
            typed([text], column)


def test_what_a_csv_reader_makes_of_a_point_between_thousands_is_refused() -> None:
    column = column_of(["1.234.567", "12.500", "900"] * 10)
    assert typed([1234.0, 12.5], column) == [1234, 12.5]
    with pytest.raises(Refusal, match=r"found 1\.234"):
        typed([1.234], column)


def test_a_date_in_the_notation_and_an_iso_date_are_read_and_others_are_refused() -> None:
    column = column_of(["31/01/2024", "02/03/2023", "04/05/2022"] * 10)
    assert (
        typed(["13/02/2024", "2024-02-13", datetime.date(2024, 2, 13)], column)
        == [pd.Timestamp("2024-02-13")] * 3
    )
    for text in ("02/13/2024", "30/02/2024", "1706659200", "13/02/24"):
        with pytest.raises(Refusal, match="expected a date such as 31/01/2024"):
            typed([text], column)
    with pytest.raises(Refusal, match="found 20240213"):
        typed([20240213], column)


def test_a_heading_or_a_narrow_range_makes_dates_of_numbers_and_nothing_else_does() -> None:
    seconds = np.linspace(1.6e9, 1.7e9, 50).astype(int)
    for name, cells, notation in [
        *(
            ("x", seconds, "s"),
            ("created_at", seconds - 700_000_000, "s"),
            ("x", seconds * 1000, "ms"),
        ),
        *(("eventTime", [*map(str, seconds)], "s"), ("loginDate", seconds[:8], "s")),
    ]:
        found = column_of(cells, name)
        assert isinstance(found, Column) and (found.kind, found.notation) == ("date", notation)
    for name, cells in [
        ("x", seconds - 700_000_000),
        ("x", seconds[:8]),
        ("time", seconds // 1000),
    ]:
        found = column_of(cells, name)
        assert isinstance(found, Column) and found.kind == "number"
    column = column_of(seconds, "created")
    for cell in (1706659200, "1706659200", "2024-01-31", 1706659200.0):
        assert typed([cell], column) == [pd.Timestamp("2024-01-31")]


def test_two_digit_years_far_ahead_are_of_the_last_century() -> None:
    column = column_of([f"13.{month:02}.{year}" for month in range(1, 13) for year in (48, 75, 99)])
    assert typed(["13.05.48", "13.05.99"], column) == [
        *pd.to_datetime(["1948-05-13", "1999-05-13"])
    ]


def test_words_of_absence_among_dates_are_missing_ones() -> None:
    days = [f"2024-03-{day:02}" for day in range(1, 29)]
    column = column_of([*days, "0000-00-00", "n/a", ""])
    assert column == Column("x", "date", required=False, missing=("0000-00-00", "n/a"))
    assert typed(["0000-00-00", "2024-03-01"], column)[0] is pd.NaT


def test_times_of_day_and_durations_are_seconds() -> None:
    assert column_of(["07:30", "18:15", "23:59"] * 10) == Column(
        "x", "number", text=True, notation=CLOCK
    )
    of_arrow = column_of([datetime.time(7, 30), None, datetime.time(8)] * 10)
    assert of_arrow == Column("x", "number", required=False, text=True, notation=CLOCK)
    cells = [datetime.time(7, 30), "7:30:00", "7:30 am", 27000, pd.Timedelta("7h30min"), "PT7H30M"]
    assert typed(cells, of_arrow) == [27000] * 6
    assert typed(["26:00:00", "1 days 02:00:00", "90 min"], of_arrow) == [93600, 93600, 5400]
    of_durations = column_of(pd.to_timedelta(np.arange(30) * 1111, unit="s"))
    assert isinstance(of_durations, Column) and of_durations.notation == CLOCK
    with pytest.raises(Refusal, match="expected a time such as"):
        typed(["7:75"], of_arrow)


def test_dates_stay_without_a_time_of_day_although_some_are_missing() -> None:
    assert column_of([datetime.date(2024, 1, 2), None, datetime.date(2024, 1, 3)] * 10) == Column(
        "x", "date", required=False
    )


def test_whole_decimals_are_integers() -> None:
    cells = [Decimal("110.00"), Decimal("205.00"), Decimal("940.00")] * 20
    assert column_of(cells) == column_of([110, 205, 940] * 20) == Column("x", "category")


@pytest.mark.parametrize("name", ["Unnamed: 0", "", "__index_level_0__", "rownames", "row_id"])
def test_a_column_that_numbers_the_rows_is_left_out_with_gaps_and_out_of_order(name: str) -> None:
    numbers = np.random.default_rng(0).permutation(300)[:100]
    for cells in (numbers, numbers.astype(str), np.sort(numbers)):
        assert isinstance(column_of(cells, name), LeftOut)


def test_a_column_without_a_heading_that_does_not_number_the_rows_is_a_feature() -> None:
    assert isinstance(column_of(["a", "b", "c"] * 20, "Unnamed: 1"), Column)
    assert isinstance(column_of(np.linspace(0, 1, 50), "Unnamed: 1"), Column)


def test_markers_and_numbers_in_the_order_of_the_file_are_named() -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {"age": rng.integers(18, 90, 200), "visit": np.cumsum(rng.integers(1, 9, 200))}
    )
    frame.loc[::20, "age"] = -999
    frame["y"] = rng.choice(["no", "yes"], 200)
    dataset = make_dataset(frame, "y", name="t", source="t")
    assert [column.name for column in dataset.columns] == ["age", "visit"]
    assert "'age' is -999 in 10 rows" in dataset.notes[0]
    assert "'visit' grows from row to row" in dataset.notes[1]
    assert dataset.typed["age"].min() == -999


def test_a_number_beyond_all_others_is_a_missing_one_and_no_reason_to_refuse_a_table() -> None:
    for cells in (
        ["1.7976931348623157E308", *map(str, range(1, 60, 2))],
        [1.7976931348623157e308, *range(1, 60, 2)],
    ):
        column = column_of(cells)
        assert isinstance(column, Column) and column.missing and not column.required
        assert np.isnan(
            read_cells(pd.DataFrame({"x": cells}), [column], as_text=True).typed["x"][0]
        )


def test_the_run_names_each_notation() -> None:
    dataset = dataset_of(
        in_notation(known_values(0), marked(".", ",", "{} €"), DAYS[7], *PLAIN[2:])
    )
    split = split_rows(dataset.row_hashes, dataset.codes, seed=0)
    assert notes(dataset, split)[:3] == [
        "Column 'amount': each cell is a number such as 1.234,5 €.",
        "Column 'day': each cell is a date such as 31.01.2024.",
        "Column 'time': each cell is a time such as 13:30:00 or 1 days 02:30:00, or a number of "
        "seconds.",
    ]
