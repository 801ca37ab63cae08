"""Ctrl-C: the first is a wish, a later one ends the command."""

import os
import signal
import time

import pytest

from tabular.search import stopping
from tabular.search.stopping import Deadline, TimeUp, stop_on_signal, time_limit


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


def test_work_is_ended_when_its_time_is_up_and_said() -> None:
    deadline = Deadline(time.monotonic() + 60)
    assert deadline.within("the rest", 5, lambda: "done", None) == "done"
    assert deadline.within("the sleep", 0.05, lambda: time.sleep(60), "otherwise") == "otherwise"
    assert deadline.within("the last", 0, lambda: "done", None) is None
    assert deadline.notes == ["Left out, as the time was up: the sleep, the last."]
    assert Deadline().within("all", Deadline().left(), lambda: "done", None) == "done"


def test_an_object_that_is_freed_when_the_time_is_up_does_not_swallow_it() -> None:
    class Slow:
        def __del__(self) -> None:
            until = time.monotonic() + 0.1
            while time.monotonic() < until:
                pass

    begun = time.monotonic()
    with pytest.raises(TimeUp), time_limit(0.05):
        while True:
            Slow()
            time.sleep(0.5)
    assert time.monotonic() - begun < 30


def test_what_swallows_the_end_of_its_time_is_ended_once_more() -> None:
    swallowed = 0
    with pytest.raises(TimeUp), time_limit(0.05):
        while True:
            try:
                time.sleep(60)
            except TimeUp:
                if swallowed:
                    raise
                swallowed += 1
    assert swallowed == 1
