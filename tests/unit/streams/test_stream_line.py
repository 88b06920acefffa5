"""Items that are written one after another by a thread, without the event loop in between."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence

import pytest

from streams.line import Line
from streams.patience import GivenUp


class Paper:
    """What items are written to, one behind in telling of it: `fails` says at which one it fails, and how."""

    def __init__(self) -> None:
        self.written: list[int] = []
        self.fails: dict[int, list[Exception]] = {}
        self.together: list[list[int]] = []
        self.threads: list[int] = []
        self.opened = threading.Event()
        self.opened.set()

    def write_each(self, items: Iterable[int]) -> Iterator[None]:
        self.threads.append(threading.get_ident())
        open_ends = 0
        for item in items:
            assert self.opened.wait(10)
            if self.fails.get(item):
                raise self.fails[item].pop(0)
            self.written.append(item)
            open_ends += 1
            if open_ends == 2:
                open_ends -= 1
                yield
        yield from [None] * open_ends


def line(paper: Paper) -> Line[int]:
    async def patiently(attempt: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                return await attempt()
            except OSError:
                continue

    def together(items: Sequence[int]) -> int:
        paper.together.append(list(items))
        return items[-1]

    return Line(paper.write_each, together, patiently)


def outcomes(paper: Paper, count: int, meanwhile: Callable[[], None] = lambda: None) -> list[BaseException | None]:
    async def go() -> list[BaseException | None]:
        made = line(paper)
        tasks = [asyncio.create_task(made.do(item)) for item in range(count)]
        await asyncio.sleep(0)
        meanwhile()
        found = await asyncio.gather(*tasks, return_exceptions=True)
        await made.idle()
        return found

    return asyncio.run(go())


def test_items_are_written_in_their_order_by_one_thread_that_is_not_the_loops() -> None:
    paper = Paper()
    paper.opened.clear()
    assert outcomes(paper, 20, paper.opened.set) == [None] * 20
    assert paper.written == list(range(20))
    assert len(paper.threads) == 1
    assert threading.get_ident() not in paper.threads


def test_what_has_not_ended_is_written_again_where_a_server_was_away() -> None:
    paper = Paper()
    paper.fails[3] = [OSError("away"), OSError("still away")]
    paper.opened.clear()
    assert outcomes(paper, 6, paper.opened.set) == [None] * 6
    assert paper.written == [0, 1, 2, 3, 4, 5]


def test_what_may_be_written_already_is_not_gone_over_by_what_was_before_it() -> None:
    """Two items were on their way: the second try begins with both as one."""
    paper = Paper()
    paper.fails[4] = [OSError("away")]
    paper.opened.clear()
    assert outcomes(paper, 6, paper.opened.set) == [None] * 6
    assert paper.together == [[3, 4]]
    assert paper.written == [0, 1, 2, 3, 4, 5]


def test_an_error_ends_all_that_waits_and_the_next_item_begins_anew() -> None:
    paper = Paper()
    paper.fails[2] = [ValueError("never")]
    paper.opened.clear()
    first, *others = outcomes(paper, 5, paper.opened.set)
    assert first is None
    assert [type(outcome) for outcome in others] == [ValueError, GivenUp, GivenUp, GivenUp]
    assert paper.written == [0, 1]

    assert outcomes(paper, 1) == [None]


def test_an_item_that_came_while_the_thread_found_none_is_written() -> None:
    async def go() -> list[int]:
        paper = Paper()
        made = line(paper)
        for item in range(50):
            await made.do(item)
        return paper.written

    assert asyncio.run(go()) == list(range(50))


def test_an_item_nobody_waits_for_any_more_is_written_in_its_turn_and_idle_waits_for_it() -> None:
    async def go() -> None:
        paper = Paper()
        paper.opened.clear()
        made = line(paper)
        waiting = [asyncio.create_task(made.do(item)) for item in range(3)]
        await asyncio.sleep(0)
        waiting[1].cancel()
        await asyncio.wait([waiting[1]])
        idle = asyncio.create_task(made.idle())
        await asyncio.sleep(0)
        assert not idle.done()
        paper.opened.set()
        await idle
        assert paper.written == [0, 1, 2]
        await asyncio.gather(waiting[0], waiting[2])
        with pytest.raises(asyncio.CancelledError):
            await waiting[1]

    asyncio.run(go())
