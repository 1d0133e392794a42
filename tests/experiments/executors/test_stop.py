"""The first signal asks a run to stop, and only the same signal again kills it."""

from __future__ import annotations

import os
import signal

import pytest

from experiments.executors.stop import Stop, StopWithParent


def test_a_signal_asks_to_stop_and_the_handler_is_restored() -> None:
    before, stop = signal.getsignal(signal.SIGTERM), Stop()
    with stop.on_signals():
        assert not stop.requested()
        signal.raise_signal(signal.SIGTERM)
        assert stop.requested()
    assert signal.getsignal(signal.SIGTERM) is before


def test_sigterm_after_ctrl_c_does_not_kill() -> None:
    stop = Stop()
    with stop.on_signals():
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGTERM)
        assert stop.requested()


@pytest.mark.parametrize(("second_kills", "kills"), [(True, True), (False, False)])
def test_the_same_signal_again_kills_where_it_may(second_kills: bool, kills: bool) -> None:
    with Stop().on_signals(second_kills=second_kills):
        signal.raise_signal(signal.SIGTERM)
        assert (signal.getsignal(signal.SIGTERM) is signal.SIG_DFL) == kills


def test_a_request_to_stop_comes_from_a_signal_or_from_the_end_of_the_parent() -> None:
    stop = StopWithParent(os.getppid())
    assert not stop.requested()
    assert StopWithParent(os.getppid() + 1).requested()
    stop.request()
    assert stop.requested()
