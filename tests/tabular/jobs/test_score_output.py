"""An output is whole or not there, and what cannot be used is refused before any work."""

import fcntl
import gzip
import os
from pathlib import Path
from typing import Any

import mlflow
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from tabular.errors import BadInput
from tabular.jobs import score as scoring
from tabular.table.aside import aside
from tests.tables import mixed_table
from tests.tabular.jobs.test_score import read, score


def test_an_output_is_replaced_by_a_whole_one_only(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mixed_table(50).to_parquet("new.parquet")
    (folder / "out.parquet").write_text("the older one")

    def fail(*_: Any, **__: Any) -> None:
        assert len(list(folder.glob(".out.parquet.*.partial"))) == 1
        raise OSError("no space left")

    monkeypatch.setattr(scoring, "score_batch", fail)
    with pytest.raises(OSError, match="no space"):
        score("new.parquet", "out.parquet")
    assert (folder / "out.parquet").read_text() == "the older one"
    assert sorted(p.name for p in folder.iterdir()) == ["new.parquet", "out.parquet"]
    assert mlflow.last_active_run().info.status == "FAILED"


def test_what_a_killed_call_left_is_removed_and_what_a_living_one_writes_is_not(
    tmp_path: Path,
) -> None:
    target = tmp_path / "out[1].parquet"
    left = tmp_path / ".out[1].parquet.left.partial"
    left.mkdir()
    (left / "half").write_text("")
    with aside(target) as living:
        assert not left.exists()
        with aside(target) as other:
            assert living.exists() and other != living
        assert living.exists() and not other.exists()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_was_being_replaced_when_its_call_was_killed_is_put_back(
    tmp_path: Path,
) -> None:
    for name in ("out", "out.rejected"):
        (tmp_path / ".out.left.partial" / f"previous.{name}").mkdir(parents=True)
    with aside(tmp_path / "out"):
        assert (tmp_path / "out").is_dir()
        assert (tmp_path / "out.rejected").is_dir()


def test_a_folder_and_its_rejected_rows_are_both_replaced(folder: Path) -> None:
    frame = mixed_table(30)
    frame.loc[0, "amount"] = None
    frame.to_parquet("new.parquet")
    for _ in range(2):
        outcome = score("new.parquet", "out")
        assert (len(read(outcome.output)), len(read(folder / "out.rejected"))) == (29, 1)
    assert sorted(p.name for p in folder.iterdir()) == ["new.parquet", "out", "out.rejected"]


def test_a_lock_is_lost_with_its_process(tmp_path: Path) -> None:
    if os.fork() == 0:
        lock = os.open(tmp_path, os.O_RDONLY)
        fcntl.flock(lock, fcntl.LOCK_EX)
        os._exit(0)
    os.wait()
    fcntl.flock(os.open(tmp_path, os.O_RDONLY), fcntl.LOCK_EX | fcntl.LOCK_NB)


def mistake(folder: Path, data: str, output: str, model: str = "models:/mixed/1") -> str:
    before = sorted(folder.iterdir())
    runs = len(mlflow.search_runs(output_format="list"))
    with pytest.raises(BadInput) as said:
        score(data, output, model)
    assert sorted(folder.iterdir()) == before
    assert len(mlflow.search_runs(output_format="list")) == runs
    return str(said.value)


def test_what_cannot_be_used_is_refused_in_one_sentence_and_leaves_nothing(folder: Path) -> None:
    frame = mixed_table(30)
    frame.to_csv("new.csv", index=False)
    frame.assign(prediction="yes").to_csv("again.csv", index=False)
    frame.drop(columns="amount").to_csv("less.csv", index=False)
    frame.assign(rejected_row=1).to_csv("marked.csv", index=False)
    (folder / "empty.csv").write_text("")
    (folder / "twice.csv").write_text("a,a\n1,2\n")
    (folder / "garbage.parquet").write_text("no Parquet")
    (folder / "packed.csv.gz").write_bytes(gzip.compress(b"a,b\n1,2\n"))
    (folder / "home").mkdir()
    (folder / "home" / "letter.txt").write_text("dear")
    (folder / "parts").mkdir()
    frame.to_parquet("parts/0.parquet")
    (folder / "own.rejected").mkdir()
    (folder / "own.rejected" / "letter.txt").write_text("dear")
    (folder / "broken.csv.gz").write_bytes(gzip.compress(b"a,b\n" + os.urandom(99))[:-40])
    (folder / "plain.csv.gz").write_text("a,b\n1,2\n")
    expected = {
        ("new.csv", "own"): "holds more than a table ('letter.txt')",
        ("new.csv", "o" * 240 + ".csv"): "is too long",
        ("broken.csv.gz", "out.csv"): "broken.csv.gz cannot be read",
        ("plain.csv.gz", "out.csv"): "plain.csv.gz cannot be read",
        ("new.csv", "new.csv"): "would replace the data",
        ("new.csv", str(folder)): "holds more than a table",
        ("new.csv", "home"): "holds more than a table ('letter.txt')",
        ("new.csv", "out.xlsx"): "unknown ending; possible: .csv",
        ("new.csv", "absent/out.csv"): "there is no folder",
        ("new.csv", "s3://bucket/out.csv"): "is not on this machine",
        ("parts", "parts/out.parquet"): "lie in one another",
        ("absent.csv", "out.csv"): "'absent.csv' not found",
        ("new.xlsx", "out.csv"): "not found",
        ("empty.csv", "out.csv"): "it is empty",
        ("twice.csv", "out.csv"): "'a' is in",
        ("garbage.parquet", "out.csv"): "cannot be read",
        (
            "packed.csv.gz",
            "out.csv",
        ): "column 'amount' is missing in packed.csv.gz, and models:/mixed/1 needs it",
        ("again.csv", "out.csv"): "a column 'prediction' already",
        ("less.csv", "out.csv"): "column 'amount' is missing",
        ("marked.csv", "out.csv"): "'rejected_row', the mark of rejected rows",
    }
    for (data, output), words in expected.items():
        assert words in mistake(folder, data, output), (data, output)
    for model in (
        "models:/mixd/1",
        "models:/mixed/7",
        "models:/mixed@best",
        "models:/mixed/Staging",
    ):
        assert model in mistake(folder, "new.csv", "out.csv", model)
    assert "cannot be fetched" in mistake(folder, "new.csv", "out.csv", "runs:/nothing/model")


def test_text_of_another_encoding_is_scored(folder: Path) -> None:
    text = mixed_table(9).assign(customer="Zoë").to_csv(index=False)
    for encoding in ("utf-16", "cp1252"):
        (folder / "new.csv").write_bytes(text.encode(encoding))
        assert score("new.csv", "out.csv").scored == 9
        assert set(read(folder / "out.csv")["customer"]) == {"Zoë"}


def test_a_csv_cannot_hold_a_list(folder: Path) -> None:
    table = pa.Table.from_pandas(mixed_table(9))
    pq.write_table(table.append_column("list", pa.array([[1]] * 9)), "new.parquet")
    with pytest.raises(BadInput, match=r"'list' holds list<.*write Parquet"):
        score("new.parquet", "out.csv")
