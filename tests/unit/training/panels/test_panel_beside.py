"""Work on cores of its own: what is given back, and what an error leaves undone."""

from __future__ import annotations

import threading

import pytest

from training.panels.beside import workers

DEADLINE_SECONDS = 30.0


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_every_result_comes_back_to_who_asked_for_it(threads: int) -> None:
    with workers(threads) as pool:
        asked = [pool.submit(pow, base, 2) for base in range(10)]
        assert [one.result() for one in asked] == [base * base for base in range(10)]


@pytest.mark.parametrize("threads", [1, 2])
def test_what_fails_is_raised_where_it_is_asked_for(threads: int) -> None:
    def asking() -> None:
        with workers(threads) as pool:
            pool.submit(int, "none").result()

    with pytest.raises(ValueError, match="none"):
        asking()


def test_who_is_interrupted_does_not_wait_for_what_has_not_begun() -> None:
    go_on, begun = threading.Event(), []

    def interrupted() -> None:
        with workers(2) as pool:
            for _ in range(2):
                pool.submit(go_on.wait, DEADLINE_SECONDS)
            waiting = pool.submit(begun.append, 1)
            waiting.add_done_callback(lambda _: go_on.set())  # it is cancelled while both cores are still at work
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert go_on.is_set()
    assert begun == []
