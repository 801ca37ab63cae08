"""Tables in, tables with predictions out: whole or not at all."""

import fcntl
import gzip
import os
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from mlflow import MlflowClient
from mlflow.models import ModelSignature, infer_signature
from mlflow.types import ColSpec, DataType, Schema
from sklearn.linear_model import LogisticRegression

from custom_model.packaging import log_bundle
from tabular.errors import BadInput
from tabular.families.pipeline import make_model
from tabular.jobs import score as scoring
from tabular.jobs.score import Scoring
from tabular.table import chunks, delimited
from tabular.table import writing as writers
from tabular.table.aside import aside
from tabular.table.dataset import make_dataset
from tests.conftest import Store
from tests.tables import mixed_table

IRIS = ["prediction", "probability_setosa", "probability_versicolor", "probability_virginica"]


def score(data: Any, output: Any = "", model: str = "models:/mixed/1") -> Scoring:
    return scoring.score(
        model=model, data=str(data), output=str(output), engine="local", say=lambda _: None
    )


def asked(model: str, frame: pd.DataFrame) -> pd.DataFrame:
    answer: pd.DataFrame = mlflow.pyfunc.load_model(model).predict(frame)
    return answer.astype({"prediction": "object"})


def read(path: Path) -> pd.DataFrame:
    if path.suffix == ".parquet" or path.is_dir():
        return pd.read_parquet(path)
    return pd.read_csv(path, sep=None, engine="python", keep_default_na=False, dtype=str)


@pytest.mark.parametrize("ending", [".csv", ".csv.gz", ".tsv", ".parquet"])
def test_every_format_has_the_answers_of_the_model_in_the_tables_order(
    folder: Path, ending: str
) -> None:
    frame = mixed_table(300, seed=5)
    data = folder / f"new{ending}"
    if ending == ".parquet":
        frame.to_parquet(data)
    else:
        frame.to_csv(data, index=False, sep="\t" if ending == ".tsv" else ",")
    outcome = score(data, folder / f"out{ending}")
    assert (outcome.scored, outcome.rejected, outcome.side) == (300, 0, None)
    found = read(outcome.output)
    expected = asked("models:/mixed/1", frame)
    assert list(found) == [*frame, *expected]
    assert list(found["customer"]) == list(frame["customer"])
    assert list(found["prediction"]) == list(expected["prediction"])
    for name in list(expected)[1:]:
        assert np.abs(found[name].astype(float) - expected[name]).max() < 1e-12
    assert sorted(p.name for p in folder.iterdir()) == [f"new{ending}", f"out{ending}"]


@pytest.mark.parametrize("ending", [".csv", ".parquet"])
def test_sets_and_reasons_are_those_that_the_model_answers_with(folder: Path, ending: str) -> None:
    frame = mixed_table(60, seed=5)
    frame.to_csv("new.csv", index=False) if ending == ".csv" else frame.to_parquet("new.parquet")
    params = {"coverage": 0.9, "reasons": 2, "reasons_for": "yes"}
    outcome = scoring.score(
        model="models:/mixed/1", data=f"new{ending}", output=f"out{ending}", engine="local",
        coverage=0.9, reasons=2, reasons_for="yes", say=print,
    )  # fmt: skip
    found = read(outcome.output)
    expected = mlflow.pyfunc.load_model("models:/mixed/1").predict(frame, params=params)
    assert list(found) == [*frame, *expected]
    added = ["in_set_no", "in_set_yes", "reason_1", "reason_1_effect"]
    assert list(expected)[3:7] == added
    assert list(found["reason_1"]) == list(expected["reason_1"])
    assert [str(one).lower() for one in found["in_set_yes"]] == [
        str(one).lower() for one in expected["in_set_yes"]
    ]
    difference = found["reason_2_effect"].astype(float) - expected["reason_2_effect"]
    assert np.abs(difference).max() < 1e-9


@pytest.mark.parametrize(
    ("asked_for", "words"),
    [
        ({"coverage": 1.0}, "coverage must be above 0 and below 1"),
        ({"reasons": 12}, "reasons must be a whole number from 0 to 11"),
        ({"reasons": 1, "reasons_for": "maybe"}, "'no', 'yes', found 'maybe'"),
    ],
)
def test_what_cannot_be_asked_for_writes_nothing(
    folder: Path, asked_for: dict[str, Any], words: str
) -> None:
    mixed_table(5).to_csv("new.csv", index=False)
    with pytest.raises(BadInput, match=words):
        scoring.score(
            model="models:/mixed/1", data="new.csv", output="out.csv", engine="local",
            say=print, **asked_for,
        )  # fmt: skip
    assert [file.name for file in folder.iterdir()] == ["new.csv"]


