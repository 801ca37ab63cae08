"""What a report shows of prediction sets and reasons."""

import mlflow
import numpy as np

from custom_model.served.reasons import typical_row
from custom_model.served.sets import calibrate
from tabular.families.pipeline import make_model
from tabular.report.explained import set_sizes, why
from tabular.table.dataset import make_dataset
from tests.conftest import Store
from tests.tables import mixed_table


def test_sizes_are_those_of_the_sets_and_grow_with_the_coverage() -> None:
    rng = np.random.default_rng(0)
    y_true, noise = np.repeat([0, 1, 2], 100), rng.random((300, 3))
    proba = noise + np.eye(3)[y_true]
    proba /= proba.sum(axis=1, keepdims=True)
    found = set_sizes(calibrate(y_true, proba), y_true, proba, ("a", "b", "c"))
    assert [one.asked for one in found] == [0.8, 0.9, 0.95]
    assert all(one.coverage >= one.asked for one in found)
    assert found[0].size <= found[1].size <= found[2].size
    assert {one.bounds for one in found} == {"each class has its own"}
    few = set_sizes(calibrate(y_true[::9], proba[::9]), y_true, proba, ("a", "b", "c"))
    assert {one.bounds for one in few} == {"one for all classes"}
    assert set_sizes(None, y_true, proba, ("a", "b", "c")) == []


def test_reasons_name_the_columns_that_decided() -> None:
    dataset = make_dataset(mixed_table(200), "label", name="mixed", source="mixed")
    model = make_model(dataset.columns, "logistic_regression", {}, seed=0)
    model.fit(dataset.expanded, dataset.codes)
    typical = typical_row(dataset.typed, dataset.columns)
    rows = dataset.typed[:1].assign(amount=90.0)
    text = why(model.predict_proba, typical, rows, dataset.columns, np.array([1]))[0]
    assert text.startswith("amount +")
    assert text.count(",") == 2
    assert why(model.predict_proba, typical, rows[:0], dataset.columns, np.array([], int)) == []


def test_the_page_of_a_version_has_both(served: Store) -> None:
    mlflow.set_tracking_uri(served.uri)
    run_id = mlflow.MlflowClient().get_model_version("mixed", "1").run_id
    page = mlflow.artifacts.load_text(f"runs:/{run_id}/report.html")
    assert "<h2>Prediction sets</h2>" in page
    assert "<th>because of</th>" in page
