"""Which version is put into production."""

import dataclasses
from typing import Any

import pytest

from tabular.errors import BadInput
from tabular.gate import decide
from tabular.registry import Candidate


def version(number: int, f1: float | None, loss: float = 0.5, **metrics: float) -> Candidate:
    scores = {} if f1 is None else {"holdout_f1_macro": f1, "holdout_log_loss": loss, **metrics}
    return Candidate(number, "run", "None", "svc", scores, "digest")


@pytest.mark.parametrize(
    ("candidates", "champion", "chosen", "changed"),
    [
        ([version(1, 0.8), version(2, 0.9)], None, 2, True),
        ([version(1, 0.9), version(2, 0.8)], None, 1, True),
        ([version(1, 0.9), version(2, 0.8)], 1, 1, False),
        ([version(1, 0.8), version(2, 0.9)], 1, 2, True),
        ([version(1, 0.9, 0.3), version(2, 0.9, 0.2)], 1, 2, True),
        ([version(1, 0.9, 0.2), version(2, 0.9, 0.2)], 2, 2, False),
        ([version(1, 0.9, 0.2), version(2, 0.9, 0.2)], None, 1, True),
        ([version(1, None), version(2, 0.1)], 1, 2, True),
        ([version(1, None), version(2, 0.1)], None, 2, True),
    ],
)
def test_the_best_metric_wins_and_log_loss_breaks_ties(
    candidates: Any, champion: int | None, chosen: int, changed: bool
) -> None:
    decision = decide(candidates, champion, metric="f1_macro")
    assert (decision.version, decision.changed) == (chosen, changed)
    assert "f1_macro" in decision.reason


def test_a_comparison_on_other_rows_says_so() -> None:
    refreshed = dataclasses.replace(version(2, 0.9), holdout_digest="another")
    assert (
        "other held-out rows" in decide([version(1, 0.8), refreshed], 1, metric="f1_macro").reason
    )


def test_a_loss_wins_when_it_is_lower() -> None:
    decision = decide([version(1, 0.9, 0.3), version(2, 0.8, 0.2)], 1, metric="log_loss")
    assert decision.version == 2


def test_a_metric_that_no_version_has_is_refused() -> None:
    with pytest.raises(BadInput, match="found: f1_macro, log_loss"):
        decide([version(1, 0.9)], None, metric="roc_auc")
