"""Small real tables, made from a seed."""

from typing import Any

import numpy as np
import pandas as pd


def mixed_table(n_rows: int = 240, seed: int = 0) -> pd.DataFrame:
    """A table with a column of every kind, typed as Parquet holds it.

    `label` depends on `amount`, `plan` and `active`. `income`, `city`, `flag`, `seen` and `note`
    have missing values, the others none.
    """
    rng = np.random.default_rng(seed)

    def sometimes(values: Any, share: float = 0.1) -> list[Any]:
        return [None if rng.random() < share else value for value in values]

    amount = rng.normal(50, 10, n_rows).round(2)
    plan = rng.choice(["basic", "plus", "pro, “gold”"], n_rows)
    active = rng.random(n_rows) < 0.6
    score = (amount - 50) / 10 + (plan == "plus") - active + rng.normal(0, 0.7, n_rows)
    words = ["late", "again", "parcel", "thanks", "refund", "broken", "fast", "good", "service"]
    notes = [" ".join(rng.choice(words, 5)) for _ in range(n_rows)]
    days = pd.Timestamp("2024-01-01") + pd.to_timedelta(rng.integers(0, 300, n_rows), "D")
    moments = days + pd.to_timedelta(rng.integers(0, 86_400, n_rows), "s")
    return pd.DataFrame(
        {
            "customer": [f"C{i:05d}-{rng.integers(1000)}" for i in range(n_rows)],
            "amount": amount,
            "visits": rng.integers(0, 9, n_rows),
            "income": pd.array(sometimes(rng.normal(3, 1, n_rows).round(3)), dtype="Float64"),
            "label": np.where(score > 0.3, "yes", "no"),
            "plan": plan,
            "region": rng.choice([110, 205, 940], n_rows),
            "city": pd.array(sometimes(rng.choice(["Ulm", "Bonn", "Köln"], n_rows)), dtype="str"),
            "active": active,
            "flag": pd.array(sometimes(list(rng.random(n_rows) < 0.5)), dtype="boolean"),
            "joined": days,
            "seen": pd.Series(sometimes(list(moments)), dtype="datetime64[us]"),
            "note": pd.array(sometimes(notes), dtype="str"),
            "currency": "EUR",
        }
    )


MIXED_ROW: dict[str, Any] = {
    "amount": 61.5,
    "visits": 3,
    "income": 2.5,
    "plan": "plus",
    "region": 205,
    "city": "Ulm",
    "active": True,
    "flag": False,
    "joined": "2024-05-01",
    "seen": "2024-05-01T08:30:00",
    "note": "late parcel again thanks service",
}
"""A row of `mixed_table` as a JSON client sends it."""
