"""Who is let into production."""

import dataclasses
from typing import Any

import numpy as np
import pytest

from tabular.gate.decide import Answers, Decision, Rule, decide
from tests.tabular.stats.test_paired import answers

LENIENT = Rule(max_class_loss=1.0, max_loss_rise=100.0)


def gate(n_rows: int, strength: float, rule: Rule = LENIENT, **options: Any) -> Decision:
    paired = answers(n_rows, 3, strength)
    challenger = Answers(paired.challenger, options.pop("latency", 1.0))
    champion = Answers(paired.champion, 1.0)
    return decide(paired.codes, challenger, champion, rule, labels=["a", "b", "c"], **options)


def failed(decision: Decision) -> set[str]:
    return {check.name for check in decision.checks if not check.passed}


def test_a_clear_gain_is_promoted_and_says_its_numbers() -> None:
    decision = gate(500, 3.0)
    assert decision.promote
    assert "against" in decision.reason and "500 rows" in decision.reason
    assert "95.0% confidence" in decision.reason
    assert len(decision.resampled) == 2000


def test_a_gain_that_may_be_chance_is_not_promoted_unless_the_higher_value_is_enough() -> None:
    assert failed(gate(40, 1.05)) == {"better"}
    decision = gate(40, 1.05, dataclasses.replace(LENIENT, mode="best"))
    assert decision.evidence["gain"]["value"] > 0
    assert decision.promote


def test_a_loss_is_never_promoted() -> None:
    for mode in ("superior", "best"):
        assert not gate(500, 0.3, dataclasses.replace(LENIENT, mode=mode)).promote


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"floor": 0.99}, "floor"),
        ({"min_gain": 0.9}, "better"),
        ({"max_mcnemar": 0.0}, "mcnemar"),
        ({"max_latency_ratio": 1.5}, "latency"),
    ],
)
def test_each_rule_can_refuse(changes: dict[str, Any], name: str) -> None:
    decision = gate(500, 3.0, dataclasses.replace(LENIENT, **changes), latency=2.0)
    assert not decision.promote
    assert failed(decision) == {name}


def test_a_class_that_suffers_refuses() -> None:
    codes = np.repeat([0, 1, 2], 100)
    champion, challenger = np.full((300, 3), 0.05), np.full((300, 3), 0.05)
    champion[np.arange(300), np.where(np.arange(300) % 2, codes, (codes + 1) % 3)] = 0.9
    champion[200:] = [0.05, 0.05, 0.9]
    challenger[np.arange(300), codes] = 0.9
    challenger[200:240] = [0.9, 0.05, 0.05]
    decision = decide(
        codes, Answers(challenger, 1.0), Answers(champion, 1.0), Rule(), labels=["a", "b", "c"]
    )
    assert failed(decision) == {"classes"}
    assert "the recall of 'c' falls by 0.4000" in decision.reason


def test_worse_probabilities_refuse() -> None:
    paired = answers(500, 3, 3.0)
    sure = paired.challenger.argmax(axis=1)
    sharp = np.where(np.eye(3)[sure] == 1, 1.0, 1e-300)  # as sure where it is wrong
    sharp /= sharp.sum(axis=1, keepdims=True)
    worse = Answers(sharp, 1.0)
    decision = decide(
        paired.codes,
        worse,
        Answers(paired.champion, 1.0),
        Rule(max_class_loss=1),
        labels=list("abc"),
    )
    assert failed(decision) == {"log loss"}
    assert "the log loss rises by" in decision.reason


def test_newer_data_and_a_surely_lower_log_loss_are_enough_where_labels_are_equal() -> None:
    paired = answers(400, 3, 1.0)
    blurred = 0.5 * paired.champion + 0.5 / 3
    options: dict[str, Any] = {"labels": list("abc")}
    champion, challenger = Answers(blurred, 1.0), Answers(paired.champion, 1.0)
    refused = decide(paired.codes, challenger, champion, LENIENT, **options)
    allowed = decide(paired.codes, challenger, champion, LENIENT, refreshed=True, **options)
    assert (refused.promote, allowed.promote) == (False, True)
    assert "no worse on newer data" in allowed.reason
    assert f"(p {allowed.evidence['log_loss_gain']['p_value']:.4f}" in allowed.reason


def test_the_best_of_many_has_to_show_more() -> None:
    paired = answers(120, 3, 1.9)
    one, twenty = (
        decide(
            paired.codes,
            Answers(paired.challenger, 1.0),
            Answers(paired.champion, 1.0),
            LENIENT,
            labels=list("abc"),
            challengers=n,
        )
        for n in (1, 20)
    )
    levels = [next(c.said for c in d.checks if c.name == "better") for d in (one, twenty)]
    assert "level 0.0500" in levels[0] and "level 0.0025" in levels[1]


def test_without_a_champion_the_floor_decides() -> None:
    paired = answers(100, 3, 3.0)
    first = Answers(paired.challenger, 1.0)
    assert decide(paired.codes, first, None, Rule(floor=0.5), labels=list("abc")).promote
    assert not decide(paired.codes, first, None, Rule(floor=0.999), labels=list("abc")).promote


def test_a_floor_of_a_loss_is_a_ceiling() -> None:
    paired = answers(100, 3, 3.0)
    first = Answers(paired.challenger, 1.0)
    for floor, allowed in ((5.0, True), (0.01, False)):
        rule = Rule(metric="log_loss", floor=floor)
        assert decide(paired.codes, first, None, rule, labels=list("abc")).promote is allowed


def test_an_undefined_metric_refuses() -> None:
    paired = answers(50, 3, 3.0)
    few = paired.codes < 2
    rule = Rule(metric="roc_auc")
    decision = decide(
        paired.codes[few], Answers(paired.challenger[few], 1.0), None, rule, labels=list("abc")
    )
    assert not decision.promote
    assert "undefined" in decision.reason