def test_parquet_keeps_its_columns_and_types_and_says_which_model(folder: Path) -> None:
    frame = mixed_table(50).astype({"plan": "category"})
    table = pa.Table.from_pandas(frame)
    fields = [f.with_nullable(False) if f.name == "amount" else f for f in table.schema]
    pq.write_table(table.cast(pa.schema(fields)), folder / "new.parquet")
    before = pq.read_schema(folder / "new.parquet")
    score("new.parquet", "out.parquet", model="models:/mixed/Production")
    after = pq.read_schema(folder / "out.parquet")
    assert list(after)[: len(before)] == list(before)
    assert [f.type for f in list(after)[len(before) :]] == [pa.string(), pa.float64(), pa.float64()]
    assert after.metadata[b"model_uri"] == b"models:/mixed/1"
    left, right = (pd.read_parquet(f"{name}.parquet") for name in ("out", "new"))
    pd.testing.assert_frame_equal(left[list(frame)], right)


def test_a_csvs_cells_stay_as_they_are_written(folder: Path) -> None:
    lines = ["﻿amount;note;plan;visits;region;active;joined;id", ""]
    row = '5.10;"say ""hi""; bye";plus;03;205;true;2024-05-01;007'
    (folder / "new.csv").write_text("\r\n".join([*lines, row, row]), encoding="utf-8")
    score("new.csv", "out.csv")
    written = (folder / "out.csv").read_text().splitlines()
    assert written[0].startswith("amount;note;plan;visits;region;active;joined;id;prediction;")
    assert [line[: len(row)] for line in written[1:]] == [row, row]


