"""What a sweep keeps for its continuation."""

from pathlib import Path

import mlflow
import numpy as np
import pytest

from tabular.search.cross_validation import Trial
from tabular.store import trials as kept
from tabular.store.trials import OOF_FILE, log_oof, read_oof
from tests.conftest import Store

OOF = np.random.default_rng(0).dirichlet([1, 1, 1], 20)
TRIALS = [Trial(3, "svc", {}, oof=OOF), Trial(12, "svc", {}), Trial(1000, "mlp", {}, oof=OOF[::-1])]


def test_out_of_fold_probabilities_are_read_as_they_were_logged(store: Store) -> None:
    with mlflow.start_run() as run:
        log_oof(TRIALS)
    again = read_oof(run.info.run_id)
    assert list(again) == [3, 1000]
    assert np.array_equal(again[3], OOF)
    assert np.array_equal(again[1000], OOF[::-1])


def test_what_was_not_kept_is_empty(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "MOST_OOF_BYTES", 100)
    with mlflow.start_run() as run:
        log_oof(TRIALS)
    assert read_oof(run.info.run_id) == {}


@pytest.mark.parametrize("content", [b"", b"no archive", None])
def test_what_cannot_be_read_is_empty(store: Store, content: bytes | None) -> None:
    file = Path(OOF_FILE)
    if content is None:
        np.savez(file, t000=np.array([{}], dtype=object))  # a pickle, which is not loaded
    else:
        file.write_bytes(content)
    with mlflow.start_run() as run:
        mlflow.log_artifact(str(file))
    assert read_oof(run.info.run_id) == {}
