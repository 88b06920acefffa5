"""Work that nothing waits for yet, on cores of its own.

Trees learn in one thread each: two fits side by side are done sooner than one after the other with two threads, which spend
much of their time waiting for each other, all the more so on a machine that others use too.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import Any, TypeVar

T = TypeVar("T")


class AtOnce(Executor):
    """Does what it is given before it gives it back."""

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        """Already done. Raises what the work raises."""
        done: Future[T] = Future()
        done.set_result(fn(*args, **kwargs))
        return done


def workers(threads: int) -> Executor:
    """For so many cores."""
    return AtOnce() if threads == 1 else ThreadPoolExecutor(threads)
