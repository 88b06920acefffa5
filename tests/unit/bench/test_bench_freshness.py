"""When a receipt counts as readable, and from when its time counts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from contracts.features import SOURCE_OFFSET
from tests.bench.freshness import GIVEN_UP_SECONDS, Watch, by_minute, latencies, percentile
from tests.bench.open_loop import LINES_A_RECEIPT, Watched, receipts, wait_until
from tests.builders import NOON


class Rows:
    """Rows as a reader finds them: by key, the offset of the last receipt in it."""

    def __init__(self) -> None:
        self.offsets: dict[tuple[str, ...], int] = {}
        self.asked: list[tuple[str, ...]] = []

    def read(self, view: str, keys: Sequence[tuple[str, ...]]) -> list[dict[str, Any] | None]:
        self.asked += keys
        return [{SOURCE_OFFSET: self.offsets[key]} if key in self.offsets else None for key in keys]


def watch_of(rows: Rows, *pending: Watched) -> Watch:
    return Watch(rows, pending=list(pending))  # type: ignore[arg-type]  # reading is all that is asked of it


def test_a_receipt_is_readable_once_the_row_holds_its_offset_or_a_later_one() -> None:
    rows, key = Rows(), ("s-1", "p-1")
    watch = watch_of(rows, Watched(key, 7, due=10.0), Watched(key, 9, due=10.2))
    for offset, at in ((6, 10.3), (8, 10.4), (9, 10.6)):
        rows.offsets[key] = offset
        watch.look(lambda at=at: at)  # type: ignore[misc]
    assert [(due, round(seconds, 3)) for due, seconds in watch.seen] == [(10.0, 0.4), (10.2, 0.4)]
    assert watch.pending == []
    assert rows.asked == [key, key, key]


def test_what_never_comes_is_given_up_and_counted() -> None:
    watch = watch_of(Rows(), Watched(("s-1", "p-1"), 0, due=0.0))
    watch.look(lambda: GIVEN_UP_SECONDS)
    assert watch.given_up == 0
    watch.look(lambda: GIVEN_UP_SECONDS + 1)
    assert (watch.given_up, watch.pending, watch.seen) == (1, [], [])


def test_percentiles_are_values_that_were_seen() -> None:
    values = [float(n) for n in range(1, 101)]
    assert [percentile(values, share) for share in (0.5, 0.95, 0.99, 1.0)] == [50.0, 95.0, 99.0, 100.0]
    assert percentile([3.0], 0.5) == 3.0
    assert latencies([]) == {"p50_ms": None, "p95_ms": None, "p99_ms": None, "max_ms": None}
    assert latencies([0.0123])["max_ms"] == 12.3


def test_each_minute_has_latencies_of_its_own() -> None:
    minutes = by_minute([(165.0, 0.03), (100.0, 0.01), (159.9, 0.02)])
    assert [(one["minute"], one["watched"], one["p50_ms"], one["max_ms"]) for one in minutes] == [
        (0, 2, 10.0, 20.0),
        (1, 1, 30.0, 30.0),
    ]
    assert by_minute([]) == []


def test_receipts_are_of_the_time_at_which_they_are_due() -> None:
    made = list(receipts(NOON, per_second=100.0, count=250))
    assert [one.event_time - NOON for one in made[:3]] == [0, 10, 20]
    assert made[-1].event_time - NOON == 2_490
    assert len({one.event_id for one in made}) == 250
    assert all(len({line.product_id for line in one.lines}) == LINES_A_RECEIPT for one in made)


def test_a_sender_that_is_late_does_not_wait() -> None:
    slept: list[float] = []
    wait_until(5.0, clock=lambda: 6.0, sleep=slept.append)
    assert slept == []
    times = iter((4.0, 5.0))
    wait_until(5.0, clock=lambda: next(times), sleep=slept.append)
    assert slept == [1.0]
