"""report.html stands alone and says what was done to the table."""

import re
from pathlib import Path

import numpy as np

from tabular.dataset import make_dataset
from tabular.report import notes, render
from tabular.split import split_rows
from tests.tables import mixed_table


def test_the_page_needs_nothing_beside_it_and_escapes_what_it_shows(tmp_path: Path) -> None:
    table = mixed_table().assign(**{"<script>": np.linspace(0, 1, 240)})
    table.loc[:9, "label"] = None
    dataset = make_dataset(table, "label", name="a & b", source="a<b>.csv")
    split = split_rows(dataset.row_hashes, dataset.codes, seed=0)
    picture = tmp_path / "roc.png"
    picture.write_bytes(b"\x89PNG")
    page = render(
        dataset,
        split,
        title="a & b",
        summary="one sentence",
        metrics={"holdout_f1_macro": 0.91234, "cv_f1_macro": 0.9},
        pictures=[picture],
        example=[{"name": "it's <b>"}],
    )
    assert "<script" not in page
    assert "a &amp; b" in page and "a&lt;b&gt;.csv" in page
    assert "0.9123" in page and "0.9000" in page
    assert "10 rows have no &#39;label&#39;: left out." in page
    assert "&#39;customer&#39; is an identifier" in page
    outside = re.findall(r'(?:src|href)="(?!data:)', page)
    assert outside == []


def test_every_change_to_the_table_is_noted() -> None:
    table = mixed_table(300)[["amount", "label"]].assign(
        size=["NA"] * 20 + [str(i + 0.5) for i in range(280)],
        garage=(["None", "brick", "wood"] * 100),
    )
    table.loc[0, "label"] = "once"
    dataset = make_dataset(table.astype({"garage": "str"}), "label", name="t", source="t")
    said = " ".join(notes(dataset, split_rows(dataset.row_hashes, dataset.codes, seed=0)))
    assert "'size' is a number; 'NA' in it means a missing value" in said
    assert "'garage' has the value 'None'" in said
    assert "not in the holdout: 'once'" in said
