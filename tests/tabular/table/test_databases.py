"""A database as a table: any that SQLAlchemy speaks to, with a query, in bounded memory."""

import datetime
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import pandas as pd
import pytest
import sqlalchemy

from steps import score, train
from tabular.errors import BadInput
from tabular.table.addresses import without_password
from tabular.table.dataset import load_dataset
from tabular.table.files import open_table, read_table
from tests.conftest import ROOT, Store
from tests.tables import mixed_table

MOMENT = datetime.datetime(2024, 5, 1, 12, tzinfo=datetime.UTC)


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """URL as a user writes it."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/t.db"
    return str(request.getfixturevalue("postgres_server")).replace("+psycopg", "")


def write(url: str, frame: pd.DataFrame, name: str = "t") -> None:
    engine = sqlalchemy.create_engine(url, poolclass=sqlalchemy.NullPool)
    frame.to_sql(name, engine, index=False, if_exists="replace")


def test_a_query_is_a_table(database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frame = mixed_table(50)
    write(database, frame)
    monkeypatch.chdir(tmp_path)
    query = "select * from t where amount > 0 and plan like '%' and 7 % 4 = 3"
    Path("rows.sql").write_text(f"{query} -- all of them\n")
    encoded = query.replace("%", "%25").replace(" ", "%20").replace(">", "%3E")
    for data in (f"?query={query}", "?query=rows.sql", f"?query={encoded}"):
        read = read_table(database + data)
        assert list(read.frame) == list(frame)
        assert read.frame["customer"].tolist() == frame["customer"].tolist()
        assert not read.as_text
    assert load_dataset(f"{database}?query={query}", "label").digest


def test_types_of_a_database_are_kept(postgres_server: str) -> None:
    url = postgres_server.replace("+psycopg", "")
    engine = sqlalchemy.create_engine(url, poolclass=sqlalchemy.NullPool)
    kinds = (
        "whole int, big bigint, real double precision, money numeric(9,2), flag boolean, "
        "day date, moment timestamptz, late int, id uuid, tags text[], doc jsonb"
    )
    rows = (
        "insert into kinds select i, 1099511627776, i / 4.0, i * 1.25, mod(i, 2) = 0, '2024-5-1', "
        "'2024-5-1 12:00+00', case when i > 25000 then i end, "
        "'00000000-0000-0000-0000-000000000001', '{a,b}', '{\"a\": 1}' "
        "from generate_series(1, 30000) i"
    )
    with engine.begin() as connection:
        connection.exec_driver_sql(f"create table kinds ({kinds})")
        connection.exec_driver_sql(rows)
    with open_table(f"{url}?query=select * from kinds order by whole") as table:
        assert table.n_rows == 30000
        last = list(table.chunks())[-1].rows.to_pylist()[-1]
    assert last == {
        "whole": 30000,
        "big": 1 << 40,
        "real": 7500.0,
        "money": Decimal("37500.00"),
        "flag": True,
        "day": datetime.date(2024, 5, 1),
        "moment": MOMENT,
        "late": 30000,
        "id": "00000000-0000-0000-0000-000000000001",
        "tags": ["a", "b"],
        "doc": {"a": 1},
    }


def test_a_version_is_trained_and_scores_from_a_database(database: str, store: Store) -> None:
    write(database, mixed_table(200))
    query = f"{database}?query=select * from t"
    train.main(["--data", query, "--target", "label", "--model_name", "m"])
    score.main(["--data", query, "--model", "models:/m/1", "--output", "out.csv"])
    assert len(pd.read_csv("out.csv")) == 200


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ("sqlite:///t.db", r"lacks its query; write sqlite:///t.db\?query=select"),
        ("sqlite:///t.db?query=select * from absent", "no such table: absent"),
        ("sqlite:///t.db?query=select 1 as a, 2 as a", "gives a column more than once"),
        ("sqlite:///t.db?query=absent.sql", "No such file"),
        ("postgresql://u:secret@127.0.0.1:1/db?query=select 1", "cannot be read"),
        ("oracle://u:secret@host/db?query=select 1 from dual", "pip install"),
    ],
)
def test_what_a_database_cannot_answer_is_told_in_one_line_without_the_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: str, words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BadInput, match=words) as caught:
        read_table(data)
    assert "\n" not in str(caught.value)
    assert "secret" not in str(caught.value)
    assert "secret" not in without_password(data)


@pytest.mark.slow
def test_memory_does_not_grow_with_the_rows(postgres_server: str) -> None:
    url = postgres_server.replace("+psycopg", "")
    code = """
import resource, sys
from tabular.table.files import open_table
with open_table(sys.argv[1]) as table:
    print(sum(chunk.rows.num_rows for chunk in table.chunks()))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""
    megabytes = []
    for rows in (100_000, 1_500_000):
        query = (
            f"select i, random() a, random() b, md5(i::text) c from generate_series(1, {rows}) i"
        )
        ended = subprocess.run(
            [sys.executable, "-c", code, f"{url}?query={query}"],
            cwd=ROOT, capture_output=True, text=True, check=True,
        )  # fmt: skip
        count, peak = ended.stdout.split()
        assert int(count) == rows
        megabytes.append(int(peak))
    print(megabytes)
    assert megabytes[1] < megabytes[0] + 100
