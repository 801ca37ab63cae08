"""Slices name the rows that are answered worse, and how sure that is."""

import numpy as np
import pandas as pd

from custom_model.served.columns import Column
from tabular.report.slices import worst_slices

COLUMNS = (
    Column("city", "category", required=False),
    Column("age", "number", required=False),
    Column("joined", "date"),
    Column("note", "text"),
)


def table(n_rows: int = 400) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "city": pd.array(rng.choice(["Ulm", "Bonn", "Köln"], n_rows), dtype="str"),
            "age": np.where(rng.random(n_rows) < 0.2, np.nan, rng.normal(40, 10, n_rows)),
            "joined": pd.Timestamp("2024-01-01")
            + pd.to_timedelta(rng.integers(0, 300, n_rows), "D").as_unit("us"),
            "note": pd.array(["a b c"] * n_rows, dtype="str"),
        }
    )


def test_the_worst_slice_comes_first_and_is_certain() -> None:
    frame = table()
    right = np.ones(400, dtype=bool)
    bonn = np.flatnonzero(frame["city"] == "Bonn")
    right[bonn[: len(bonn) // 2]] = False
    [worst, *rest] = worst_slices(frame, COLUMNS, right, confidence=0.95)
    assert (worst.column, worst.values, worst.rows) == ("city", "= Bonn", len(bonn))
    assert worst.p_value < 1e-6
    assert worst.rest == 1.0
    assert all(part.accuracy.value >= worst.accuracy.value for part in rest)


def test_missing_values_and_bands_are_slices() -> None:
    frame = table()
    right = ~frame["age"].isna().to_numpy()
    [worst] = [s for s in worst_slices(frame, COLUMNS, right, confidence=0.95) if s.rest == 1]
    assert (worst.column, worst.values) == ("age", "missing")
    late = (frame["joined"] < "2024-10-01").to_numpy()
    [worst, *_] = worst_slices(frame, COLUMNS, late, confidence=0.95)
    assert worst.column == "joined"
    assert worst.values.endswith("2024-10-26")


def test_slices_of_fewer_than_thirty_rows_are_not_judged() -> None:
    assert worst_slices(table(29), COLUMNS, np.zeros(29, dtype=bool), confidence=0.95) == []
    right = np.ones(400, dtype=bool)
    right[:20] = False
    frame = table().assign(city=["Rom"] * 20 + ["Ulm"] * 380)
    assert "= Rom" not in {s.values for s in worst_slices(frame, COLUMNS, right, confidence=0.9)}


def test_errors_at_random_make_no_slice_certain() -> None:
    rng = np.random.default_rng(0)
    certain = 0
    for _ in range(100):
        found = worst_slices(table(), COLUMNS, rng.random(400) < 0.8, confidence=0.95)
        certain += any(part.p_value < 0.05 for part in found)
    assert certain <= 10
