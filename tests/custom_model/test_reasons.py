"""Reasons are Shapley values against a typical row, whatever the model is made of."""

import itertools
import json
import math
from collections.abc import Callable
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import VotingClassifier

from custom_model.served import reasons
from custom_model.served.columns import Column, expand
from custom_model.served.compiled import compile_model
from custom_model.served.reasons import largest, shapley_values, typical_row
from tabular.families.pipeline import make_model
from tabular.recipe import calibration
from tabular.table.dataset import Dataset, make_dataset
from tests.conftest import Store
from tests.custom_model.conftest import log
from tests.custom_model.test_compiled import CLASSIFIERS, fitted, table_of
from tests.tables import mixed_table


@pytest.fixture(scope="module")
def mixed() -> Dataset:
    return make_dataset(mixed_table(300), "label", name="mixed", source="mixed")


def explain(model: Any, dataset: Dataset, rows: pd.DataFrame, codes: np.ndarray) -> np.ndarray:
    """The effects for expanded rows."""
    typical = typical_row(dataset.typed, dataset.columns)
    predict = predict_of(model)
    return shapley_values(predict, rows, typical, dataset.columns, codes)


def predict_of(model: Any) -> Callable[[dict[str, Any]], np.ndarray]:
    return lambda cells: np.asarray(model.predict_proba(pd.DataFrame(cells)))


def typical_frame(dataset: Dataset) -> pd.DataFrame:
    typical = typical_row(dataset.typed, dataset.columns)
    frame = dataset.expanded
    cells = {name: pd.Series([value], dtype=frame[name].dtype) for name, value in typical.items()}
    return pd.DataFrame(cells)


def numbers(n_columns: int, n_rows: int = 400) -> Dataset:
    """A table whose two classes depend on all columns and on what they are together."""
    rng = np.random.default_rng(3)
    x = rng.normal(size=(n_rows, n_columns)).round(3)
    score = x[:, 0] * x[:, 1] + x[:, 2] * np.sin(x[:, 3]) + x.sum(axis=1) / 2
    frame = pd.DataFrame(x, columns=[f"x{at}" for at in range(n_columns)])
    frame["label"] = np.where(score > 0, "yes", "no")
    return make_dataset(frame, "label", name="numbers", source="numbers")


def test_eight_columns_have_the_values_of_shapleys_formula() -> None:
    dataset = numbers(8)
    model = fitted(dataset, "mlp", max_iter=40)
    rows, base = dataset.expanded[:3], typical_frame(dataset)
    found = explain(model, dataset, rows, np.ones(3, dtype=int))
    n, names = 8, list(rows)
    for row in range(3):
        worth = {}
        for chosen in itertools.chain.from_iterable(
            itertools.combinations(range(n), size) for size in range(n + 1)
        ):
            hybrid = base.copy()
            for at in chosen:
                hybrid[names[at]] = rows[names[at]].iloc[row]
            worth[chosen] = hybrid
        proba = model.predict_proba(pd.concat(worth.values()))[:, 1]
        value = dict(zip(worth, proba, strict=True))
        for at in range(n):
            expected = sum(
                (value[tuple(sorted((*chosen, at)))] - value[chosen])
                / (n * math.comb(n - 1, len(chosen)))
                for chosen in value
                if at not in chosen
            )
            assert abs(found[row, at] - expected) < 1e-9


@pytest.mark.parametrize("classifier", [*CLASSIFIERS, "ensemble"])
def test_effects_sum_to_the_difference_from_the_typical_row(
    mixed: Dataset, classifier: str
) -> None:
    if classifier == "ensemble":
        members = [(name, make_model(mixed.columns, name, {}, seed=0)) for name in
                   ("logistic_regression", "naive_bayes")]  # fmt: skip
        voters = VotingClassifier(members, voting="soft", weights=[0.7, 0.3])
        voters.fit(mixed.expanded[:200], mixed.codes[:200])
        proba = voters.predict_proba(mixed.expanded[:200])
        model = calibration.attach(calibration.learn("sigmoid", proba, mixed.codes[:200]), voters)
    else:
        model = fitted(mixed, classifier, **CLASSIFIERS[classifier])
    rows = mixed.expanded[200:206].reset_index(drop=True)
    proba = model.predict_proba(rows)
    codes = proba.argmax(axis=1)
    found = explain(model, mixed, rows, codes)
    before = model.predict_proba(typical_frame(mixed))[0, codes]
    difference = proba[np.arange(len(rows)), codes] - before
    np.testing.assert_allclose(found.sum(axis=1), difference, rtol=0, atol=1e-9)
    compiled = shapley_values(
        compile_model(model),
        table_of(rows),
        typical_row(mixed.typed, mixed.columns),
        mixed.columns,
        codes,
        block_rows=1000,
    )
    np.testing.assert_allclose(compiled, found, rtol=0, atol=1e-9)


