"""A bench or a drill that is told to end by SIGTERM ends as on Ctrl-C, wherever it is at that moment."""

from __future__ import annotations

import signal
import sys
import weakref
from collections.abc import Callable, Iterator

import pytest

from infra.cli.measuring import end_as_interrupted
from tests.waiting import until


@pytest.fixture(autouse=True)
def told_to_end(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGALRM)}
    monkeypatch.setattr(sys, "unraisablehook", sys.unraisablehook)
    end_as_interrupted()
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


class Thing:
    """What a weak reference may point to."""


class Finalized:
    """Is told to end while it is finalized."""

    def __del__(self) -> None:
        tell()


def tell(*_: object) -> None:
    signal.raise_signal(signal.SIGTERM)


def in_a_finalizer() -> None:
    Finalized()


def in_a_callback() -> None:
    thing = Thing()
    reference = weakref.ref(thing, tell)
    del thing
    assert reference() is None


def test_it_is_interrupted_at_once() -> None:
    with pytest.raises(KeyboardInterrupt):
        tell()


@pytest.mark.parametrize("told", [in_a_finalizer, in_a_callback])
def test_told_where_an_interrupt_is_lost_it_is_interrupted_after_that(told: Callable[[], None]) -> None:
    def told_and_waiting() -> None:
        told()
        until(lambda: False, "the interrupt", seconds=10)

    with pytest.raises(KeyboardInterrupt):
        told_and_waiting()
