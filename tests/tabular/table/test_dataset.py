"""Tables of every format and labels of every type."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from custom_model.served.cells import read_cells
from tabular.errors import BadInput
from tabular.table.addresses import BUILT_IN, safe_name
from tabular.table.dataset import load_dataset, make_dataset
from tabular.table.files import RawTable, read_table
from tabular.table.labels import true_labels


def table(labels: Any, **columns: Any) -> pd.DataFrame:
    return pd.DataFrame({"x": [i * 1.5 for i in range(len(labels))], **columns, "y": labels})


def labels(cells: Any) -> tuple[Any, ...]:
    """Labels of a column, in a table whose every cell is text where its own are."""
    frame = table(cells)
    if not len(frame) or isinstance(frame["y"].iloc[0], str):
        frame["x"] = frame["x"].astype("str")
    return make_dataset(frame, "y", name="t", source="t").labels


@pytest.mark.parametrize("name", BUILT_IN)
def test_built_in_sets_load(name: str) -> None:
    dataset = load_dataset(name)
    assert len(dataset.typed) == len(dataset.codes) > 100
    assert dataset.name == name


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("t.csv", lambda frame, path: frame.to_csv(path, index=False)),
        ("t.csv.gz", lambda frame, path: frame.to_csv(path, index=False)),
        ("t.tsv", lambda frame, path: frame.to_csv(path, index=False, sep="\t")),
        ("semicolons.csv", lambda frame, path: frame.to_csv(path, index=False, sep=";")),
        ("mark.csv", lambda frame, path: frame.to_csv(path, index=False, encoding="utf-8-sig")),
        ("T.PARQUET", lambda frame, path: frame.to_parquet(path)),
    ],
)
def test_every_format_gives_the_same_table(tmp_path: Path, name: str, write: Any) -> None:
    frame = table(["a", "b"] * 10, städte=["Köln", "Ulm"] * 10)
    write(frame, tmp_path / name)
    dataset = load_dataset(str(tmp_path / name), "y")
    assert dataset.digest == make_dataset(frame, "y", name="t", source="t").digest
    assert [column.name for column in dataset.columns] == ["x", "städte"]


def test_a_named_index_of_pandas_is_a_column_of_a_parquet_file(tmp_path: Path) -> None:
    frame = pd.DataFrame({"a": [1.5, 2.5], "b": ["x", "y"]})
    frame.set_index("a").to_parquet(tmp_path / "t.parquet")
    assert set(read_table(str(tmp_path / "t.parquet")).frame) == {"a", "b"}
    frame[1:].to_parquet(tmp_path / "t.parquet")
    assert set(read_table(str(tmp_path / "t.parquet")).frame) == {"a", "b"}


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_a_table_whose_every_cell_is_text_is_scored_by_a_model_of_it(
    tmp_path: Path, ending: str
) -> None:
    frame = table(["a", "b"] * 20, flag=["true", "false"] * 20, n=[*map(str, range(5, 45))])
    file = tmp_path / f"t.{ending}"
    texts = frame.astype("str")
    texts.to_csv(file, index=False) if ending == "csv" else texts.to_parquet(file)
    dataset = load_dataset(str(file), "y")
    raw = read_table(str(file))
    cells = read_cells(raw.frame, dataset.columns, as_text=raw.as_text)
    assert not cells.refused.any()
    pd.testing.assert_frame_equal(cells.typed, dataset.typed)


def test_a_folder_of_parquet_files_is_one_table(tmp_path: Path) -> None:
    folder = tmp_path / "parts"
    folder.mkdir()
    for part in range(3):
        table(["a", "b"] * 5, part=[part * 1.5] * 10).to_parquet(folder / f"{part}.parquet")
    dataset = load_dataset(str(folder), "y")
    assert len(dataset.typed) == 30
    assert dataset.name == "parts"


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (["b", "a"] * 3, ("a", "b")),
        (["1", "0"] * 3, (0, 1)),
        (["01", "02"] * 3, ("01", "02")),
        (["+1", "-1"] * 3, ("+1", "-1")),
        (["1.0", "2.0"] * 3, (1.0, 2.0)),
        (["1.50", "2"] * 3, ("1.50", "2")),
        (["True", "False"] * 3, (False, True)),
        ([" <=50K", ">50K ", ">50K"] * 3, ("<=50K", ">50K")),
        (["1", "1.0", "2.0", "2"] * 3, (1, 2)),
        (["1.5", "1.50", "2"] * 3, (1.5, 2.0)),
        ([Decimal("1"), Decimal("2.00")] * 3, (1, 2)),
        ([Decimal("1.5"), None, Decimal("2")] * 3, (1.5, 2.0)),
        (["None", "NA"] * 3, ("NA", "None")),
        ([3, 1] * 3, (1, 3)),
        ([True, False] * 3, (False, True)),
        (pd.array([1, 2, None] * 3, dtype="Int64"), (1, 2)),
        (pd.Categorical(["b", "a", ""] * 3), ("a", "b")),
    ],
)
def test_labels_keep_their_type_and_spelling(cells: Any, expected: tuple[Any, ...]) -> None:
    found = labels(cells)
    assert found == expected
    assert [type(label) for label in found] == [type(label) for label in expected]


def test_text_labels_of_a_typed_file_stay_text() -> None:
    assert make_dataset(table(["1", "0"] * 5), "y", name="t", source="t").labels == ("0", "1")


def test_rows_without_a_target_are_left_out_and_counted() -> None:
    dataset = make_dataset(table(["a", "b", "", " "] * 5), "y", name="t", source="t")
    assert (dataset.unlabelled, len(dataset.codes)) == (10, 10)


def read(cells: list[str], **columns: Any) -> tuple[tuple[Any, ...], int, tuple[str, ...]]:
    """Classes, rows without a label, and notes of a CSV's target."""
    frame = table(cells, **columns).astype("str")
    dataset = make_dataset(frame, "y", name="t", source="t")
    return dataset.labels, dataset.unlabelled, dataset.notes


