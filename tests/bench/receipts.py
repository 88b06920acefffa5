"""The receipts that benches send, and what was sent of a sample of keys, so that their rows can be checked."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from contracts.clock import system_clock
from contracts.events import Receipt, ReceiptLine
from contracts.settings import Settings
from contracts.topics import SALES, partition_of
from contracts.windows import DAY_MS, StoreCalendars
from streams.producers.publish import Publisher
from streams.producers.replay import ReplayReport, replay
from streams.producers.retailer import Retailer
from streams.producers.simulate import history

SAMPLE_KEYS = 200
SIMULATED_STORES, SIMULATED_PRODUCTS = 60, 90  # about ten lines on a receipt, as in the real data
SIMULATED_DAYS = 365
KEYS_A_STORE = 1_000
LINES_A_RECEIPT = 10  # as on a receipt of the real data

Key = tuple[str, str]  # store_id, product_id


@dataclass(frozen=True, slots=True)
class Placed:
    """One receipt and where it is on Kafka."""

    receipt: Receipt
    partition: int
    offset: int


@dataclass(frozen=True, slots=True)
class Filled:
    """What was sent to the topic of sales. `sample` has, for some keys, their receipts in the order they were sent."""

    receipts: int
    lines: int
    keys: int
    sample: dict[Key, list[Placed]]

    @property
    def lines_a_receipt(self) -> float:
        """The mean number of lines on a receipt."""
        return self.lines / self.receipts


def of_data_set(folder: Path, lines: int | None) -> Iterator[Receipt]:
    """The receipts of a data set with `lines.parquet`, the first ones up to about so many lines."""
    return first_lines(replay(folder, ReplayReport()), lines)


def simulated(settings: Settings, lines: int) -> Iterator[Receipt]:
    """Receipts of the simulated retailer, from a year ago on, up to about so many lines."""
    now = system_clock()
    calendars = StoreCalendars(settings.time_zone, settings.store_time_zones)
    retailer = Retailer.create(7, SIMULATED_STORES, SIMULATED_PRODUCTS)
    stream = history(retailer, calendars, now - SIMULATED_DAYS * DAY_MS, now)
    return first_lines((timed.event for timed in stream if isinstance(timed.event, Receipt)), lines)


def over_keys(keys: int, lines: int, start: int, span_ms: int, seed: str) -> Iterator[Receipt]:
    """Receipts whose lines are drawn evenly from so many keys, evenly over a span of time from `start` ms on."""
    rng = random.Random(seed)
    stores, products = store_grid(keys)
    count = -(-lines // min(LINES_A_RECEIPT, products))
    for number in range(count):
        store = f"s-{rng.randrange(stores):05d}"
        chosen = rng.sample(range(products), min(LINES_A_RECEIPT, products))
        yield _receipt(f"{seed}-{number}", start + span_ms * number // count, store, chosen)


def each_key_once(keys: int, at: int) -> Iterator[Receipt]:
    """Receipts at one instant that name every key once."""
    stores, products = store_grid(keys)
    for store, first in itertools.product(range(stores), range(0, products, LINES_A_RECEIPT)):
        name = f"s-{store:05d}"
        yield _receipt(f"first-{store}-{first}", at, name, range(first, min(first + LINES_A_RECEIPT, products)))


def store_grid(keys: int) -> tuple[int, int]:
    """How many stores, and products in each, make so many keys. Stores enough that no partition is left without."""
    stores = max(20, -(-keys // KEYS_A_STORE))
    return stores, max(1, keys // stores)


def first_lines(receipts: Iterable[Receipt], lines: int | None) -> Iterator[Receipt]:
    """Receipts until they have at least so many lines; all of them where it is None."""
    left = lines
    for receipt in receipts:
        yield receipt
        if left is not None:
            left -= len(receipt.lines)
            if left <= 0:
                return


def fill(settings: Settings, receipts: Iterable[Receipt]) -> Filled:
    """Sends receipts to a topic that is empty, in their order; all are on Kafka when this returns."""
    sent: list[Placed] = []
    offsets = [0] * settings.topic_partitions
    with Publisher(settings) as publisher:
        for receipt in receipts:
            partition = partition_of(receipt.store_id, settings.topic_partitions)
            sent.append(Placed(receipt, partition, offsets[partition]))
            offsets[partition] += 1
            publisher.publish(SALES, receipt)
    keys = {(placed.receipt.store_id, line.product_id) for placed in sent for line in placed.receipt.lines}
    chosen = random.Random(7).sample(sorted(keys), min(SAMPLE_KEYS, len(keys)))
    return Filled(len(sent), sum(len(p.receipt.lines) for p in sent), len(keys), _of_keys(sent, set(chosen)))


def send(settings: Settings, receipts: Iterable[Receipt]) -> tuple[int, int]:
    """Sends receipts in their order and keeps none of them. Returns how many there were, and how many lines."""
    count = lines = 0
    with Publisher(settings) as publisher:
        for receipt in receipts:
            publisher.publish(SALES, receipt)
            count, lines = count + 1, lines + len(receipt.lines)
    return count, lines


def _of_keys(sent: Iterable[Placed], chosen: set[Key]) -> dict[Key, list[Placed]]:
    of_key: dict[Key, list[Placed]] = {key: [] for key in sorted(chosen)}
    for placed in sent:
        for product_id in dict.fromkeys(line.product_id for line in placed.receipt.lines):
            key = (placed.receipt.store_id, product_id)
            if key in chosen:
                of_key[key].append(placed)
    return of_key


def _receipt(event_id: str, at: int, store_id: str, products: Iterable[int]) -> Receipt:
    lines = tuple(ReceiptLine(f"p-{number:05d}", 1 + number % 3, 99 + number % 500) for number in products)
    return Receipt(event_id, at, store_id, "pos", lines)
