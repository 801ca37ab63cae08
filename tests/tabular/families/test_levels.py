"""More than two hundred categories also become the share of each class in their rows."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import skops.io

from custom_model.packaging import to_request
from custom_model.served.compiled import compile_model
from custom_model.served.few import read_few
from custom_model.served.trust import load_pipeline
from tabular.families.classifiers import Form
from tabular.families.pipeline import fit_model, fit_preprocessor, make_model, make_preprocessor
from tabular.search.folds import Folds
from tabular.table.dataset import Dataset, make_dataset


def towns(n_classes: int, n_rows: int = 2400) -> Dataset:
    """A table whose category of 250 levels decides the label, but for noise."""
    rng = np.random.default_rng(0)
    town = rng.integers(0, 250, n_rows)
    label = (town + rng.integers(0, 1 + n_classes // 2, n_rows)) % n_classes
    frame = pd.DataFrame({
        "town": [f"town {number:03d}x" for number in town],
        "area": rng.choice(["north", "south"], n_rows),
        "size": rng.random(n_rows),
        "label": [f"class {number}" for number in label],
    })  # fmt: skip
    frame.loc[rng.random(n_rows) < 0.1, "town"] = None
    return make_dataset(frame, "label", name="towns", source="towns")


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("form", ["trees", "dense"])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_a_row_that_is_fitted_on_has_the_shares_of_other_rows(
    n_classes: int, form: Form, weighted: bool
) -> None:
    dataset = towns(n_classes)
    weights = np.linspace(1, 2, len(dataset.codes)) if weighted else None
    matrices = []
    another = dataset.codes.copy()
    another[7] = (another[7] + 1) % n_classes
    for y in (dataset.codes, another):
        preprocessor = make_preprocessor(dataset.columns, form)
        matrices.append(fit_preprocessor(preprocessor, dataset.expanded, weights, y))
        place = preprocessor.output_indices_["shares of classes"]
        assert place.stop - place.start == (1 if n_classes == 2 else 3)
    if form == "trees":  # no scaling, in which every row has a part
        np.testing.assert_array_equal(matrices[0][7], matrices[1][7])
    assert (matrices[0] != matrices[1]).any()


@pytest.mark.parametrize("classifier", ["logistic_regression", "hist_gradient_boosting"])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_few_rows_have_the_shares_that_the_pipeline_has_after_its_file(
    n_classes: int, classifier: str, tmp_path: Path
) -> None:
    dataset = towns(n_classes)
    model = make_model(dataset.columns, classifier, {}, seed=0)
    fit_model(model, dataset.expanded[:1800], dataset.codes[:1800], None)
    skops.io.dump(model, tmp_path / "model.skops")
    again = load_pipeline(tmp_path / "model.skops")
    records = to_request(dataset.typed[1800:])
    records[0]["town"] = "a town that is new"
    few = read_few(records, dataset.columns, dataset.table_columns, dataset.target)
    expected = again.predict_proba(pd.DataFrame(few))
    np.testing.assert_allclose(compile_model(again)(few), expected, rtol=0, atol=1e-12)
    correct = expected.argmax(axis=1) == dataset.codes[1800:]
    assert correct.mean() > 0.4


def test_a_fold_has_the_shares_of_its_rows_and_none_where_rows_belong_together() -> None:
    dataset = towns(2)
    fitted, validated = np.arange(0, 2400, 2), np.arange(1, 2400, 2)
    about = (dataset.expanded, dataset.codes, dataset.columns, [(fitted, validated)])
    inside, _, outside, _ = Folds(*about).matrices("dense")[0]
    preprocessor = make_preprocessor(dataset.columns, "dense")
    rows = dataset.expanded.iloc[fitted]
    expected = fit_preprocessor(preprocessor, rows, None, dataset.codes[fitted])
    np.testing.assert_array_equal(inside, expected)
    np.testing.assert_array_equal(outside, preprocessor.transform(dataset.expanded.iloc[validated]))
    without, *_ = Folds(*about, grouped=True).matrices("dense")[0]
    assert without.shape[1] == inside.shape[1] - 1
