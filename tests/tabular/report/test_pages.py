"""report.html stands alone, says what was done to the table, and shows nothing unescaped."""

import dataclasses
import re

import numpy as np
import pandas as pd
from pandas.api.types import is_numeric_dtype

from custom_model.served.columns import Column
from tabular.report.assessment import assess
from tabular.report.pages import Page, notes, render
from tabular.stats.intervals import GainEstimate
from tabular.table.dataset import Dataset, make_dataset
from tabular.table.split import split_rows
from tests.tables import mixed_table

EVIL = "<script>alert(1)</script>"


def table(typed: pd.DataFrame, y_true: np.ndarray, labels: tuple[str, ...]) -> Dataset:
    kinds = [(name, "number" if is_numeric_dtype(typed[name]) else "category") for name in typed]
    columns = tuple(Column(name, kind) for name, kind in kinds)
    hashes = np.arange(len(y_true), dtype=np.uint64)
    return Dataset(EVIL, EVIL, EVIL, columns, tuple(typed), typed, y_true, labels, hashes)


def page(n_rows: int = 200, **changes: object) -> Page:
    """A page whose every word from the table is hostile."""
    rng = np.random.default_rng(0)
    y_true = rng.integers(0, 2, n_rows)
    proba = rng.dirichlet([1, 1], n_rows)
    typed = pd.DataFrame({EVIL: pd.array([EVIL] * n_rows, dtype="str"), "x": rng.random(n_rows)})
    typed.loc[: n_rows // 3, EVIL] = "b"
    dataset = table(typed, y_true, (f"no {EVIL}", f"yes {EVIL}"))
    assessed = assess(
        y_true, proba.argmax(axis=1), proba, dataset.labels, typed, dataset.columns, resamples=100
    )
    shown: dict[str, object] = {
        "title": f"a & b {EVIL}",
        "summary": EVIL,
        "dataset": dataset,
        "assessment": assessed,
        "here": "holdout",
        "pictures": {EVIL: b"\x89PNG"},
        "sides": {EVIL: np.ones(n_rows, dtype=bool)},
        "notes": [EVIL],
        "cautions": [EVIL],
        "others": {EVIL: {"f1_macro": 0.91234}},
        "gains": {"f1_macro": GainEstimate(0.1, 0.05, 0.15, 0.01)},
        "importance": [EVIL],
        "model_uri": EVIL,
        "example": {EVIL: "it's"},
    }
    return Page(**{**shown, **changes})


def page_of_labels(y_true: np.ndarray, labels: tuple[str, ...]) -> Page:
    """The page of a model that predicts `y_true` itself and gives no probabilities."""
    typed = pd.DataFrame({"x": np.arange(float(len(y_true)))})
    dataset = table(typed, y_true, labels)
    assessed = assess(y_true, y_true, None, labels, typed, dataset.columns)
    sides = {"rows": np.ones(len(y_true), dtype=bool)}
    return page(dataset=dataset, assessment=assessed, sides=sides, others={}, gains={})


def test_nothing_of_a_table_is_taken_for_html() -> None:
    html = render(page())
    assert "<script" not in html
    assert html.count("&lt;script&gt;") > 12
    assert "a &amp; b" in html
    assert "it&#39;&#34;&#39;&#34;&#39;s" in html  # quoted for the shell, then for the page


def test_a_confidence_near_one_is_not_called_100_percent() -> None:
    assessed = dataclasses.replace(page().assessment, confidence=0.999)
    html = render(page(assessment=assessed))
    assert "with 99.9%" in html and "Intervals: 99.9% " in html


def test_the_page_needs_nothing_beside_it() -> None:
    html = render(page())
    assert re.findall(r'(?:src|href)="(?!data:)', html) == []
    assert "prefers-color-scheme: dark" in html


def test_the_page_shows_metrics_with_intervals_slices_and_wrong_rows() -> None:
    shown = page()
    html = render(shown)
    one = shown.assessment.metrics["log_loss"]
    assert f"{one.value:.4f}" in html
    assert f"{one.low:.4f} to {one.high:.4f}" in html
    assert "0.9123" in html
    assert "+0.0500 to +0.1500" in html
    worst = shown.assessment.wrong[0]
    assert f"{worst.proba_predicted:.1%}" in html
    assert all(part.values.split()[-1] in html for part in shown.assessment.slices[:1])


def test_a_model_of_labels_alone_has_a_page() -> None:
    html = render(page_of_labels(np.array([0, 1] * 20), ("a", "b")))
    assert "The model gives no probabilities." in html
    assert "100.0%" in html
    assert "<td>40</td>" in html  # how many rows the table has


def test_a_page_of_many_classes_shows_the_most_frequent_ones() -> None:
    y_true = np.append(np.repeat(np.arange(150), 2), [149] * 100)
    html = render(page_of_labels(y_true, tuple(f"class {y}" for y in range(150))))
    assert "class 149" in html
    assert "And 50 more classes" in html


def test_every_change_to_the_table_is_noted() -> None:
    table = mixed_table(300)[["amount", "label"]].assign(
        size=["NA"] * 20 + [str(i + 0.5) for i in range(280)],
        garage=(["None", "brick", "wood"] * 100),
    )
    table.loc[0, "label"] = "once"
    dataset = make_dataset(table.astype({"garage": "str"}), "label", name="t", source="t")
    sentences = " ".join(notes(dataset, split_rows(dataset.row_hashes, dataset.codes, seed=0)))
    assert "'size' is a number; 'NA' in it means a missing value" in sentences
    assert "'garage' has the value 'None'" in sentences
    assert "not in the holdout: 'once'" in sentences


def test_what_is_alike_in_many_columns_is_noted_once() -> None:
    cells = ["NA", *(str(number + 0.5) for number in range(299))]
    table = pd.DataFrame({f"x{number}": cells for number in range(12)})
    dataset = make_dataset(table.assign(y=["a", "b", "c"] * 100), "y", name="t", source="t")
    sentences = notes(dataset, split_rows(dataset.row_hashes, dataset.codes, seed=0))
    assert [one for one in sentences if "missing value" in one] == [
        "Each of 12 columns ('x0', 'x1', 'x2', 'x3', 'x4', ...) is a number; 'NA' in it means a "
        "missing value."
    ]


def test_what_is_left_out_is_noted_and_the_table_identified() -> None:
    table = mixed_table()
    table.loc[:9, "label"] = None
    dataset = make_dataset(table, "label", name="t", source="t.csv")
    sentences = " ".join(notes(dataset, split_rows(dataset.row_hashes, dataset.codes, seed=0)))
    assert "10 rows have no 'label': left out." in sentences
    assert "'customer' is an identifier" in sentences
    html = render(page(dataset=dataset, sides={"rows in training": dataset.codes == 0}))
    assert dataset.digest in html
    assert f"<td>{(dataset.codes == 0).sum()} in training</td>" in html


def test_the_class_that_is_always_predicted_counts_rows_by_their_weights() -> None:
    y_true, weights = np.array([0, 0, 0, 1]), np.array([1.0, 1.0, 1.0, 9.0])
    typed = pd.DataFrame({"x": np.arange(4.0)})

    def majority(sample_weight: np.ndarray | None) -> tuple[object, float]:
        columns = (Column("x", "number"),)
        return assess(
            y_true, y_true, None, ("a", "b"), typed, columns,
            resamples=10, sample_weight=sample_weight,
        ).majority  # fmt: skip

    assert majority(None) == ("a", 0.75)
    assert majority(weights) == ("b", 0.75)
