"""A matrix of costs as users write it, and what is refused."""

import json
from pathlib import Path

import pytest

from tabular.errors import BadInput
from tabular.recipe.costs import read_costs

LABELS = ["no", "yes"]
JSON = '{"no": {"yes": 1}, "yes": {"no": 10}}'


def read(text: str, labels: list[str] = LABELS) -> list[list[float]]:
    def none(uri: str, folder: Path) -> Path:
        raise AssertionError(f"{uri} is no address")

    return read_costs(text, labels, none).tolist()


def test_json_csv_and_files_of_both_are_the_same(tmp_path: Path) -> None:
    csv = "true,yes,no\nno,1,\nyes,0,10\n"
    (tmp_path / "costs.json").write_text(JSON)
    (tmp_path / "costs.csv").write_text(csv)
    for text in (JSON, csv, str(tmp_path / "costs.json"), str(tmp_path / "costs.csv")):
        assert read(text) == [[0, 1], [10, 0]]


def test_labels_that_are_no_text_are_named_as_they_are_written() -> None:
    costs = read_costs('{"0": {"1": 2}, "1": {"0": 3}}', [0, 1], lambda _, folder: folder)
    assert costs.tolist() == [[0, 2], [3, 0]]
    costs = read_costs('{"False": {"True": 2}, "True": {"False": 3}}', [False, True], Path)
    assert costs.tolist() == [[0, 2], [3, 0]]


def test_a_right_prediction_may_cost_or_gain() -> None:
    gain = {"no": {"yes": 5}, "yes": {"no": 100, "yes": -20}}
    assert read(json.dumps(gain)) == [[0, 5], [100, -20]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"no": {"ye": 1}, "yes": {"no": 1}}', r"'ye' is no class; did you mean 'yes'"),
        ('{"no": {"yes": 1}}', r"predict 'no' for 'yes' is not given; give a cost for every pair"),
        ('{"no": {"yes": "1"}, "yes": {"no": 1}}', r"cost of 'yes' for 'no': no number, found '1'"),
        ('{"no": {"yes": true}, "yes": {"no": 1}}', "no number, found True"),
        ('{"no": {"yes": NaN}, "yes": {"no": 1}}', "expected 0 or more, found nan"),
        ('{"no": {"yes": -1}, "yes": {"no": 1}}', "expected 0 or more, found -1"),
        ('{"no": {"yes": 1' + "0" * 5000 + '}, "yes": {"no": 1}}', "expected 0 or more, found inf"),
        ('{"no": {"yes": 0}, "yes": {"no": 0}}', "every prediction costs the same"),
        ('{"no": {"yes": 1, "no": 3}, "yes": {"no": 1}}', "costs less than predicting it right"),
        ('{"no": 3}', "expected an object for each true class"),
        ('{"no": ', "is no JSON"),
        ("true,no,yes\nno,0,much\nyes,1,0\n", "no number, found 'much'"),
        ("costs.json", "'costs.json' cannot be read"),
        ("costs\0.json", "cannot be read"),
    ],
)
def test_what_cannot_be_used_is_refused_in_a_sentence(text: str, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        read(text)


def test_an_empty_file_is_refused_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "costs.csv").write_text("\n")
    with pytest.raises(BadInput, match="the file is empty; write JSON into it such as"):
        read(str(tmp_path / "costs.csv"))


def test_three_classes_need_every_pair() -> None:
    costs = {a: {b: i + 1 for b in "abc" if b != a} for i, a in enumerate("abc")}
    assert read(json.dumps(costs), list("abc")) == [[0, 1, 1], [2, 0, 2], [3, 3, 0]]
    del costs["b"]["c"]
    with pytest.raises(BadInput, match="predict 'c' for 'b'"):
        read(json.dumps(costs), list("abc"))
