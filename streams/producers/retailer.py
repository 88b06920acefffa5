"""A made-up retailer that follows from a seed alone: its stores, products, price plans and the demand it would meet.

Whatever is asked of it depends on the seed and the day, never on what was asked before, so a later period of the same seed
continues the same retailer. Demand responds to price with each product's own elasticity, to the weekday, the time of the year
and a slowly wandering level of each store × product.
"""

from __future__ import annotations

import datetime as dt
import functools
import math
import random
from dataclasses import dataclass

from contracts.events import PriceEvent
from contracts.topics import ALL_STORES
from contracts.windows import DAY_MS, EPOCH

QUARTER_DAYS = 91  # how long a base price holds
ANNOUNCED_DAYS = 14  # how far ahead a plan is announced: as far as the forecast looks
PROMOTION_CHANCE = 0.12  # a week
WANDER_DAYS, WANDER_DECAY, WANDER_STEP = 60, 0.95, 0.11  # the level's logarithm: standard deviation 0.35, half-life 2 weeks

_DECAYS = tuple(math.pow(WANDER_DECAY, back) for back in range(WANDER_DAYS))


@dataclass(frozen=True, slots=True)
class Category:
    """What products of a kind have in common. `weekend` is Saturday's demand relative to a mean day."""

    name: str
    price: int
    weekend: float
    season: float  # relative size of the yearly swing
    peak_day: int  # of the year
    morning: float  # share of the demand before noon
    shelf_life_days: int | None


CATEGORIES = (
    Category("bakery", 240, 1.3, 0.05, 350, 0.60, 3),
    Category("dairy", 180, 1.1, 0.05, 150, 0.45, 14),
    Category("fruit", 320, 1.2, 0.25, 190, 0.40, 6),
    Category("drinks", 150, 1.4, 0.45, 200, 0.25, None),
    Category("snacks", 210, 1.5, 0.15, 355, 0.25, 180),
    Category("household", 520, 1.0, 0.05, 90, 0.45, None),
    Category("frozen", 480, 1.1, 0.35, 195, 0.35, 365),
    Category("garden", 1450, 1.7, 0.85, 130, 0.50, None),
)
SPEEDS = (34.0, 12.0, 10.0, 2.0, 0.3)  # units a day in a mean store: fast, two medium, slow, intermittent; repeated
REGIONS = ("north", "south", "west")


@dataclass(frozen=True, slots=True)
class Product:
    """One product. `list_price` is the first base price in cents, `units` the mean daily demand at it in a mean store."""

    product_id: str
    name: str
    category: Category
    list_price: int
    units: float
    elasticity: float
    pack_size: int
    shelf_life_days: int | None


@dataclass(frozen=True, slots=True)
class Store:
    """One store; `size` is its demand relative to the mean store's."""

    store_id: str
    region: str
    size: float
    lead_time_days: int
    review_period_days: int


@dataclass(frozen=True, slots=True)
class Promotion:
    """A price cut of one product on the local days from `first` to `last`, in one store or in all (`*`)."""

    promotion_id: str
    store_id: str
    first: int
    last: int
    price: int
    list_price: int
    announced_ms: int


@dataclass(frozen=True, slots=True)
class Price:
    """What a product costs on a day, in cents."""

    price: int
    list_price: int
    promotion_id: str | None


def draw(*parts: object) -> random.Random:
    """A generator that follows from its name alone, the same in every process."""
    return random.Random("|".join(map(str, parts)))  # a string seeds through SHA-512, not through Python's salted hash


