"""report.html stands alone, says what was done to the table, and shows nothing unescaped."""

import dataclasses
import re

import numpy as np
import pandas as pd

from custom_model.served.columns import Column
from tabular.report.assessment import assess
from tabular.report.pages import Page, facts, notes, render
from tabular.stats.intervals import GainEstimate
from tabular.table.dataset import make_dataset
from tabular.table.split import split_rows
from tests.tables import mixed_table

EVIL = "<script>alert(1)</script>"


def page(n_rows: int = 200, **changes: object) -> Page:
    """A page whose every word from the table is hostile."""
    rng = np.random.default_rng(0)
    y_true = rng.integers(0, 2, n_rows)
    proba = rng.dirichlet([1, 1], n_rows)
    typed = pd.DataFrame({EVIL: pd.array([EVIL] * n_rows, dtype="str"), "x": rng.random(n_rows)})
    typed.loc[: n_rows // 3, EVIL] = "b"
    columns = (Column(EVIL, "category"), Column("x", "number"))
    labels = (f"no {EVIL}", f"yes {EVIL}")
    assessed = assess(y_true, proba.argmax(axis=1), proba, labels, typed, columns, resamples=100)
    shown: dict[str, object] = {
        "title": f"a & b {EVIL}",
        "summary": EVIL,
        "target": EVIL,
        "assessment": assessed,
        "here": "holdout",
        "facts": [("source", EVIL)],
        "notes": [EVIL],
        "pictures": {EVIL: b"\x89PNG"},
        "class_counts": {EVIL: [3, 4]},
        "cautions": [EVIL],
        "others": {EVIL: {"f1_macro": 0.91234}},
        "gains": {"f1_macro": GainEstimate(0.1, 0.05, 0.15, 0.01)},
        "importance": [EVIL],
        "model_uri": EVIL,
        "example": {EVIL: "it's"},
    }
    return Page(**{**shown, **changes})


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
    y_true = np.array([0, 1] * 20)
    typed = pd.DataFrame({"x": np.arange(40.0)})
    assessed = assess(y_true, y_true, None, ("a", "b"), typed, [Column("x", "number")])
    html = render(page(assessment=assessed, class_counts={"rows": [20, 20]}, others={}, gains={}))
    assert "The model gives no probabilities." in html
    assert "100.0%" in html


def test_a_page_of_many_classes_shows_the_most_frequent_ones() -> None:
    y_true = np.repeat(np.arange(150), 2)
    labels = tuple(f"class {code}" for code in range(150))
    typed = pd.DataFrame({"x": np.arange(300.0)})
    assessed = assess(y_true, y_true, None, labels, typed, [Column("x", "number")])
    counts = [1000 if code == 149 else 2 for code in range(150)]
    html = render(page(assessment=assessed, class_counts={"rows": counts}, others={}, gains={}))
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


def test_what_is_left_out_is_noted_and_the_table_identified() -> None:
    table = mixed_table()
    table.loc[:9, "label"] = None
    dataset = make_dataset(table, "label", name="t", source="t.csv")
    sentences = " ".join(notes(dataset, split_rows(dataset.row_hashes, dataset.codes, seed=0)))
    assert "10 rows have no 'label': left out." in sentences
    assert "'customer' is an identifier" in sentences
    assert ("digest", dataset.digest) in facts(dataset, "230")
