"""Ctrl-C: the first is a wish, a later one ends the command."""

import os
import signal
import time

import pytest

from tabular.search import stopping
from tabular.search.stopping import stop_on_signal


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_is_a_wish(number: signal.Signals) -> None:
    said: list[str] = []
    with stop_on_signal(lambda: said.append("stopping")) as stopped:
        assert not stopped()
        os.kill(os.getpid(), number)
        assert stopped()
    assert said == ["stopping"]


def test_signals_that_come_together_are_one() -> None:
    said: list[str] = []
    with stop_on_signal(lambda: said.append("stopping")):
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGTERM)
    assert said == ["stopping"]


def test_a_later_signal_ends_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stopping, "TOGETHER", 0.05)
    with pytest.raises(KeyboardInterrupt), stop_on_signal(lambda: None):
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.1)
        os.kill(os.getpid(), signal.SIGINT)


def test_afterwards_the_handlers_are_those_of_before() -> None:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with stop_on_signal(lambda: None):
        pass
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before
