"""Tables in, tables with predictions out: whole or not at all."""

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

from custom_model.packaging import log_bundle
from tabular.errors import BadInput
from tabular.families.pipeline import make_model
from tabular.jobs import score as scoring
from tabular.jobs.score import Scoring
from tabular.table import chunks, delimited
from tabular.table import writing as writers
from tabular.table.dataset import make_dataset
from tests.custom_model.conftest import log
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
    uri = log(dataset, "logistic_regression").info.model_uri
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
