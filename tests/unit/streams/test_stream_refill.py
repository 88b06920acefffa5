"""Which partitions are filled again, and when."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

from contracts.errors import DependencyUnavailable
from streams.metrics import Metrics
from streams.patience import Outage
from streams.refill import Refill


class Marks:
    """The marks of an online store that was emptied, or that is away."""

    def __init__(self, *, away: bool = False) -> None:
        self._away = away
        self.made: list[tuple[str, int]] = []

    def read(self) -> Any:
        if self._away:
            raise DependencyUnavailable("The online store does not answer", doing="reading marks")
        return SimpleNamespace(lacks=lambda place: place not in self.made)

    def begin(self, place: tuple[str, int]) -> tuple[str, int]:
        return place

    def finish(self, place: tuple[str, int], _: object, __: int) -> bool:
        self.made.append(place)
        return True


def flusher(*, blank: list[int]) -> Any:
    """A flusher of two partitions, those in `blank` without a key; `rewritten` are those whose rows it has written again."""
    rewritten: list[int] = []

    async def rewrite(number: int) -> int:
        rewritten.append(number)
        return 0 if number in blank else 5

    kernel = SimpleNamespace(view=SimpleNamespace(name="stock"))
    return SimpleNamespace(kernel=kernel, assigned=[0, 1], blank=blank, rewrite=rewrite, rewritten=rewritten)


def test_what_lacks_its_mark_is_filled_once() -> None:
    marks, one, metrics = Marks(), flusher(blank=[]), Metrics()
    refill = Refill([one], marks, Outage("online_store", metrics.waited), metrics)  # type: ignore[arg-type]  # no server

    async def twice() -> None:
        await refill.check()
        await refill.check()

    asyncio.run(twice())
    assert one.rewritten == [0, 1]


def test_before_anything_is_taken_partitions_without_a_key_alone_get_their_marks() -> None:
    """Else all that is taken until the first look at the marks would be written once more, while batches wait for the lock."""
    marks, one, metrics = Marks(), flusher(blank=[1]), Metrics()
    refill = Refill([one], marks, Outage("online_store", metrics.waited), metrics)  # type: ignore[arg-type]  # no server
    asyncio.run(refill.check(blank_only=True))
    assert (one.rewritten, marks.made) == ([1], [("stock", 1)])


def test_a_store_that_is_away_is_looked_at_again() -> None:
    metrics = Metrics()
    outage = Outage("online_store", metrics.waited)
    refill = Refill([flusher(blank=[0])], Marks(away=True), outage, metrics)  # type: ignore[arg-type]  # no server
    asyncio.run(refill.check(blank_only=True))
    assert "does not answer" in (outage.reason or "")
