"""Raw frames to typed ones: the one path that training and serving share."""

from datetime import date
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from custom_model.served.columns import NULL_SPELLINGS, Column, canonical, expand
from custom_model.served.requests import Refusal, as_frame, conform
from tabular.table.dataset import make_dataset
from tabular.table.files import read_table
from tests.tables import mixed_table


def typed(cells: Any, column: Column, *, as_text: bool = False) -> list[Any]:
    frame = pd.DataFrame({column.name: pd.Series(cells)})
    return conform(frame, [column], as_text=as_text)[column.name].tolist()


def test_null_spellings_are_those_of_pandas() -> None:
    assert NULL_SPELLINGS == pd._libs.parsers.STR_NA_VALUES  # type: ignore[attr-defined]


@pytest.mark.parametrize("code", [7, 7.0, "7", "07", " 7", "7.0", "+7", Decimal(7), np.int8(7)])
def test_a_code_has_one_spelling(code: Any) -> None:
    assert canonical(code) == "7"


@given(st.integers(-(10**15), 10**15) | st.floats(-1e15, 1e15) | st.booleans())
def test_a_csv_reader_does_not_change_a_category(value: Any) -> None:
    assert canonical(str(value)) == canonical(value)


def test_codes_too_large_for_a_float_are_refused_as_floats_and_exact_as_integers() -> None:
    column = Column("code", "category")
    assert typed([2**53 + 1], column) == ["9007199254740993"]
    with pytest.raises(Refusal, match="column 'code'"):
        typed([float(2**53 + 2)], column)


def test_one_and_true_are_different_categories() -> None:
    assert typed(pd.Series([1, True, "1", "true"], dtype=object), Column("c", "category")) == [
        *("1", "True", "1", "True"),
    ]


def test_a_word_that_means_no_value_stands_for_absent_ones() -> None:
    column = Column("garage", "category", null_level="None")
    assert typed(["None", None, "NA", "brick"], column) == ["None", "None", "None", "brick"]


def test_numbers_are_read_from_text_only_in_a_csv() -> None:
    column = Column("x", "number", required=False)
    assert typed(["1", " 2.5 ", ""], column, as_text=True)[:2] == [1.0, 2.5]
    with pytest.raises(Refusal, match="found the text '1'"):
        typed(["1"], column)


def test_text_is_a_number_where_training_had_numbers_as_text() -> None:
    column = Column("x", "number", required=False, missing=("?",), text=True)
    assert typed(["1.5", "?"], column)[0] == typed(["1.5"], column)[0] == 1.5
    with pytest.raises(Refusal, match="found the text '!'"):
        typed(["1.5", "?", "!"], column)
    with pytest.raises(Refusal, match=r"found the text '1\.5'"):
        typed(["1.5", "?"], Column("x", "number", required=False, missing=("?",)))


def test_infinity_is_missing_where_training_had_it_and_refused_elsewhere() -> None:
    column = Column("x", "number", required=False, missing=("inf",), text=True)
    for cells in ([np.inf, 1.5], ["inf", "1.5"]):
        assert np.isnan(typed(cells, column)[0])
    with pytest.raises(Refusal, match="found inf"):
        typed([np.inf], Column("x", "number"))


def test_an_empty_text_is_missing_where_a_value_may_be_missing() -> None:
    for kind in ("number", "boolean", "date", "category", "text"):
        column = Column("x", kind, required=False)
        assert pd.isna(typed([""], column)[0]) and pd.isna(typed(["  "], column)[0])
        with pytest.raises(Refusal, match=r"empty text|no value"):
            typed([""], Column("x", kind))


def test_blanks_among_the_numbers_of_a_csv_are_missing() -> None:
    column = Column("x", "number", required=False, text=True)
    assert typed(["29.85", " "], column)[0] == 29.85
    chunks = pd.Series([1.5, "29.85", " ", True], dtype=object)  # as a CSV of many rows is read
    assert typed(chunks[:3], column)[:2] == [1.5, 29.85]
    with pytest.raises(Refusal, match=r"row 4.*found true"):
        typed(chunks, column)


