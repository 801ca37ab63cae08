"""Labels that came later: which rows they are joined to, what is counted, and what is refused."""

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tabular.errors import BadInput
from tabular.models.late_labels import LateLabels, join_labels
from tabular.table.files import read_table

ROWS = pd.DataFrame({"id": [1, 2, 3, 4], "part": ["a", "a", "b", "b"], "x": [0.1, 0.2, 0.3, 0.4]})
OUTCOMES = pd.DataFrame({"id": [4, 1, 9], "y": ["yes", "no", "no"]})


def written(frame: pd.DataFrame, file: Path) -> str:
    if file.suffix == ".csv":
        frame.to_csv(file, index=False)
    elif file.suffix == ".parquet":
        frame.to_parquet(file)
    else:
        frame.to_json(file, orient="records", lines=True)
    return str(file)


def join(
    folder: Path,
    rows: pd.DataFrame = ROWS,
    late: pd.DataFrame = OUTCOMES,
    key: tuple[str, ...] = ("id",),
    target: str = "y",
    endings: tuple[str, str] = ("csv", "csv"),
) -> LateLabels:
    data = written(rows, folder / f"rows.{endings[0]}")
    labels = written(late, folder / f"late.{endings[1]}")
    joined = join_labels(read_table(data), data, labels, key, target, ("no", "yes"))
    assert joined
    return joined


def test_rows_and_labels_without_a_partner_are_counted(tmp_path: Path) -> None:
    joined = join(tmp_path)
    assert joined.labels.tolist() == ["no", None, None, "yes"]
    assert joined.target == "y"
    assert joined.metrics == {"rows_without_label": 2, "labels_without_row": 1}
    assert joined.notes == [
        f"2 of 4 rows have a label in {tmp_path}/late.csv by id; 1 of 3 labels belong to no row."
    ]


@pytest.mark.parametrize("endings", list(itertools.product(("csv", "parquet", "jsonl"), repeat=2)))
@pytest.mark.parametrize(
    ("here", "there"),
    [
        ([7, 8, 9], ["7", "8", "9"]),
        ([7, 8, 9], [7.0, 8.0, 9.0]),
        (["7", "8", "9"], ["7.0", "08", " 9 "]),
        ([2**60 + 1, 2**60 + 2, 2**60 + 3], [str(2**60 + n) for n in (1, 2, 3)]),
        ([7.5, 8.25, 9.0], ["7.50", "8.250", "9"]),
        ([True, False, True], ["true", "false", "true"]),
        (["2024-01-31", "2024-02-01", "2024-02-13"], ["31.01.2024", "01.02.2024", "13.02.2024"]),
        (["é-1", "ü-2", "3"], ["é-1 ", "ü-2", "3"]),
    ],
)
def test_one_key_in_two_notations_joins(
    here: list[Any], there: list[Any], endings: tuple[str, str], tmp_path: Path
) -> None:
    values = ["no", "yes", "no"]
    joined = join(
        tmp_path,
        pd.DataFrame({"id": here, "x": range(3)}),
        pd.DataFrame({"id": there, "y": values}),
        endings=endings,
    )
    assert joined.labels.tolist() == values


def test_moments_join_texts_of_them(tmp_path: Path) -> None:
    days = pd.to_datetime(["2024-01-31", "2024-01-31"])
    joined = join(
        tmp_path,
        pd.DataFrame({"id": [1, 2], "day": days, "x": 0}),
        pd.DataFrame({"id": [2, 1], "day": ["2024-01-31"] * 2, "y": ["no", "yes"]}),
        key=("id", "day"),
        endings=("parquet", "csv"),
    )
    assert joined.labels.tolist() == ["yes", "no"]


def test_large_numbers_that_differ_in_the_last_digit_are_different_keys(tmp_path: Path) -> None:
    ids = [2**60 + 1, 2**60 + 2]
    rows = pd.DataFrame({"id": ids, "x": 0})
    joined = join(tmp_path, rows, pd.DataFrame({"id": ids, "y": ["no", "yes"]}))
    assert joined.labels.tolist() == ["no", "yes"]


def test_identifiers_that_look_like_huge_numbers_stay_apart(tmp_path: Path) -> None:
    ids = ["12e45678", "12e45679", "1e999"]
    late = pd.DataFrame({"id": ids, "y": ["no", "yes", "no"]})
    assert join(tmp_path, late.drop(columns="y"), late).labels.tolist() == ["no", "yes", "no"]


