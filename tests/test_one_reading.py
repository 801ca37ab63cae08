"""One reading: every command and the server agree on each cell of a messy table.

The table is there as CSV, as Parquet and as a folder of Parquet files. What one of them refuses all
refuse, and what they accept means the same to all.
"""

import json
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest

from tabular.drift.checks import DriftRule
from tabular.errors import BadInput
from tabular.jobs.evaluate import Evaluation, evaluate
from tabular.jobs.monitor import monitor
from tabular.jobs.score import score
from tabular.models.load import load_model
from tabular.table.addresses import load_built_in
from tabular.table.dataset import load_dataset
from tabular.table.files import read_table
from tests.conftest import Server
from tests.custom_model.conftest import log
from tests.tables import mixed_table

FORMS = ("csv", "parquet", "folder")
MESS: dict[str, list[Any]] = {
    "amount": ["12.5", " 7 ", "1e3", "", None, "NaN", "inf", "many", "1e300", True, "0x10"],
    "visits": [3, 4.0, "5", "five", None],
    "income": ["2.5", "", None, "n/a", "?", "-", "two"],
    "plan": ["plus", " plus ", "PLUS", "seen by nobody", "", None, "NULL", "None", 1],
    "region": [205, 205.0, "205", "0205", "none", "", None, 1e20],
    "city": ["Ulm", "Köln ", "", None, "NA"],
    "active": ["true", "FALSE", "1", "0", "yes", "", None, "2", True],
    "flag": ["true", "", None, "no", 1.0],
    "joined": ["2024-05-01", "2024-05-01T08:00:00Z", "2024-02-30", "01.05.2024", "", None, "1"],
    "seen": ["2024-05-01T08:30:00", "2024-05-01", "", None, "yesterday"],
    "note": ["late again", "", None, "NA", "42"],
}
CASES = [(name, cell) for name, cells in MESS.items() for cell in cells]


def messy_table() -> pd.DataFrame:
    """Good rows, of which each but the first twenty has one odd cell."""
    table = mixed_table(20 + len(CASES), seed=11).astype(object)
    for column in ("joined", "seen"):
        table[column] = [None if pd.isna(cell) else cell.isoformat() for cell in table[column]]
    for row, (name, cell) in enumerate(CASES, start=20):
        table.loc[row, name] = cell
    return table


def write_forms(table: pd.DataFrame, folder: Path) -> dict[str, str]:
    """Writes a table as CSV, as Parquet and as a folder; returns their paths.

    A column of Parquet has one type: there numbers are doubles, the others texts, and an odd cell
    that is no number is missing.
    """
    paths = {"csv": "messy.csv", "parquet": "messy.parquet", "folder": "messy"}
    table.to_csv(folder / paths["csv"], index=False)
    texts = table[[*MESS]].map(lambda cell: None if pd.isna(cell) else str(cell))
    typed = table.assign(**{name: texts[name].astype("str") for name in MESS})
    for name in ("amount", "visits", "income", "region"):
        typed[name] = pd.to_numeric(texts[name], errors="coerce")
    typed.to_parquet(folder / paths["parquet"], index=False)
    (folder / paths["folder"]).mkdir()
    half = len(typed) // 2
    for part, rows in enumerate((typed[:half], typed[half:])):
        rows.to_parquet(folder / paths["folder"] / f"{part}.parquet", index=False)
    return {form: str(folder / path) for form, path in paths.items()}


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return write_forms(messy_table(), tmp_path_factory.mktemp("messy"))


def scored(data: str, model: str = "models:/mixed/1") -> tuple[dict[int, str], pd.DataFrame]:
    """Reasons of the refused rows by their place from 1, and the other rows with predictions."""
    outcome = score(
        model=model, data=data, output="out.parquet", engine="local", say=lambda _: None
    )
    rows = pd.read_parquet(outcome.output)
    if outcome.side is None:
        return {}, rows
    side = pd.read_parquet(outcome.side)
    return dict(zip(side["rejected_row"], side["rejected_reason"], strict=True)), rows


