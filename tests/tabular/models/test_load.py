"""Loaded models: how they read a table, and what they predict."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tabular.errors import BadInput
from tabular.models.load import load_model
from tabular.table.files import RawTable, read_table
from tabular.table.labels import true_labels
from tests.conftest import Store
from tests.tables import mixed_table


def test_a_version_reads_a_table_and_names_each_row_that_it_refuses(
    served: Store, tmp_path: Path
) -> None:
    model = load_model("models:/mixed/Production", str(tmp_path))
    assert (model.uri, model.target, model.classes) == ("models:/mixed/1", "label", ("no", "yes"))
    raw = mixed_table(6).drop(columns="income").astype({"amount": object, "flag": object})
    raw.loc[1, "amount"], raw.loc[2, "amount"], raw.loc[3, "flag"] = None, "many", "no"
    cells = model.read(raw, False)
    assert cells.absent == ("income",)
    assert cells.refused.tolist() == [False, True, True, True, False, False]
    assert cells.unreadable["amount"].tolist() == [False, False, True, False, False, False]
    assert cells.typed["amount"].isna().tolist() == [False, True, True, False, False, False]
    asked = model.ask(cells)
    assert asked.scored.tolist() == (~cells.refused).tolist()
    assert list(asked.reasons) == [1, 2, 3]
    assert asked.reasons[1].startswith("column 'amount': no value found")
    assert asked.reasons[2] == "column 'amount': expected a finite number, found the text 'many'"
    expected = model.pyfunc.predict(raw.iloc[[0, 4, 5]])
    assert asked.y_pred == expected["prediction"].tolist()
    assert asked.proba is not None
    assert np.abs(asked.proba["yes"] - expected["probability_yes"]).max() < 1e-9


def test_a_version_refuses_every_row_of_a_table_that_lacks_a_required_column(
    served: Store, tmp_path: Path
) -> None:
    model = load_model("models:/mixed/1", str(tmp_path))
    raw = mixed_table(3).drop(columns="amount")
    asked = model.ask(model.read(raw, False))
    assert asked.reasons == dict.fromkeys(range(3), "column 'amount': the table lacks it")
    assert (asked.y_pred, len(asked.table)) == ([], 0)
    with pytest.raises(BadInput, match=r"'amount' is missing in t\.csv, and models:/mixed/1"):
        model.check_columns(raw.columns, "t.csv")


def test_labels_keep_their_type_and_empty_ones_are_none() -> None:
    frame = pd.DataFrame({"x": ["a", "b", "c"], "y": ["1", "", "2"]}, dtype="str")
    table = RawTable(frame, as_text=True, name="t")
    assert true_labels(table, "y", "t.csv").tolist() == [1, None, 2]


def test_a_table_without_rows_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "t.csv"
    file.write_text("x,y\n")
    with pytest.raises(BadInput, match="no rows"):
        read_table(str(file))
    table = read_table("iris")
    assert (len(table.frame), table.target, table.as_text) == (150, "species", False)
