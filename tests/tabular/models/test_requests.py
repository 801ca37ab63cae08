"""A log of requests as a table: the rows that a model server was asked for, as it read them."""

import gzip
import io
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from steps import score
from tabular.errors import BadInput
from tabular.jobs.train import train
from tabular.models.load import load_model, open_model
from tabular.table.dataset import make_dataset
from tabular.table.files import read_table
from tests.conftest import Server
from tests.custom_model.conftest import local, log
from tests.serving_requests import CSV, JSON, bodies, send
from tests.tables import mixed_table
from tests.tabular.jobs.test_monitor import look
from tests.tabular.jobs.test_score_foreign import foreign  # noqa: F401 - a fixture

NAME = "2026-11-26.requests.jsonl"


def line(number: int, content: bytes, kind: str = JSON["Content-Type"], **fields: Any) -> bytes:
    """What nginx writes of a request: escaped where JSON needs it, all other bytes as they came."""
    record = {
        "request_id": f"id-{number}",
        "time": f"2026-11-26T08:00:{number % 60:02d}+01:00",
        "version": "mixed/1",
        "status": 200,
        "seconds": 0.01,
        "content_type": kind,
        "left_out": "",
        "body": content.decode("latin-1"),
        **fields,
    }
    return json.dumps(record, ensure_ascii=False).encode("latin-1") + b"\n"


def write(lines: Iterable[bytes], name: str = NAME) -> str:
    Path(name).write_bytes(b"".join(lines))
    return name


def rows_sent() -> pd.DataFrame:
    """Rows as JSON has them: with missing cells, and with columns that are no features."""
    table = mixed_table(24, seed=7).drop(columns=["currency"]).astype(object)
    for name in ("joined", "seen"):
        table[name] = [None if pd.isna(cell) else cell.isoformat() for cell in table[name]]
    return table.astype(object).where(table.notna(), None)


@pytest.fixture(scope="module")
def asked(mixed_server: Server) -> tuple[list[bytes], pd.DataFrame, pd.DataFrame]:
    """Requests of one and of more rows in every format: their lines, the rows, the answers."""
    table, rows = rows_sent(), []
    lines: list[bytes] = []
    answers: list[dict[str, Any]] = []
    for first, last in [(0, 1), (1, 2), (2, 9), (9, 24)]:
        part = table[first:last]
        for options in bodies(part.to_dict("records")).values():
            answer = send(mixed_server, options)
            content = answer.request.body
            content = content if isinstance(content, bytes) else str(content).encode()
            lines.append(line(len(lines), content, answer.request.headers["Content-Type"]))
            answers += answer.json()["predictions"]
            rows.append(part)
    return lines, pd.concat(rows, ignore_index=True), pd.DataFrame(answers)


Asked = tuple[list[bytes], pd.DataFrame, pd.DataFrame]


def test_a_scored_log_has_the_answers_of_the_server_in_every_format(
    folder: Path, asked: Asked
) -> None:
    lines, sent, answers = asked
    score.main(["--model", "models:/mixed/1", "--data", write(lines), "--output", "out.parquet"])
    scored = pq.read_table("out.parquet").to_pandas()
    assert scored["prediction"].tolist() == answers["prediction"].tolist()
    proba = answers.drop(columns="prediction")
    # a server's way for a few rows may round the last bit of an exponential otherwise
    np.testing.assert_allclose(scored[proba.columns], proba, rtol=0, atol=2**-52)
    counts = scored.groupby("request_id", sort=False)["row"].agg(list)
    assert counts.tolist() == [list(range(1, n + 1)) for n in (1, 1, 7, 15) for _ in range(7)]
    assert set(scored["version"]) == {"mixed/1"}
    assert str(scored["time"].iloc[0]) == "2026-11-26 07:00:00"
    assert scored["customer"].tolist() == sent["customer"].tolist(), "which is no feature"


def test_a_log_is_the_table_of_its_rows_digit_for_digit(folder: Path, asked: Asked) -> None:
    lines, sent, _ = asked
    sent.to_parquet("rows.parquet")
    model = load_model("models:/mixed/1", str(folder))
    of_log, of_rows = (read_table(d, reader=model.requests) for d in (write(lines), "rows.parquet"))
    cells = [model.read(table.frame, table.as_text) for table in (of_log, of_rows)]
    pd.testing.assert_frame_equal(cells[0].typed, cells[1].typed, check_exact=True)
    pd.testing.assert_frame_equal(cells[0].unreadable, cells[1].unreadable)
    watches = [look(data, folder) for data in (NAME, "rows.parquet")]
    assert repr(watches[0].drift) == repr(watches[1].drift)
    assert watches[0].drift.fall is not None, "the labels, which were sent too, are used"


def test_numbers_in_a_notation_with_points_are_the_same_after_the_log(folder: Path) -> None:
    rng = np.random.default_rng(0)
    amounts = [f"{n:,.3f}".translate(str.maketrans(",.", ".,")) for n in rng.normal(9e3, 4e3, 80)]
    table = pd.DataFrame({"amount": amounts, "y": ["a", "b"] * 40}, dtype="str")
    dataset = make_dataset(table, "y", name="t", source="t.csv")
    model = open_model(local(log(dataset, "random_forest")), "t/1")
    body = {"dataframe_records": [{"amount": t} for t in ["12,375", *amounts]] + [{"amount": 5.5}]}
    data = write([line(0, json.dumps(body).encode())])
    cells = model.read(read_table(data, reader=model.requests).frame, False)
    expected = [12.375, *dataset.typed["amount"], 5.5]
    assert cells.typed["amount"].tolist() == expected
    assert not cells.refused.any()


