"""The side of a row is a property of the row."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tabular.table.split import HOLDOUT_SHARE, hash_rows, make_folds, split_rows
from tests.tables import mixed_table

cells = st.integers(-50, 50) | st.sampled_from(["a", "b", "?", "", "x y"]) | st.floats(-5, 5)
tables = st.lists(st.tuples(cells, cells, st.sampled_from([0, 1, 2])), min_size=2, max_size=60)


def frame_and_codes(rows: list[tuple[Any, Any, int]]) -> tuple[pd.DataFrame, np.ndarray]:
    texts = [(str(a), str(b)) for a, b, _ in rows]
    return pd.DataFrame(texts, columns=["a", "b"]), np.array([code for *_, code in rows])


@given(tables, st.randoms(), st.integers(0, 5))
@settings(max_examples=60, deadline=None)
def test_the_order_of_rows_and_columns_does_not_matter(rows: Any, random: Any, seed: int) -> None:
    frame, codes = frame_and_codes(rows)
    order = list(range(len(rows)))
    random.shuffle(order)
    before = split_rows(hash_rows(frame), codes, seed=seed).holdout
    shuffled = frame[["b", "a"]].iloc[order].reset_index(drop=True)
    after = split_rows(hash_rows(shuffled), codes[order], seed=seed).holdout
    assert (before[order] == after).all()


@given(tables, st.integers(0, 5))
@settings(max_examples=60, deadline=None)
def test_a_duplicate_row_never_straddles_the_split(rows: Any, seed: int) -> None:
    frame, codes = frame_and_codes(rows)
    hashes = hash_rows(frame)
    holdout = split_rows(hashes, codes, seed=seed).holdout
    assert not set(hashes[holdout]) & set(hashes[~holdout])


@given(tables, st.integers(0, 5))
@settings(max_examples=60, deadline=None)
def test_every_class_that_can_be_on_both_sides_is(rows: Any, seed: int) -> None:
    frame, codes = frame_and_codes(rows)
    hashes = hash_rows(frame)
    split = split_rows(hashes, codes, seed=seed)
    assert set(codes) == set(codes[split.train])
    for code in set(codes) - set(split.one_sided):
        assert code in codes[split.holdout]
    if len(set(hashes)) == len(hashes):  # a duplicate may tie one class to another
        for code in split.one_sided:
            assert (codes == code).sum() == 1


def test_a_row_keeps_its_side_when_the_table_grows() -> None:
    table = mixed_table(600).drop(columns="label")
    codes = np.arange(600) % 3
    small = split_rows(hash_rows(table[:400]), codes[:400], seed=1).holdout
    large = split_rows(hash_rows(table), codes, seed=1).holdout
    assert (small == large[:400]).all()


def test_a_row_has_one_hash_in_csv_and_parquet(tmp_path: Any) -> None:
    table = mixed_table()
    table.to_csv(tmp_path / "t.csv", index=False)
    csv = pd.read_csv(tmp_path / "t.csv", dtype=str, na_filter=False)
    assert (hash_rows(csv) == hash_rows(table)).all()


def test_a_marked_missing_value_hashes_as_an_empty_one() -> None:
    marked = pd.DataFrame({"a": ["1", "?", "n/a", ""]})
    empty = pd.DataFrame({"a": pd.array([1, None, None, None], dtype="Int64")})
    assert (hash_rows(marked) == hash_rows(empty)).all()


@pytest.mark.parametrize("seed", [0, 1, 42])
def test_about_a_fifth_is_held_out(seed: int) -> None:
    frame = pd.DataFrame({"x": np.arange(20_000)})
    holdout = split_rows(hash_rows(frame), np.arange(20_000) % 2, seed=seed).holdout
    assert abs(holdout.mean() - HOLDOUT_SHARE) < 0.01


def test_two_seeds_hold_out_different_rows() -> None:
    hashes = hash_rows(pd.DataFrame({"x": np.arange(20_000)}))
    sides = [split_rows(hashes, np.arange(20_000) % 2, seed=seed).holdout for seed in (1, 2)]
    assert abs((sides[0] & sides[1]).mean() - HOLDOUT_SHARE**2) < 0.01


def test_folds_cover_every_row_once_and_keep_duplicates_together() -> None:
    hashes = hash_rows(pd.DataFrame({"x": np.repeat(np.arange(50), 3)}))
    codes = np.repeat(np.arange(50) % 2, 3)
    folds = make_folds(hashes, codes, seed=0)
    validated = np.concatenate([outside for _, outside in folds])
    assert sorted(validated) == list(range(150))
    for inside, outside in folds:
        assert not set(hashes[inside]) & set(hashes[outside])


def test_few_rows_get_fewer_folds() -> None:
    hashes = hash_rows(pd.DataFrame({"x": range(5)}))
    assert len(make_folds(hashes, np.array([0, 0, 0, 1, 1]), seed=0)) == 3
    assert make_folds(hashes[:2], np.array([0, 1]), seed=0) == []


def test_the_only_row_of_a_class_is_fitted_on_in_every_fold() -> None:
    hashes = hash_rows(pd.DataFrame({"x": range(21)}))
    codes = np.array([0] * 10 + [1] * 10 + [2])
    assert all(
        20 in inside and 20 not in outside for inside, outside in make_folds(hashes, codes, seed=0)
    )
