"""A later table against the profile inside the model in production."""

from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
import pytest
import yaml
from mlflow.pyfunc.model import PythonModel

from tabular.drift.checks import DriftRule
from tabular.errors import BadInput
from tabular.jobs.monitor import Watch, monitor
from tabular.models.load import load_model
from tests.conftest import Store
from tests.tables import mixed_table


def look(table: pd.DataFrame | str, folder: Path, **options: Any) -> Watch:
    data = table if isinstance(table, str) else str(folder / "later.csv")
    if isinstance(table, pd.DataFrame):
        table.to_csv(data, index=False)
    given: dict[str, Any] = {
        "model": "models:/mixed/1",
        "ignore": [],
        "rule": DriftRule(),
        "say": lambda _: None,
    }
    return monitor(data=data, **{**given, **options})


def drifted(watch: Watch) -> set[tuple[str, str]]:
    return {(check.column, check.about) for check in watch.drift.checks if check.drift}


def test_a_later_table_of_the_same_kind_is_fine(served: Store, tmp_path: Path) -> None:
    watch = look(mixed_table(400, seed=9), tmp_path)
    assert (watch.drift.verdict, drifted(watch)) == ("fine", set())
    run = mlflow.get_run(watch.run_id)
    assert run.info.status == "FINISHED"
    assert run.data.tags["verdict"] == "fine"
    assert run.data.metrics["drifted"] == 0
    assert run.data.metrics["rows"] == 400
    files = {f.path for f in mlflow.MlflowClient().list_artifacts(watch.run_id)}
    assert files == {"drift.html", "drift.csv", "drift.json", "drift.png"}


def test_a_changed_table_is_drift_and_its_page_names_the_column(
    served: Store, tmp_path: Path
) -> None:
    table = mixed_table(400, seed=9).drop(columns="label")
    table["amount"] += 20
    table["plan"] = "<script>"
    watch = look(table, tmp_path)
    assert {("amount", "values"), ("plan", "values")} <= drifted(watch)
    assert watch.drift.fall is None
    page = mlflow.artifacts.load_text(f"runs:/{watch.run_id}/drift.html")
    assert "<script" not in page
    assert "amount" in page and "&lt;script&gt;" in page
    shown = mlflow.load_table("drift.json", run_ids=[watch.run_id])
    assert set(shown[shown["drift"]]["column"]) >= {"amount", "plan"}


def test_rows_that_cannot_be_scored_are_drift_and_not_an_error(
    served: Store, tmp_path: Path
) -> None:
    table = mixed_table(400, seed=9)
    table["amount"] = table["amount"].astype(object)
    table.loc[:99, "amount"] = None
    table.loc[100:199, "amount"] = "plenty"
    said: list[str] = []
    watch = look(table, tmp_path, say=said.append)
    assert drifted(watch) == {("amount", "missing"), ("amount", "unreadable")}
    assert said[0].startswith("200 of 400 rows cannot be scored; the first: row 1, column 'amount'")
    assert mlflow.get_run(watch.run_id).data.metrics["rows_refused"] == 200


def test_a_column_that_is_gone_is_drift(served: Store, tmp_path: Path) -> None:
    watch = look(mixed_table(400, seed=9).drop(columns=["amount", "income"]), tmp_path)
    assert drifted(watch) == {("amount", "column is not in the table")}


def test_ignored_columns_may_change(served: Store, tmp_path: Path) -> None:
    table = mixed_table(400, seed=9)
    table["joined"] += pd.Timedelta(days=900)
    assert ("joined", "values") in drifted(look(table, tmp_path))
    assert ("joined", "values") not in drifted(look(table, tmp_path, ignore=["joined"]))


def test_a_small_table_is_not_called_fine(served: Store, tmp_path: Path) -> None:
    watch = look(mixed_table(12, seed=9), tmp_path)
    assert watch.drift.verdict == "too few rows to tell"
    assert watch.sentence.startswith("too few rows to tell: no drift is seen in 12 rows")