def one(number: int = 0, **fields: Any) -> bytes:
    """A line of a request of one row of iris."""
    return line(number, b'{"inputs": [[5.1, 3.5, 1.4, 0.2]]}', **fields)


def test_what_has_no_rows_is_counted_in_one_sentence(folder: Path) -> None:
    lines = [
        one(0),
        one(1)[:70],  # of a killed nginx: the next line follows on it
        one(2),
        b"\n",
        one(3, status=400, body=""),
        one(4, status=400, body=""),
        one(5, body="", left_out="larger than 64k"),
        b'{"rows": 3}\n',
        b"GET / HTTP/1.1\n",
        one(6, body='{"inputs": [[5.1]]}'),
        one(7)[:-9],
    ]
    model = load_model("models:/iris/1", str(folder))
    table = read_table(write(lines), reader=model.requests)
    assert table.frame["request_id"].tolist() == ["id-0", "id-2"]
    assert table.notes == (
        "The log of requests: 2 rows, of 2 of 10 lines. Left out: 4 not a whole line of "
        "this log; 2 answered with 400; 1 its body is not there (larger than 64k); 1 the model "
        "cannot read (row 1: expected 4 numbers ('sepal length (cm)', 'sepal width (cm)', 'petal "
        "length (cm)', 'petal width (cm)'), found 1).",
    )


def test_a_folder_of_days_is_one_table_and_so_is_a_compressed_day(folder: Path) -> None:
    (folder / "requests").mkdir()
    write([one(0), one(1)], f"requests/{NAME}")
    Path("requests/2026-11-25.requests.jsonl.gz").write_bytes(gzip.compress(one(2)))
    model = load_model("models:/iris/1", str(folder))
    table = read_table("requests/", reader=model.requests)
    assert (table.name, table.frame["request_id"].tolist()) == (
        "requests",
        ["id-2", "id-0", "id-1"],
    )
    assert table.notes == ("The log of requests: 3 rows, of 3 of 3 lines.",)
    Path("requests/labels.csv").write_text("request_id,species\n")
    with pytest.raises(
        BadInput, match=r"a log of requests \(2026-11-25.* and other tables \(labels"
    ):
        read_table("requests/", reader=model.requests)


@pytest.mark.parametrize("content", [b"", b"\n", one(status=401, body=""), one()[:40], b"\xff\x00"])
def test_a_log_without_a_scored_row_is_one_sentence(folder: Path, content: bytes) -> None:
    model = load_model("models:/iris/1", str(folder))
    with pytest.raises(BadInput, match="has no rows that were scored"):
        read_table(write([content]), reader=model.requests)


def test_a_command_without_a_model_says_that_a_log_needs_one(folder: Path) -> None:
    data = write([one()])
    with pytest.raises(BadInput, match="which only a model can read; give it to score, evaluate"):
        train(
            data=data, target="species", model_name="", classifier="random_forest",
            seed=0, hyperparameters={}, say=print,
        )  # fmt: skip


def test_columns_of_the_log_give_way_to_features_and_to_no_others(folder: Path) -> None:
    rng = np.random.default_rng(0)
    time, row = rng.normal(size=60), rng.normal(size=60)
    table = pd.DataFrame({"time": time, "row": row, "y": np.where(time > 0, "a", "b")})
    packed = log(make_dataset(table, "y", name="t", source="t"), "random_forest")
    body = {"dataframe_records": [{"time": 1.5, "row": 2, "version": "mine", "channel": "web"}]}
    model = open_model(local(packed), "t/1")
    data = write([line(7, json.dumps(body).encode())])
    frame = read_table(data, reader=model.requests).frame
    assert frame[["time", "row", "row_2", "request_id", "version", "channel"]].iloc[0].tolist() == [
        1.5, 2, 1, "id-7", "mixed/1", "web",
    ]  # fmt: skip


def test_a_cell_that_another_version_cannot_read_is_missing_and_counted(folder: Path) -> None:
    row = b'{"inputs": [{"amount": "a1b2c3", "visits": 3, "plan": "plus"}]}'
    model = load_model("models:/mixed/1", str(folder))
    table = read_table(write([line(0, row)]), reader=model.requests)
    assert table.frame["amount"].isna().all()
    assert "city" not in table.frame, "which was left out when the request was written"
    assert table.notes[1:] == (
        "Cells that the model cannot read are missing in this table: 'amount' (1).",
    )


def test_a_model_of_another_maker_reads_a_log_by_its_signature(
    folder: Path,
    foreign: str,  # noqa: F811
) -> None:
    rows = mixed_table(5)[["amount", "visits"]]
    csv = io.BytesIO()
    rows.to_csv(csv, index=False)
    as_json = json.dumps({"dataframe_split": rows.to_dict("split")}).encode()
    data = write([line(0, csv.getvalue(), CSV["Content-Type"]), line(1, as_json)])
    model = load_model(foreign, str(folder))
    predicted = model.ask(model.read(read_table(data, reader=model.requests).frame, False))
    expected = mlflow.pyfunc.load_model(foreign).predict(rows.astype(float))
    assert predicted.y_pred == [*expected, *expected]
