"""What MLflow's pages say of versions and models is readable, bounded, and leaves others' words."""

import re
import shlex
from typing import Any

import pytest
from mlflow import MlflowClient

from custom_model.served.columns import Column
from tabular.report.pages import curl
from tabular.store import production
from tabular.store.descriptions import (
    LONGEST,
    PROMOTION,
    describe_model,
    describe_version,
    with_moves,
    with_promotion,
)
from tabular.store.history import Move
from tests.tabular.store.test_registry import back, make_versions, promoted

EVIL = ["a|b", "`tick`", "line\nbreak", "``", "<b>x</b>", "it's", "a\\", "*x*", "\ud800", "", "|"]


def of_columns(names: list[str], value: Any = "v") -> str:
    columns = [Column(name, "category") for name in names]
    example = dict.fromkeys(names, value)
    return describe_version("Good.", columns, example, "models:/m@champion", curl(example))


def cells(markdown: str) -> list[list[str]]:
    """The cells of its table, without the line below the headings."""
    rows = [line for line in markdown.splitlines() if line.startswith("|")]
    split = [re.split(r"(?<!\\)\|", row)[1:-1] for row in rows]
    return [[cell.strip() for cell in row] for row in split if set(row[0]) != set(" -")]


def test_columns_of_any_name_are_a_row_of_three_cells_each() -> None:
    rows = cells(of_columns(EVIL))
    assert len(rows) == 1 + len(EVIL)
    assert {len(row) for row in rows} == {3}
    assert rows[1:4] == [
        ["`a\\|b`", "category", "`v`"],
        ["`` `tick` ``", "category", "`v`"],
        ["`line break`", "category", "`v`"],
    ]
    of_columns(EVIL[:8]).encode()


def test_of_many_or_long_columns_as_many_are_shown_as_there_is_room_for() -> None:
    many = of_columns([f"c{number}" for number in range(10_000)])
    assert len(cells(many)) == 31 and "and 9970 more columns" in many
    assert "serving_input_example.json" in many and len(many) < 2000
    long = of_columns(["|" * 6000 + str(number) for number in range(40)], "`" * 6000)
    assert len(long) <= LONGEST - PROMOTION and "more columns" in long


def test_a_short_call_can_be_copied() -> None:
    call = of_columns(["it's"]).split("```sh\n")[1].split("\n```")[0].splitlines()
    assert shlex.split(call[0])[:4] == ["mlflow", "models", "serve", "-m"]
    assert shlex.split(call[2].strip())[1] == '{"inputs": [{"it\'s": "v"}]}'


def moves(n: int, reason: str = "because", by: str = "me") -> list[Move]:
    sources = [None, *range(1, n)]
    at = "2026-01-01T00:00:00.000000Z"
    return [Move("promote", s, (s or 0) + 1, at, by, reason) for s in sources]


def test_a_promotion_goes_into_the_first_paragraph_once() -> None:
    first, second = moves(2)
    text = with_promotion(with_promotion(of_columns(["a"]), first), second)
    assert text.startswith("Good. Promoted on 2026-01-01: because.\n\n| column")
    assert text.count("Promoted on") == 1
    own = "x" * LONGEST
    assert with_promotion(own, first) == own


def test_what_a_person_wrote_of_a_model_stays() -> None:
    ours = describe_model("species", ["a", "b"], "iris")
    once = with_moves(ours, moves(1))
    assert once.startswith(ours.split("Nothing yet")[0]) and "Nothing yet" not in once
    edited = f"Ours, since May.\n\n{once.split('iris`.')[1].strip()}\n\nAsk Ada.\n"
    twice = with_moves(edited, moves(2))
    assert twice.startswith("Ours, since May.\n\n## Production") and twice.endswith("Ask Ada.\n")
    assert [row[3:5] for row in cells(twice)[1:]] == [["1", "2"], ["", "1"]]
    assert with_moves(twice, moves(2)) == twice
    assert with_moves("A text of my own", moves(2)) == "A text of my own"
    assert with_moves("", moves(1)).startswith("## Production")


def test_a_long_history_is_shown_from_its_end_within_the_limit() -> None:
    text = with_moves("", moves(100, "why | not\n" * 100, "`" * 300))
    assert len(text) <= LONGEST
    rows = cells(text)
    assert {len(row) for row in rows} == {6} and rows[1][4] == "100"
    assert rows[-1][2] == f"and {100 - (len(rows) - 2)} before"
    full = "x" * LONGEST + "\n\n## Production\n\nNothing yet."
    assert with_moves(full, moves(1)) == full


def test_the_history_follows_every_move(name: str) -> None:
    promoted(name, 1, 2)
    back(name)
    rows = cells(MlflowClient().get_registered_model(name).description or "")
    assert [row[1:6] for row in rows[1:]] == [
        ["me", "rollback", "2", "1", "bad"],
        ["me", "promote", "1", "2", "to 2"],
        ["me", "promote", "", "1", "to 1"],
    ]


def test_a_move_by_hand_is_in_the_history_and_ones_own_words_stay(name: str) -> None:
    make_versions(name, 2)
    client = MlflowClient()
    client.update_registered_model(name, "Mine.")
    production.put_forward(name, 1, reason="first", by="me")
    assert client.get_registered_model(name).description == "Mine."
    client.update_registered_model(name, "")
    client.set_registered_model_alias(name, "champion", "2")
    production.repair(name)
    assert "| repair | promote | 1 | 2 |" in (client.get_registered_model(name).description or "")


@pytest.mark.parametrize("reason", ["a|b", "it is\nso", "x" * 5000])
def test_a_reason_of_any_text_leaves_the_table_whole(name: str, reason: str) -> None:
    make_versions(name, 1)
    production.put_forward(name, 1, reason=reason, by="me")
    rows = cells(MlflowClient().get_registered_model(name).description or "")
    assert [len(row) for row in rows] == [6, 6]
