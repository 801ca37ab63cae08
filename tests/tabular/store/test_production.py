"""What is in production is moved, taken back, repaired and recorded on every kind of registry."""

import dataclasses
import json
import re

import pytest
from mlflow import MlflowClient

from tabular.errors import BadInput
from tabular.store import production, registry
from tabular.store.history import Move
from tests.catalog import labels_of
from tests.tabular.store.test_registry import back, make_versions, promoted, set_stage


def test_a_promotion_that_was_interrupted_is_completed_by_the_next_call(name: str) -> None:
    make_versions(name, 2)
    production.put_forward(name, 1, reason="first", by="me")
    MlflowClient().set_registered_model_alias(name, "champion", "2")  # and then the power went
    production.put_forward(name, 2, reason="again", by="me")
    assert labels_of(name) == (
        {1: "Archived", 2: "Production"},
        {"champion": 2, "previous": 1},
    )
    assert [move.target for move in production.history(name)] == [1, 2]


def test_a_rollback_that_was_interrupted_is_completed(name: str) -> None:
    promoted(name, 1, 2, 3)
    MlflowClient().set_registered_model_alias(name, "champion", "2")
    production.repair(name)
    stages = {1: "Archived", 2: "Production", 3: "Archived"}
    assert labels_of(name) == (stages, {"champion": 2, "previous": 1})
    assert production.history(name)[-1].action == "rollback"


def test_a_rollback_goes_back_along_the_history(name: str) -> None:
    promoted(name, 1, 2, 3)
    assert back(name) == 2
    MlflowClient().create_model_version(name, "s3://somewhere/m")
    production.put_forward(name, 4, reason="better", by="me")
    assert [back(name) for _ in range(2)] == [2, 1]
    with pytest.raises(BadInput, match="no version to go back to"):
        back(name)


def test_an_archived_version_that_was_deleted_is_passed_over(name: str) -> None:
    promoted(name, 1, 2, 3)
    MlflowClient().delete_model_version(name, "2")
    production.repair(name)
    assert labels_of(name)[1] == {"champion": 3, "previous": 1}
    MlflowClient().create_model_version(name, "s3://somewhere/m")
    production.put_forward(name, 4, reason="better", by="me")
    assert [back(name), back(name)] == [3, 1]


def test_where_the_version_in_production_was_deleted_the_one_before_is_put_back(name: str) -> None:
    promoted(name, 1, 2)
    MlflowClient().delete_model_version(name, "2")
    assert production.champion(name) is None
    move = production.restore(name, by="me")
    assert move is not None and "version 2 was deleted" in move.reason
    assert labels_of(name) == ({1: "Production"}, {"champion": 1})
    assert production.restore(name, by="me") is None


def test_a_rollback_after_the_version_in_production_was_deleted_goes_back_one(name: str) -> None:
    promoted(name, 1, 2, 3)
    MlflowClient().delete_model_version(name, "3")
    assert back(name) == 2
    assert labels_of(name)[1] == {"champion": 2, "previous": 1}


def test_where_every_version_that_was_in_production_is_deleted_another_one_starts(
    name: str,
) -> None:
    promoted(name, 1)
    make = MlflowClient().create_model_version(name, "s3://somewhere/m")
    MlflowClient().delete_model_version(name, "1")
    assert production.restore(name, by="me") is None
    production.put_forward(name, int(make.version), reason="new", by="me")
    assert labels_of(name) == ({2: "Production"}, {"champion": 2})


def test_a_version_that_was_taken_out_by_hand_is_not_put_back(name: str) -> None:
    promoted(name, 1, 2)
    if registry.candidates(name)[1].stage:
        set_stage(name, 2, "None")
    MlflowClient().delete_registered_model_alias(name, "champion")
    production.restore(name, by="me")
    assert labels_of(name)[1] == {"champion": 1}
    assert "rolled_back_at" in MlflowClient().get_model_version(name, "2").tags


def test_a_stage_that_was_moved_by_hand_follows_the_alias_again(name: str) -> None:
    promoted(name, 1, 2)
    set_stage(name, 1, "Production")
    set_stage(name, 2, "Staging")
    production.repair(name)
    stages = {1: "Archived", 2: "Production"}
    assert labels_of(name) == (stages, {"champion": 2, "previous": 1})


