"""Delimited text: its lines, encoding and separator are told from the file itself."""

from pathlib import Path
from unittest.mock import patch

import pytest

from tabular.table import delimited
from tabular.table.files import open_table, read_table


@pytest.mark.parametrize("blank", ["", "\n"], ids=["by its line", "by its row"])
def test_a_line_that_is_no_row_is_left_out_and_named(tmp_path: Path, blank: str) -> None:
    """By its line, where no blank lines are between that the parser does not count."""
    text = f'a,"b\nc"\n1,"x\ny"\n2\n{blank}3,z\n4,5,6\na,"b\nc"\n7,8\n'
    (tmp_path / "t.csv").write_text(text)
    table = read_table(str(tmp_path / "t.csv"))
    assert table.frame["a"].tolist() == ["1", "3", "7"]
    first, second, third = ("row 2", "row 4", "row 5") if blank else ("line 5", "line 7", "line 8")
    assert [(line.place, line.reason) for line in table.unreadable] == [
        (2, f"{first} has 1 cell, the heading 2"),
        (4, f"{second} has 3 cells, the heading 2"),
        (5, f"{third} repeats the heading"),
    ]
    assert table.notes == (
        f"3 lines are no rows: left out; the first: {first} has 1 cell, the heading 2.",
    )


SENTENCES = {
    "cp1252": "Name;Stadt;Preis\nJürgen Groß;Köln;5 €\nZoë Müller;Düsseldorf;6 €\n",
    "cp1251": "имя;город;y\n" + "Иван Петров;Москва;да\nПётр Иванов;Казань;нет\n" * 3,  # noqa: RUF001
    "utf_16_le": "Name;Stadt;y\nJürgen;Köln;ja\n",
    "shift_jis": "名前;都市;y\n" + "田中さん;東京都;はい\n山本さん;大阪府;いいえ\n" * 3,
}


@pytest.mark.parametrize("encoding", list(SENTENCES))
def test_an_encoding_is_recognised_and_said(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "t.csv").write_bytes(SENTENCES[encoding].encode(encoding))
    table = read_table(str(tmp_path / "t.csv"))
    head = SENTENCES[encoding].splitlines()
    assert list(table.frame) == head[0].split(";")
    assert table.frame.iloc[0].tolist() == head[1].split(";")
    [note] = table.notes
    assert "not UTF-8" in note


def test_an_encoding_that_shows_late_is_recognised_too(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(b"a,b\n" + b"1,plain\n" * 10_000 + "2,Köln\n".encode("cp1252"))
    with patch.object(delimited, "BLOCK", 10_000):
        table = read_table(str(tmp_path / "t.csv"))
    assert table.frame["b"].iloc[-1] == "Köln"


@pytest.mark.parametrize(
    ("text", "names", "n_rows"),
    [
        ("age;income, EUR;y\n1;2;a\n", ["age", "income, EUR", "y"], 1),
        ('"age, years",y\n1,a\n', ["age, years", "y"], 1),
        ("x;y\n1,5;a\n2,5;b\n", ["x", "y"], 2),
        ("sep=|\nx,1|y\n1|2,3\n", ["x,1", "y"], 1),
        ("\n\nx|y\n1|2\n", ["x", "y"], 1),
        ("only\n1\n2\n", ["only"], 2),
        ("x,,y\n1,2,3\n", ["x", "Unnamed: 1", "y"], 1),
        ("x,y", ["x", "y"], 0),
    ],
)
def test_a_separator_is_known_by_the_heading_and_the_rows(
    tmp_path: Path, text: str, names: list[str], n_rows: int
) -> None:
    (tmp_path / "t.csv").write_text(text)
    with open_table(str(tmp_path / "t.csv")) as table:
        assert (table.schema.names, table.head.num_rows) == (names, n_rows)


@pytest.mark.parametrize("length", [200_000, 1_500_000])
def test_a_cell_may_be_as_long_as_a_book(tmp_path: Path, length: int) -> None:
    (tmp_path / "t.csv").write_text(f"text,y\n{'long ' * (length // 5)},a\nshort,b\n")
    frame = read_table(str(tmp_path / "t.csv")).frame
    assert frame["text"].str.len().tolist() == [length, 5]
    assert frame["y"].tolist() == ["a", "b"]
