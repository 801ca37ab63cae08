"""Rows that belong together, came later or count more."""

import dataclasses
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tabular.errors import BadInput
from tabular.table.dataset import make_dataset
from tabular.table.split import hash_rows, make_folds, split_rows
from tabular.table.structure import OFF, Structure, combined, cut_of, structure_of, to_metadata

rows = st.lists(
    st.tuples(st.integers(0, 12), st.integers(0, 9), st.integers(0, 2)), min_size=2, max_size=60
)


def table(n_rows: int = 120) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "x": rng.normal(size=n_rows),
            "person": np.repeat([f"p{i}" for i in range(n_rows // 4)], 4),
            "day": pd.Timestamp("2024-01-01") + pd.to_timedelta(np.arange(n_rows) // 3, "D"),
            "times": rng.integers(1, 4, n_rows),
            "y": np.where(np.arange(n_rows) % 2, "yes", "no"),
        }
    )


def arrays(rows: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    person, moment, code = (np.array(part) for part in zip(*rows, strict=True))
    groups = hash_rows(pd.DataFrame({"person": person}))
    return hash_rows(pd.DataFrame({"row": np.arange(len(rows))})), code, groups, moment


@given(rows, st.integers(0, 3), st.booleans())
@settings(max_examples=150, deadline=None)
def test_no_group_is_on_two_sides_or_in_two_folds(rows: Any, seed: int, timed: bool) -> None:
    hashes, codes, groups, moments = arrays(rows)
    if timed and len(set(moments)) == 1:
        return
    given_moments = moments if timed else None
    split = split_rows(hashes, codes, seed=seed, groups=groups, moments=given_moments)
    assert not set(groups[split.holdout]) & set(groups[split.train])
    folds = make_folds(hashes, codes, seed=seed, groups=groups, moments=given_moments)
    for inside, outside in folds:
        assert len(inside) and len(outside)
        assert not set(groups[inside]) & set(groups[outside])


@given(rows, st.booleans())
@settings(max_examples=100, deadline=None)
def test_what_is_fitted_on_is_older_than_what_is_predicted(rows: Any, grouped: bool) -> None:
    hashes, codes, groups, moments = arrays(rows)
    if len(set(moments)) == 1:
        return
    of_groups = groups if grouped else None
    split = split_rows(hashes, codes, seed=0, groups=of_groups, moments=moments)
    assert split.holdout.any()
    assert (moments[split.train] < moments[split.holdout].min()).all()
    validated: list[int] = []
    for inside, outside in make_folds(hashes, codes, seed=0, groups=of_groups, moments=moments):
        assert moments[inside].max() < moments[outside].min()
        validated += outside.tolist()
    assert len(validated) == len(set(validated))


def test_a_group_keeps_its_side_when_the_table_grows() -> None:
    hashes, codes, groups, _ = arrays([(i // 5, 0, i % 2) for i in range(1000)])
    small = split_rows(hashes[:600], codes[:600], seed=1, groups=groups[:600]).holdout
    assert (split_rows(hashes, codes, seed=1, groups=groups).holdout[:600] == small).all()
    assert 0.1 < small.mean() < 0.3


def test_group_folds_do_not_depend_on_the_order_of_the_table() -> None:
    hashes, codes, groups, _ = arrays([(i // 5, 0, i % 3 % 2) for i in range(100)])
    order = np.random.default_rng(0).permutation(100)
    before = make_folds(hashes, codes, seed=0, groups=groups)
    after = make_folds(hashes[order], codes[order], seed=0, groups=groups[order])
    assert [sorted(order[v]) for _, v in after] == [sorted(v) for _, v in before]
    assert len(before) == 5


def test_columns_with_a_role_are_no_features() -> None:
    structure = Structure(("person",), "day", "times")
    dataset = make_dataset(table(), "y", name="t", source="t", structure=structure)
    assert [column.name for column in dataset.columns] == ["x"]
    assert dataset.table_columns == ("x", "person", "day")
    kept = dataset.labelled(np.arange(120) < 5)
    assert list(kept) == ["x", "y", "person", "day", "times"]
    assert kept["times"].tolist() == table()["times"][:5].tolist()
    assert kept["day"].tolist() == table()["day"][:5].tolist()


def test_groups_times_and_weights_are_read_alike_from_csv_and_parquet() -> None:
    typed = table()
    texts = typed.astype("str").assign(times=typed["times"].map(lambda one: f" {one}.0 "))
    structure = Structure(("person",), "day", "times")
    a, b = (
        make_dataset(frame, "y", name="t", source="t", structure=structure)
        for frame in (typed, texts)
    )
    for one, other in zip(vars(a.roles).values(), vars(b.roles).values(), strict=True):
        assert (one == other).all()
    assert a.digest == b.digest


def test_a_structure_and_its_weights_change_the_digest() -> None:
    changed = table().assign(times=9)
    named = Structure((), "", "times")
    digests = {
        make_dataset(frame, "y", name="t", source="t", structure=structure).digest
        for frame, structure in (
            (table(), Structure()),
            (table(), Structure(("person",))),
            (table(), Structure((), "day")),
            (table(), named),
            (changed, named),
        )
    }
    assert len(digests) == 5


def test_a_row_of_weight_0_counts_as_absent() -> None:
    frame = table().assign(times=np.where(np.arange(120) < 20, 0, 1))
    structure = Structure((), "", "times")
    a, b = (
        make_dataset(part, "y", name="t", source="t", structure=structure)
        for part in (frame, frame[20:])
    )
    assert a.digest == b.digest


def test_rows_without_a_group_are_groups_of_their_own() -> None:
    frame = table().assign(person=lambda t: t["person"].where(np.arange(120) >= 8))
    dataset = make_dataset(frame, "y", name="t", source="t", structure=Structure(("person",)))
    assert dataset.roles.groups is not None
    assert len(set(dataset.roles.groups)) == 8 + 28


@pytest.mark.parametrize(
    ("structure", "change", "message"),
    [
        (Structure(("persn",)), {}, "group column 'persn' not found.*did you mean 'person'"),
        (Structure(("y",)), {}, "'y' is given as group and as target"),
        (Structure(("times",), "", "times"), {}, "'times' is given as weight and as group"),
        (Structure(("day",), "day"), {}, "'day' is given as time and as group"),
        (Structure(("person", "person")), {}, "'person' is given as group and as group"),
        (Structure((), "person"), {}, "time column 'person'.*found 'p0'"),
        (Structure((), "day"), {"day": "2024-01-01"}, "has one moment only"),
        (Structure((), "times"), {"times": ["7", "7.0"] * 60}, "has one moment only"),
        (Structure((), "", "person"), {}, "weight column 'person'.*found 'p0'"),
        (Structure((), "", "times"), {"times": 0}, "0 in every row"),
        (Structure((), "", "times"), {"times": -1.0}, "found '-1.0'"),
        (Structure((), "", "times"), {"times": np.nan}, "found no value"),
        (Structure((), "", "times"), {"times": np.inf}, "found 'inf'"),
    ],
)
def test_a_misused_column_is_refused(
    structure: Structure, change: dict[str, Any], message: str
) -> None:
    with pytest.raises(BadInput, match=message):
        make_dataset(table().assign(**change), "y", name="t", source="t", structure=structure)


def test_a_version_carries_its_structure() -> None:
    structure = Structure(("a", "b"), "t", "w")
    metadata = to_metadata(structure, "2024-01-01")
    assert structure_of(metadata) == structure
    assert cut_of(metadata) == "2024-01-01"
    assert to_metadata(Structure()) == {}
    assert structure_of(None) == Structure()


def test_what_is_not_given_is_inherited_and_none_turns_it_off() -> None:
    former = Structure(("a",), "t", "w")
    assert combined("", "", "", former) == former
    assert combined("b, c", OFF, "", former) == Structure(("b", "c"), "", "w")
    assert combined(OFF, "", OFF, former) == dataclasses.replace(former, group=(), weight="")
