"""What happens in the retailer's stores: receipts, stock movements, counts and price announcements in the order of time.

`history` lives whole days at their natural pace; `live` makes receipts at a given rate from an instant on. Stock runs out: what
is wanted then is not sold. It is replenished by an order-up-to rule, and some deliveries come late.
"""

from __future__ import annotations

import bisect
import heapq
import math
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

import msgspec

from contracts.events import Event, InventoryEvent, Receipt, ReceiptLine
from contracts.topics import INVENTORY, PRICES, SALES, Topic
from contracts.windows import EPOCH, HOUR_MS, Calendar, StoreCalendars
from streams.producers.retailer import Price, Product, Retailer, Store, draw

SECOND_MS = 1000
RECEIPTS_PER_DAY = 70.0  # in a mean store
ONLINE_SHARE = 0.15
RETURN_CHANCE = 0.02  # of a sold line
SHRINKAGE_CHANCE = 0.004  # of a store × product and day
LATE_DELIVERY_CHANCE = 0.06
COVER_DAYS = 2.0  # stock ordered beyond lead time and review period
OPENING_HOUR, CLOSING_HOUR = 8, 21


@dataclass(frozen=True, slots=True)
class Timed:
    """One event and when it is sent, ms."""

    at: int
    topic: Topic
    event: Event


