"""Everything that a person can do to a registry, in any order, between promotions and rollbacks."""

import itertools
import os
from contextlib import suppress

import hypothesis.strategies as st
import mlflow
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.tracking._tracking_service.utils import _get_store

from tabular.errors import BadInput
from tabular.store import production, registry

STAGES = ["None", "Staging", "Production", "Archived"]
OURS = {"bundle_sha256": "0"}
KEYS = ["promoted_at", "rolled_back_at", "bundle_sha256"]
SEQUENCES = int(os.environ.get("REGISTRY_SEQUENCES", "20"))
numbers = itertools.count()
turns = st.integers(0, 99)
texts = st.sampled_from(
    [
        None,
        *("", "yesterday", "2999-12-31T23:59:59.999999Z", "2001-01-01T00:00:00.000000Z", "zzz"),
        '{"action": "promote", "source": 1, "target": 2, "at": "2030-01-01T00:00:00.000000Z", '
        '"by": "a person", "reason": "edited"}',
    ]
)


class Registry(RuleBasedStateMachine):
    """One model of a registry that all examples share."""

    def __init__(self) -> None:
        super().__init__()
        self.client = MlflowClient()
        self.name = f"m{next(numbers)}"
        self.experiment = self.client.search_experiments()[0].experiment_id
        self.client.create_registered_model(self.name)
        self.add(OURS)
        self.stages = bool(registry.candidates(self.name)[0].stage)

    def add(self, tags: dict[str, str]) -> None:
        run = self.client.create_run(self.experiment)
        self.client.create_model_version(self.name, "s3://m", run.info.run_id, tags=tags)

    def versions(self) -> list[int]:
        return [int(v.version) for v in registry.versions_of(self.name)]

    def pick(self, turn: int) -> str:
        versions = sorted(self.versions())
        return str(versions[turn % len(versions)])

    def has_versions(self) -> bool:
        return bool(self.versions())

    # --- what this project does ----------------------------------------------------------------

    @precondition(has_versions)
    @rule(turn=turns)
    def promote(self, turn: int) -> None:
        version = int(self.pick(turn))
        production.restore(self.name, by="promote")
        registry.candidates(self.name)
        production.put_forward(self.name, version, reason=f"to {version}", by="promote")
        assert production.champion(self.name) == version
        self.agrees()

    @rule()
    def restore(self) -> None:
        lost = production.champion(self.name) is None
        before = production.version_before(self.name)
        production.restore(self.name, by="promote")
        if lost and before is None:
            assert production.champion(self.name) is None  # the job's sentence says what to do
        else:
            assert not lost or production.champion(self.name) == before
            self.agrees()

    @rule()
    def rollback(self) -> None:
        try:
            move = production.put_back(self.name, reason="bad", by="rollback")
        except BadInput as error:
            assert "no version to go back to" in str(error) and "\n" not in str(error)
            if production.champion(self.name) is not None:
                self.agrees()
        else:
            assert production.champion(self.name) == move.target
            self.agrees()

    def agrees(self) -> None:
        """Alias, stage and history name one version, which is there."""
        client, name = self.client, self.name
        versions = {int(v.version): registry.stage_of(v) for v in registry.versions_of(name)}
        aliases = {a: int(v) for a, v in client.get_registered_model(name).aliases.items()}
        champion = aliases["champion"]
        assert champion in versions
        if self.stages:
            live = [number for number, stage in versions.items() if stage == "Production"]
            assert live == [champion]
        assert aliases.get("previous") == production.version_before(name) != champion
        moves = production.history(name)
        targets = [move.target for move in moves]
        assert targets[-1] == champion
        assert [move.source for move in moves] == [None, *targets[:-1]]
        assert registry.resolve(f"models:/{name}@champion") == f"models:/{name}/{champion}"

    # --- what a person does --------------------------------------------------------------------

    @rule(tags=st.sampled_from([OURS, {}]))
    def register(self, tags: dict[str, str]) -> None:
        self.add(tags)

    @precondition(has_versions)
    @rule(turn=turns, in_production=st.booleans())
    def delete(self, turn: int, in_production: bool) -> None:
        champion = production.champion(self.name)
        version = str(champion) if champion and in_production else self.pick(turn)
        self.client.delete_model_version(self.name, version)

    @precondition(has_versions)
    @rule(turn=turns, label=st.sampled_from(["champion", "previous", "theirs", *STAGES]))
    def move_a_label(self, turn: int, label: str) -> None:
        version = self.pick(turn)
        if label not in STAGES:
            self.client.set_registered_model_alias(self.name, label, version)
        elif self.stages:
            with registry.stages_are_deprecated():
                self.client.transition_model_version_stage(self.name, version, label)

    @rule(alias=st.sampled_from(["champion", "previous"]))
    def delete_an_alias(self, alias: str) -> None:
        self.client.delete_registered_model_alias(self.name, alias)

    @rule(turn=turns, key=st.sampled_from(["move", *KEYS]), text=texts)
    def edit_a_tag(self, turn: int, key: str, text: str | None) -> None:
        client, name = self.client, self.name
        tags = sorted(client.get_registered_model(name).tags) or ["move_0"]
        if key == "move" and text is None:
            client.delete_registered_model_tag(name, tags[turn % len(tags)])
        elif key == "move":
            client.set_registered_model_tag(name, tags[turn % len(tags)], text)
        elif self.has_versions() and text is None:
            client.delete_model_version_tag(name, self.pick(turn), key)
        elif self.has_versions():
            client.set_model_version_tag(name, self.pick(turn), key, text)

    @precondition(has_versions)
    @rule(turn=turns)
    def rename_and_purge_a_run(self, turn: int) -> None:
        run_id = self.client.get_model_version(self.name, self.pick(turn)).run_id
        with suppress(MlflowException):  # it was purged before
            _get_store()._hard_delete_run(run_id)
        assert registry.candidates(self.name)
        if self.stages:  # aliases and tags of a renamed model are Unity Catalog's own
            new = f"m{next(numbers)}"
            self.client.rename_registered_model(self.name, new)
            self.name = new


def explore(examples: int) -> None:
    if mlflow.get_tracking_uri().startswith("http"):
        pytest.skip("runs are purged in the database of this process")
    run_state_machine_as_test(
        Registry,
        settings=settings(
            max_examples=examples,
            stateful_step_count=20,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_alias_stage_and_history_agree_after_whatever_a_person_did(each_registry: str) -> None:
    explore(1)


@pytest.mark.slow
def test_alias_stage_and_history_agree_after_many_sequences(each_registry: str) -> None:
    explore(SEQUENCES)
