"""The log of requests that nginx writes before real model servers, and what commands read of it.

The reader alone is tested in tabular/models/test_requests.py.
"""

import hmac
import json
import os
import signal
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from steps import score
from tabular.models.load import load_model
from tabular.table.files import read_table
from tests.conftest import Store
from tests.front import NGINX, Answer, Front, is_up, model_server, nginx, request, wait_until
from tests.serving_requests import bodies
from tests.tables import MIXED_ROW
from tests.tabular.jobs.test_evaluate import run as evaluated
from tests.tabular.jobs.test_monitor import look
from tests.tabular.models.test_requests import rows_sent

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(NGINX is None, reason="needs nginx (apt-get install nginx-light)"),
]

JSON_ROW = json.dumps({"inputs": [MIXED_ROW]}).encode()


@pytest.fixture(scope="module")
def sockets(served: Store, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with the socket of a model server of `mixed`."""
    folder = tmp_path_factory.mktemp("models")
    with model_server(served, folder, 1, "mixed"):
        wait_until(lambda: is_up(folder, 1))
        yield folder


@pytest.fixture
def front(sockets: Path, folder: Path) -> Iterator[Front]:
    """nginx with the log on, in the working folder."""
    with logging(sockets, folder) as front:
        yield front


def logging(sockets: Path, folder: Path, **settings: str) -> Any:
    (folder / "requests").mkdir(exist_ok=True)
    if not (folder / "model-1.sock").exists():
        (folder / "model-1.sock").symlink_to(sockets / "model-1.sock")
    return nginx(folder, **settings)


def lines(front: Front) -> list[dict[str, Any]]:
    """The lines of today's log, once there are no more to come."""
    time.sleep(0.2)
    files = sorted((front.folder / "requests").iterdir())
    raw = b"".join(file.read_bytes() for file in files)
    return [json.loads(line.decode("latin-1")) for line in raw.splitlines() if line]


def post(front: Front, body: bytes, kind: str = "application/json", **headers: str) -> Answer:
    return front.ask(request("POST /invocations", body, kind=kind, **headers))


def in_every_format(table: pd.DataFrame) -> list[tuple[bytes, str]]:
    """Bodies with their content types."""
    forms = bodies(table.to_dict("records")).values()
    return [
        (json.dumps(form["body"], allow_nan=False).encode(), "application/json")
        if "body" in form
        else (form["data"], form["headers"]["Content-Type"])
        for form in forms
    ]


def test_a_day_of_requests_is_scored_and_monitored_as_its_rows(front: Front, folder: Path) -> None:
    table, rows = rows_sent(), []
    answers: list[dict[str, Any]] = []
    for first, last in [(0, 1), (1, 9), (9, 24)]:
        for number, (body, kind) in enumerate(in_every_format(table[first:last])):
            answer = post(front, body, kind, X_Request_ID=f"day-{first}-{number}")
            assert answer.status == 200
            assert answer.headers["x-request-id"] == f"day-{first}-{number}"
            answers += json.loads(answer.body)["predictions"]
            rows.append(table[first:last])
    pd.concat(rows, ignore_index=True).to_parquet("rows.parquet")
    score.main(["--model", "models:/mixed/1", "--data", "requests/", "--output", "out.parquet"])
    score.main(
        ["--model", "models:/mixed/1", "--data", "rows.parquet", "--output", "rows-out.parquet"]
    )
    scored, of_rows = (pq.read_table(f).to_pandas() for f in ("out.parquet", "rows-out.parquet"))
    names = list(answers[0])
    pd.testing.assert_frame_equal(scored[names], of_rows[names], check_exact=True)
    assert scored["prediction"].tolist() == [answer["prediction"] for answer in answers]
    proba = pd.DataFrame(answers)[names[1:]]
    np.testing.assert_allclose(scored[names[1:]], proba, rtol=0, atol=2**-52)
    assert set(scored["version"]) == {"mixed/1"}
    watches = [look(data, folder) for data in ("requests/", "rows.parquet")]
    assert repr(watches[0].drift) == repr(watches[1].drift)
    figures = [evaluated(data=data) for data in ("requests/", "rows.parquet")]
    assert repr(figures[0].assessment) == repr(figures[1].assessment)
    assert figures[0].cautions[1:] == figures[1].cautions, "but for how much of the log is read"


def test_a_line_tells_of_each_request_with_the_right_token(front: Front) -> None:
    answers = [
        post(front, JSON_ROW, X_Request_ID="mine:1"),
        post(front, JSON_ROW.replace(b"61.5", b"null")),
        front.ask(request("POST /invocations", JSON_ROW, token="x" * 20)),
        front.ask(request("GET /version")),
        front.ask(request("GET /ping", token="")),
        front.ask(request("GET /invocations")),
        post(front, b" " * 90_000 + JSON_ROW),
    ]
    assert [answer.status for answer in answers] == [200, 400, 401, 200, 200, 405, 200]
    logged = lines(front)
    assert [(line["status"], bool(line["body"]), line["left_out"]) for line in logged] == [
        (200, True, ""), (400, False, ""), (405, False, ""), (200, False, "larger than 64k"),
    ]  # fmt: skip
    of_invocations = [answers[0], answers[1], answers[5], answers[6]]
    assert [line["request_id"] for line in logged] == [
        a.headers["x-request-id"] for a in of_invocations
    ]
    assert logged[0]["version"] == answers[0].headers["x-model-version"] == "mixed/1"
    assert logged[0]["body"].encode("latin-1") == JSON_ROW
    assert 0 < logged[0]["seconds"] < 60


@pytest.mark.parametrize("sent", ["two words", "x" * 129, 'quote"', "line\\n", "ümlaut", "{}"])
def test_a_number_that_cannot_stand_anywhere_gets_another(front: Front, sent: str) -> None:
    got = post(front, JSON_ROW, X_Request_ID=sent).headers["x-request-id"]
    assert len(got) == 32
    assert lines(front)[0]["request_id"] == got


def test_a_body_in_chunks_is_one_line_with_the_callers_number(front: Front) -> None:
    start = request(
        "POST /invocations",
        X_Request_ID="abc",
        Transfer_Encoding="chunked",
        Content_Type="application/json",
    )
    answer = front.ask(start + b"%x\r\n%b\r\n0\r\n\r\n" % (len(JSON_ROW), JSON_ROW))
    assert (answer.status, answer.headers["x-request-id"]) == (200, "abc")
    (line,) = lines(front)
    assert (line["request_id"], line["version"]) == ("abc", "mixed/1")
    assert line["body"].encode("latin-1") == JSON_ROW


@pytest.mark.skipif(
    not Path("/usr/lib/nginx/modules/ngx_http_js_module.so").exists(),
    reason="needs nginx's module njs (apt-get install libnginx-mod-http-js)",
)
def test_columns_that_are_left_out_never_reach_the_disk(sockets: Path, folder: Path) -> None:
    key = "a key of at least sixteen"
    table = rows_sent()[:9].assign(**{"name, first": 'Ann "Q", \nKöhler-1'})
    with logging(
        sockets,
        folder,
        REQUEST_LOG_DROP='note,"name, first"',
        REQUEST_LOG_HASH="Customer",
        REQUEST_LOG_KEY=key,
    ) as front:
        for body, kind in in_every_format(table):
            assert post(front, body, kind).status == 200
        logged = lines(front)
    raw = b"".join(file.read_bytes() for file in (folder / "requests").iterdir()).decode()
    for secret in ("Ann", "hler-1", "parcel", *table["customer"]):
        assert secret not in raw
    assert Counter(line["left_out"] for line in logged) == {
        "": 6, "columns cannot be left out of it": 1,
    }  # fmt: skip
    model = load_model("models:/mixed/1", str(folder))
    frame = read_table("requests/", reader=model.requests).frame
    assert not {"note", "name, first"} & set(frame)
    digests = [hmac.new(key.encode(), one.encode(), "sha256") for one in table["customer"]]
    assert frame["customer"].tolist() == [digest.hexdigest() for digest in digests] * 6
    plain = model.read(table.drop(columns="note"), False).typed
    again = model.read(frame, False).typed
    for part in range(6):
        rows = again[part * 9 : part * 9 + 9].reset_index(drop=True)
        pd.testing.assert_frame_equal(rows, plain, check_exact=True)


def test_a_killed_nginx_loses_one_request_at_most(sockets: Path, folder: Path) -> None:
    answered = 0
    for _ in range(5):
        with logging(sockets, folder) as front:
            while answered % 50 < 49:
                answered += post(front, JSON_ROW).status == 200
            answered += post(front, JSON_ROW).status == 200
            children = Path(f"/proc/{front.process.pid}/task/{front.process.pid}/children")
            for pid in [front.process.pid, *map(int, children.read_text().split())]:
                os.kill(pid, signal.SIGKILL)
    model = load_model("models:/mixed/1", str(folder))
    table = read_table("requests/", reader=model.requests)
    assert answered - 5 <= len(table.frame) <= answered


def test_files_are_deleted_after_their_time_and_others_stay(sockets: Path, folder: Path) -> None:
    (folder / "requests").mkdir()
    for name, days in [
        ("2026-01-01.requests.jsonl", 8),
        ("2026-01-02.requests.jsonl", 6),
        ("notes.txt", 90),
    ]:
        file = folder / "requests" / name
        file.touch()
        then = time.time() - days * 86_400
        os.utime(file, (then, then))
    with logging(sockets, folder, REQUEST_LOG_DAYS="7"):
        wait_until(lambda: len(list((folder / "requests").iterdir())) == 2, 20)
    assert {file.name for file in (folder / "requests").iterdir()} == {
        "2026-01-02.requests.jsonl",
        "notes.txt",
    }


def test_without_a_folder_nothing_is_stored(sockets: Path, folder: Path) -> None:
    (folder / "model-1.sock").symlink_to(sockets / "model-1.sock")
    with nginx(folder) as front:
        assert post(front, JSON_ROW).status == 200
    stored = [
        file for file in folder.rglob("*") if file.is_file() and b"late parcel" in file.read_bytes()
    ]
    assert stored == []


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"REQUEST_LOG_DAYS": "0"}, "REQUEST_LOG_DAYS must be a number of days"),
        ({"REQUEST_LOG_DAYS": "a week"}, "REQUEST_LOG_DAYS must be a number of days"),
        ({"REQUEST_LOG_HASH": "customer"}, "REQUEST_LOG_KEY is shorter"),
    ],
)  # fmt: skip
def test_a_setting_that_would_store_more_than_was_meant_ends_the_start(
    folder: Path, settings: dict[str, str], words: str
) -> None:
    (folder / "requests").mkdir()
    with pytest.raises(AssertionError, match=words), nginx(folder, **settings):
        pass
