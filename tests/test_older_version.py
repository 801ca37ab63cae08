"""A version that was registered before its code became a package is used like any other.

`older_version.zip` holds the artifact of such a version of `mixed_table`, its held-out rows, and
what it predicted then.
"""

import json
import zipfile
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
import yaml
from mlflow import MlflowClient

from steps import train
from tabular.drift.checks import DriftRule
from tabular.gate.rules import Rule
from tabular.jobs.evaluate import evaluate
from tabular.jobs.monitor import monitor
from tabular.jobs.promote import promote, rollback
from tabular.jobs.score import score
from tabular.models.load import load_model
from tabular.store import production
from tabular.table.files import read_table
from tests.conftest import ROOT, Store
from tests.tables import MIXED_ROW, mixed_table
from tests.tabular.models.test_requests import line, write


@pytest.fixture
def expected(store: Store) -> dict[str, Any]:
    """What the version predicted; it is in production as version 1 of `mixed`."""
    folder = store.folder / "older"
    with zipfile.ZipFile(ROOT / "tests" / "older_version.zip") as archive:
        archive.extractall(folder)
    then: dict[str, Any] = json.loads((folder / "expected.json").read_text())
    with mlflow.start_run() as run:
        mlflow.log_artifacts(str(folder / "run"))
        mlflow.log_metrics(then["metrics"])
        about = yaml.safe_load((folder / "model" / "MLmodel").read_text())
        about["run_id"] = run.info.run_id
        (folder / "model" / "MLmodel").write_text(yaml.safe_dump(about))
        mlflow.log_artifacts(str(folder / "model"), "model")
    client = MlflowClient()
    client.create_registered_model("mixed")
    source = f"{run.info.artifact_uri}/model"
    client.create_model_version("mixed", source, run.info.run_id, tags=then["tags"])
    production.put_forward("mixed", 1, reason="the only one", by="tests")
    return then


def test_it_answers_digit_for_digit(expected: dict[str, Any], tmp_path: Path) -> None:
    model = load_model("models:/mixed/Production", str(tmp_path))
    raw = mixed_table(60, seed=5).astype({"amount": object})
    raw.loc[3, "amount"], raw.loc[4, "amount"] = "many", None
    predicted = model.ask(model.read(raw, False))
    assert {str(row): reason for row, reason in predicted.reasons.items()} == expected["reasons"]
    assert predicted.y_pred == expected["prediction"]
    assert predicted.proba is not None
    then = np.array(expected["probability_yes"])
    assert np.abs(predicted.proba["yes"].to_numpy() - then).max() < 1e-15


def test_it_is_scored_with_evaluated_and_monitored(expected: dict[str, Any]) -> None:
    given: dict[str, Any] = {"model": "models:/mixed/1", "data": "new.csv", "say": print}
    table = mixed_table(60, seed=5).astype({"amount": object})
    table.loc[3, "amount"], table.loc[4, "amount"] = "many", None
    table.to_csv("new.csv", index=False)
    outcome = score(**given, output="out.parquet", engine="local")
    rows = pd.read_parquet(outcome.output)
    assert rows["prediction"].tolist() == expected["prediction"]
    assert rows["probability_yes"].tolist() == expected["probability_yes"]
    figures = evaluate(
        **given, target="", against="", rows="unseen", confidence=0.9, resamples=100, seed=0
    )
    right = (rows["prediction"] == rows["label"]).mean()
    assert figures.assessment.metrics["accuracy"].value == pytest.approx(right)
    watch = monitor(**given, ignore=[], rule=DriftRule())
    assert mlflow.get_run(watch.run_id).data.metrics["rows_refused"] == 2


def test_it_reads_a_log_of_requests(expected: dict[str, Any], tmp_path: Path) -> None:
    row = {name: [cell] for name, cell in MIXED_ROW.items()}
    bodies = [json.dumps({"inputs": one}).encode() for one in (row, [MIXED_ROW])]
    data = write([line(number, body) for number, body in enumerate(bodies)])
    model = load_model("models:/mixed/1", str(tmp_path))
    frame = read_table(data, reader=model.requests).frame
    asked = [model.ask(model.read(one, False)) for one in (frame, pd.DataFrame([MIXED_ROW] * 2))]
    assert asked[0].table.to_numpy().tolist() == asked[1].table.to_numpy().tolist()


def test_it_is_compared_and_rolled_back_to(expected: dict[str, Any]) -> None:
    mixed_table().to_csv("mixed.csv", index=False)
    train.main(["--data", "mixed.csv", "--target", "label", "--C", "0.5"])
    said: list[str] = []
    outcome = promote(
        model_name="mixed", rule=Rule(), version=2, force=True, dry_run=True, say=said.append
    )
    assert (outcome.version, outcome.moved) == (2, True)
    production.put_forward("mixed", 2, reason=outcome.reason, by="tests")
    value = expected["metrics"]["holdout_f1_macro"]
    assert f"against {value:.4f} on 48 rows" in outcome.reason
    assert rollback(model_name="mixed", say=said.append).version == 1