def test_a_row_has_the_same_effects_alone_and_among_others(mixed: Dataset) -> None:
    model = fitted(mixed, "random_forest", n_estimators=10)
    rows, codes = mixed.expanded[:20], mixed.codes[:20]
    together = explain(model, mixed, rows, codes)
    for row in range(20):
        one = rows[row : row + 1].reset_index(drop=True)
        alone = explain(model, mixed, one, codes[row : row + 1])[0]
        np.testing.assert_allclose(alone, together[row], rtol=0, atol=1e-12)


def test_a_column_with_the_typical_value_has_no_effect(mixed: Dataset) -> None:
    model = fitted(mixed, "logistic_regression")
    typical = typical_frame(mixed)
    assert (explain(model, mixed, typical, np.zeros(1, dtype=int)) == 0).all()
    other = typical.assign(amount=80.0)
    found = explain(model, mixed, other, np.ones(1, dtype=int))[0]
    difference = model.predict_proba(other)[0, 1] - model.predict_proba(typical)[0, 1]
    at = [column.name for column in mixed.columns].index("amount")
    assert abs(found[at] - difference) < 1e-12
    assert np.count_nonzero(found) == 1


def test_effects_of_more_columns_are_near_those_of_all_coalitions(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    dataset = numbers(12)
    model = fitted(dataset, "hist_gradient_boosting", max_iter=30)
    rows, codes = dataset.expanded[:10], dataset.codes[:10]
    sampled = explain(model, dataset, rows, codes)
    monkeypatch.setattr(reasons, "EXACT_COLUMNS", 12)
    reasons._coalitions.cache_clear()
    exact = explain(model, dataset, rows, codes)
    reasons._coalitions.cache_clear()
    assert np.corrcoef(sampled.ravel(), exact.ravel())[0, 1] > 0.95


def test_a_typical_row_is_of_medians_and_most_frequent_levels_and_has_no_text() -> None:
    table = mixed_table(301)
    dataset = make_dataset(table, "label", name="mixed", source="mixed")
    typical = json.loads(json.dumps(typical_row(dataset.typed, dataset.columns)))
    assert list(typical) == list(expand(dataset.typed, dataset.columns))
    assert typical["amount"] == table["amount"].median()
    assert typical["plan"] == table["plan"].mode()[0]
    assert typical["active"] == float(table["active"].mode()[0])
    assert typical["note"] == ""
    empty = pd.DataFrame({"x": pd.Series([None] * 5 + [1.0, 2.0], dtype="float64")})
    assert typical_row(empty, [Column("x", "number", required=False)]) == {"x": None}


def test_no_rows_have_no_reasons(store: Store, mixed: Dataset) -> None:
    model = mlflow.pyfunc.load_model(log(mixed, "logistic_regression").info.model_uri)
    tables: list[Any] = [[], pd.DataFrame(), mixed.typed[:0]]
    for nothing in tables:
        answer = model.predict(nothing, params={"reasons": 1})
        assert (len(answer), *answer.columns[-2:]) == (0, "reason_1", "reason_1_effect")


def test_reasons_are_the_largest_effects_in_either_direction() -> None:
    columns = [Column(name, "number") for name in "abc"]
    found = largest(np.array([[0.1, -0.3, 0.0], [0.0, np.nan, 0.2]]), columns, 3)
    assert [found[f"reason_{at}"].tolist() for at in (1, 2, 3)] == [
        *(["b", None], ["a", None], [None, None]),
    ]
    assert [found[f"reason_{at}_effect"].tolist() for at in (1, 2, 3)] == [
        *([-0.3, 0.0], [0.1, 0.0], [0.0, 0.0]),
    ]


@pytest.mark.parametrize("classifier", ["logistic_regression", "random_forest"])
def test_effects_are_those_of_shap(classifier: str) -> None:
    shap = pytest.importorskip("shap")
    dataset = numbers(8)
    model = fitted(dataset, classifier)
    rows, base = dataset.expanded[:10], typical_frame(dataset)
    explainer = shap.explainers.Exact(
        lambda x: model.predict_proba(pd.DataFrame(x, columns=list(rows)))[:, 1], base.to_numpy()
    )
    expected = explainer(rows.to_numpy()).values
    found = explain(model, dataset, rows, np.ones(10, dtype=int))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9)
