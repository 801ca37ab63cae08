"""A column that looks like a group is named, and no other."""

import numpy as np
import pandas as pd
import pytest

from tabular.table.dataset import load_dataset, make_dataset
from tabular.table.structure import Structure
from tests.tables import mixed_table


def repeated(noise: float, *, same_class: bool) -> pd.DataFrame:
    """60 people with five rows each."""
    rng = np.random.default_rng(0)
    person = rng.permutation(np.repeat(np.arange(60), 5))
    features = rng.normal(size=(60, 4))[person] + rng.normal(0, noise, (300, 4))
    y = rng.integers(0, 2, 60)[person] if same_class else rng.integers(0, 2, 300)
    table = pd.DataFrame(features.round(3), columns=["a", "b", "c", "d"])
    return table.assign(person=[f"p{one}" for one in person], y=np.where(y, "yes", "no"))


def notes(table: pd.DataFrame, structure: Structure | None = None) -> str:
    dataset = make_dataset(table, "y", name="t", source="t", structure=structure or Structure())
    return " ".join(dataset.notes)


@pytest.mark.parametrize(("noise", "same_class"), [(0.05, False), (0.5, True)])
def test_a_column_whose_rows_are_alike_is_named(noise: float, same_class: bool) -> None:
    table = repeated(noise, same_class=same_class)
    assert "give group=person" in notes(table)
    numbered = table.assign(person=table["person"].str[1:].astype(int))
    assert "give group=person" in notes(numbered)
    assert "group=" not in notes(table, Structure(("person",)))


def test_repeated_values_alone_are_not_named() -> None:
    assert "group=" not in notes(repeated(10.0, same_class=False))
    table = mixed_table(600).rename(columns={"label": "y"})
    assert "group=" not in notes(table)


@pytest.mark.parametrize("as_date", [True, False])
def test_when_a_row_was_is_no_group(as_date: bool) -> None:
    table = repeated(0.05, same_class=False)
    day = table.pop("person").str[1:].astype(int)
    table["day"] = pd.Timestamp("2024-01-01") + pd.to_timedelta(day, "D") if as_date else day
    assert "group=" not in notes(table, Structure(time="" if as_date else "day"))


@pytest.mark.parametrize("name", ["iris", "wine", "breast_cancer", "digits"])
def test_a_toy_table_has_no_groups(name: str) -> None:
    assert "group=" not in " ".join(load_dataset(name).notes)
