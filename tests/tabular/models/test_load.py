"""Answers of any model in one form, and tables read for a model with what it would refuse."""

from pathlib import Path

import pandas as pd
import pytest

from custom_model.served.cells import read_cells
from custom_model.served.columns import Column
from tabular.errors import BadInput
from tabular.models.load import align, key
from tabular.table.files import read_table
from tabular.table.reading import as_pandas_reads, true_labels


def test_a_class_is_the_same_in_every_type() -> None:
    assert {key(one) for one in (1, 1.0, "1", "1.0")} == {"1"}
    assert key(1.5) == "1.5"
    assert key(True) == key("True") != key(1)
    assert key("01") != key("1")


def test_probabilities_follow_the_order_of_the_classes() -> None:
    shares = pd.DataFrame({"2.0": [0.9, 0.2], "1.0": [0.1, 0.8]})
    codes, found = align([2.0, 1.0], shares, (1, 2, 3))
    assert codes.tolist() == [1, 0]
    assert found is not None
    assert found.tolist() == [[0.1, 0.9, 0], [0.8, 0.2, 0]]


def test_what_a_bundle_would_refuse_is_told_row_by_row() -> None:
    columns = (
        Column("x", "number"),
        Column("flag", "boolean", required=False),
        Column("gone", "category", required=False),
    )
    raw = pd.DataFrame({"x": ["1.5", "", "many", "1e300"], "flag": ["true", "no", "", "0"]})
    read = read_cells(raw, columns, as_text=True)
    assert read.refused.tolist() == [False, True, True, True]
    assert read.first_reason().startswith("row 2, column 'x': no value found")
    assert read.problems()[1] == "row 2, column 'flag': expected true or false, found the text 'no'"
    assert {row: reason[:18] for row, reason in read.reasons().items()} == {
        1: "column 'x': no val", 2: "column 'x': expect", 3: "column 'x': expect"
    }  # fmt: skip
    assert read.absent == ("gone",)
    assert read.unreadable["x"].tolist() == [False, False, True, True]
    assert read.unreadable["flag"].tolist() == [False, True, False, False]
    assert read.typed["x"].isna().tolist() == [False, True, True, True]
    assert read.typed["gone"].isna().all()


def test_another_model_gets_the_table_as_pandas_reads_it() -> None:
    raw = pd.DataFrame(
        {
            "a": pd.array(["1", "2"], dtype="str"),
            "b": pd.array(["1.5", ""], dtype="str"),
            "c": pd.array(["x", "1"], dtype="str"),
            "d": pd.array([1, 2], dtype="Int64"),
            "e": pd.array([1, None], dtype="Int64"),
            "f": pd.array([True, False], dtype="boolean"),
        }
    )
    types = {name: str(dtype) for name, dtype in as_pandas_reads(raw).dtypes.items()}
    assert types == {
        "a": "int64",
        "b": "float64",
        "c": "object",
        "d": "int64",
        "e": "float64",
        "f": "bool",
    }


def test_labels_keep_their_type_and_empty_ones_are_none() -> None:
    raw = pd.DataFrame({"x": ["a", "b", "c"], "y": ["1", "", "2"]}, dtype="str")
    assert true_labels(raw, "y").tolist() == [1, None, 2]


def test_a_table_without_rows_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "t.csv"
    file.write_text("x,y\n")
    with pytest.raises(BadInput, match="no rows"):
        read_table(str(file))
    iris = read_table("iris")
    assert (len(iris.frame), iris.target) == (150, "species")
