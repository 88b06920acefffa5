"""Work in a thread beside the event loop, which goes on reading and writing meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


async def in_thread(work: Callable[[], T]) -> T:
    """What the work returns or raises. A wait that is cancelled ends no earlier than the work: nobody else may begin on what that
    works on."""
    running = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        while not running.done():  # it may be cancelled once more
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait([running])
        raise
