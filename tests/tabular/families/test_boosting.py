"""LightGBM's and CatBoost's trees are taken over as they are, and neither library is missed."""

import dataclasses
import json
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skops.io
from sklearn.ensemble import HistGradientBoostingClassifier

from custom_model.served.trust import load_pipeline
from steps import sweep, train
from tabular.errors import BadInput
from tabular.families import boosting
from tabular.families.classifiers import (
    CLASSIFIERS,
    affordable,
    installed,
    make_classifier,
    space_of,
)
from tabular.families.hyperparameters import read_hyperparameters
from tabular.families.space import Shape
from tabular.jobs.preparation import prepare
from tabular.models.load import load_model
from tabular.recipe.calibration import learn
from tabular.recipe.fit import assemble, fit, fit_members
from tabular.recipe.recipe import Recipe
from tabular.search import workers
from tabular.search.cross_validation import Task, evaluate_configuration
from tabular.search.workers import Processes
from tests.conftest import Store
from tests.tables import mixed_table

EXTRA = ["lightgbm", "catboost"]
SHAPE = Shape(1000, 2, 400, False)


def table(n_classes: int, n_rows: int = 400) -> tuple[np.ndarray, np.ndarray]:
    """Columns of every scale, with few values, one value and none, and with gaps."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n_rows, 9)) * np.array([1, 1e-6, 1e8, 1, 1, 1, 1, 1, 1])
    X[:, 3], X[:, 4], X[:, 5] = rng.integers(0, 3, n_rows), 1.0, np.nan
    y = np.digitize(X[:, 0] + rng.normal(size=n_rows), np.arange(n_classes - 1) / 2)
    X[rng.random(X.shape) < 0.1] = np.nan
    X[:, 6] = np.round(rng.normal(size=n_rows), 1)  # without a gap
    return X, y


@pytest.mark.parametrize("n_classes", [2, 4])
@pytest.mark.parametrize("classifier", EXTRA)
def test_the_trees_that_were_taken_over_predict_what_the_library_does(
    classifier: str, n_classes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip(classifier)
    library: list[Any] = []

    def keep(fitted: Any, model: Any, X: np.ndarray) -> Any:
        library.append(model)
        return fitted

    monkeypatch.setattr(boosting, "_compared", keep)
    X, y = table(n_classes)
    fitted = make_classifier(classifier, {}, seed=0).fit(X, y, np.arange(1.0, 401.0))
    assert type(fitted) is HistGradientBoostingClassifier
    rows = np.concatenate([X, np.where(np.random.default_rng(1).random(X.shape) < 0.3, np.nan, X)])
    rows = np.concatenate([rows, np.float32(X), np.zeros((1, 9)), np.full((2, 9), [[9e9], [-9e9]])])
    expected = library[0].predict_proba(rows)
    np.testing.assert_allclose(fitted.predict_proba(rows), expected, rtol=0, atol=1e-12)
    assert (fitted.predict(X) == y).mean() > 1.5 / n_classes


@pytest.mark.parametrize("classifier", EXTRA)
def test_a_border_is_on_the_side_where_the_library_has_it(classifier: str) -> None:
    pytest.importorskip(classifier)
    steps = np.float32(0.1) + np.arange(8) * np.spacing(np.float32(0.1))
    X = np.repeat(np.linspace(steps[0], steps[-1], 400), 2)[:, np.newaxis]
    fitted = make_classifier(classifier, {}, seed=0).fit(X, (X[:, 0] > X[400, 0]).astype(int))
    assert len(np.unique(fitted.predict_proba(X)[:, 1])) > 1  # and were compared as they were taken


@pytest.mark.parametrize("classifier", EXTRA)
def test_trees_that_predict_otherwise_are_refused(
    classifier: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip(classifier)
    monkeypatch.setattr(boosting, "TOLERANCE", -1.0)
    with pytest.raises(ValueError, match="could not be taken over: off by 0"):
        make_classifier(classifier, {"max_depth" if classifier == "lightgbm" else "depth": 1},
                        seed=0).fit(*table(2))  # fmt: skip


@pytest.mark.parametrize("classifier", EXTRA)
def test_a_bad_hyperparameter_is_one_sentence(classifier: str) -> None:
    pytest.importorskip(classifier)
    with pytest.raises(BadInput, match=r"The 'learning_rate' parameter of .* must be a float"):
        read_hyperparameters(classifier, {"learning_rate": "quick"})
    with pytest.raises(BadInput, match=f"{classifier} has no hyperparameter 'train_dir'"):
        read_hyperparameters(classifier, {"train_dir": "/tmp"})


@pytest.mark.parametrize("classifier", EXTRA)
def test_every_point_of_the_space_is_one_that_the_family_takes(classifier: str) -> None:
    record = CLASSIFIERS[classifier]
    for shape in (Shape(20, 2, 4, True), Shape(50_000, 40, 10, False)):
        for name, range_ in space_of(classifier, shape).items():
            for value in (range_.nearest(-1e9), range_.nearest(1e9), range_.first):
                record.estimator(**{name: value})._validate_params()


def test_an_ensemble_of_them_is_fitted_alike_here_and_in_processes_and_needs_no_further_type(
    tmp_path: Path,
) -> None:
    families = [name for name in EXTRA if name in installed()]
    if not families:
        pytest.skip("neither is installed")
    frame = mixed_table()
    frame.to_csv(tmp_path / "table.csv", index=False)
    prepared = prepare(str(tmp_path / "table.csv"), "label", seed=0, say=lambda _: None)
    tasks = [Task(number, name, {}, "log_loss", 5) for number, name in enumerate(families)]
    trials = [evaluate_configuration(task, prepared.folds) for task in tasks]
    again = [evaluate_configuration(task, prepared.folds) for task in tasks]
    for one, other in zip(trials, again, strict=True):
        assert one.metrics
        assert np.array_equal(one.oof, other.oof)
    proba = np.mean([trial.oof for trial in trials], axis=0)
    calibrator = learn("temperature", proba, prepared.folds.y_true)
    recipe = Recipe(tuple(trials), (1 / len(trials),) * len(trials), {}, calibrator=calibrator)
    with Processes(prepared.folds, 2) as engine:
        fitted = fit_members(
            prepared.dataset, prepared.split, trials, engine, seed=5, until=math.inf
        )
    members = [fitted[trial.number] for trial in trials]
    there = assemble(prepared.dataset, recipe, members, seed=5)
    here = fit(prepared.dataset, prepared.split, recipe, seed=5)
    rows = prepared.dataset.expanded
    assert np.array_equal(there.predict_proba(rows), here.predict_proba(rows))
    skops.io.dump(here, tmp_path / "model.skops")
    loaded = load_pipeline(tmp_path / "model.skops")
    assert np.array_equal(loaded.predict_proba(rows), here.predict_proba(rows))


@pytest.mark.parametrize("classifier", EXTRA)
def test_a_version_is_loaded_and_asked_where_the_library_is_absent(
    classifier: str, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip(classifier)
    train.main(["--classifier", classifier, "--model_name", "boosted"])
    monkeypatch.setitem(sys.modules, classifier, None)
    model = load_model("models:/boosted/1", str(store.folder))
    assert classifier not in Path(model.path, "requirements.txt").read_text()
    about = json.loads(Path(model.path, "artifacts", "bundle.json").read_text())
    assert about["about"]["classifier"] == classifier
    assert about["compiled"]["proved"]


@pytest.mark.parametrize("classifier", EXTRA)
def test_an_absent_package_is_one_sentence_and_no_family(
    classifier: str, monkeypatch: pytest.MonkeyPatch, store: Store, capsys: Any
) -> None:
    absent = dataclasses.replace(CLASSIFIERS[classifier], package="absent_package")
    monkeypatch.setitem(CLASSIFIERS, classifier, absent)
    assert classifier not in affordable(SHAPE)
    with pytest.raises(BadInput) as refusal:
        train.main(["--classifier", classifier])
    assert str(refusal.value) == (
        f"{classifier} needs the package absent_package; "
        "pip install -r requirements-boosting.txt installs it"
    )


def test_what_cannot_be_fitted_where_a_search_evaluates_is_left_out(
    store: Store, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setattr(workers, "installed", lambda: ["naive_bayes"])
    options = ["--trials", "2", "--jobs", "1", "--classifiers"]
    sweep.main([*options, "k_neighbors,naive_bayes"])
    printed = capsys.readouterr().out
    assert "Left out, as the Spark executors lack its package: k_neighbors." in printed
    assert "t001 naive_bayes" in printed
    with pytest.raises(BadInput, match="the Spark executors lack the package of k_neighbors"):
        sweep.main([*options, "k_neighbors"])
