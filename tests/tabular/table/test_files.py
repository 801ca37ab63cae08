"""One table in every format: the same cells, whole and in chunks, on the same side of the split."""

import bz2
import gzip
import io
import json
import re
import sqlite3
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.feather
import pyarrow.orc
import pyarrow.parquet as pq
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from tabular.errors import BadInput
from tabular.table import chunks, delimited, spool
from tabular.table.files import open_table, read_table
from tabular.table.split import hash_rows

Write = Callable[[pd.DataFrame, Path], Any]


def csv(**options: Any) -> Write:
    return lambda frame, path: frame.to_csv(path, index=False, **options)


def as_bytes(frame: pd.DataFrame, *, encoding: str = "utf-8") -> bytes:
    return str(frame.to_csv(index=False)).encode(encoding)


def zipped(frame: pd.DataFrame, path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("inside.csv", as_bytes(frame))
        archive.writestr("__MACOSX/._inside.csv", b"\0")


def compressed(frame: pd.DataFrame, path: Path) -> None:
    with pa.output_stream(str(path), compression="zstd") as stream:
        stream.write(as_bytes(frame))


def in_a_database(frame: pd.DataFrame, path: Path) -> None:
    with sqlite3.connect(path) as connection:
        frame.astype({"flag": str, "moment": str}).to_sql("t", connection, index=False)
    connection.close()


def json_of(dump: Callable[[pd.DataFrame], str | bytes]) -> Write:
    def write(frame: pd.DataFrame, path: Path) -> None:
        dumped = dump(frame.assign(moment=frame["moment"].map(str)))
        path.write_bytes(dumped.encode() if isinstance(dumped, str) else dumped)

    return write


def lines(frame: pd.DataFrame) -> str:
    return "\n".join(json.dumps(row) for row in frame.to_dict("records"))


TEXT: dict[str, Write] = {
    "t.csv": csv(),
    "semicolons.csv": csv(sep=";"),
    "bars.csv": csv(sep="|"),
    "tabs.csv": csv(sep="\t"),
    "t.tsv": csv(sep="\t"),
    "mark.csv": csv(encoding="utf-8-sig"),
    "wide.csv": csv(encoding="utf-16"),
    "excel.csv": lambda f, p: p.write_text(
        "sep=;\r\n" + f.to_csv(index=False, sep=";"), newline=""
    ),
    "windows.csv": csv(lineterminator="\r\n"),
    "quoted.csv": csv(quoting=1),
    "trailing.csv": lambda f, p: p.write_text(
        re.sub(",\n", "\n", f.assign(**{"": ""}).to_csv(index=False), count=1)
    ),
    "t.csv.gz": lambda f, p: p.write_bytes(gzip.compress(as_bytes(f))),
    "t.csv.bz2": lambda f, p: p.write_bytes(bz2.compress(as_bytes(f))),
    "t.csv.zst": compressed,
    "t.csv.zip": zipped,
}
TYPED: dict[str, Write] = {
    "T.PARQUET": lambda f, p: f.to_parquet(p),
    "t.feather": lambda f, p: pyarrow.feather.write_feather(pa.Table.from_pandas(f), p),
    "t.arrow": lambda f, p: f.to_feather(p),
    "t.orc": lambda f, p: pyarrow.orc.write_table(pa.Table.from_pandas(f), p),
    "t.json": json_of(lambda f: json.dumps(f.to_dict("records"))),
    "columns.json": json_of(lambda f: json.dumps(f.to_dict())),
    "lists.json": json_of(lambda f: json.dumps(f.to_dict("list"))),
    "split.json": json_of(lambda f: json.dumps(f.to_dict("split"))),
    "lines.json": json_of(lines),
    "t.jsonl": json_of(lines),
    "t.jsonl.gz": json_of(lambda f: gzip.compress(lines(f).encode())),
    "t.xlsx": lambda f, p: f.to_excel(p, index=False),
    "t.db": in_a_database,
}

words = st.text("abcüß€ ,;|\t'\"?-0", max_size=6)
tables = st.lists(
    st.tuples(
        st.integers(-(10**9), 10**9),
        st.floats(-1e30, 1e30).map(lambda number: float(f"{number:.15g}")),  # as Excel has them
        words,
        st.booleans(),
        st.datetimes(pd.Timestamp("1950-01-01"), pd.Timestamp("2100-01-01")),
    ),
    min_size=1,
    max_size=12,
)


def frame_of(rows: list[Any]) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=["whole", "number, €", "word", "flag", "moment"])
    frame["moment"] = frame["moment"].dt.round("s").astype("datetime64[us]")
    return frame


def address(path: Path) -> str:
    return f"sqlite:///{path}?query=select * from t" if path.suffix == ".db" else str(path)


def in_chunks(data: str) -> pd.DataFrame:
    with (
        patch.object(delimited, "BLOCK", 300),
        patch.object(chunks, "MOST_ROWS", 3),
        patch.object(spool, "ROWS", 2),
        open_table(data) as table,
    ):
        read = list(table.chunks())
        assert np.concatenate([chunk.numbers for chunk in read]).tolist() == list(
            range(1, 1 + sum(chunk.rows.num_rows for chunk in read))
        )
        return pa.Table.from_batches([c.rows for c in read], table.schema).to_pandas()