def test_a_csv_is_scored_the_same_in_chunks_and_in_one_piece(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frame = mixed_table(400, seed=3).sort_values("amount").assign(amount=lambda f: f.amount.round())
    frame.loc[frame.index[:200], "income"] = None
    frame.to_csv("new.csv", index=False)
    whole = read(score("new.csv", "whole.csv").output)
    assert len(whole) == 400
    monkeypatch.setattr(delimited, "BLOCK", 2000)
    parts = read(score("new.csv", "parts.csv").output)
    shares = ["probability_no", "probability_yes"]
    pd.testing.assert_frame_equal(whole.drop(columns=shares), parts.drop(columns=shares))
    for name in shares:
        assert np.abs(whole[name].astype(float) - parts[name].astype(float)).max() < 1e-12


def test_a_folder_of_parquet_is_scored_in_the_order_of_its_files(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writers, "ROWS_PER_FILE", 40)
    monkeypatch.setattr(chunks, "MOST_CELLS", 1)
    frame = mixed_table(120)
    (folder / "parts").mkdir()
    for part in range(3):
        frame[40 * part : 40 * part + 40].to_parquet(f"parts/{part}.parquet", index=False)
    outcome = score("parts")
    assert outcome.output == folder / "parts_scored"
    assert len(list(outcome.output.iterdir())) == 3
    assert list(read(outcome.output)["customer"]) == list(frame["customer"])
    score("parts")  # over the older one
    assert len(read(outcome.output)) == 120


@pytest.mark.parametrize("ending", [".csv", ".parquet"])
def test_rows_that_cannot_be_scored_go_to_a_side_file_with_the_reason(
    folder: Path, ending: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chunks, "MOST_ROWS", 16)
    monkeypatch.setattr(delimited, "BLOCK", 2000)
    frame = mixed_table(100, seed=4).astype({"amount": object, "joined": object})
    frame.loc[3, "joined"] = "13/02/2024"
    frame.loc[50, "plan"] = None
    frame.loc[99, "amount"] = 1e300
    if ending == ".csv":
        text = frame.to_csv(index=False).splitlines()
        text[11] += ",one,two"
        text[31] = "C1"
        (folder / "new.csv").write_text("\n".join(text))
    else:
        frame["joined"] = frame["joined"].astype(str)
        frame.astype({"amount": float}).to_parquet("new.parquet")
    broken = [11, 31] if ending == ".csv" else []
    outcome = score(f"new{ending}", f"out{ending}")
    assert outcome.side == folder / f"out.rejected{ending}"
    side = read(outcome.side).astype({"rejected_row": int})
    assert list(side["rejected_row"]) == sorted([4, 51, 100, *broken])
    reasons = dict(zip(side["rejected_row"], side["rejected_reason"], strict=True))
    assert reasons[4].endswith("2024-01-31T08:00:00Z, found the text '13/02/2024'")
    assert reasons[51].startswith("column 'plan': no value found")
    assert reasons[100].startswith("column 'amount': expected a finite number, found ")
    if broken:
        assert reasons[11] == "line 12 has 16 cells, the heading 14"
        assert reasons[31] == "line 32 has 1 cell, the heading 14"
    customers = [c for i, c in enumerate(frame["customer"], 1) if i not in reasons]
    assert list(read(outcome.output)["customer"]) == customers
    run = MlflowClient().get_run(mlflow.last_active_run().info.run_id)
    assert run.data.metrics["rows_rejected"] == len(reasons)
    assert run.data.metrics["rows_scored"] == 100 - len(reasons) == outcome.scored
    frame[60:70].to_csv("good.csv", index=False)
    score("good.csv", f"out{ending}")
    assert not outcome.side.exists()


def test_beside_a_feature_called_prediction_the_models_own_is_numbered(folder: Path) -> None:
    table = mixed_table().rename(columns={"amount": "prediction"})[["prediction", "plan", "label"]]
    dataset = make_dataset(table, "label", name="t", source="t.csv")
    model = make_model(dataset.columns, "logistic_regression", {}, seed=0)
    model.fit(dataset.expanded, dataset.codes)
    with mlflow.start_run():
        uri = log_bundle(
            model,
            dataset.columns,
            dataset.labels,
            dataset.table_columns,
            "label",
            dataset.typed[:3],
            proof=dataset.typed,
            about={},
        ).info.model_uri
    table.to_csv("t.csv", index=False)
    lines: list[str] = []
    scoring.score(model=uri, data="t.csv", output="scored.csv", engine="local", say=lines.append)
    added = ["prediction_2", "probability_no", "probability_yes"]
    assert [*read(Path("scored.csv"))] == [*table, *added]
    assert "'prediction_2'" in lines[1]


def test_a_run_says_what_was_scored_with_what(folder: Path) -> None:
    score("iris", model="models:/iris@champion")
    run = mlflow.last_active_run()
    assert run.info.status == "FINISHED"
    assert run.data.tags["model_uri"] == "models:/iris/1"
    assert run.data.params == {
        "model": "models:/iris@champion", "data": "iris", "output": "", "engine": "local",
        "coverage": "0.0", "reasons": "0", "reasons_for": "",
    }  # fmt: skip
    assert run.data.metrics["rows_scored"] == 150
    [used] = run.inputs.dataset_inputs
    assert (used.dataset.name, len(used.dataset.digest)) == ("iris", 16)
    assert list(read(folder / "iris_scored.parquet"))[5:] == IRIS


def test_a_table_without_rows_gives_one_without_rows(folder: Path) -> None:
    mixed_table(5)[:0].to_csv("new.csv", index=False)
    assert score("new.csv").scored == 0
    assert list(read(folder / "new_scored.csv"))[-1] == "probability_yes"


def test_the_label_follows_the_threshold_that_the_version_was_logged_with(folder: Path) -> None:
    frame = mixed_table(200, seed=1)
    dataset = make_dataset(frame, "label", name="mixed", source="mixed")
    classifier = make_model(dataset.columns, "logistic_regression", {}, seed=0)
    classifier.fit(dataset.expanded, dataset.codes)
    with mlflow.start_run():
        packed = log_bundle(
            classifier,
            dataset.columns,
            dataset.labels,
            dataset.table_columns,
            dataset.target,
            dataset.typed[:2],
            threshold=0.3,
            proof=dataset.typed[:20],
            about={},
        )
    frame.to_parquet("new.parquet")
    found = read(score("new.parquet", "out.parquet", packed.info.model_uri).output)
    expected = asked(packed.info.model_uri, frame)
    assert list(found["prediction"]) == list(expected["prediction"])
    yes = found["probability_yes"]
    assert list(found["prediction"] == "yes") == list(yes > 0.3)
    assert ((yes > 0.3) & (yes < 0.5)).any()


# --- models of other makers ---------------------------------------------------------------------


@pytest.fixture(scope="session")
def foreign(served: Store) -> str:
    """URI of a classifier that MLflow's own scikit-learn flavour has logged."""
    mlflow.set_tracking_uri(served.uri)
    frame = mixed_table(200)
    model = LogisticRegression().fit(frame[["amount", "visits"]].astype(float), frame["label"])
    signature = infer_signature(frame[["amount", "visits"]].astype(float), np.array(["yes"]))
    with mlflow.start_run(experiment_id=mlflow.get_experiment_by_name("tests").experiment_id):
        info = mlflow.sklearn.log_model(
            model, name="model", signature=signature, pip_requirements=[], skops_trusted_types=[]
        )
    return str(info.model_uri)


def test_a_model_of_another_maker_gets_its_columns_in_its_types(folder: Path, foreign: str) -> None:
    frame = mixed_table(60)
    frame.loc[7, "amount"] = None
    frame.to_parquet("new.parquet")
    frame.to_csv("new.csv", index=False)
    for ending in ("csv", "parquet"):
        outcome = score(f"new.{ending}", f"out.{ending}", foreign)
        assert (outcome.scored, outcome.rejected) == (59, 1)
        found = read(outcome.output)
        assert list(found)[-3:] == ["prediction", "probability_no", "probability_yes"]
        raw = mlflow.sklearn.load_model(foreign)
        kept = frame.drop(index=7)[["amount", "visits"]].astype(float)
        assert list(found["prediction"]) == list(raw.predict(kept))
        shares = found["probability_yes"].astype(float)
        assert np.allclose(shares, raw.predict_proba(kept)[:, 1], rtol=0, atol=1e-12)
        assert "NaN" in read(outcome.side)["rejected_reason"][0]


def test_a_csv_for_a_model_that_names_no_inputs_is_refused_with_the_way_out(folder: Path) -> None:
    frame = mixed_table(60)
    model = LogisticRegression().fit(frame[["amount", "visits"]].astype(float), frame["label"])
    signature = ModelSignature(outputs=Schema([ColSpec(DataType.string, "prediction")]))
    with mlflow.start_run():
        info = mlflow.sklearn.log_model(
            model, name="model", signature=signature, pip_requirements=[], skops_trusted_types=[]
        )
    new = frame[["amount", "visits"]].astype(float)
    new.to_csv("new.csv", index=False)
    new.to_parquet("new.parquet", index=False)
    said = mistake(folder, "new.csv", "out.csv", info.model_uri)
    assert "names no input columns" in said
    assert said.endswith("; give the table as Parquet")
    found = read(score("new.parquet", "out.parquet", info.model_uri).output)
    assert list(found["prediction"]) == list(model.predict(new))


CODED = """
import mlflow
import pandas as pd


class Coded(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input: pd.DataFrame, params=None):
        amounts = model_input["amount"]
        return {answer}


mlflow.models.set_model(Coded())
"""


def coded(folder: Path, answer: str) -> str:
    """URI of a model that is no more than a line of Python."""
    code = folder / "coded.py"
    code.write_text(CODED.replace("{answer}", answer))
    with mlflow.start_run():
        info = mlflow.pyfunc.log_model(name="model", python_model=str(code), pip_requirements=[])
    return str(info.model_uri)


@pytest.mark.filterwarnings("ignore:.*type hint:UserWarning")
def test_a_model_that_is_code_and_gives_labels_only_is_asked_too(folder: Path) -> None:
    frame = mixed_table(60)
    frame.to_parquet("new.parquet")
    outcome = score("new.parquet", "out.parquet", coded(folder, "(amounts > 50).map(str).tolist()"))
    assert list(read(outcome.output)["prediction"]) == list((frame["amount"] > 50).map(str))


@pytest.mark.filterwarnings("ignore:.*type hint:UserWarning")
@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ("amounts.tolist()[1:]", "59 answers to 60 rows"),
        ("pd.Series([1, 'no'] * 30)", "not of one type"),
        ("1 / 0", "refuses every one of the first rows: division by zero"),
    ],
)
def test_a_model_whose_answers_are_no_answers_ends_in_one_sentence(
    folder: Path, answer: str, words: str
) -> None:
    mixed_table(60).to_parquet("new.parquet")
    model = coded(folder, answer)
    assert words in mistake(folder, "new.parquet", "out.parquet", model)


@pytest.mark.filterwarnings("ignore:.*type hint:UserWarning")
def test_a_model_that_refuses_later_rows_without_end_ends_in_one_sentence(folder: Path) -> None:
    frame = pd.DataFrame({"amount": np.r_[np.ones(100), np.zeros(2000)]})
    frame.to_parquet("new.parquet")
    model = coded(folder, "amounts.map(lambda amount: 1 // int(amount))")
    with pytest.raises(BadInput, match="refuses too many rows"):
        score("new.parquet", "out.parquet", model)
    assert not (folder / "out.parquet").exists()
    assert mlflow.last_active_run().info.status == "FAILED"


# --- whole or not at all ------------------------------------------------------------------------


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


# --- mistakes -----------------------------------------------------------------------------------


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