@dataclass(slots=True)
class Shelf:
    """The stock of one store × product: units on hand, and deliveries under way as (local day, units)."""

    on_hand: int = 0
    under_way: list[tuple[int, int]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Wish:
    """A customer at a time of the day wants so many units of a product."""

    at: int
    product: Product
    quantity: int


def history(retailer: Retailer, calendars: StoreCalendars, start: int, end: int, scale: float = 1.0) -> Iterator[Timed]:
    """Every event in [start, end) ms in the order of time, at `scale` times the natural number of receipts and sales."""
    prices = (Timed(event.event_time, PRICES, event) for event in retailer.price_events(start, end))
    stores = (_StoreLife(retailer, store, calendars.of(store.store_id), scale).between(start, end) for store in retailer.stores)
    return heapq.merge(prices, *stores, key=lambda timed: timed.at)


def live(retailer: Retailer, calendars: StoreCalendars, start: int, rate: float, events: int) -> Iterator[Timed]:
    """`events` receipts and stock events from an instant on, `rate` a second; before them, at the instant, prices and counts."""
    yield from (Timed(event.event_time, PRICES, event) for event in retailer.price_events(start, start + 1))
    counter = _LiveStores(retailer, calendars, start)
    yield from counter.opening()
    for number in range(events):
        yield counter.next(start + int(number * 1000 / rate), number)


class _StoreLife:
    """One store lived day by day. Demand follows from the day; only the stock carries over."""

    def __init__(self, retailer: Retailer, store: Store, calendar: Calendar, scale: float) -> None:
        self.retailer, self.store, self.calendar, self.scale = retailer, store, calendar, scale
        self.shelves = {product.product_id: Shelf() for product in retailer.products}
        self.returns: list[tuple[int, int, str, str | None, ReceiptLine]] = []
        self.sold = 0

    def between(self, start: int, end: int) -> Iterator[Timed]:
        first = self.calendar.day(start)
        yield from self._opening(start, first)
        for day in range(first, self.calendar.day(end) + 1):
            for timed in sorted(self._day(day), key=lambda t: t.at):
                if start <= timed.at < end:
                    yield timed

    def _opening(self, start: int, day: int) -> Iterator[Timed]:
        for product in self.retailer.products:
            self.shelves[product.product_id].on_hand = self._target(product, day)
            yield self._stock("count", product, start, self.shelves[product.product_id].on_hand, f"open-{start}")

    def _day(self, day: int) -> list[Timed]:
        rng = draw(self.retailer.seed, "day", self.store.store_id, day)
        midnight, next_midnight = self.calendar.day_start(day), self.calendar.day_start(day + 1)
        prices = {p.product_id: self.retailer.price(self.store, p, day) for p in self.retailer.products}
        wishes, receipts = self._wishes(rng, day, midnight, prices)
        happened = self._morning(rng, day, midnight)
        happened += self._sell(rng, day, midnight, wishes, receipts, prices)
        happened += self._returned(rng, day, midnight)
        self._order(rng, day)
        return [Timed(min(timed.at, next_midnight - 1), timed.topic, timed.event) for timed in happened]

    def _wishes(
        self, rng: random.Random, day: int, midnight: int, prices: dict[str, Price]
    ) -> tuple[list[Wish], list[tuple[int, str]]]:
        """What is wanted on a day, and its receipts as (time, channel), both in the order of time."""
        traffic = rng.lognormvariate(0, 0.08)
        wishes = []
        for product in self.retailer.products:
            mean = self.scale * traffic * self.retailer.demand(self.store, product, day, prices[product.product_id])
            left = poisson(rng, mean)
            while left > 0:
                quantity = min(left, rng.choices((1, 2, 3, 6), (70, 20, 8, 2))[0])
                wishes.append(Wish(midnight + _time_of_day(rng, product.category.morning), product, quantity))
                left -= quantity
        baskets = max(1, poisson(rng, RECEIPTS_PER_DAY * self.scale * self.store.size * traffic))
        receipts = sorted(_receipt_time(rng, midnight) for _ in range(baskets))
        return sorted(wishes, key=lambda wish: wish.at), receipts

    def _morning(self, rng: random.Random, day: int, midnight: int) -> list[Timed]:
        """Deliveries, shrinkage, and a count of everything before the doors open."""
        happened = []
        for number, product in enumerate(self.retailer.products):
            shelf = self.shelves[product.product_id]
            at = midnight + 5 * HOUR_MS + number * 7 * SECOND_MS
            units = sum(quantity for due, quantity in shelf.under_way if due <= day)
            if units:
                shelf.under_way = [(due, quantity) for due, quantity in shelf.under_way if due > day]
                shelf.on_hand += units
                happened.append(self._stock("receipt", product, at, units, f"{day}-in"))
                happened.append(self._stock("count", product, at + 60 * SECOND_MS, shelf.on_hand, f"{day}-in-count"))
            if shelf.on_hand and rng.random() < SHRINKAGE_CHANCE:
                shelf.on_hand -= 1
                happened.append(self._stock("adjustment", product, at + 1800 * SECOND_MS, -1, f"{day}-shrinkage"))
            happened.append(self._stock("count", product, at + HOUR_MS, shelf.on_hand, f"{day}-morning"))
        return happened

    def _sell(
        self,
        rng: random.Random,
        day: int,
        midnight: int,
        wishes: list[Wish],
        receipts: list[tuple[int, str]],
        prices: dict[str, Price],
    ) -> list[Timed]:
        """Receipts of what was wanted and there, each wish on the receipt nearest in time; a count where a shelf ran empty."""
        lines: list[list[ReceiptLine]] = [[] for _ in receipts]
        happened: list[Timed] = []
        times = [at for at, _ in receipts]
        date = f"{EPOCH.fromordinal(EPOCH.toordinal() + day):%Y%m%d}"
        ids = [f"{self.retailer.seed}-{self.store.store_id}-{date}-{number:04d}" for number in range(len(receipts))]
        for wish in wishes:
            number = _nearest(times, wish.at)
            shelf = self.shelves[wish.product.product_id]
            sold = min(wish.quantity, shelf.on_hand)
            if sold:
                shelf.on_hand -= sold
                price = prices[wish.product.product_id]
                line = _line(wish.product, sold, price)
                lines[number].append(line)
                self.sold += 1
                if rng.random() < RETURN_CHANCE:
                    back = midnight + rng.randint(1, 10) * 24 * HOUR_MS + rng.randint(9, 19) * HOUR_MS
                    known = ids[number] if self.sold % 2 else None  # not everybody brings the receipt along
                    heapq.heappush(self.returns, (back, self.sold, receipts[number][1], known, line))
                if not shelf.on_hand:
                    at = times[number] + 30 * SECOND_MS
                    happened.append(self._stock("count", wish.product, at, 0, f"{day}-empty-{at - midnight}"))
        for number, (at, channel) in enumerate(receipts):
            if lines[number]:
                happened.append(_sale(ids[number], at, self.store, channel, lines[number]))
        return happened

    def _returned(self, rng: random.Random, day: int, midnight: int) -> list[Timed]:
        """What comes back is written off: it does not return to the shelf."""
        happened: list[Timed] = []
        while self.returns and self.returns[0][0] < midnight + 24 * HOUR_MS:
            _, _, channel, sale_id, line = heapq.heappop(self.returns)
            event_id = f"{self.retailer.seed}-{self.store.store_id}-{day}-r{len(happened):03d}"
            back = msgspec.structs.replace(line, quantity=-line.quantity, sale_id=sale_id)
            at = midnight + rng.randint(9 * HOUR_MS, 19 * HOUR_MS)
            happened.append(_sale(event_id, at, self.store, channel, [back]))
        return happened

    def _order(self, rng: random.Random, day: int) -> None:
        if day % self.store.review_period_days:
            return
        for product in self.retailer.products:
            shelf = self.shelves[product.product_id]
            missing = self._target(product, day + 1) - shelf.on_hand - sum(quantity for _, quantity in shelf.under_way)
            if missing > 0:
                delay = rng.randint(2, 5) if rng.random() < LATE_DELIVERY_CHANCE else 0
                packs = math.ceil(missing / product.pack_size)
                shelf.under_way.append((day + self.store.lead_time_days + delay, packs * product.pack_size))

    def _target(self, product: Product, day: int) -> int:
        """The stock to order up to: the mean demand at the list price over lead time, review period and some cover."""
        base = self.retailer.list_price(product, day)
        mean = self.scale * self.retailer.demand(self.store, product, day, Price(base, base, None))
        days = self.store.lead_time_days + self.store.review_period_days + COVER_DAYS
        return max(product.pack_size, math.ceil(mean * days))

    def _stock(
        self, kind: Literal["count", "receipt", "adjustment"], product: Product, at: int, quantity: int, name: str
    ) -> Timed:
        event_id = f"{self.retailer.seed}-{self.store.store_id}-{product.product_id}-{name}"
        return Timed(at, INVENTORY, InventoryEvent(event_id, at, self.store.store_id, product.product_id, kind, quantity))


class _LiveStores:
    """All stores at an artificial pace: one event after the other, whatever the hour."""

    def __init__(self, retailer: Retailer, calendars: StoreCalendars, start: int) -> None:
        self.retailer, self.calendars, self.start = retailer, calendars, start
        self.rng = draw(retailer.seed, "live", start)
        self.due: list[tuple[int, int, InventoryEvent]] = []
        self.stock: dict[tuple[str, str], int] = {}
        self.counted = self.queued = 0
        self.shares: dict[tuple[str, int], tuple[list[float], list[Price]]] = {}

    def opening(self) -> Iterator[Timed]:
        for store in self.retailer.stores:
            day = self.calendars.of(store.store_id).day(self.start)
            weights, _ = self._shares(store, day)
            for product, weight in zip(self.retailer.products, weights, strict=True):
                self.stock[store.store_id, product.product_id] = math.ceil(5 * weight) + product.pack_size
                yield Timed(self.start, INVENTORY, self._count(store.store_id, product.product_id, self.start))

    def next(self, at: int, number: int) -> Timed:
        if self.due and self.due[0][0] <= at:
            return self._deliver(at)
        store = self.rng.choices(self.retailer.stores, [s.size for s in self.retailer.stores])[0]
        lines = self._basket(store, at)
        if not lines:  # everything that was wanted is sold out
            product = self.rng.choice(self.retailer.products)
            return Timed(at, INVENTORY, self._count(store.store_id, product.product_id, at))
        channel = "online" if self.rng.random() < ONLINE_SHARE else "pos"
        if self.rng.random() < RETURN_CHANCE:
            lines = [msgspec.structs.replace(line, quantity=-line.quantity) for line in lines[:1]]
        return _sale(f"{self.retailer.seed}-live-{self.start}-{number}", at, store, channel, lines)

    def _basket(self, store: Store, at: int) -> list[ReceiptLine]:
        weights, prices = self._shares(store, self.calendars.of(store.store_id).day(at))
        wanted = self.rng.choices(range(len(weights)), weights, k=1 + poisson(self.rng, 1.7))
        lines = []
        for index in dict.fromkeys(wanted):
            product, price = self.retailer.products[index], prices[index]
            key = (store.store_id, product.product_id)
            sold = min(self.rng.choices((1, 2, 3), (75, 18, 7))[0], self.stock[key])
            if sold:
                self.stock[key] -= sold
                lines.append(_line(product, sold, price))
                if not self.stock[key]:
                    self._ran_out(*key, at, math.ceil(5 * weights[index]) + product.pack_size)
        return lines

    def _ran_out(self, store_id: str, product_id: str, at: int, units: int) -> None:
        arrival = at + self.rng.randint(20, 90) * SECOND_MS
        self._later(at, self._count(store_id, product_id, at))
        event_id = f"{self.retailer.seed}-live-{self.start}-in-{store_id}-{product_id}-{arrival}"
        self._later(arrival, InventoryEvent(event_id, arrival, store_id, product_id, "receipt", units))

    def _later(self, at: int, event: InventoryEvent) -> None:
        self.queued += 1
        heapq.heappush(self.due, (at, self.queued, event))

    def _deliver(self, at: int) -> Timed:
        _, _, event = heapq.heappop(self.due)
        if event.kind == "receipt":
            self.stock[event.store_id, event.product_id] += event.quantity
            self._later(at, self._count(event.store_id, event.product_id, event.event_time + 1))
        return Timed(at, INVENTORY, event)

    def _count(self, store_id: str, product_id: str, at: int) -> InventoryEvent:
        self.counted += 1
        event_id = f"{self.retailer.seed}-live-{self.start}-count-{self.counted}"
        return InventoryEvent(event_id, at, store_id, product_id, "count", self.stock[store_id, product_id])

    def _shares(self, store: Store, day: int) -> tuple[list[float], list[Price]]:
        """Each product's mean daily demand in a store, and its price."""
        if (store.store_id, day) not in self.shares:
            prices = [self.retailer.price(store, product, day) for product in self.retailer.products]
            demand = [self.retailer.demand(store, p, day, c) for p, c in zip(self.retailer.products, prices, strict=True)]
            self.shares[store.store_id, day] = (demand, prices)
        return self.shares[store.store_id, day]


def poisson(rng: random.Random, mean: float) -> int:
    """A Poisson number, by Knuth's products; beyond a mean of 50 by the rounded normal."""
    if mean > 50:
        return max(0, round(rng.gauss(mean, math.sqrt(mean))))
    limit, product, count = math.exp(-mean), rng.random(), 0
    while product > limit:
        product *= rng.random()
        count += 1
    return count


def _line(product: Product, quantity: int, price: Price) -> ReceiptLine:
    return ReceiptLine(
        product.product_id, quantity, price.price, price.list_price, price.promotion_id, category_id=product.category.name
    )


def _sale(event_id: str, at: int, store: Store, channel: str, lines: list[ReceiptLine]) -> Timed:
    where: Literal["pos", "online"] = "online" if channel == "online" else "pos"
    return Timed(at, SALES, Receipt(event_id, at, store.store_id, where, tuple(lines)))


def _time_of_day(rng: random.Random, morning: float) -> int:
    """Milliseconds after midnight within opening hours: before noon with the given chance, else around the evening peak."""
    begin, end, peak = (OPENING_HOUR, 12.5, 10.5) if rng.random() < morning else (12, CLOSING_HOUR, 17.5)
    return int(rng.triangular(begin, end, peak) * HOUR_MS)


def _receipt_time(rng: random.Random, midnight: int) -> tuple[int, str]:
    if rng.random() < ONLINE_SHARE:
        return midnight + int(rng.triangular(0, 23.99, 20) * HOUR_MS), "online"
    return midnight + _time_of_day(rng, 0.42), "pos"


def _nearest(times: list[int], at: int) -> int:
    right = bisect.bisect_left(times, at)
    if right == 0:
        return 0
    if right == len(times):
        return right - 1
    return right if times[right] - at < at - times[right - 1] else right - 1
