"""What a table is found by: paths and URIs, in one way for every command."""

import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import mlflow
import pandas as pd
import pytest

from steps import evaluate, monitor, score, train
from tabular.errors import BadInput
from tabular.store.artifacts import download
from tabular.table.addresses import local_path, safe_name, without_password
from tabular.table.files import read_table
from tests.conftest import Store

TEXT = "a,y\n1,u\n2,v\n"


class Pages(BaseHTTPRequestHandler):
    """Answers as download pages do."""

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        self.send_response(404 if path == "/absent.csv" else 200)
        if path == "/export":
            self.send_header("Content-Disposition", 'attachment; filename="sales 5.csv"')
        if path == "/typed":
            self.send_header("Content-Type", "text/csv; charset=utf-8")
        self.end_headers()
        self.wfile.write(TEXT.encode())

    def log_message(self, *_: object) -> None:
        """Keeps quiet."""


@pytest.fixture(scope="module")
def web() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Pages) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize("page", ["/t.csv", "/my%20t.csv?token=1", "/export?as=csv", "/typed"])
def test_a_table_is_fetched_from_the_web(web: str, page: str) -> None:
    assert read_table(web + page).frame.to_dict("list") == {"a": ["1", "2"], "y": ["u", "v"]}


def test_what_is_not_on_the_web_is_told(web: str) -> None:
    with pytest.raises(BadInput, match="cannot be fetched: 404 Client Error"):
        read_table(f"{web}/absent.csv")


@pytest.mark.parametrize(
    "address",
    [
        "{0}/a b.csv",
        "a b.csv",
        "~/a b.csv",
        "file:a%20b.csv",
        "file://a%20b.csv",
        "file:{0}/a%20b.csv",
        "file://{0}/a%20b.csv",
        "file://localhost{0}/a%20b.csv",
        "FILE://{0}/a b.csv",
    ],
)
def test_a_file_is_found_by_its_path_and_its_uri(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "a b.csv").write_text(TEXT)
    table = read_table(address.format(tmp_path))
    assert (len(table.frame), table.name) == (2, "a_b")


def test_a_percent_sign_in_a_name_is_taken_as_it_stands_where_there_is_such_a_file(
    tmp_path: Path,
) -> None:
    (tmp_path / "100%25.csv").write_text(TEXT)
    assert local_path(f"file:{tmp_path}/100%25.csv") == tmp_path / "100%25.csv"
    assert local_path(f"file:{tmp_path}/50%25.csv") == tmp_path / "50%.csv"
    assert local_path("s3://bucket/t.csv") is None


@pytest.mark.parametrize("address", ["x" * 5000, "file:" + "x" * 5000, "a/b/c.csv", "C:\\t.csv"])
def test_what_is_not_there_is_told_in_one_line(address: str) -> None:
    with pytest.raises(BadInput, match="not found: no such file or folder in") as caught:
        read_table(address)
    assert len(str(caught.value)) < 600


def test_artifacts_of_the_tracking_server_are_tables_for_every_command(store: Store) -> None:
    frame = pd.DataFrame({"x": [i * 7 % 12 for i in range(60)], "y": ["u", "v", "v"] * 20})
    with mlflow.start_run() as run:
        frame.to_csv("t.csv", index=False)
        mlflow.log_artifact("t.csv", "tables")
    data = f"runs:/{run.info.run_id}/tables/t.csv"
    Path("t.csv").unlink()
    train.main(["--data", data, "--target", "y"])
    asked = ["--model", "models:/t/1", "--data", data]
    score.main([*asked, "--output", "out.csv"])
    evaluate.main(asked)
    with pytest.raises(SystemExit, match="4"):  # too few rows to tell
        monitor.main(asked)
    assert len(pd.read_csv("out.csv")) == 60
    root = mlflow.get_run(run.info.run_id).info.artifact_uri
    assert len(read_table(f"{root}/tables/t.csv", download).frame) == 60
    with pytest.raises(BadInput, match="cannot be fetched"):
        read_table(f"runs:/{run.info.run_id}/absent.csv", download)


def test_other_filesystems_are_those_of_fsspec_whose_absence_names_the_command(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "fsspec", None)
        with pytest.raises(BadInput, match="needs a further package: pip install fsspec"):
            read_table("memory://folder/t.csv")
    fsspec = pytest.importorskip("fsspec")
    for part in (1, 2):
        with fsspec.open(f"memory://parts/m={part}/t.csv", "w") as file:
            file.write(TEXT)
    assert len(read_table("memory://parts/m=1/t.csv").frame) == 2
    assert read_table("memory://parts").frame["m"].tolist() == ["1", "1", "2", "2"]


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("https://host/my%20t.csv.gz?token=a/b#c", "my_t"),
        ("s3://bucket/parts/", "parts"),
        ("postgresql://u:p@host/shop?query=select 1", "shop"),
        ("sqlite:///data/shop.db?query=q.sql", "shop.db"),
        ("t.xlsx", "t"),
        ("t.jsonl.zst", "t"),
    ],
)
def test_an_address_gives_a_name(address: str, name: str) -> None:
    assert safe_name(address) == name


def test_a_password_is_not_shown() -> None:
    assert without_password("postgresql://me:se@cret@host/db") == "postgresql://me:***@host/db"
    assert without_password("s3://bucket/a:b@c.csv") == "s3://bucket/a:b@c.csv"