def test_a_spelling_of_no_value_is_a_class_only_where_it_is_as_frequent_as_one() -> None:
    classes, unlabelled, notes = read(["0", "1", "1", "0"] * 5 + ["NA"] * 9)
    assert (repr(classes), unlabelled, notes) == ("(0, 1)", 9, ("'NA' in 'y' is no label.",))
    taken = "'NA' in 'y' is as frequent as a class, and taken for one."
    assert read(["no", "yes", "NA"] * 5) == (("NA", "no", "yes"), 0, (taken,))
    elsewhere = [str(i) for i in range(14)] + ["NA"]
    expected = (("no", "yes"), 5, ("'NA' in 'y' is no label.",))
    assert read(["no", "yes", "NA"] * 5, n=elsewhere) == expected


def test_a_models_classes_are_classes_whatever_their_spelling() -> None:
    frame = pd.DataFrame({"x": ["1", "2", "3"], "y": ["NA", "b", "b"]})
    assert true_labels(RawTable(frame, True, "t"), "y", "t").tolist() == [None, "b", "b"]
    assert true_labels(RawTable(frame, True, "t"), "y", "t", ("NA", "b")).tolist() == [
        "NA",
        "b",
        "b",
    ]


def test_a_total_in_the_last_row_is_no_class() -> None:
    cells = [str(i * 7 % 20) for i in range(20)] + ["TOTAL"]
    note = "The last row is a total ('TOTAL' in 'n'): left out."
    assert read(["a", "b"] * 10 + ["20"], n=cells) == (("a", "b"), 1, (note,))
    assert read(["a", "b"] * 10 + [""], n=cells)[:2] == (("a", "b"), 1)
    assert read(["a", "b"] * 10 + ["b"], n=cells) == (("a", "b"), 0, ())


