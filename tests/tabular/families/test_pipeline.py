"""Every classifier fits, predicts and survives its file on a table of every kind of column."""

import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import skops.io
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils._param_validation import InvalidParameterError

from custom_model.served.columns import Column
from custom_model.served.trust import load_pipeline
from tabular.families.classifiers import (
    CLASSIFIERS,
    Form,
    hyperparameters,
    installed,
    make_classifier,
)
from tabular.families.pipeline import fit_model, fit_preprocessor, make_model, make_preprocessor
from tabular.table.dataset import Dataset, make_dataset
from tests.tables import mixed_table


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return make_dataset(mixed_table(), "label", name="mixed", source="mixed")


@pytest.mark.parametrize("classifier", installed())
def test_a_classifier_learns_and_survives_its_file(
    dataset: Dataset, classifier: str, tmp_path: Path
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = make_model(dataset.columns, classifier, {}, seed=0)
        fit_model(model, dataset.expanded[:180], dataset.codes[:180], None)
    rows = dataset.expanded[180:].copy()
    rows.loc[180, "plan"] = "never seen"
    probabilities = model.predict_proba(rows)
    majority = np.bincount(dataset.codes[180:]).max() / 60
    assert (probabilities.argmax(axis=1) == dataset.codes[180:]).mean() >= majority - 0.1
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    skops.io.dump(model, tmp_path / "model.skops")
    again = load_pipeline(tmp_path / "model.skops")
    np.testing.assert_array_equal(again.predict_proba(rows), probabilities)


@pytest.mark.parametrize(
    "params", [{"algorithm": a, "p": p} for a in ("kd_tree", "brute") for p in (1, 2, 3)]
)
def test_every_kind_of_neighbour_search_survives_its_file(
    params: dict[str, Any], tmp_path: Path
) -> None:
    points = np.random.default_rng(0).random((200, 2))
    model = make_classifier("k_neighbors", params, seed=0).fit(points, points[:, 0] > 0.5)
    skops.io.dump(model, tmp_path / "model.skops")
    assert load_pipeline(tmp_path / "model.skops").score(points, points[:, 0] > 0.5) > 0.9


def test_a_value_that_scikit_learn_refuses_is_refused_before_fitting() -> None:
    with pytest.raises(InvalidParameterError, match="'C' parameter"):
        make_classifier("logistic_regression", {"C": -1}, seed=0)


@pytest.mark.parametrize("classifier", CLASSIFIERS)
def test_the_seed_is_no_hyperparameter(classifier: str) -> None:
    assert not {"random_state", "n_jobs"} & set(hyperparameters(classifier))


@pytest.mark.parametrize("form", ["trees", "dense"])
def test_names_of_columns_are_found_again_in_any_order_and_take_little_room(
    form: Form, tmp_path: Path
) -> None:
    names = [f"x{number}" for number in range(200)] + ["ends in a letter 0\0", "Größe"]
    rng = np.random.default_rng(0)
    rows = pd.DataFrame(rng.normal(size=(20, len(names))), columns=names).assign(
        word=["a", "b"] * 10
    )
    columns = [*(Column(name, "number") for name in names), Column("word", "category")]
    sizes = []
    for some in (columns[:50], columns[:200], columns):
        step = make_preprocessor(some, form)
        matrix = fit_preprocessor(step, rows, None)
        np.testing.assert_array_equal(step.transform(rows[rows.columns[::-1]]), matrix)
        skops.io.dump(step, tmp_path / "step.skops")
        again = load_pipeline(tmp_path / "step.skops")
        np.testing.assert_array_equal(again.transform(rows), matrix)
        with zipfile.ZipFile(tmp_path / "step.skops") as archive:
            sizes.append(archive.getinfo("schema.json").file_size)
    assert sizes[1] < 1.1 * sizes[0]  # the third has a name that is kept as an object
