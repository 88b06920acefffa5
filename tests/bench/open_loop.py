"""Sends receipts at the times they are due, whether or not what comes before has arrived, and says which of them to watch."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from queue import SimpleQueue

from contracts.clock import system_clock
from contracts.events import Receipt, ReceiptLine
from contracts.settings import Settings
from contracts.topics import SALES, partition_of
from streams.producers.publish import Publisher
from tests.bench.receipts import Key

STORES, PRODUCTS = 20, 500
LINES_A_RECEIPT = 3
WATCH_EVERY = 10  # receipts: enough for a 99th percentile within a minute, few enough not to load what is measured


@dataclass(frozen=True, slots=True)
class Watched:
    """One receipt to wait for: a key of it, its offset there, and when it was due (monotonic seconds)."""

    key: Key
    offset: int
    due: float


@dataclass(slots=True)
class Sender:
    """Sends at a steady rate from a thread of its own. Receipts before `warm_up` seconds are sent but not watched.

    `late` has by how many seconds each receipt was sent after it was due. `error` is what ended the thread early.
    """

    settings: Settings
    receipts_per_second: float
    seconds: float
    warm_up: float
    watched: SimpleQueue[Watched] = field(default_factory=SimpleQueue)
    late: list[float] = field(default_factory=list)
    error: BaseException | None = None
    _thread: threading.Thread | None = None

    def start(self) -> None:
        """Begins; the first receipt is due now."""
        self._thread = threading.Thread(target=self._run, name="open loop", daemon=True)
        self._thread.start()

    @property
    def is_done(self) -> bool:
        """Whether the last receipt was sent. Raises what ended it early."""
        if self.error is not None:
            raise self.error
        return self._thread is not None and not self._thread.is_alive()

    def _run(self) -> None:
        try:
            with Publisher(self.settings) as publisher:
                self._send(publisher)
        except Exception as error:  # noqa: BLE001  # nothing is swallowed: `is_done` raises it where it is asked
            self.error = error

    def _send(self, publisher: Publisher) -> None:
        offsets = [0] * self.settings.topic_partitions
        count = round(self.receipts_per_second * self.seconds)
        started, clock = time.monotonic(), system_clock()
        for number, receipt in enumerate(receipts(clock, self.receipts_per_second, count)):
            due = started + number / self.receipts_per_second
            wait_until(due)
            publisher.publish(SALES, receipt)
            self.late.append(time.monotonic() - due)
            partition = partition_of(receipt.store_id, self.settings.topic_partitions)
            if due - started >= self.warm_up and number % WATCH_EVERY == 0:
                self.watched.put(Watched((receipt.store_id, receipt.lines[-1].product_id), offsets[partition], due))
            offsets[partition] += 1


def receipts(start: int, per_second: float, count: int) -> Iterator[Receipt]:
    """Receipts of a few lines over a grid of keys; each is of the time (ms) at which it is due."""
    rng = random.Random(start)
    for number in range(count):
        lines = tuple(
            ReceiptLine(f"p-{product:05d}", rng.randint(1, 3), 250) for product in rng.sample(range(PRODUCTS), LINES_A_RECEIPT)
        )
        at = start + int(number * 1000 / per_second)
        yield Receipt(f"open-{start}-{number}", at, f"s-{rng.randrange(STORES):05d}", "pos", lines)


def wait_until(due: float, clock: Callable[[], float] = time.monotonic, sleep: Callable[[float], None] = time.sleep) -> None:
    """Returns at a time (monotonic seconds), at once where it has passed."""
    while (left := due - clock()) > 0:
        sleep(left)