def test_without_the_alias_the_stage_says_what_is_in_production(name: str) -> None:
    make_versions(name, 3)
    set_stage(name, 1, "Production")
    set_stage(name, 2, "Production")
    assert production.champion(name) == 2
    production.put_forward(name, 3, reason="better", by="me")
    stages = {1: "Archived", 2: "Archived", 3: "Production"}
    assert labels_of(name) == (stages, {"champion": 3, "previous": 2})


def test_the_new_stage_is_set_before_the_old_one_is_cleared(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    promoted(name, 1)
    MlflowClient().create_model_version(name, "s3://somewhere/m")
    set_stage(name, 2, "Staging")
    real = MlflowClient.transition_model_version_stage

    def stop_at_the_old(self: MlflowClient, name: str, version: str, stage: str) -> object:
        if stage == "Archived":
            raise KeyboardInterrupt
        return real(self, name, version, stage)

    monkeypatch.setattr(MlflowClient, "transition_model_version_stage", stop_at_the_old)
    with pytest.raises(KeyboardInterrupt):
        production.put_forward(name, 2, reason="better", by="me")
    assert labels_of(name) == (
        {1: "Production", 2: "Production"},
        {"champion": 2, "previous": 1},
    )
    monkeypatch.undo()


UNREADABLE = (
    *("", "no JSON", "[]", "{}", "null", '{"action": "promote"}'),
    *(json.dumps({**dict.fromkeys(("source", "by", "reason"), ""), **changed}) for changed in (
        {"action": "promote", "target": "2", "at": "2026-01-01T00:00:00.000000Z"},
        {"action": "swap", "target": 2, "at": "2026-01-01T00:00:00.000000Z"},
        {"action": "promote", "target": 2, "at": "yesterday"},
        {"action": "promote", "target": 2, "at": "9999-12-31T23:59:59.999999Z"},
    )),
)  # fmt: skip


def test_a_move_that_cannot_be_read_is_named_and_passed_over(name: str) -> None:
    promoted(name, 1, 2)
    tags = {f"move_edited_{number}": text for number, text in enumerate(UNREADABLE)}
    for tag, text in tags.items():
        MlflowClient().set_registered_model_tag(name, tag, text)
    assert production.unreadable(name) == list(tags)
    assert [move.target for move in production.history(name)] == [1, 2]
    assert back(name) == 1


def test_times_that_a_person_wrote_into_tags_are_not_believed(name: str) -> None:
    promoted(name, 1, 2, 3)
    client = MlflowClient()
    client.set_model_version_tag(name, "2", "promoted_at", "yesterday")
    client.set_model_version_tag(name, "3", "rolled_back_at", "zzz")
    client.set_registered_model_alias(name, "champion", "2")
    production.repair(name)
    assert production.history(name)[-1].reason == "alias or stage set by hand"
    assert labels_of(name)[1] == {"champion": 2, "previous": 1}


def test_a_version_of_another_tool_in_production_becomes_the_previous_one(name: str) -> None:
    client = MlflowClient()
    client.create_registered_model(name)
    client.create_model_version(name, "s3://somewhere/foreign")
    client.set_registered_model_alias(name, "champion", "1")
    client.create_model_version(name, "s3://somewhere/m")
    assert production.champion(name) == 1
    production.put_forward(name, 2, reason="better", by="me")
    assert labels_of(name) == (
        {1: "Archived", 2: "Production"},
        {"champion": 2, "previous": 1},
    )
    assert back(name) == 1


def test_a_history_longer_than_a_catalog_has_tags_for_goes_on(name: str) -> None:
    make_versions(name, 2)
    if not registry.candidates(name)[0].stage:
        for second in range(44):
            past = Move(
                "promote", None, 1 + second % 2, f"2020-01-01T00:00:{second:02}.000000Z", "", ""
            )
            text = json.dumps(dataclasses.asdict(past))
            tag = f"move_{re.sub('[-.:]', '_', past.at)}"
            MlflowClient().set_registered_model_tag(name, tag, text)
    for turn in range(10):
        production.put_forward(name, 1 + turn % 2, reason="reason " * 300, by="me")
    moves = production.history(name)
    assert [move.target for move in moves[-2:]] == [1, 2]
    assert labels_of(name)[1] == {"champion": 2, "previous": 1}
    assert len(moves) >= 6
