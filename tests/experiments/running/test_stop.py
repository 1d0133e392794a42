"""How a run listens to signals: asked once it stops, and only a repetition of the same signal kills it."""

from __future__ import annotations

import signal

import pytest

from experiments.running.stop import Stop


def test_a_signal_asks_to_stop_and_the_listener_is_gone_afterwards() -> None:
    before, stop = signal.getsignal(signal.SIGTERM), Stop()
    with stop.on_signals():
        assert not stop.requested()
        signal.raise_signal(signal.SIGTERM)
        assert stop.requested()
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_termination_after_ctrl_c_does_not_kill() -> None:
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