# to shrink an example, of which each is written some thirty times, would take minutes
@settings(max_examples=6, deadline=None, phases=[Phase.generate])
@given(tables)
def test_a_table_is_the_same_in_every_format(rows: list[Any]) -> None:
    frame = frame_of(rows)
    expected = hash_rows(frame)
    written = frame.assign(moment=frame["moment"].dt.strftime("%Y-%m-%d %H:%M:%S"))
    texts = pd.read_csv(io.StringIO(written.to_csv(index=False)), dtype=str, keep_default_na=False)
    with tempfile.TemporaryDirectory() as folder:
        for name, write in (TEXT | TYPED).items():
            path = Path(folder) / name
            write(written if name in TEXT else frame, path)
            table = read_table(address(path))
            own = table.frame[list(frame)]
            assert table.as_text == (name in TEXT), name
            assert (hash_rows(own) == expected).all(), name
            if name in TEXT:
                pd.testing.assert_frame_equal(own, texts, check_dtype=False)
            again = in_chunks(address(path))[list(frame)]
            assert (hash_rows(again) == expected).all(), name


@pytest.mark.parametrize("ending", [".csv", ".parquet", ".feather", ".orc", ".jsonl", ".xlsx"])
def test_a_folder_of_files_is_one_table_with_its_folders_names_as_columns(
    tmp_path: Path, ending: str
) -> None:
    frame = pd.DataFrame({"a": range(6), "b": list("uvwxyz")})
    write = (TEXT | TYPED)["T.PARQUET" if ending == ".parquet" else f"t{ending}"]
    for part in (1, 2):
        folder = tmp_path / "parts" / f"month={part}" / "where=Z%C3%BCrich"
        folder.mkdir(parents=True)
        half = frame[3 * part - 3 : 3 * part]
        if ending == ".jsonl":
            (folder / "t.jsonl").write_text(lines(half))
        else:
            write(half, folder / f"t{ending}")
    (tmp_path / "parts" / "_SUCCESS").touch()
    (tmp_path / "parts" / "notes.txt").write_text("no table")
    table = read_table(str(tmp_path / "parts"))
    assert table.name == "parts"
    assert table.frame["a"].astype(int).tolist() == list(range(6))
    assert table.frame["month"].astype(int).tolist() == [1, 1, 1, 2, 2, 2]
    assert set(table.frame["where"]) == {"Zürich"}
    assert (hash_rows(in_chunks(str(tmp_path / "parts"))) == hash_rows(table.frame)).all()


def test_files_of_a_folder_may_differ_in_columns_and_types(tmp_path: Path) -> None:
    parts = [
        pa.table({"a": [1], "y": ["u"], "kind": pa.array(["k"]).dictionary_encode()}),
        pa.table({"y": pa.array(["v"], pa.large_string()), "b": [True], "a": [1.5], "kind": ["l"]}),
        pa.table({"a": pa.nulls(1), "y": ["w"], "b": ["yes"]}),
    ]
    for number, part in enumerate(parts):
        pq.write_table(part, tmp_path / f"{number}.parquet")
    table = read_table(str(tmp_path))
    frame = table.frame.astype(object).where(table.frame.notna(), None)
    assert frame.to_dict("list") == {
        "a": [1.0, 1.5, None],
        "y": ["u", "v", "w"],
        "kind": ["k", "l", None],
        "b": [None, "true", "yes"],
    }
    assert table.notes == ("Column 'b' is bool and string in its parts: read as text.",)


def test_a_named_index_of_pandas_is_a_column_and_an_unnamed_one_is_none(tmp_path: Path) -> None:
    frame = pd.DataFrame({"a": [1.5, 2.5], "b": ["x", "y"]})
    frame.set_index("a").to_parquet(tmp_path / "t.parquet")
    assert set(read_table(str(tmp_path / "t.parquet")).frame) == {"a", "b"}
    frame.set_axis(["u", "v"]).to_parquet(tmp_path / "t.parquet")
    assert set(read_table(str(tmp_path / "t.parquet")).frame) == {"a", "b"}


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("t.json", b'[{"a": 1},\n{"a": 2', "line 2: "),
        ("t.json", b"[1, 2]", "a list of records"),
        ("t.jsonl", b'{"a": 1}\n{"a": \n', "line 2: "),
        ("t.jsonl", b'{"a": 1}\n2\n', "line 2 is not a record"),
        ("t.xlsx", b"no workbook", "cannot be read: File is not a zip file"),
        ("t.csv.zip", b"no archive", "cannot be read"),
        ("t.csv.zst", b"no frame", "cannot be read"),
        ("t.feather", b"nothing", "cannot be read"),
        ("t.orc", b"nothing", "cannot be read"),
        ("t.csv", b'a,b\n"1,2\n', "no rows"),
    ],
)
def test_a_broken_file_is_told_in_one_line(
    tmp_path: Path, name: str, content: bytes, words: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(BadInput, match=words) as caught:
        read_table(str(tmp_path / name))
    assert "\n" not in str(caught.value)
