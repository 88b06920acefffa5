"""Work in a thread: what it gives, and that nobody goes on while it does."""

from __future__ import annotations

import asyncio
import threading

import pytest

from streams.threads import in_thread


def test_it_gives_what_the_work_gives_and_raises_what_it_raises() -> None:
    assert asyncio.run(in_thread(lambda: 7)) == 7
    with pytest.raises(ZeroDivisionError):
        asyncio.run(in_thread(lambda: 1 // 0))


def test_the_loop_goes_on_meanwhile() -> None:
    async def beside() -> None:
        gate = threading.Event()
        running = asyncio.create_task(in_thread(lambda: gate.wait(10)))
        await asyncio.sleep(0)
        gate.set()
        assert await running

    asyncio.run(beside())


def test_a_wait_that_is_cancelled_ends_no_earlier_than_the_work() -> None:
    async def cancelled() -> None:
        begun, gate, done = threading.Event(), threading.Event(), []

        def work() -> None:
            begun.set()
            gate.wait(10)
            done.append("work")

        waiting = asyncio.create_task(in_thread(work))
        await asyncio.to_thread(begun.wait, 10)
        waiting.cancel()
        for _ in range(20):
            await asyncio.sleep(0)
        assert not waiting.done()
        gate.set()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert done == ["work"]

    asyncio.run(cancelled())
