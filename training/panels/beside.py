"""Work that nothing waits for yet, on cores of its own.

Trees learn in one thread each: two fits side by side are done sooner than one after the other with two threads, which spend
much of their time waiting for each other, all the more so on a machine that others use too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

T = TypeVar("T")


class AtOnce(Executor):
    """Does what it is given before it gives it back."""

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        """Already done. Raises what the work raises."""
        done: Future[T] = Future()
        done.set_result(fn(*args, **kwargs))
        return done


@contextmanager
def workers(threads: int) -> Iterator[Executor]:
    """For so many cores. Who is interrupted or fails waits for what is being worked on, and for nothing that waits its turn."""
    pool = AtOnce() if threads == 1 else ThreadPoolExecutor(threads)
    try:
        yield pool
    except BaseException:
        pool.shutdown(cancel_futures=True)
        raise
    pool.shutdown()
