"""A few plain cells, read without a frame, are what `conform` and `expand` make of them."""

import math
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from custom_model.served import requests
from custom_model.served.columns import Column, Kind, expand
from custom_model.served.dates import CLOCK
from custom_model.served.few import FEW_ROWS, Unsure, read_few
from custom_model.served.requests import Refusal, conform, refuse_doubled

KINDS: list[Kind] = ["number", "category", "boolean", "date", "text"]

DATES = st.sampled_from(
    [
        *("2024-05-01", "2024-02-30", "0001-01-01", "9999-12-31", "0000-01-01", "2024-W01-1"),
        *("2024-05-01T08:30", "2024-05-01 08:30:15", "2024-05-01T08:30:15.5", " 2024-05-01"),
        *("2024-05-01T08:30:15.123456Z", "2024-05-01T08:30:15.1234567", "2024-05-01T24:00"),
        *("2024-05-01T08:60", "1969-12-31T23:59:59.9", "2024-05-01T10:30:00+02:00", "20240501"),
        *(
            "2024-5-1",
            "01.05.2024",
            "1706659200",
            "7:30 pm",
            "1.234,5",
            "$5",
            "(5)",
            "12:75",
            "\u0662\u0660\u0662\u0664-05-01",
        ),
    ]
)
WORDS = st.sampled_from(
    [
        *("", " ", "NA", " NA ", "None", "null", "nan", "true", "FALSE", "TrUe", "1", "1.0", "01"),
        *("+7", "1e3", "1e400", "9007199254740993", "\uff19", "inf", "?", "Ulm", " Ulm", "a\x00b"),
        *("a\n", "\ud800", "plus", "pro, “gold”", "late parcel", "-0", "-0.0", ".5", "1_000"),
        "x" * 300,
    ]
)
NUMBERS = (
    st.floats()
    | st.integers(-5, 5)
    | st.sampled_from([0, 1, 2**53 - 1, 2**53, 2**53 + 1, -(2**53) - 1, 2**63, 2**64, 10**400])
    | st.sampled_from([1e39, -1e39, 3.4028234663852886e38, 9007199254740992.0, 1e300, -0.0, 0.5])
)
ODD = st.sampled_from(
    [
        *(
            Decimal("1.5"),
            Decimal("sNaN"),
            date(2024, 5, 1),
            datetime(2024, 5, 1, 8),
            pd.NaT,
            pd.NA,
        ),
        *(pd.Timestamp("2024-05-01"), pd.Timestamp("2024-05-01", tz="UTC"), [1], {"a": 1}, (), 1j),
        *(np.float32(0.1), np.int64(3), np.bool_(True), np.str_("Ulm"), np.array([1.0]), b"x"),
    ]
)
CELLS = st.none() | st.booleans() | NUMBERS | WORDS | DATES | st.text(max_size=5) | ODD


@st.composite
def column(draw: st.DrawFn) -> Column:
    kind = draw(st.sampled_from(KINDS))
    notations = {"number": ["", "1.234,5", "$1,234.5", CLOCK], "date": ["", "%d.%m.%Y", "s"]}
    return Column(
        "x",
        kind,
        required=draw(st.booleans()),
        missing=draw(st.sampled_from([(), ("?",), ("inf",)])) if kind == "number" else (),
        null_level=draw(st.sampled_from([None, "None"])) if kind == "category" else None,
        time=draw(st.booleans()),
        text=draw(st.booleans()),
        notation=draw(st.sampled_from(notations.get(kind, [""]))),
    )


def as_records(cells: list[Any]) -> Any:
    return [{"x": cell, "other": 1} for cell in cells]


def as_mlflow_records(cells: list[Any]) -> Any:
    """As MLflow's server hands over `inputs`: each cell an array without dimensions."""
    return [{"x": np.array(cell), "other": np.array(1)} for cell in cells]


def as_sparse_records(cells: list[Any]) -> Any:
    return [{"other": "y"} if cell is None else {"x": cell, "other": "y"} for cell in cells]


def as_frame(cells: list[Any]) -> Any:
    return pd.DataFrame({"x": cells})


def as_mixed_frame(cells: list[Any]) -> Any:
    return pd.DataFrame({"other": [0.5] * len(cells), "x": cells, "text": ["y"] * len(cells)})


def as_numeric_frame(cells: list[Any]) -> Any:
    return pd.DataFrame({"other": [0.5] * len(cells), "x": cells})


def as_split(cells: list[Any]) -> Any:
    return pd.DataFrame(data=[["y", cell] for cell in cells], columns=["other", "x"])


def as_lists(cells: list[Any]) -> Any:
    return {"other": np.array(["y"] * len(cells)), "x": np.array(cells)}


def as_array(cells: list[Any]) -> Any:
    return np.array([[cell] for cell in cells])


FORMS = [as_records, as_mlflow_records, as_sparse_records, as_frame, as_mixed_frame]
FORMS += [as_numeric_frame, as_split, as_lists, as_array]