class Retailer:
    """The retailer of a seed. All its answers are functions of the arguments."""

    def __init__(self, seed: int, stores: tuple[Store, ...], products: tuple[Product, ...]) -> None:
        self.seed = seed
        self.stores = stores
        self.products = products
        self.promotions = functools.lru_cache(maxsize=None)(self._promotions)
        self._steps = functools.lru_cache(maxsize=None)(self._steps_of_block)
        self._base = functools.lru_cache(maxsize=None)(self._base_price)

    @classmethod
    def create(cls, seed: int, stores: int, products: int) -> Retailer:
        """The retailer of a seed with so many stores and products. More of either leaves the others as they are."""
        return cls(seed, tuple(_store(seed, n) for n in range(stores)), tuple(_product(seed, n) for n in range(products)))

    def list_price(self, product: Product, day: int) -> int:
        """The base price in cents on a local day: it moves by a few percent every quarter."""
        return self._base(product, day // QUARTER_DAYS)

    def price(self, store: Store, product: Product, day: int) -> Price:
        """What a product costs in a store on a local day: the store's own plan beats the chain's, the later start wins."""
        week = day // 7
        around = [p for w in (week - 1, week) for p in self.promotions(product, w) if p.first <= day <= p.last]
        for scope in (store.store_id, ALL_STORES):
            mine = [p for p in around if p.store_id == scope]
            if mine:
                best = max(mine, key=lambda p: (p.first, p.announced_ms, p.promotion_id))
                return Price(best.price, best.list_price, best.promotion_id)
        base = self.list_price(product, day)
        return Price(base, base, None)

    def demand(self, store: Store, product: Product, day: int, price: Price) -> float:
        """The units that a store's customers would want on a local day at a price, in the mean."""
        date = EPOCH + dt.timedelta(days=day)
        category = product.category
        weekday = {5: category.weekend, 6: 0.8, 4: 1.1}.get(date.weekday(), (7 - category.weekend - 1.9) / 4)
        season = 1 + category.season * math.cos(2 * math.pi * (date.timetuple().tm_yday - category.peak_day) / 365.25)
        response: float = min(8.0, (price.price / product.list_price) ** -product.elasticity) * (
            1.15 if price.promotion_id else 1.0
        )
        return product.units * store.size * weekday * season * response * self.level(store, product, day)

    def level(self, store: Store, product: Product, day: int) -> float:
        """The wandering level of a store × product on a day, mean 1: recent sales say something about the next ones."""
        series = (store.store_id, product.product_id)
        log = 0.0
        for back in range(WANDER_DAYS):
            at = day - back
            log += _DECAYS[back] * self._steps(*series, at // WANDER_DAYS)[at % WANDER_DAYS]
        variance = WANDER_STEP**2 / (1 - WANDER_DECAY**2)
        return math.exp(log - variance / 2)

    def price_events(self, start: int, end: int) -> list[PriceEvent]:
        """The announcements in [start, end) ms in order; at the start itself those of all plans that are then still to matter."""
        events = []
        first_day, last_day = start // DAY_MS - 2, end // DAY_MS + ANNOUNCED_DAYS + 1
        for product in self.products:
            for quarter in range(first_day // QUARTER_DAYS, last_day // QUARTER_DAYS + 1):
                events.append(self._base_event(product, quarter))
            for week in range(first_day // 7 - 2, last_day // 7 + 1):
                events += [self._event(product, p) for p in self.promotions(product, week) if p.last >= first_day]
        known = [self._again(event, start) for event in events if event.event_time < start]
        return sorted(
            known + [event for event in events if start <= event.event_time < end], key=lambda e: (e.event_time, e.event_id)
        )

    def _base_price(self, product: Product, quarter: int) -> int:
        change = draw(self.seed, "base", product.product_id, quarter).randint(-2, 3)
        return max(5, round(product.list_price * (1 + 0.02 * change)))

    def _promotions(self, product: Product, week: int) -> tuple[Promotion, ...]:
        rng = draw(self.seed, "promotion", product.product_id, week)
        if rng.random() >= PROMOTION_CHANCE:
            return ()
        first = week * 7 + rng.randrange(4)
        list_price = self.list_price(product, first)
        cut = rng.choice((0.1, 0.2, 0.25, 0.33, 0.4))
        promotion_id = f"{product.product_id}-w{week}"
        scope = ALL_STORES if rng.random() < 0.7 else rng.choice(self.stores).store_id
        announced = (first - ANNOUNCED_DAYS) * DAY_MS + 36_000_000
        price = max(1, round(list_price * (1 - cut)))
        return (Promotion(promotion_id, scope, first, first + rng.choice((2, 4, 6)), price, list_price, announced),)

    def _base_event(self, product: Product, quarter: int) -> PriceEvent:
        day = quarter * QUARTER_DAYS
        price = self.list_price(product, day)
        return PriceEvent(
            event_id=f"{self.seed}-price-{product.product_id}-q{quarter}",
            event_time=(day - ANNOUNCED_DAYS) * DAY_MS + 32_400_000,
            product_id=product.product_id,
            valid_from=EPOCH + dt.timedelta(days=day),
            price=price,
            list_price=price,
        )

    def _event(self, product: Product, promotion: Promotion) -> PriceEvent:
        return PriceEvent(
            event_id=f"{self.seed}-price-{promotion.promotion_id}",
            event_time=promotion.announced_ms,
            product_id=product.product_id,
            store_id=promotion.store_id,
            valid_from=EPOCH + dt.timedelta(days=promotion.first),
            valid_to=EPOCH + dt.timedelta(days=promotion.last),
            price=promotion.price,
            list_price=promotion.list_price,
            promotion_id=promotion.promotion_id,
        )

    def _again(self, event: PriceEvent, start: int) -> PriceEvent:
        return PriceEvent(
            event_id=f"{event.event_id}@{start}",
            event_time=start,
            product_id=event.product_id,
            store_id=event.store_id,
            valid_from=event.valid_from,
            valid_to=event.valid_to,
            price=event.price,
            list_price=event.list_price,
            promotion_id=event.promotion_id,
        )

    def _steps_of_block(self, store_id: str, product_id: str, block: int) -> tuple[float, ...]:
        rng = draw(self.seed, "level", store_id, product_id, block)
        return tuple(rng.gauss(0.0, WANDER_STEP) for _ in range(WANDER_DAYS))


def _store(seed: int, number: int) -> Store:
    rng = draw(seed, "store", number)
    return Store(
        store_id=f"s-{number + 1:02d}",
        region=REGIONS[number % len(REGIONS)],
        size=round(rng.uniform(0.6, 1.4), 2),
        lead_time_days=rng.randint(1, 3),
        review_period_days=rng.choice((1, 1, 2)),
    )


def _product(seed: int, number: int) -> Product:
    rng = draw(seed, "product", number)
    category = CATEGORIES[rng.randrange(len(CATEGORIES))]
    units = SPEEDS[number % len(SPEEDS)] * rng.uniform(0.7, 1.3)
    return Product(
        product_id=f"p-{number + 1:03d}",
        name=f"{category.name} {number + 1}",
        category=category,
        list_price=max(20, 5 * round(category.price * rng.lognormvariate(0, 0.4) / 5)),
        units=units,
        elasticity=rng.uniform(1.2, 3.2),
        pack_size=rng.choice((1, 4, 6, 12) if units > 1 else (1, 2)),
        shelf_life_days=category.shelf_life_days,
    )