def test_dates_of_every_type_are_the_same_moment() -> None:
    column = Column("d", "date")
    cells = ["2024-01-02", "2024-01-02T00:00Z", "2024-01-02 01:00+01:00", date(2024, 1, 2)]
    assert set(typed(pd.Series(cells, dtype=object), column)) == {pd.Timestamp("2024-01-02")}
    aware = pd.Series(pd.to_datetime(["2024-01-02 01:00+01:00"]))
    assert typed(aware, column) == [pd.Timestamp("2024-01-02")]


def test_every_problem_is_told_and_the_first_is_the_message() -> None:
    frame = pd.DataFrame({"a": [1.0, np.inf], "b": [True, None]})
    columns = [Column("a", "number"), Column("b", "boolean"), Column("c", "text")]
    with pytest.raises(Refusal) as caught:
        conform(frame, columns)
    assert caught.value.message.startswith("row 2, column 'a': expected a finite number, found inf")
    assert len(caught.value.problems) == 3


def test_a_refusal_keeps_its_message_when_it_is_rewritten() -> None:
    refusal = Refusal("one sentence")
    refusal.message = "Failed to predict data 'secret'"
    assert refusal.message == "one sentence"
    assert "secret" not in refusal.serialize_as_json()


@pytest.mark.parametrize("year", ["0001", "1600", "2300", "9999"])
def test_dates_of_every_century_are_numbers(year: str) -> None:
    columns = [Column("d", "date")]
    frame = expand(conform(pd.DataFrame({"d": [f"{year}-12-31"]}), columns), columns)
    assert frame["d (day)"][0] == (date(int(year), 12, 31) - date(1970, 1, 1)).days


def test_a_date_becomes_numbers() -> None:
    columns = [Column("d", "date", time=True)]
    frame = expand(conform(pd.DataFrame({"d": ["1970-02-01T12:00"]}), columns), columns)
    assert frame.iloc[0].to_dict() == {
        "d (day)": 31.5,
        "d (month)": 2,
        "d (weekday)": 6,
        "d (hour)": 12,
    }


def test_a_csv_and_a_parquet_file_of_one_table_are_typed_alike(tmp_path: Any) -> None:
    table = mixed_table()
    table.to_csv(tmp_path / "t.csv", index=False)
    table.to_parquet(tmp_path / "t.parquet")
    csv, parquet = (
        make_dataset(read_table(str(tmp_path / name)).frame, "label", name="t", source=name)
        for name in ("t.csv", "t.parquet")
    )
    assert csv.columns == parquet.columns
    pd.testing.assert_frame_equal(csv.typed, parquet.typed)
    assert csv.digest == parquet.digest


def test_what_a_server_reads_from_a_csv_is_what_training_read(tmp_path: Any) -> None:
    file = tmp_path / "t.csv"
    mixed_table().to_csv(file, index=False)
    dataset = make_dataset(read_table(str(file)).frame, "label", name="t", source="t.csv")
    served = conform(pd.read_csv(file), dataset.columns)
    pd.testing.assert_frame_equal(served, dataset.typed)


def test_texts_that_numpy_cannot_tell_from_numbers_are_refused() -> None:
    columns = [Column("a", "number"), Column("b", "number", required=False, missing=("?",))]
    for rows in ([["5.1", "?"]], [["5.1", "2"]]):
        frame = as_frame(np.array(rows), columns, ["a", "b"])
        with pytest.raises(Refusal, match=r"found the text '5\.1'"):
            conform(frame, columns)
    with pytest.raises(Refusal, match="column 'b': expected a finite number, found the text 'x'"):
        as_frame(np.array([[5.1, "x"]]), columns, ["a", "b"])
