"""What is compiled answers as the pipeline does, bit by bit where the order of sums is the same."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import skops.io
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier, VotingClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler

from custom_model import packaging
from custom_model.served import trees
from custom_model.served.columns import Column
from custom_model.served.compiled import compile_model
from custom_model.served.encoding import Uncompiled
from custom_model.served.trees import compile_forest
from custom_model.served.trust import load_pipeline
from tabular.families.pipeline import make_model, make_preprocessor
from tabular.table.dataset import Dataset, load_dataset, make_dataset
from tests.tables import mixed_table


def rare_table() -> pd.DataFrame:
    """Three classes, and a column with more categories than any encoder keeps."""
    rng = np.random.default_rng(1)
    table = mixed_table(700)
    table["town"] = [f"town {int(n)}" for n in rng.exponential(60, 700)]
    table["label"] = np.where(table["amount"] > 58, "more", table["label"])
    return table


@pytest.fixture(scope="module")
def binary() -> Dataset:
    return make_dataset(mixed_table(300), "label", name="mixed", source="mixed")


@pytest.fixture(scope="module")
def rare() -> Dataset:
    return make_dataset(rare_table(), "label", name="rare", source="rare")


def table_of(frame: pd.DataFrame) -> dict[str, list[Any]]:
    """An expanded frame as `read_few` gives it."""
    values = {name: frame[name].tolist() for name in frame.columns}
    texts = [name for name in frame.columns if frame[name].dtype == "str"]
    return values | {n: [None if cell != cell else cell for cell in values[n]] for n in texts}


def unusual(frame: pd.DataFrame) -> pd.DataFrame:
    """The same rows, with unseen categories, missing values and extreme numbers among them."""
    changed = frame.copy()
    for place, name in enumerate(changed.columns):
        if changed[name].dtype == "str":
            changed.iloc[place, place] = "never seen"
            changed.iloc[place + 1, place] = "" if name == "note" else np.nan
        else:
            changed.iloc[place, place] = np.nan
            changed.iloc[place + 1, place] = 3e38
            changed.iloc[place + 2, place] = -1e30
    return changed


def fitted(dataset: Dataset, classifier: str, **params: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = make_model(dataset.columns, classifier, params, seed=0)
        return model.fit(dataset.expanded[:200], dataset.codes[:200])


def assert_same(model: Any, dataset: Dataset) -> None:
    evaluate = compile_model(model)
    rows = unusual(dataset.expanded[200:300])
    with np.errstate(all="ignore"):
        expected = model.predict_proba(rows)
        together = evaluate(table_of(rows))
        alone = np.vstack([evaluate(table_of(rows[r : r + 1])) for r in range(len(rows))])
    for found in (together, alone):
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)
        np.testing.assert_array_equal(found.argmax(axis=1), expected.argmax(axis=1))


CLASSIFIERS = {
    "logistic_regression": {},
    "random_forest": {"n_estimators": 30},
    "hist_gradient_boosting": {"max_iter": 20},
    "svc": {},
    "k_neighbors": {},
    "mlp": {"max_iter": 20},
}


@pytest.mark.parametrize("classifier", CLASSIFIERS)
@pytest.mark.parametrize("table", ["binary", "rare"])
def test_every_classifier_answers_alike(
    classifier: str, table: str, request: pytest.FixtureRequest
) -> None:
    dataset = request.getfixturevalue(table)
    if classifier in ("svc", "k_neighbors", "mlp"):  # scikit-learn refuses what overflows there
        rows = dataset.expanded[200:300]
        model = fitted(dataset, classifier, **CLASSIFIERS[classifier])
        found = compile_model(model)(table_of(rows))
        np.testing.assert_allclose(found, model.predict_proba(rows), rtol=0, atol=1e-12)
    else:
        assert_same(fitted(dataset, classifier, **CLASSIFIERS[classifier]), dataset)


@pytest.mark.parametrize(
    ("classifier", "params"),
    [
        ("random_forest", {"n_estimators": 1}),
        ("random_forest", {"n_estimators": 2, "max_depth": 1}),
        ("random_forest", {"n_estimators": 7, "class_weight": "balanced"}),
        ("hist_gradient_boosting", {"max_iter": 1}),
        ("hist_gradient_boosting", {"max_iter": 7, "max_leaf_nodes": 3}),
    ],
)
def test_few_and_small_trees_answer_alike(
    rare: Dataset, classifier: str, params: dict[str, Any]
) -> None:
    assert_same(fitted(rare, classifier, **params), rare)


@pytest.mark.parametrize("classifier", [ExtraTreesClassifier(20, random_state=0), GaussianNB()])
def test_other_classifiers_answer_alike(rare: Dataset, classifier: Any) -> None:
    trees = isinstance(classifier, ExtraTreesClassifier)
    model = make_pipeline(
        make_preprocessor(rare.columns, "trees" if trees else "dense"), classifier
    )
    model.fit(rare.expanded[:200], rare.codes[:200])
    rows = rare.expanded[200:300]
    found = compile_model(model)(table_of(rows))
    np.testing.assert_allclose(found, model.predict_proba(rows), rtol=0, atol=1e-12)
    if trees:
        assert_same(model, rare)


def vote(dataset: Dataset, weights: list[float] | None = None) -> VotingClassifier:
    small = {name: CLASSIFIERS[name] for name in list(CLASSIFIERS)[:3]}
    voters = [(n, make_model(dataset.columns, n, p, seed=0)) for n, p in small.items()]
    voter = VotingClassifier(voters, voting="soft", weights=weights)
    return voter.fit(dataset.expanded[:200], dataset.codes[:200])


@pytest.mark.parametrize("weights", [None, [0.2, 0.5, 0.3]])
@pytest.mark.parametrize("table", ["binary", "rare"])
def test_a_vote_answers_alike(
    table: str, weights: list[float] | None, request: pytest.FixtureRequest
) -> None:
    dataset = request.getfixturevalue(table)
    assert_same(vote(dataset, weights), dataset)


@pytest.fixture(scope="module")
def models(binary: Dataset, rare: Dataset) -> dict[tuple[str, str], Any]:
    """By table and kind, fitted once: calibration leaves them as they are."""
    return {
        (table, inner): vote(dataset)
        if inner == "vote"
        else fitted(dataset, inner, **CLASSIFIERS[inner])
        for table, dataset in (("binary", binary), ("rare", rare))
        for inner in ("logistic_regression", "random_forest", "vote")
    }


@pytest.mark.parametrize("method", ["sigmoid", "isotonic", "temperature"])
@pytest.mark.parametrize("table", ["binary", "rare"])
@pytest.mark.parametrize("inner", ["logistic_regression", "random_forest", "vote"])
def test_a_calibrated_model_answers_alike(
    table: str, inner: str, method: str, request: pytest.FixtureRequest
) -> None:
    dataset = request.getfixturevalue(table)
    model = request.getfixturevalue("models")[table, inner]
    calibrated = CalibratedClassifierCV(FrozenEstimator(model), method=method)
    calibrated.fit(dataset.expanded[:200], dataset.codes[:200])
    assert_same(calibrated, dataset)


@pytest.mark.parametrize("classifier", ["random_forest", "hist_gradient_boosting"])
def test_a_model_that_was_loaded_from_its_file_answers_alike(
    rare: Dataset, classifier: str, tmp_path: Path
) -> None:
    skops.io.dump(fitted(rare, classifier, **CLASSIFIERS[classifier]), tmp_path / "model.skops")
    assert_same(load_pipeline(tmp_path / "model.skops"), rare)


def unknown_scaling(columns: list[str]) -> Any:
    return ColumnTransformer([("numbers", MinMaxScaler(), columns)])


def test_what_is_not_known_is_left_to_the_pipeline(monkeypatch: pytest.MonkeyPatch) -> None:
    iris = load_dataset("iris")
    X, y = iris.expanded, iris.codes
    names = list(X.columns)
    linear = LogisticRegression(max_iter=1000)
    known = make_model(iris.columns, "logistic_regression", {}, seed=0)
    strangers = [
        linear,
        make_pipeline(unknown_scaling(names), linear),
        make_pipeline(MinMaxScaler(), linear),
        CalibratedClassifierCV(known, cv=3),
        VotingClassifier([("a", known)]),
    ]
    for stranger in strangers:
        with pytest.raises(Uncompiled):
            compile_model(stranger.fit(X, y))
    monkeypatch.setattr(trees, "MOST_NODES", 100)
    with pytest.raises(Uncompiled, match="nodes"):
        compile_model(make_model(iris.columns, "random_forest", {}, seed=0).fit(X, y))


def prove(pipeline: Any, dataset: Dataset) -> dict[str, Any]:
    about = (dataset.columns, dataset.table_columns, dataset.target)
    return packaging.prove_compiled(pipeline, *about, dataset.typed[200:300])


def test_the_proof_is_of_given_rows_and_of_missing_and_unseen_values(rare: Dataset) -> None:
    proof = prove(fitted(rare, "random_forest", n_estimators=5), rare)
    optional = sum(not column.required for column in rare.columns)
    categories = sum(column.kind == "category" for column in rare.columns)
    rows = 100 + 3 * (optional + categories)
    assert proof == {"proved": True, "rows": rows + 20, "largest_difference": 0.0}


def test_the_proof_of_a_wide_table_changes_many_columns_at_once(
    rare: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packaging, "MOST_PROVED_CELLS", 2 * len(rare.columns))
    proof = prove(fitted(rare, "logistic_regression"), rare)
    given = packaging.ONE_BY_ONE
    assert proof["proved"]
    assert proof["rows"] == given + 6 + packaging.ONE_BY_ONE


def test_what_answers_differently_is_not_proved(
    rare: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = fitted(rare, "logistic_regression")
    right = compile_model(model)
    for wrong, words in (
        (lambda table: right(table) + 1e-8, "differs by 1e-08"),
        (lambda table: right(table) * np.nan, "differs by nan"),
    ):
        monkeypatch.setattr(packaging, "compile_model", lambda _, wrong=wrong: wrong)
        assert words in prove(model, rare)["reason"]
    monkeypatch.undo()
    assert prove(model, rare)["proved"]
    assert not prove(model.steps[0][1], rare)["proved"]


def test_no_rows_prove_nothing(rare: Dataset) -> None:
    about = ([Column("x", "number")], ["x"], "y")
    iris = load_dataset("iris")
    model = make_model(iris.columns, "logistic_regression", {}, seed=0)
    model.fit(iris.expanded, iris.codes)
    proof = packaging.prove_compiled(model, *about, iris.typed[:0])
    assert proof == {"proved": False, "reason": "no rows to prove it with"}


def test_random_forests_know_their_trees_also_where_there_are_many() -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 5))
    y = (X[:, 0] + X[:, 1] > 0).astype(int)
    forest = RandomForestClassifier(1000, max_depth=4, random_state=0).fit(X, y)
    answer = compile_forest(forest).proba(X)
    np.testing.assert_array_equal(answer, forest.predict_proba(X))