def test_a_key_of_two_columns_needs_both(tmp_path: Path) -> None:
    late = pd.DataFrame({"id": [1, 1], "part": ["a", "b"], "y": ["yes", "no"]})
    joined = join(tmp_path, late=late, key=("id", "part"))
    assert joined.labels.tolist() == ["yes", None, None, None]


def test_a_label_given_twice_alike_is_one_label(tmp_path: Path) -> None:
    joined = join(tmp_path, late=pd.concat([OUTCOMES, OUTCOMES]))
    assert joined.labels.tolist() == ["no", None, None, "yes"]
    assert "1 of 3 labels belong to no row" in joined.notes[-1]


def test_an_empty_label_beside_one_does_not_count(tmp_path: Path) -> None:
    late = pd.DataFrame({"id": [1, 1, 4], "y": [None, "no", "yes"]})
    assert join(tmp_path, late=late).labels.tolist() == ["no", None, None, "yes"]


def test_a_row_or_label_without_a_key_has_no_partner(tmp_path: Path) -> None:
    rows, late = ROWS.astype({"id": object}), OUTCOMES.astype({"id": object})
    rows.loc[0, "id"] = late.loc[2, "id"] = None
    joined = join(tmp_path, rows, late)
    assert joined.labels.tolist() == [None, None, None, "yes"]
    assert joined.metrics == {"rows_without_label": 3, "labels_without_row": 2}


def test_rows_that_share_a_key_share_its_label_and_are_counted(tmp_path: Path) -> None:
    late = pd.DataFrame({"part": ["a", "b"], "y": ["yes", None]})
    joined = join(tmp_path, late=late, key=("part",))
    assert joined.labels.tolist() == ["yes", "yes", None, None]
    assert joined.notes[-1].startswith("2 of these rows share a key")


def test_the_only_other_column_holds_the_labels_whatever_its_name(tmp_path: Path) -> None:
    joined = join(tmp_path, late=OUTCOMES.rename(columns={"y": "outcome"}))
    assert (joined.target, joined.labels[0]) == ("y", "no")
    assert join(tmp_path, target="").target == "y"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"key": ("no",)}, "key column 'no' not found in .*rows.csv; possible: id, part, x"),
        ({"key": ("id", "x")}, "key column 'x' not found in .*late.csv; possible: id, y"),
        ({"rows": ROWS.assign(y="no")}, "rows.csv has the column 'y' itself"),
        ({"late": OUTCOMES.assign(z=1), "target": "w"}, "late.csv has no column 'w', .* are y, z"),
        ({"late": OUTCOMES[["id"]]}, "late.csv has no column 'y', and it has no other column"),
        ({"late": OUTCOMES.assign(y=None)}, "target 'y' of .*late.csv has no labels"),
        ({"late": OUTCOMES.assign(id=[7, 8, 9])}, "no row .*: id the text '1' .*, id the text '7'"),
        (
            {"late": pd.DataFrame({"id": [1, 4, 1.0], "y": ["no", "yes", "yes"]})},
            "late.csv has two labels for id the text '1.0': 'no' and 'yes'; give one",
        ),
    ],
)
def test_what_cannot_be_joined_is_refused_in_one_sentence(
    change: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(BadInput, match=message):
        join(tmp_path, **change)


def test_labels_and_key_go_together(tmp_path: Path) -> None:
    table = read_table(written(ROWS, tmp_path / "rows.csv"))
    assert join_labels(table, "rows.csv", "", (), "y", ()) is None
    with pytest.raises(BadInput, match="labels is given without key"):
        join_labels(table, "rows.csv", "late.csv", (), "y", ())
    with pytest.raises(BadInput, match="key is given without labels"):
        join_labels(table, "rows.csv", "", ("id",), "y", ())


def test_a_hundred_thousand_labels_in_any_order_find_their_rows(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = pd.DataFrame({"id": [f"{n:032x}" for n in rng.integers(0, 2**63, 100_000)], "x": 0})
    late = rows[["id"]].assign(y=rng.choice(["no", "yes"], len(rows)))
    shuffled = late.sample(frac=1, random_state=0)
    joined = join(tmp_path, rows, shuffled, endings=("parquet", "parquet"))
    assert joined.labels.tolist() == late["y"].tolist()