def evaluated(data: str, model: str, target: str) -> Evaluation:
    return evaluate(
        model=model, data=data, target=target, against="", rows="all",
        confidence=0.95, resamples=100, seed=0, say=lambda _: None,
    )  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_every_command_refuses_the_same_rows_and_reads_the_same_values(
    folder: Path, tables: dict[str, str], form: str
) -> None:
    data = tables[form]
    reasons, rows = scored(data)
    model = load_model("models:/mixed/1", str(folder))
    raw = read_table(data)
    cells = model.read(raw.frame, raw.as_text)
    asked = model.ask(cells)
    assert {row + 1: reason for row, reason in asked.reasons.items()} == reasons
    assert 15 < len(reasons) < len(CASES)

    figures = evaluated(data, "models:/mixed/1", "label")
    assert figures.assessment.rows == len(rows)
    accuracy = (rows["prediction"] == rows["label"]).mean()
    assert figures.assessment.metrics["accuracy"].value == pytest.approx(accuracy)
    first = min(reasons)
    assert f"the first: row {first}, {reasons[first]}." in figures.cautions[0]

    said: list[str] = []
    watch = monitor(
        model="models:/mixed/1", data=data, ignore=[], rule=DriftRule(), say=said.append
    )
    assert mlflow.get_run(watch.run_id).data.metrics["rows_refused"] == len(reasons)
    assert f"the first: row {first}, {reasons[first]}." in said[0]

    # as promote asks: typed rows of a holdout
    typed = cells.typed[~cells.refused].reset_index(drop=True)
    again = model.read(typed, False)
    assert not again.refused.any()
    pd.testing.assert_frame_equal(again.typed, typed)
    for proba in (asked.proba, model.ask(again).proba):
        assert proba is not None
        assert np.abs(proba["yes"] - rows["probability_yes"]).max() < 1e-12


def test_the_forms_of_a_table_mean_the_same(tables: dict[str, str], folder: Path) -> None:
    model = load_model("models:/mixed/1", str(folder))
    read = {}
    for form, data in tables.items():
        raw = read_table(data)
        read[form] = model.read(raw.frame, raw.as_text)
    pd.testing.assert_frame_equal(read["parquet"].typed, read["folder"].typed)
    both = ~read["csv"].refused & ~read["parquet"].refused
    assert both.sum() > 40
    pd.testing.assert_frame_equal(read["parquet"].typed[both], read["csv"].typed[both])


def test_the_server_refuses_the_same_rows_of_parquet(
    mixed_server: Server, folder: Path, tables: dict[str, str]
) -> None:
    reasons, rows = scored(tables["parquet"])
    frame = pd.read_parquet(tables["parquet"], dtype_backend="numpy_nullable")
    expected = iter(rows["probability_yes"])
    for row in range(len(frame)):
        one = frame.iloc[row : row + 1].reset_index(drop=True)
        answer = mixed_server.post(
            data=one.to_parquet(), headers={"Content-Type": "application/vnd.apache.parquet"}
        )
        assert (answer.status_code == 400) == (row + 1 in reasons), (row, answer.text)
        if answer.status_code == 400:
            reason = json.loads(answer.text)["message"]
            assert reason.startswith("row 1, ")
            assert reason.removeprefix("row 1, ").split(" (and")[0] == reasons[row + 1]
        else:
            [found] = answer.json()["predictions"]
            assert found["probability_yes"] == pytest.approx(next(expected), abs=1e-9)


def test_numbers_that_stand_as_text_in_parquet_are_refused_by_every_command(
    folder: Path,
) -> None:
    frame, target = load_built_in("iris")
    name = frame.columns[2]
    frame.assign(**{name: frame[name].astype("str")}).to_parquet("iris.parquet", index=False)
    reasons, rows = scored("iris.parquet", "models:/iris/1")
    assert (len(reasons), len(rows)) == (150, 0)
    with pytest.raises(BadInput) as refused:
        evaluated("iris.parquet", "models:/iris/1", target)
    assert f"150 of 150 rows cannot be scored; the first: row 1, {reasons[1]}" in (
        str(refused.value)
    )
    watch = monitor(
        model="models:/iris/1", data="iris.parquet", ignore=[], rule=DriftRule(), say=lambda _: None
    )
    assert watch.drift.verdict == "drift"
    assert mlflow.get_run(watch.run_id).data.metrics["rows_refused"] == 150


@pytest.mark.parametrize("form", FORMS)
def test_a_version_reads_its_own_training_table_as_its_training_did(
    folder: Path, form: str
) -> None:
    largest = {"amount": {"1e300": "1e30"}}  # training refuses what is larger
    data = write_forms(messy_table().replace(largest), folder)[form]
    dataset = load_dataset(data, "label")
    uri = log(dataset, "logistic_regression").info.model_uri
    model, raw = load_model(uri, str(folder)), read_table(data)
    cells = model.read(raw.frame, raw.as_text)
    assert cells.reasons() == {}
    pd.testing.assert_frame_equal(cells.typed, dataset.typed)
    reasons, rows = scored(data, uri)
    assert (reasons, len(rows)) == ({}, len(dataset.codes))