def test_many_numbers_as_classes_are_said() -> None:
    [note] = read([str(i) for i in range(30)] * 10)[2]
    assert note.startswith("'y' has 30 numbers as classes; a quantity is better")


def test_a_target_stands_anywhere_and_headings_hold_any_character() -> None:
    names = ["y", 'with "quotes", commas', "línea\nnueva", "a/b c?", "{x}", "…"]
    frame = pd.DataFrame([[i % 2, *(i * k * 0.5 for k in range(1, 6))] for i in range(20)])
    dataset = make_dataset(frame.set_axis(names, axis=1), "y", name="t", source="t")
    assert [column.name for column in dataset.columns] == names[1:]


def test_infinite_numbers_count_as_missing() -> None:
    frame = table(["a", "b"] * 10).assign(z=[float("inf"), *(i * 0.5 for i in range(19))])
    dataset = make_dataset(frame, "y", name="t", source="t")
    assert dataset.typed["z"].isna().sum() == 1
    assert not dataset.columns[1].required


@pytest.mark.parametrize(
    ("target", "words"),
    [("", "no target given"), ("yy", "did you mean 'y'"), ("wholly else", "possible: x, y")],
)
def test_a_missing_target_names_the_columns(target: str, words: str) -> None:
    with pytest.raises(BadInput, match=words) as caught:
        make_dataset(table(["a", "b"]), target, name="t", source="t.csv")
    assert "x, y" in str(caught.value)


@pytest.mark.parametrize(
    ("cells", "words"),
    [
        ([], "no rows"),
        (["a"] * 5, "one class only"),
        ([""] * 5, "no labels"),
        ([i + 0.5 for i in range(30)], "a quantity"),
        ([f"{i},5" for i in range(30)] * 3, "a quantity"),
        ([f"{i}/3/2024" for i in range(1, 31)] * 3, "a quantity"),
        ([f"2024-03-{i:02}" for i in range(1, 31)] * 3, "a quantity"),
        ([f"c{i}" for i in range(30)], "identifier"),
        ([f"{i}" for i in range(30)] * 5, "a quantity"),
        (list(range(30)) * 5, "a quantity"),
        (["a", "b", "c"], "class of its own"),
        (pd.date_range("2024-01-01", periods=5), "holds Timestamp"),
    ],
)
def test_a_target_that_has_no_classes_is_refused(cells: Any, words: str) -> None:
    with pytest.raises(BadInput, match=words):
        labels(cells)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("absent.csv", None, "not found"),
        ("t.docx", b"x", "unknown ending"),
        ("t.csv", b"", "cannot be read"),
        ("t.csv", b"x,y\n1,2,3\n4,5,6\n", "no rows: line 2 has 3 cells, the heading 2"),
        ("t.csv", b"x,x,y\n1,2,3\n", "more than once"),
        ("t.parquet", b"garbage", "cannot be read"),
        ("t.csv", b"x,y\n", "no rows"),
    ],
)
def test_a_file_that_is_no_table_is_refused_in_one_line(
    tmp_path: Path, name: str, content: bytes | None, words: str
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(BadInput, match=words) as caught:
        load_dataset(str(tmp_path / name), "y")
    assert "\n" not in str(caught.value)


def test_a_mistyped_built_in_set_is_guessed() -> None:
    with pytest.raises(BadInput, match="did you mean 'iris'"):
        load_dataset("irs")


def test_cells_of_a_csv_stay_text(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a,b\n01,NA\n1.50,\n")
    assert read_table(str(tmp_path / "t.csv")).frame.to_dict("list") == {
        "a": ["01", "1.50"],
        "b": ["NA", ""],
    }


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("/data/churn.csv", "churn"),
        ("s3://bucket/my table (1).csv.gz", "my_table_1"),
        ("parts/", "parts"),
        ("über.parquet", "über"),
        ("..csv", "table"),
    ],
)
def test_a_file_gives_its_stem_as_a_safe_name(source: str, name: str) -> None:
    assert safe_name(source) == name