def slow(data: Any, columns: list[Column]) -> pd.DataFrame:
    """The way of a frame."""
    frame = requests.as_frame(data, columns, ["x"])
    refuse_doubled(frame, columns, {"x"})
    return expand(conform(frame, columns), columns)


def assert_same(few: dict[str, list[Any]], frame: pd.DataFrame) -> None:
    assert list(few) == list(frame.columns)
    for name, cells in few.items():
        for cell, expected in zip(cells, frame[name].tolist(), strict=True):
            if cell is None or (isinstance(cell, float) and math.isnan(cell)):
                assert isinstance(expected, float) and math.isnan(expected)
            else:
                assert cell == expected
                assert isinstance(cell, str) == isinstance(expected, str)


@settings(max_examples=1500, deadline=None)
@given(column(), st.lists(CELLS, min_size=1, max_size=4), st.sampled_from(FORMS))
def test_what_is_read_the_short_way_is_what_conform_reads(
    column: Column, cells: list[Any], form: Any
) -> None:
    try:
        data = form(cells)
    except (ValueError, TypeError, OverflowError):  # MLflow could not have built it either
        return
    try:
        few = read_few(data, [column], ["x"], "y")
    except Unsure:
        return
    assert_same(few, slow(data, [column]))


PLAIN: dict[Kind, list[Any]] = {
    "number": [1.5, 3, -2.25e10],
    "category": ["Ulm", "Köln", 205, 7.5, True, "01", "a b\n"],
    "boolean": [True, False, 1, 0.0],
    "date": ["2024-05-01", "2024-05-01T08:30:00", "1969-12-31 23:59:59.5", "2024-05-01T08:30:00Z"],
    "text": ["late parcel", "two\nlines", "€"],
}


@pytest.mark.parametrize("form", [f for f in FORMS if f not in (as_array, as_lists)])
@pytest.mark.parametrize("kind", KINDS)
def test_plain_cells_do_take_the_short_way(kind: Kind, form: Any) -> None:
    for required in (True, False):
        column = Column("x", kind, required=required, time=True)
        for cells in [[c] for c in PLAIN[kind]] + ([] if required else [[PLAIN[kind][0], None]]):
            data = form(cells)
            assert_same(read_few(data, [column], ["x"], "y"), slow(data, [column]))


def test_lists_and_arrays_of_numbers_take_the_short_way() -> None:
    columns = [Column("a", "number"), Column("b", "number")]
    for data in (
        np.array([[1.5, 2.0]]),
        np.array([[1, 2]]),
        {"a": np.array([1]), "b": np.array([2.5])},
    ):
        few = read_few(data, columns, ["a", "b"], "y")
        assert [type(few[name][0]) for name in ("a", "b")] == [float, float]
    wide = read_few(np.array([[9.0, 1.5, 2.0]]), columns, ["c", "a", "b"], "y")
    assert wide == {"a": [1.5], "b": [2.0]}


@pytest.mark.parametrize(
    "data",
    [
        *([], {}, [[1.0]], [{}], [{1: 2.0}], "text", None, 5, np.array([1.0]), np.empty((0, 1))),
        [{"x": 1.0, "x.1": 2.0}],
        [{"x": 1.0}, {"x": 1.0, "x.1": 2.0}],
        pd.DataFrame([[1.0, 2.0]], columns=["x", "x"]),
        pd.DataFrame([[1.0, 2.0]], columns=["x", "x.1"]),
        pd.DataFrame([[1.0]]),
        pd.DataFrame({"x": [1.0] * (FEW_ROWS + 1)}),
        [{"x": 1.0}] * (FEW_ROWS + 1),
        {"x": np.array([1.0, 2.0]), "other": np.array([1.0])},
        {"x": np.array(1.0)},
        {"x": np.array(["2024-05-01"], dtype="datetime64[ns]")},
        np.array([[1.0, 2.0]]),
    ],
)  # fmt: skip
def test_whatever_is_not_plain_is_left_to_conform(data: Any) -> None:
    with pytest.raises(Unsure):
        read_few(data, [Column("x", "number")], ["x"], "y")


def test_a_doubled_name_of_the_training_table_is_no_doubled_heading() -> None:
    few = read_few([{"x": 1.0, "x.1": 2.0}], [Column("x", "number")], ["x", "x.1"], "y")
    assert few == {"x": [1.0]}


@settings(max_examples=300, deadline=None)
@given(column(), CELLS)
def test_a_cell_that_conform_refuses_is_never_read(column: Column, cell: Any) -> None:
    try:
        slow([{"x": cell}], [column])
    except Refusal:
        with pytest.raises(Unsure):
            read_few([{"x": cell}], [column], ["x"], "y")
    except Exception:  # what fails in pandas is refused by `predict`
        with pytest.raises(Unsure):
            read_few([{"x": cell}], [column], ["x"], "y")
