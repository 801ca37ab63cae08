"""Texts become the same matrices in a fold and in a model, and few rows are answered alike."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import skops.io
from scipy import sparse

from custom_model.packaging import to_request
from custom_model.served.columns import READ_OF_TEXT, expand
from custom_model.served.compiled import compile_model
from custom_model.served.few import read_few
from custom_model.served.trust import load_pipeline
from tabular.families import texts
from tabular.families.classifiers import Form
from tabular.families.pipeline import fit_model, fit_preprocessor, make_model, make_preprocessor
from tabular.search.cross_validation import quiet_fits
from tabular.search.folds import Folds
from tabular.table.dataset import Dataset, make_dataset
from tests.tables import mixed_table


def reviews(n_words: int, n_rows: int = 300, length: int = 40) -> pd.DataFrame:
    """Texts of words of which some are frequent, some rare; a few words decide the label."""
    rng = np.random.default_rng(0)
    drawn = (n_words * rng.random((n_rows, length)) ** 2).astype(int)
    review = [" ".join(f"Word{word}" for word in row) + "!" for row in drawn]
    label = np.where((drawn >= 0.95 * n_words).any(axis=1), "good", "bad")
    return pd.DataFrame({"review": review, "stars": rng.random(n_rows), "label": label})


def loaded(frame: pd.DataFrame) -> Dataset:
    return make_dataset(frame, "label", name="texts", source="texts")


TABLES = {
    "few words": reviews(20),
    "many words": reviews(400),
    "many words, in a fold few": reviews(1500, length=30),
    "only texts": reviews(400)[["review", "label"]],
    "many words, but short": reviews(400, length=20),
    "two texts": reviews(400).assign(title=reviews(30)["review"].str[:40]),
    "no frequent word": reviews(20).assign(review=[f"a{i} b{i} a{i}" for i in range(300)]),
    "every kind": mixed_table(300),
}


def dense(matrix: Any) -> np.ndarray:
    return np.asarray(matrix.toarray() if sparse.issparse(matrix) else matrix)


def test_words_are_many_where_texts_are_long_and_two_hundred_words_recur() -> None:
    many = {name for name, table in TABLES.items() if "review" in table}
    many = {name for name in many if texts.has_many_words(TABLES[name]["review"])}
    assert many == {"many words", "many words, in a fold few", "only texts", "two texts"}


@pytest.mark.parametrize("form", ["trees", "dense", "sparse"])
@pytest.mark.parametrize(
    ("table", "most"),
    [*((table, texts.MOST_WORDS) for table in TABLES), ("only texts", 500), ("two texts", 500)],
)
def test_a_fold_is_what_the_preprocessor_of_its_rows_makes(
    table: str, form: Form, most: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(texts, "MOST_WORDS", most)
    dataset = loaded(TABLES[table])
    n_rows = len(dataset.codes)
    fitted, validated = np.arange(0, n_rows, 2), np.arange(1, n_rows, 2)
    for weights in (None, np.linspace(1, 2, n_rows)):
        folds = Folds(
            dataset.expanded, dataset.codes, dataset.columns, [(fitted, validated)], weights
        )
        inside, _, outside, *_ = folds.matrices(form)[0]
        preprocessor = make_preprocessor(dataset.columns, form)
        some = None if weights is None else weights[fitted]
        with quiet_fits():
            expected = fit_preprocessor(preprocessor, dataset.expanded.iloc[fitted], some)
        np.testing.assert_allclose(dense(inside), dense(expected), rtol=0, atol=1e-12)
        expected = preprocessor.transform(dataset.expanded.iloc[validated])
        np.testing.assert_allclose(dense(outside), dense(expected), rtol=0, atol=1e-12)
        folder = tmp_path / str(weights is None)
        folder.mkdir()
        for written, kept in zip(
            folds.write(str(folder), form).matrices(form)[0], folds.matrices(form)[0], strict=True
        ):
            np.testing.assert_array_equal(dense(written), dense(kept))


@pytest.mark.parametrize("classifier", ["logistic_regression", "naive_bayes", "extra_trees"])
@pytest.mark.parametrize("table", TABLES)
def test_few_rows_are_answered_as_the_pipeline_does_after_its_file(
    table: str, classifier: str, tmp_path: Path
) -> None:
    dataset = loaded(TABLES[table])
    params = {"n_estimators": 20} if classifier == "extra_trees" else {}
    model = make_model(dataset.columns, classifier, params, seed=0)
    fit_model(model, dataset.expanded[:200], dataset.codes[:200], None)
    skops.io.dump(model, tmp_path / "model.skops")
    again = load_pipeline(tmp_path / "model.skops")
    records = to_request(dataset.typed[200:])
    for record, text in zip(records, ["?", "seen by nobody", "Word1 ! word1"], strict=False):
        record.update({column.name: text for column in dataset.columns if column.kind == "text"})
    few = read_few(records, dataset.columns, dataset.table_columns, dataset.target)
    expected = again.predict_proba(pd.DataFrame(few))
    compiled = compile_model(again)
    np.testing.assert_allclose(compiled(few), expected, rtol=0, atol=1e-12)
    alone = [compiled({name: cells[at : at + 1] for name, cells in few.items()}) for at in range(9)]
    np.testing.assert_allclose(np.vstack(alone), expected[:9], rtol=0, atol=1e-12)


def test_the_beginning_of_a_long_text_is_read_in_both_ways() -> None:
    dataset = loaded(reviews(20))
    end = " good" * 1000
    rows = reviews(20)[:4]
    rows["review"] = [text.ljust(READ_OF_TEXT) + end for text in rows["review"]]
    about = (dataset.columns, dataset.table_columns, dataset.target)
    few = read_few(rows.drop(columns="label"), *about)
    assert few["review"] == [text.ljust(READ_OF_TEXT) for text in reviews(20)["review"][:4]]
    typed = loaded(pd.concat([rows] * 9, ignore_index=True).assign(stars=np.arange(36) / 7)).typed
    assert expand(typed, dataset.columns)["review"][:4].tolist() == few["review"]


def test_words_that_decide_are_learned_in_every_form() -> None:
    table = reviews(400, 600)
    table["label"] = np.where(table["stars"] < 0.5, "bad", "good")
    bad = table["label"] == "bad"
    table.loc[bad, "review"] = [
        text.replace(" Word2", " but Word2") for text in table.loc[bad, "review"]
    ]
    dataset = loaded(table.drop(columns="stars"))
    for classifier in ("logistic_regression", "random_forest", "k_neighbors"):
        model = make_model(dataset.columns, classifier, {}, seed=0)
        fit_model(model, dataset.expanded[:400], dataset.codes[:400], None)
        correct = model.predict(dataset.expanded[400:]) == dataset.codes[400:]
        assert correct.mean() > np.bincount(dataset.codes[400:]).max() / 200, classifier
