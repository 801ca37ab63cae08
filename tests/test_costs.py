"""A matrix of costs, from the sweep to the server's answer, the gate and the monitor."""

import json
import math
import re
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest

from custom_model.served.sets import decide_classes
from steps import evaluate, monitor, promote, sweep
from tabular.drift.checks import DriftRule
from tabular.errors import BadInput
from tabular.jobs.monitor import monitor as look
from tests.conftest import Store
from tests.tables import mixed_table

COST = '{"no": {"yes": 1}, "yes": {"no": 10}}'
SEARCH = ["--trials", "3", "--jobs", "1", "--classifiers", "logistic_regression,naive_bayes"]


def metrics_of(version: str, name: str = "mixed") -> dict[str, float]:
    run = mlflow.MlflowClient().get_model_version(name, version).run_id
    return dict(mlflow.get_run(run).data.metrics)


def test_costs_decide_and_judge_everywhere(
    store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    mixed_table().to_csv(store.folder / "mixed.csv", index=False)
    data = ["--data", str(store.folder / "mixed.csv"), "--target", "label", *SEARCH]
    sweep.main(data)
    promote.main(["--model_name", "mixed", "--dry_run", "true"])
    sweep.main([*data, "--cost", COST])
    printed = capsys.readouterr().out
    assert " and cost " in printed and "cost=" in printed
    assert "cost" not in {name.removeprefix("holdout_") for name in metrics_of("1")}
    with_costs = metrics_of("2")
    assert math.isfinite(with_costs["holdout_cost"]) and math.isfinite(with_costs["cv_cost"])

    model = mlflow.pyfunc.load_model("models:/mixed/2")
    found = model.predict(mixed_table(50, seed=3))
    expected = np.where(found["probability_yes"] > 1 / 11, "yes", "no")
    assert found["prediction"].tolist() == expected.tolist()
    at_half = model.predict(mixed_table(50, seed=3), params={"threshold": 0.5})
    assert (at_half["prediction"] == "yes").tolist() == (found["probability_yes"] > 0.5).tolist()

    client = mlflow.MlflowClient()
    client.set_registered_model_alias("mixed", "champion", "1")
    promote.main(["--model_name", "mixed", "--dry_run", "true", "--mode", "best"])
    printed = capsys.readouterr().out
    assert "costs are those that version 2, the newest with costs, was made for" in printed
    assert "version 2: cost " in printed and " against " in printed

    model_2 = ["--model", "models:/mixed/2", "--data", str(store.folder / "mixed.csv")]
    evaluate.main([*model_2, "--resamples", "100", "--against", "models:/mixed/1"])
    printed = capsys.readouterr().out
    assert "1000 rows cost " in printed and "by the most probable class" in printed
    [run, *_] = mlflow.search_runs(
        filter_string="attributes.run_name LIKE 'evaluate%'", output_format="list"
    )
    logged = run.data.metrics
    assert logged["cost_low"] <= logged["cost"] <= logged["cost_high"]
    assert logged["gain_cost"] == pytest.approx(logged["against_cost"] - logged["cost"])
    assert {"cost_of_one_class", "cost_of_most_probable"} <= set(logged)
    page = mlflow.artifacts.load_text(f"{run.info.artifact_uri}/report.html")
    assert "1000 rows cost" in page

    monitor.main(model_2)
    assert "1000 rows cost " in capsys.readouterr().out


@pytest.mark.slow
def test_the_cost_of_a_weighted_table_counts_each_row_as_often_as_it_weighs(
    store: Store,
) -> None:
    table, data = mixed_table(), ["--data", str(store.folder / "mixed.csv")]
    table["counts"] = np.where(table["label"] == "yes", 9, 1)
    table.to_csv(store.folder / "mixed.csv", index=False)
    sweep.main([*data, "--target", "label", *SEARCH, "--cost", COST, "--weight", "counts"])
    lines: list[str] = []
    watch: dict[str, Any] = {"model": "models:/mixed/1", "data": data[1], "ignore": []}
    look(**watch, rule=DriftRule(metric=""), say=lines.append)
    found = re.search(r"1000 rows cost (\S+) .*always \S+, (\S+) by", "\n".join(lines))
    decided = mlflow.pyfunc.load_model("models:/mixed/1").predict(table.drop(columns="label"))
    yes = (table["label"] == "yes").to_numpy()
    assert found is not None
    for words, chosen in (
        (found[1], decided["prediction"] == "yes"),
        (found[2], decided["probability_yes"] > 0.5),
    ):
        of_rows = np.where(yes, 10 * ~chosen, 1 * chosen)
        cost = 1000 * np.average(of_rows, weights=table["counts"])
        assert float(words) == pytest.approx(cost, rel=1e-3)


def test_three_classes_are_served_by_least_expected_cost(store: Store) -> None:
    labels = ["setosa", "versicolor", "virginica"]
    costs = np.array([[0, 1, 1], [5, 0, 1], [30, 20, 0]])
    cost = {
        a: dict(zip(labels, row.tolist(), strict=True))
        for a, row in zip(labels, costs, strict=True)
    }
    (store.folder / "costs.json").write_text(json.dumps(cost))
    sweep.main([*SEARCH, "--cost", str(store.folder / "costs.json"), "--metric", "log_loss"])
    model = mlflow.pyfunc.load_model("models:/iris/1")
    rows = pd.DataFrame(
        np.random.default_rng(0).uniform([4, 2, 1, 0], [8, 4.5, 7, 2.5], (200, 4)),
        columns=[column.name for column in model.unwrap_python_model().columns],
    )
    together = model.predict(rows)
    proba = together.drop(columns="prediction").to_numpy()
    by_hand = [labels[int(np.argmin(row @ costs))] for row in proba]
    assert together["prediction"].tolist() == by_hand
    assert (proba.argmax(axis=1) != decide_classes(proba, costs=costs)).any()
    one_by_one = [model.predict(rows[i : i + 1])["prediction"].iloc[0] for i in range(20)]
    assert one_by_one == by_hand[:20]  # the short way for a few rows


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--cost", '{"no": {"ye": 1}, "yes": {"no": 1}}'], "'ye' is no class; did you mean 'yes'"),
        (["--metric", "cost"], "metric=cost needs the costs"),
        (
            ["--at_least", "recall:0.9", "--weight", "visits"],
            "at_least cannot be promised for rows",
        ),
    ],
)
def test_costs_that_cannot_be_used_leave_no_run(
    store: Store, options: list[str], message: str, capsys: Any
) -> None:
    mixed_table().to_csv(store.folder / "mixed.csv", index=False)
    with pytest.raises(BadInput, match=message):
        sweep.main(["--data", str(store.folder / "mixed.csv"), "--target", "label", *options])
    assert not mlflow.search_runs(output_format="list")


