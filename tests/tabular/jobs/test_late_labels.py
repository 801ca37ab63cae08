"""Labels that came later, in evaluate and monitor: the same figures as of one table."""

import json
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow.entities import Run
from mlflow.pyfunc.model import PythonModel

from steps import evaluate, monitor, run_step
from tests.conftest import Store
from tests.tables import mixed_table
from tests.tabular.models.test_requests import NAME, line, write

OF_THE_JOIN = {"rows_without_label", "labels_without_row"}


def last_run() -> Run:
    return mlflow.last_active_run()  # type: ignore[return-value]


def metrics_of(main: Any, *arguments: str) -> dict[str, float]:
    with pytest.raises(SystemExit) as ended:
        run_step(lambda: main([*arguments]))
    assert ended.value.code in (0, 3), ended.value.code
    return dict(last_run().data.metrics)


def over_time() -> pd.DataFrame:
    assert "over_time.png" in {
        file.path for file in mlflow.MlflowClient().list_artifacts(last_run().info.run_id)
    }
    return mlflow.load_table("over_time.json", run_ids=[last_run().info.run_id])


@pytest.fixture
def tables(served: Store, tmp_path: Path) -> dict[str, str]:
    """300 rows with an id; the same without labels as Parquet; labels of 250, and one more."""
    whole = mixed_table(300, seed=7)
    whole.insert(0, "request_id", [f"r{n:04d}e1" for n in range(300)])
    whole.insert(1, "row", np.arange(300) % 3)
    whole.insert(2, "time", whole["seen"].fillna(whole["joined"]))
    late = whole[["request_id", "row", "label"]].sample(250, random_state=0)
    one = whole.assign(label=whole["label"].where(whole.index.isin(late.index)))
    late = pd.concat([late, late.iloc[:1].assign(request_id="none")])
    files = {name: str(tmp_path / f"{name}.csv") for name in ("whole", "late", "one")}
    files["rows"] = str(tmp_path / "rows.parquet")
    late.astype({"row": float}).to_csv(files["late"], index=False)
    one.drop(columns=["request_id", "row"]).to_csv(files["one"], index=False)
    whole.drop(columns="label").to_parquet(files["rows"])
    return files


@pytest.mark.parametrize("main", [evaluate.main, monitor.main])
def test_the_figures_are_those_of_the_same_rows_as_one_table(
    main: Any, tables: dict[str, str]
) -> None:
    model = ["--model", "models:/mixed/1", "--data"]
    joined = metrics_of(
        main, *model, tables["rows"], "--labels", tables["late"], "--key", "request_id,row"
    )
    params = last_run().data.params
    assert (params["labels"], params["key"]) == (tables["late"], "request_id,row")
    counts = {name: joined.pop(name) for name in OF_THE_JOIN}
    assert counts == {"rows_without_label": 50, "labels_without_row": 1}
    by_time = over_time()
    assert joined == metrics_of(main, *model, tables["one"])
    pd.testing.assert_frame_equal(by_time, over_time())
    assert by_time.loc[by_time["metric"] == "accuracy", "rows"].sum() == 250


def test_the_key_is_no_feature_of_a_model_that_takes_all_columns(
    store: Store, tmp_path: Path
) -> None:
    class Sign(PythonModel):
        def predict(self, context: Any, model_input: pd.DataFrame, params: Any = None) -> Any:
            assert list(model_input) == ["x"]
            return np.where(model_input["x"] > 0, "up", "down")

    uri = str(tmp_path / "sign")
    mlflow.pyfunc.save_model(uri, python_model=Sign(), pip_requirements=[])
    x = np.linspace(-1, 1, 40)
    rows = pd.DataFrame({"id": range(40), "x": x})
    rows.to_parquet(tmp_path / "rows.parquet")
    late = rows[["id"]].assign(way=np.where(x > 0.1, "up", "down"))
    late.to_csv(tmp_path / "late.csv", index=False)
    given = ["--labels", str(tmp_path / "late.csv"), "--key", "id"]
    found = metrics_of(
        evaluate.main, "--model", uri, "--data", str(tmp_path / "rows.parquet"), *given
    )
    assert found["accuracy"] == np.mean((x > 0) == (x > 0.1))


@pytest.mark.parametrize("main", [evaluate.main, monitor.main])
@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["--labels", "late.csv"], "labels is given without key"),
        (["--key", "row"], "key is given without labels"),
        (["--labels", "gone.csv", "--key", "row"], "no such file"),
        (["--labels", "late.csv", "--key", "raw"], "key column 'raw' not found"),
        (["--labels", "late.csv", "--key", "row"], "late.csv has two labels for row"),
    ],
)
def test_what_cannot_be_joined_ends_with_code_2_and_no_run(
    main: Any,
    given: list[str],
    message: str,
    tables: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Any,
) -> None:
    monkeypatch.chdir(tmp_path)
    before = len(mlflow.search_runs(search_all_experiments=True))
    with pytest.raises(SystemExit) as ended:
        run_step(lambda: main(["--model", "models:/mixed/1", "--data", "rows.parquet", *given]))
    assert ended.value.code == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert len(mlflow.search_runs(search_all_experiments=True)) == before


@pytest.mark.parametrize("main", [evaluate.main, monitor.main])
def test_a_day_of_logged_requests_has_the_figures_of_the_same_rows_as_one_table(
    main: Any, served: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    whole = mixed_table(240, seed=7).drop(columns="currency").astype(object)
    whole = whole.where(whole.notna(), None)
    for name in ("joined", "seen"):
        whole[name] = [cell and cell.isoformat() for cell in whole[name]]
    lines, keys, start = [], [], 0
    for number in range(240):
        rows = whole[start : start + 1 + number % 3]
        if rows.empty:
            break
        body = json.dumps({"dataframe_records": rows.drop(columns="label").to_dict("records")})
        lines.append(line(number, body.encode(), time=f"2026-11-26T{number % 24:02}:00:00+01:00"))
        keys += [(f"id-{number}", row) for row in range(1, 1 + len(rows))]
        start += len(rows)
    write(lines)
    late = pd.DataFrame(keys, columns=["request_id", "row"]).assign(label=whole["label"])
    late = late.sample(200, random_state=0)
    late.to_csv("late.csv", index=False)
    one = whole.assign(label=whole["label"].where(whole.index.isin(late.index)))
    one.to_json("one.jsonl", orient="records", lines=True)
    given = ["--model", "models:/mixed/1", "--data"]
    joined = metrics_of(main, *given, NAME, "--labels", "late.csv", "--key", "request_id,row")
    assert (over_time()["rows"] > 0).all()
    counts = {name: joined.pop(name) for name in OF_THE_JOIN}
    assert counts == {"rows_without_label": 40, "labels_without_row": 0}
    assert joined == metrics_of(main, *given, "one.jsonl")
