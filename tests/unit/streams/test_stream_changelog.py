"""The changelog: states count as stored only where each has an offset of its own between the first and the last."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from contracts.errors import DependencyUnavailable
from contracts.settings import Settings
from streams.changelog import Changelog


class Log:
    """A producer whose records get given offsets, None for one that is not stored; reports as librdkafka gives them."""

    def __init__(self, offsets: Sequence[int | None], *, unanswered: int = 0, room: int = 1_000) -> None:
        self._offsets, self._unanswered = iter(offsets), unanswered
        self._most = self._room = room  # records that it takes before it has to be waited for
        self.reports = 0
        self.keys: list[bytes] = []

    def produce(
        self, topic: str, raw: bytes, key: bytes, partition: int, on_delivery: Callable[[Any, Any], None] | None = None
    ) -> None:
        if not self._room:
            raise BufferError
        self._room -= 1
        self.keys.append(key)
        offset = next(self._offsets)
        if on_delivery is not None:
            self.reports += 1
            on_delivery(Lost() if offset is None else None, Stored(offset))

    def poll(self, seconds: float) -> None:
        self._room = self._most

    def flush(self, seconds: float) -> int:
        return self._unanswered

    def purge(self) -> None:
        self._unanswered = 0


class Lost:
    def str(self) -> str:
        return "timed out"


class Stored:
    def __init__(self, offset: int | None) -> None:
        self._offset = offset

    def offset(self) -> int | None:
        return self._offset


def write(offsets: Sequence[int | None], **options: int) -> tuple[dict[int, int], Log]:
    log, changelog = Log(offsets, **options), Changelog(Settings())
    changelog._producer = log  # type: ignore[assignment]  # no broker
    states = {3: [(f"k-{n}".encode(), b"state") for n in range(len(offsets))]}
    return changelog.write("states", states), log


@pytest.mark.parametrize("room", [1, 2, 3])
def test_records_for_which_there_is_no_room_are_waited_with_in_their_order(room: int) -> None:
    reached, log = write([7, 8, 9, 10], room=room)
    assert reached == {3: 10}
    assert log.keys == [b"k-0", b"k-1", b"k-2", b"k-3"]


@pytest.mark.parametrize("offsets", [[7], [7, 8], [7, 8, 9, 10]])
def test_records_with_an_offset_each_are_stored_and_only_two_of_them_are_reported(offsets: list[int]) -> None:
    reached, log = write(offsets)
    assert reached == {3: offsets[-1]}
    assert log.reports <= 2


@pytest.mark.parametrize(
    "offsets",
    [
        [None],
        [7, None],
        [None, 7],
        [7, None, 8],  # one between them is missing, and nobody says so
        [7, 8, 12],  # somebody else wrote there too: which are ours is not known
    ],
)
def test_records_are_sent_again_where_one_may_be_missing(offsets: list[int | None]) -> None:
    with pytest.raises(DependencyUnavailable, match="did not take all states"):
        write(offsets)


def test_an_acknowledgement_that_tells_no_offset_proves_nothing() -> None:
    """librdkafka has none to tell of a batch that the broker already had."""
    log, changelog = Log([]), Changelog(Settings())
    log.produce = lambda *_, on_delivery, **__: on_delivery(None, Stored(None))  # type: ignore[method-assign]
    changelog._producer = log  # type: ignore[assignment]  # no broker
    with pytest.raises(DependencyUnavailable):
        changelog.write("states", {3: [(b"k", b"state")]})


def test_records_without_an_answer_are_not_stored() -> None:
    with pytest.raises(DependencyUnavailable) as refused:
        write([7, 8], unanswered=1)
    assert "1 records without an answer" in str(refused.value.why)