def test_mistakes_open_no_run(served: Store, tmp_path: Path) -> None:
    before = len(mlflow.search_runs(output_format="list"))
    with pytest.raises(BadInput, match="did you mean 'amount'"):
        look(mixed_table(50), tmp_path, ignore=["amuont"])
    with pytest.raises(BadInput, match="not found"):
        look("absent.csv", tmp_path)
    with pytest.raises(BadInput, match="not found"):
        look("iris", tmp_path, model="models:/nothing/1")
    assert len(mlflow.search_runs(output_format="list")) == before


class Constant(PythonModel):
    """Another model."""

    def predict(self, context: Any, model_input: pd.DataFrame, params: Any = None) -> list[str]:
        return ["a"] * len(model_input)


def test_a_model_without_a_profile_is_refused(store: Store, tmp_path: Path) -> None:
    with mlflow.start_run():
        logged = mlflow.pyfunc.log_model(
            name="m", python_model=Constant(), pip_requirements=["mlflow"]
        )
    with pytest.raises(BadInput, match="carries no profile"):
        look("iris", tmp_path, model=logged.model_uri)


def estimated(watch: Watch) -> dict[str, float]:
    metrics = mlflow.get_run(watch.run_id).data.metrics
    return {name: value for name, value in metrics.items() if name.startswith("estimated_")}


def test_without_labels_the_metrics_are_estimated_and_no_verdict_depends_on_it(
    served: Store, tmp_path: Path
) -> None:
    table, said = mixed_table(400, seed=9), list[str]()
    labelled = look(table, tmp_path)
    assert estimated(labelled) == {}
    watch = look(table.drop(columns="label"), tmp_path, say=said.append)
    assert watch.drift.verdict == labelled.drift.verdict
    assert {check.about for check in labelled.drift.checks if check.column == ""} - {
        check.about for check in watch.drift.checks if check.column == ""
    } == {"metric"}
    found = estimated(watch)
    assert found["estimated_f1_macro_low"] < found["estimated_f1_macro"]
    assert "estimated_log_loss" in found and "estimated_cost" not in found
    model = mlflow.pyfunc.load_model("models:/mixed/1")
    right = (table["label"] == model.predict(table)["prediction"]).mean()
    assert found["estimated_accuracy_low"] < right < found["estimated_accuracy_high"]
    assert said[-3].startswith("Without labels, f1_macro is estimated at 0.")
    assert "not that the relation of features and class has changed" in said[-2]
    page = mlflow.artifacts.load_text(f"runs:/{watch.run_id}/drift.html")
    assert "f1_macro as estimated without labels" in page and "Estimated metrics" in page


def test_without_its_held_out_rows_a_version_is_taken_at_its_word(
    served: Store, tmp_path: Path
) -> None:
    table, said = mixed_table(400, seed=9).drop(columns="label"), list[str]()
    place = Path(load_model("models:/mixed/1", str(tmp_path)).path)
    about = yaml.safe_load((place / "MLmodel").read_text())
    about["run_id"] = "gone"
    (place / "MLmodel").write_text(yaml.safe_dump(about))
    alone = look(table, tmp_path, model=str(place), say=said.append)
    assert "held-out rows of" in said[-2] and "are gone from the tracking store" in said[-2]
    whole, part = estimated(look(table, tmp_path)), estimated(alone)
    assert whole.keys() == part.keys()
    widths = [
        found["estimated_accuracy_high"] - found["estimated_accuracy_low"]
        for found in (part, whole)
    ]
    assert widths[0] < widths[1]


def test_of_rows_that_cannot_be_scored_nothing_is_estimated(served: Store, tmp_path: Path) -> None:
    watch = look(mixed_table(60, seed=9).drop(columns=["label", "amount"]), tmp_path)
    assert estimated(watch) == {}