def test_a_constraint_is_held_by_the_threshold_that_the_version_carries(store: Store) -> None:
    mixed_table(600).to_csv(store.folder / "mixed.csv", index=False)
    data = ["--data", str(store.folder / "mixed.csv"), "--target", "label", *SEARCH]
    sweep.main([*data, "--at_least", "recall[yes]:0.8"])
    inside = mlflow.pyfunc.load_model("models:/mixed/1").unwrap_python_model()
    assert inside.at_least == "recall[yes]:0.8"
    assert 0 < inside.threshold < 1 and inside.threshold != 0.5
    promote.main(["--model_name", "mixed", "--dry_run", "true"])  # the gate reads it
    report = mlflow.artifacts.load_dict(
        f"{run_of('1').info.artifact_uri}/classification_report.json"
    )
    assert report["yes"]["recall"] >= 0.7


def run_of(version: str) -> Any:
    return mlflow.get_run(mlflow.MlflowClient().get_model_version("mixed", version).run_id)


def test_a_constraint_that_cannot_be_held_registers_nothing_and_says_what_can(store: Store) -> None:
    mixed_table(300).to_csv(store.folder / "mixed.csv", index=False)
    data = ["--data", str(store.folder / "mixed.csv"), "--target", "label", *SEARCH]
    with pytest.raises(BadInput, match=r"at_least=precision\[yes\]:0.999 cannot be held .* can"):
        sweep.main([*data, "--at_least", "precision:0.999"])
    assert not mlflow.MlflowClient().search_registered_models()
    assert {run.info.status for run in mlflow.search_runs(output_format="list")} >= {"FAILED"}
    with pytest.raises(BadInput, match="at_least: expected precision, recall or specificity"):
        sweep.main([*data, "--at_least", "precsion:0.9"])
