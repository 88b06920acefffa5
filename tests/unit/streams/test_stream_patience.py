"""Waiting for a server: what is waited for, for how long, and when nobody waits any more."""

from __future__ import annotations

import asyncio
import itertools

import pytest
from aiokafka.errors import KafkaConnectionError, KafkaTimeoutError, MessageSizeTooLargeError, RequestTimedOutError
from faust.exceptions import ProducerSendError

from contracts.errors import ConfigurationError, DependencyUnavailable
from streams import patience
from streams.metrics import Metrics
from streams.patience import GivenUp, Outage, may_pass, patiently, pauses


def sent(cause: BaseException) -> ProducerSendError:
    error = ProducerSendError("not sent")
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    "error", [DependencyUnavailable("x"), ConnectionResetError(), TimeoutError(), KafkaConnectionError(), KafkaTimeoutError()]
)
def test_a_server_that_is_away_may_be_back(error: BaseException) -> None:
    assert may_pass(error)
    assert may_pass(sent(error))


@pytest.mark.parametrize("error", [MessageSizeTooLargeError(), KeyError("column"), ConfigurationError("x"), TypeError()])
def test_what_can_never_be_does_not_pass(error: BaseException) -> None:
    assert not may_pass(error)
    assert not may_pass(sent(error))


def test_pauses_grow_and_are_bounded() -> None:
    first = list(itertools.islice(pauses(), 5))
    assert first == sorted(first)
    assert 0 < first[0] < patience.LONGEST_PAUSE_SECONDS
    assert set(itertools.islice(itertools.dropwhile(lambda pause: pause < patience.LONGEST_PAUSE_SECONDS, pauses()), 3)) == {
        patience.LONGEST_PAUSE_SECONDS
    }


class Step:
    """A step that fails as often as it has errors."""

    def __init__(self, *errors: BaseException) -> None:
        self.errors, self.calls = list(errors), 0

    async def __call__(self) -> int:
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return self.calls


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "FIRST_PAUSE_SECONDS", 0.001)


def test_a_step_is_repeated_until_it_is_done_and_the_outage_is_over_then() -> None:
    noted: list[float] = []
    outage, step = Outage("kafka", lambda _, seconds: noted.append(seconds)), Step(*[RequestTimedOutError()] * 3)
    assert asyncio.run(patiently(step, outage, asyncio.Event())) == 4
    assert outage.reason is None
    assert outage.seconds == 0
    assert len(noted) == 4
    assert noted[-1] == 0


def test_a_server_is_back_once_nobody_waits_for_it() -> None:
    outage = Outage("kafka", Metrics().waited)
    outage.failed("a", TimeoutError("slow"))
    outage.failed("b", TimeoutError("gone"))
    outage.over("a")
    assert outage.reason == "gone"
    outage.over("b")
    outage.over("b")
    assert outage.reason is None


def test_what_cannot_pass_is_raised_at_once() -> None:
    step = Step(MessageSizeTooLargeError())
    with pytest.raises(MessageSizeTooLargeError):
        asyncio.run(patiently(step, Outage("kafka", Metrics().waited), asyncio.Event()))
    assert step.calls == 1


def test_nobody_waits_for_what_was_given_up_but_what_succeeds_counts() -> None:
    async def run(step: Step) -> int:
        given_up = asyncio.Event()
        given_up.set()
        return await patiently(step, Outage("online_store", Metrics().waited), given_up)

    assert asyncio.run(run(Step())) == 1
    with pytest.raises(GivenUp):
        asyncio.run(run(Step(TimeoutError(), TimeoutError())))
